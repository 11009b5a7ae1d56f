//! Benchmarks: our programs beside their named peers in one run, as ratios of medians.
//!
//! The machines are noisy, so contestants take turns and only ratios within one run count; nothing here fails because a
//! machine is slow.

mod case;
mod contest;
mod evidence;
mod hashing;
mod imaging;
mod report;

use anyhow::Result;

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Walking, hashing and streaming files of a disk, beside the kernel's mount and The Sleuth Kit
    Evidence(Args),
    /// Verifying and continuing a case of 100,000 acts
    Case(Args),
    /// Reporting on a case of 100,000 acts and a million findings
    Report(Args),
    /// Digests of a large file and of many small ones, beside openssl, coreutils, hashdeep and b3sum
    Hashing(Args),
    /// Imaging and hashing one file, beside dc3dd, dcfldd, ewfacquire and openssl
    Imaging(Args),
}

/// How to measure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Turns each contestant takes
    #[arg(long, default_value_t = 5)]
    pub(crate) turns: usize,
    /// Size of the trees and files, in percent of the real ones
    #[arg(long, default_value_t = 100)]
    pub(crate) percent: u64,
    /// Only the contests whose title contains this
    #[arg(long, default_value = "")]
    pub(crate) only: String,
    /// Write the table into docs/benchmarks
    #[arg(long)]
    pub(crate) record: bool,
}

/// Runs the benchmark.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Evidence(args) => evidence::run(args),
        Command::Case(args) => case::run(args),
        Command::Report(args) => report::run(args),
        Command::Hashing(args) => hashing::run(args),
        Command::Imaging(args) => imaging::run(args),
    }
}
