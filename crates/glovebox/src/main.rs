//! The program people use: one file per verb, and what the verbs share.
//!
//! Nothing here is logic a test would want to call: a verb takes its arguments apart, asks the
//! libraries, and shows what they answered. Data goes to standard output, talk to standard error;
//! the exit code says what the answer was (see [`exit::Exit`]).

#![forbid(unsafe_code)]

mod acting;
mod clock;
mod entry;
mod exit;
mod facts;
mod failure;
mod health;
mod identity;
mod opened;
mod output;
mod passphrase;
mod progress;
mod recording;
mod session;
mod systems;
mod target;
mod verbs;
mod volatile;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;

/// Examine compromised machines without changing them
#[derive(Debug, Parser)]
#[command(name = "glovebox", version, max_term_width = 80, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Survey(verbs::survey::Args),
    Guard(verbs::guard::Args),
    Case(verbs::case::Args),
    Contact(verbs::contact::Args),
    Ls(verbs::ls::Args),
    Cat(verbs::cat::Args),
    Stat(verbs::stat::Args),
    Find(verbs::find::Args),
    Cp(verbs::cp::Args),
    Bodyfile(verbs::bodyfile::Args),
    Map(verbs::map::Args),
    Image(Box<verbs::image::Args>),
    Receive(verbs::receive::Args),
    Net(verbs::net::Args),
    Hash(verbs::hash::Args),
    Triage(verbs::triage::Command),
    Memory(verbs::memory::Args),
    Verify(verbs::verify::Args),
    Restore(verbs::restore::Args),
    Baseline(verbs::baseline::Args),
    Archive(verbs::archive::Args),
    Keys(verbs::keys::Args),
    Report(verbs::report::Args),
    Poweroff(verbs::power::OffArgs),
    Reboot(verbs::power::RestartArgs),
    Welcome(verbs::welcome::Args),
}

fn main() -> ExitCode {
    let result = match arguments() {
        Ok(cli) => run(cli.verb),
        Err(error) => {
            let wants_help = !error.use_stderr();
            let _closed = error.print();
            return if wants_help { Exit::Clean } else { Exit::NotDone }.into();
        }
    };
    match result {
        Ok(exit) => exit.into(),
        // Somebody stopped reading: that is no error of ours.
        Err(failure) if failure.is_broken_pipe() => Exit::Clean.into(),
        Err(failure) => {
            failure.show();
            failure.exit().into()
        }
    }
}

/// The command line; under the names `poweroff` and `reboot` those verbs.
fn arguments() -> Result<Cli, clap::Error> {
    let mut words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let name = words.first().map(std::path::Path::new).and_then(std::path::Path::file_name);
    if let Some(verb) = name.filter(|name| *name == "poweroff" || *name == "reboot") {
        let verb = verb.to_os_string();
        words.insert(1, verb);
    }
    Cli::try_parse_from(words)
}

fn run(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Survey(args) => args.run(),
        Verb::Guard(args) => args.run(),
        Verb::Case(args) => args.run(),
        Verb::Contact(args) => args.run(),
        Verb::Ls(args) => args.run(),
        Verb::Cat(args) => args.run(),
        Verb::Stat(args) => args.run(),
        Verb::Find(args) => args.run(),
        Verb::Cp(args) => args.run(),
        Verb::Bodyfile(args) => args.run(),
        Verb::Map(args) => args.run(),
        Verb::Image(args) => args.run(),
        Verb::Receive(args) => args.run(),
        Verb::Net(args) => args.run(),
        Verb::Hash(args) => args.run(),
        Verb::Triage(args) => args.run(),
        Verb::Memory(args) => args.run(),
        Verb::Verify(args) => args.run(),
        Verb::Restore(args) => args.run(),
        Verb::Baseline(args) => args.run(),
        Verb::Archive(args) => args.run(),
        Verb::Keys(args) => args.run(),
        Verb::Report(args) => args.run(),
        Verb::Poweroff(args) => args.run(),
        Verb::Reboot(args) => args.run(),
        Verb::Welcome(args) => args.run(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_its_help_fits() {
        Cli::command().debug_assert();
        let mut command = Cli::command();
        let mut long = Vec::new();
        for verb in command.get_subcommands_mut() {
            let help = verb.render_long_help().to_string();
            let lines = help.lines().filter(|line| line.chars().count() > 80);
            long.extend(lines.map(|line| format!("{}: {line}", verb.get_name())));
        }
        assert!(long.is_empty(), "{}", long.join("\n"));
    }

    #[test]
    fn every_option_is_explained() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for option in command.get_arguments() {
                assert!(option.get_help().is_some(), "{} {}", command.get_name(), option.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
