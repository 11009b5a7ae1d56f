//! Builds, checks and tests Glovebox: the only tool besides `cargo` a developer or a CI job calls.
//!
//! One clap enum, one file per command. Each command echoes what it runs, so that a failing step
//! can be repeated by hand.

#![forbid(unsafe_code)]

mod apt;
mod apt_sources;
mod bench;
mod build;
mod cache;
mod calendar;
mod check;
mod config;
mod contents;
mod cpio;
mod debs;
mod demo;
mod disk;
mod elf;
mod esp;
mod fat_folders;
mod files;
mod glob;
mod grub;
mod host;
mod identity;
mod image;
mod initrd;
mod iso;
mod lock;
mod modules;
mod own;
mod published;
mod repro;
mod sample;
mod sbom;
mod sealed;
mod sums;
mod test;
mod tidy;
mod trust;
mod userland;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, check and test Glovebox
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the bootable image: disk, CD, netboot pair, lists, signature
    Build(build::Args),
    /// Look at the image's description
    #[command(subcommand)]
    Image(image::Command),
    /// Build twice, differently, and compare every byte
    Repro(repro::Args),
    /// Make the sample compromised disk
    Sample(sample::Args),
    /// Boot the image beside the sample disk and do the whole job
    Demo,
    /// Measure our programs beside their peers
    #[command(subcommand)]
    Bench(bench::Command),
    /// Run every test: units, then the booted image in virtual machines
    Test(test::Args),
    /// Check the house rules that no compiler checks
    Tidy,
    /// Format, lint, tidy, licences and documentation in one go
    Check,
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build(args) => build::run(&args),
        Command::Image(command) => image::run(&command),
        Command::Repro(args) => repro::run(&args),
        Command::Sample(args) => sample::run(&args),
        Command::Demo => demo::run(),
        Command::Bench(command) => bench::run(&command),
        Command::Test(args) => test::run(&args),
        Command::Tidy => tidy::run(),
        Command::Check => check::run(),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
