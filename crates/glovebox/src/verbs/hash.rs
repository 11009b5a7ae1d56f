//! `glovebox hash`: digests of files, trees and disks.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use evidence::fs::FileKind;
use evidence::fs::digest::{self, Digested};
use evidence::fs::tree::{Limits, Visit};
use evidence::{Place, Problem, ProblemKind};
use guard::{DiskName, Guard};
use hashing::{Algorithm, Algorithms, Boundary, Digests, TreeOptions, digest_tree};
use imaging::{Ending, FileSource, NullSink, Plan, ReadAt};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Format, say};
use crate::progress::Meter;
use crate::target::{self, Meaning};

/// Compute digests of files, folders and disks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files, folders, disks such as sda, or what is inside: sda:2:/etc
    #[arg(required = true, value_name = "FILE|FOLDER|DISK|ADDRESS")]
    targets: Vec<String>,
    /// Further digests beside SHA-256
    #[arg(long = "with", value_enum, value_name = "DIGEST")]
    with: Vec<Further>,
    #[command(flatten)]
    reading: Reading,
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
    /// Counted as zeros in the digests.
    unreadable_bytes: u64,
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
            let address = target::address(word);
            let inside = address.label.is_some() || address.object.is_some();
            let partial = match target::meaning(word, &guard) {
                _ if inside => self.inside(word, &guard, &algorithms)?,
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
        let source = FileSource::new(opened.file, opened.disk.logical_block_bytes)?;
        let mut meter = Meter::new(format!("hashing {name}"), source.size_bytes());
        let plan = Plan { algorithms: algorithms.clone(), ..Plan::default() };
        let cancel = AtomicBool::new(false);
        let read = imaging::acquire(
            &source,
            &mut NullSink,
            &plan,
            &mut |tick| meter.at(tick.done_bytes),
            &cancel,
        );
        meter.end();
        let read = read?;
        if read.ending != Ending::Complete {
            // The digest of a part must never be taken for that of the disk.
            return Err(Failure::new(format!(
                "{name} stopped answering at byte {} of {}",
                read.copied_bytes, read.size_bytes
            )));
        }
        let unreadable_bytes = read.bad.total_bytes();
        let body = Hashed {
            target: name.as_str(),
            size_bytes: read.size_bytes,
            unreadable_bytes,
            digests: &read.digests,
        };
        self.format.record("hash", &body, || {
            let lines: Vec<String> = read
                .digests
                .iter()
                .map(|digest| {
                    format!("{}  {name}  ({})", digest.to_hex(), digest.algorithm().name())
                })
                .collect();
            lines.join("\n")
        })?;
        if unreadable_bytes == 0 {
            return Ok(Exit::Clean);
        }
        say(&format!(
            "problem: {unreadable_bytes} bytes of {name} could not be read and count as zeros; \
             glovebox image lists them"
        ));
        Ok(Exit::Partial)
    }

    /// A file or a tree inside a disk or image.
    fn inside(&self, word: &str, guard: &Guard, algorithms: &Algorithms) -> Result<Exit, Failure> {
        let found = self.reading.find(word, guard)?;
        let fs = &*found.tree.fs;
        let mut lines = io::BufWriter::new(io::stdout().lock());
        let mut failure = None;
        let mut problems = fs.problems().to_vec();
        let mut show = |one: Digested| {
            let path = one.visit.path.clone();
            let holes = one.holes.iter().map(|hole| {
                let text = format!(
                    "{} bytes at {} could not be read and count as zeros: {}",
                    hole.length_bytes, hole.offset_bytes, hole.why
                );
                Problem::new(ProblemKind::Io, Place::Path(path.clone()), text)
            });
            problems.extend(holes.chain(one.problem.clone()));
            if failure.is_none() {
                failure = self.line(&mut lines, &found.tree.address, &one).err();
            }
        };
        let metadata = fs.metadata(found.node)?;
        let met = if metadata.kind == FileKind::Directory {
            let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
            let start = (found.node, &found.path);
            digest::walk(fs, start, Limits::default(), algorithms, threads, &mut show)
        } else {
            let (digests, holes) = digest::file(fs, found.node, metadata.size_bytes, algorithms)?;
            let visit = Visit { path: found.path.clone(), metadata };
            show(Digested { visit, digests: Some(digests), holes, problem: None });
            Vec::new()
        };
        problems.extend(met);
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        lines.flush()?;
        for problem in &problems {
            say(&format!("problem: {}: {problem}", found.tree.address));
        }
        Ok(if problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }

    fn line(&self, out: &mut impl Write, address: &str, one: &Digested) -> io::Result<()> {
        let Some(digests) = &one.digests else { return Ok(()) };
        let target = format!("{address}:{}", one.visit.path);
        if self.format.is_json() {
            let body = Hashed {
                target: &target,
                size_bytes: one.visit.metadata.size_bytes,
                unreadable_bytes: one.holes.iter().map(|hole| hole.length_bytes).sum(),
                digests,
            };
            return self.format.record("hash", &body, String::new);
        }
        let several = digests.iter().count() > 1;
        for digest in digests.iter() {
            let kind =
                if several { format!("  ({})", digest.algorithm().name()) } else { String::new() };
            writeln!(out, "{}  {target}{kind}", digest.to_hex())?;
        }
        Ok(())
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
