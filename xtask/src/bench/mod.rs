//! Benchmarks: our programs beside their named peers in one run, as ratios of medians.
//!
//! The machines are noisy, so contestants take turns and only ratios within one run count; nothing here fails because a
//! machine is slow.

mod case;
mod contest;
mod evidence;
mod hashing;
mod imaging;
mod libewf;
mod report;
mod triage;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files;

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
    /// A compromised server's disk and a million files, beside Dissect, debsums and chkrootkit
    Triage(Args),
    /// One disk with unreadable sectors, imaged by us and by dc3dd, ddrescue, dd, dcfldd and ewfacquire
    Faults,
    /// An installed system against its archive, and large archives, beside debsums, dpkg and AIDE
    Verify(Args),
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

impl Args {
    /// Shows the tables, and writes them into `docs/benchmarks` if that was asked for.
    ///
    /// # Errors
    /// If less than the whole was measured and is to be recorded, or the page cannot be written.
    pub(crate) fn tell(&self, root: &Path, page: &Page<'_>, text: &str) -> Result<()> {
        println!("{text}");
        if !self.record {
            return Ok(());
        }
        ensure!(self.percent == 100 && self.only.is_empty(), "only the whole is recorded");
        let Page { name, title, about } = page;
        let (turns, cores) = (self.turns, std::thread::available_parallelism()?);
        let head = format!(
            "# {title}\n\nMade by `cargo xtask bench {name} --turns {turns} --record` on {cores} cores. {about}\n"
        );
        let folder = root.join("docs/benchmarks");
        files::make_folder(&folder)?;
        let path = folder.join(format!("{name}.md"));
        std::fs::write(&path, head + text).with_context(|| format!("writing {}", path.display()))
    }
}

/// The page that tells of a benchmark.
pub(crate) struct Page<'a> {
    /// Of the benchmark and of the file.
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    /// What a reader must know of how it was measured.
    pub(crate) about: &'a str,
}

/// Where cargo puts what it builds for release.
pub(crate) fn released(root: &Path, program: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root.join(target).join("release").join(program)
}

/// Runs the benchmark.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Evidence(args) => evidence::run(args),
        Command::Case(args) => case::run(args),
        Command::Report(args) => report::run(args),
        Command::Triage(args) => triage::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Hashing(args) => hashing::run(args),
        Command::Faults => faults(),
        Command::Imaging(args) => imaging::run(args),
    }
}

/// The rig is that of the test, so that ours is judged there on every run and the others only here.
fn faults() -> Result<()> {
    crate::host::need(&[crate::host::Tool::Imagers, crate::host::Tool::Oracles])?;
    let sh = xshell::Shell::new()?;
    sh.change_dir(crate::files::project_root()?);
    let test = "cargo test --package glovebox --test fault_table others -- --nocapture";
    Ok(xshell::cmd!(sh, "sh -c {test}").env("GLOVEBOX_RIVALS", "1").run()?)
}
