//! Signs of an intruder's command line: what makes a start-up entry suspicious whoever placed it.
//!
//! Few and strong, each a plain search: a sign that honest configuration also shows would drown the rest.

use crate::parse::{contains, lines};

/// A sign found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    /// What it is, in words.
    pub(crate) what: &'static str,
    pub(crate) line: usize,
    pub(crate) offset_bytes: usize,
    pub(crate) text: Vec<u8>,
}

/// Alternatives of which all words of one must stand in the line.
const SIGNS: &[(&str, &[&str])] = &[
    ("opens a network connection from the shell", &["/dev/tcp/"]),
    ("opens a network connection from the shell", &["/dev/udp/"]),
    ("gives a shell to the network", &["nc ", " -e "]),
    ("gives a shell to the network", &["ncat ", " -e "]),
    ("gives a shell to the network", &["socat ", "exec:"]),
    ("gives a shell to the network", &["mkfifo ", "nc "]),
    ("gives a shell to the network", &["bash -i", ">&"]),
    ("gives a shell to the network", &["sh -i", ">&"]),
    ("gives a shell to the network", &["socket", "dup2", "sh"]),
    ("gives a shell to the network", &["pty.spawn"]),
    ("runs what it downloads", &["curl ", "| sh"]),
    ("runs what it downloads", &["curl ", "|sh"]),
    ("runs what it downloads", &["curl ", "| bash"]),
    ("runs what it downloads", &["curl ", "|bash"]),
    ("runs what it downloads", &["wget ", "| sh"]),
    ("runs what it downloads", &["wget ", "|sh"]),
    ("runs what it downloads", &["wget ", "| bash"]),
    ("runs what it downloads", &["wget ", "|bash"]),
    ("runs hidden text", &["base64 -d", "| sh"]),
    ("runs hidden text", &["base64 -d", "|sh"]),
    ("runs hidden text", &["base64 -d", "| bash"]),
    ("runs hidden text", &["base64 -d", "|bash"]),
    ("runs hidden text", &["base64 --decode", "sh"]),
    ("runs hidden text", &["eval", "base64"]),
    ("makes a program set-user-ID", &["chmod ", "u+s"]),
    ("makes a program set-user-ID", &["chmod ", " 4755 "]),
    ("starts a program from a directory where everybody can write", &["/dev/shm/"]),
    ("loads a foreign library", &["LD_PRELOAD="]),
    ("loads a foreign library", &["LD_AUDIT="]),
    ("runs code inside every shell", &["BASH_ENV="]),
    ("runs code inside every prompt", &["PROMPT_COMMAND=", "/tmp/"]),
    ("replaces a command that asks for a password", &["alias sudo="]),
    ("replaces a command that asks for a password", &["alias ssh="]),
    ("replaces a command that asks for a password", &["alias su="]),
];

/// Starts of words that mean a program in a directory where everybody can write.
const SHARED: &[&str] = &["/tmp/", "/var/tmp/", "/dev/shm/"];

/// The first sign in each line that is no comment, at most sixteen.
pub(crate) fn signs(raw: &[u8]) -> Vec<Sign> {
    let found = lines(raw).filter(|(_, _, line)| line.trim_ascii_start().first() != Some(&b'#'));
    let found = found.filter_map(|(line, offset_bytes, text)| {
        Some(Sign { what: sign_of(text)?, line, offset_bytes, text: text.to_vec() })
    });
    found.take(16).collect()
}

/// The first sign in one command line.
pub(crate) fn sign_of(text: &[u8]) -> Option<&'static str> {
    SIGNS
        .iter()
        .find(|(_, words)| words.iter().all(|word| contains(text, word.as_bytes())))
        .map(|(what, _)| *what)
}

/// Whether a sign is that of an attack wherever it stands, not only in a start-up file.
pub(crate) fn is_attack(what: &str) -> bool {
    ["network", "downloads", "hidden"].iter().any(|word| what.contains(word))
}

/// Whether a command starts a program that lies where everybody can write: as its first word, or after a shell's name.
pub(crate) fn runs_from_shared(command: &[u8]) -> bool {
    let command = command.trim_ascii_start();
    let command =
        command.strip_prefix(b"-").or_else(|| command.strip_prefix(b"@")).unwrap_or(command);
    let words = crate::parse::words(command);
    let mut programs =
        words.iter().take(4).filter(|word| !word.starts_with(b"-") && !word.contains(&b'='));
    programs.any(|word| SHARED.iter().any(|place| word.starts_with(place.as_bytes())))
}
