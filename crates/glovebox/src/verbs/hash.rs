//! `glovebox hash`: digests of files, trees and disks.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::Path;

use guard::{DiskName, Guard};
use hashing::{Algorithm, Algorithms, Boundary, Digests, MultiHasher, TreeOptions, digest_tree};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say};
use crate::progress::Meter;
use crate::target::{self, Meaning};

/// Compute digests of files, folders and disks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders, or disks such as sda
    #[arg(required = true, value_name = "FILE|FOLDER|DISK")]
    targets: Vec<String>,
    /// Further digests beside SHA-256
    #[arg(long = "with", value_enum, value_name = "DIGEST")]
    with: Vec<Further>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Further {
    Md5,
    Sha1,
    Sha512,
    Blake3,
}

impl From<Further> for Algorithm {
    fn from(further: Further) -> Self {
        match further {
            Further::Md5 => Self::Md5,
            Further::Sha1 => Self::Sha1,
            Further::Sha512 => Self::Sha512,
            Further::Blake3 => Self::Blake3,
        }
    }
}

#[derive(Serialize)]
struct Hashed<'a> {
    target: &'a str,
    size_bytes: u64,
    digests: &'a Digests,
}

impl Args {
    /// Computes them.
    ///
    /// # Errors
    /// If the digest code fails its known answers, or a target cannot be opened.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        hashing::self_test()?;
        let guard = Guard::connect()?;
        let algorithms = self
            .with
            .iter()
            .fold(Algorithms::sha256(), |chosen, further| chosen.with((*further).into()));
        let mut exit = Exit::Clean;
        for word in &self.targets {
            let partial = match target::meaning(word, &guard) {
                Meaning::Disk(name) => self.disk(&name, &guard, &algorithms)?,
                Meaning::Path(path) => self.tree(&path, &algorithms)?,
            };
            if partial == Exit::Partial {
                exit = Exit::Partial;
            }
        }
        Ok(exit)
    }

    fn disk(
        &self,
        name: &DiskName,
        guard: &Guard,
        algorithms: &Algorithms,
    ) -> Result<Exit, Failure> {
        let opened = guard.open(name)?;
        let mut hasher = MultiHasher::new(algorithms);
        let mut meter = Meter::new(format!("hashing {name}"), opened.disk.size_bytes);
        let mut buffer = vec![0; 4 << 20];
        let mut done_bytes = 0_u64;
        let mut file = opened.file;
        loop {
            let count = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(problem) if problem.kind() == io::ErrorKind::Interrupted => continue,
                Err(problem) => {
                    meter.end();
                    return Err(Failure::from(problem)
                        .while_doing(format!("reading {name} at byte {done_bytes}"))
                        .hint("glovebox image maps unreadable sectors and goes on"));
                }
            };
            hasher.update(&buffer[..count]);
            done_bytes += u64::try_from(count).unwrap_or(0);
            meter.at(done_bytes);
        }
        meter.end();
        let digests = hasher.finish();
        let word = name.as_str();
        let body = Hashed { target: word, size_bytes: done_bytes, digests: &digests };
        self.format.record("hash", &body, || {
            let lines: Vec<String> = digests
                .iter()
                .map(|digest| {
                    format!("{}  {name}  ({})", digest.to_hex(), digest.algorithm().name())
                })
                .collect();
            lines.join("\n")
        })?;
        Ok(Exit::Clean)
    }

    fn tree(&self, path: &Path, algorithms: &Algorithms) -> Result<Exit, Failure> {
        let options = TreeOptions {
            algorithms: algorithms.clone(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            boundary: Boundary::SameFileSystem,
        };
        let report = digest_tree(path, &options)?;
        let mut out = io::stdout().lock();
        if self.format.is_json() {
            write!(out, "{}", report.manifest.to_json_lines())?;
        } else {
            for algorithm in algorithms.iter() {
                out.write_all(&report.manifest.to_sum_text(algorithm))?;
            }
        }
        out.flush()?;
        for problem in &report.problems {
            say(&format!("problem: {}: {}", hashing::escape_name(&problem.path), problem.reason));
        }
        Ok(if report.problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }
}
