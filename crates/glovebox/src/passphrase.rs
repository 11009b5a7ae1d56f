//! Asking for a passphrase without showing it.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::failure::Failure;

/// The first line of a file.
///
/// # Errors
/// If it cannot be read or is empty.
pub(crate) fn from_file(path: &Path) -> Result<String, Failure> {
    let doing = || format!("reading the passphrase from {}", path.display());
    let text =
        fs::read_to_string(path).map_err(|problem| Failure::from(problem).while_doing(doing()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::new("the first line is empty").while_doing(doing())),
    }
}

/// Asks at the terminal.
///
/// # Errors
/// If standard input is no terminal: then a file must be named.
pub(crate) fn ask(prompt: &str) -> Result<String, Failure> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(Failure::new("a passphrase is needed and standard input is no terminal")
            .hint("give it with --passphrase-file FILE"));
    }
    let _closed = write!(io::stderr(), "{prompt}").and_then(|()| io::stderr().flush());
    let before = tcgetattr(&input)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&input, OptionalActions::Flush, &silent)?;
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    tcsetattr(&input, OptionalActions::Flush, &before)?;
    let _closed = writeln!(io::stderr());
    read?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks for a new passphrase, twice.
///
/// # Errors
/// As [`ask`], and if the two differ or are empty.
pub(crate) fn ask_new() -> Result<String, Failure> {
    let first = ask("New passphrase for the case key: ")?;
    if first.is_empty() {
        return Err(Failure::new("the passphrase is empty"));
    }
    if ask("The same again: ")? != first {
        return Err(Failure::new("the two passphrases differ"));
    }
    Ok(first)
}
