//! Files known to be good or bad, after sets of digests; and building such sets.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use hashing::{Algorithm, Content, Digests, KnownSet};
use serde::Serialize;

use super::gather::Gathered;
use super::kept::Kept;
use super::show::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::say;

/// What to do with sets
#[derive(Debug, clap::Subcommand)]
pub(super) enum SetAction {
    /// Make one file of lists, that opens at once and needs little memory
    Build {
        /// The file to make; it must not be there yet
        #[arg(value_name = "FILE")]
        set: PathBuf,
        /// NSRL's NSRLFile.txt, lists of digests, hashdeep files, built sets
        #[arg(required = true, value_name = "LIST")]
        list: PathBuf,
    },
}

impl SetAction {
    /// Does it.
    ///
    /// # Errors
    /// If the list cannot be read or the file cannot be made.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let Self::Build { set, list } = self;
        hashing::self_test()?;
        let (known, exit) = open(list)?;
        let doing = |problem: std::io::Error| {
            Failure::from(problem).while_doing(format!("making {}", set.display()))
        };
        let file = File::create_new(set).map_err(doing)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let built = known.build(&mut out).and_then(|()| out.flush());
        let built = built.and_then(|()| out.get_ref().sync_all());
        if let Err(problem) = built {
            // What is not whole must not look like a set; it is refused when opened in any case.
            let _gone = std::fs::remove_file(set);
            return Err(doing(problem));
        }
        say(&format!("{} digests in {}", known.len(), set.display()));
        Ok(exit)
    }
}

fn open(path: &Path) -> Result<(KnownSet, Exit), Failure> {
    let read = KnownSet::open(path)?;
    for problem in &read.problems {
        say(&format!("problem: {}: {problem}", path.display()));
    }
    if read.set.is_empty() {
        return Err(Failure::new(format!("{} has no digests", path.display())).hint(
            "a set is NSRL's NSRLFile.txt, a list of digests, a hashdeep file, or a built set",
        ));
    }
    let exit = if read.problems.is_empty() { Exit::Clean } else { Exit::Partial };
    Ok((read.set, exit))
}

/// The sets that were named.
pub(super) struct Sets {
    good: Vec<KnownSet>,
    bad: Vec<KnownSet>,
    exit: Exit,
}

#[derive(Serialize)]
struct Judged<'a> {
    path: String,
    known: &'a str,
    digests: &'a Digests,
}

#[derive(Serialize, Default)]
struct Count {
    bad: usize,
    good: usize,
    unknown: usize,
}

impl Sets {
    /// Opens them.
    ///
    /// # Errors
    /// If one cannot be read or has no digests.
    pub(super) fn open(good: &[PathBuf], bad: &[PathBuf]) -> Result<Self, Failure> {
        let mut exit = Exit::Clean;
        let mut all = |paths: &[PathBuf]| -> Result<Vec<KnownSet>, Failure> {
            let mut sets = Vec::new();
            for path in paths {
                let (set, read) = open(path)?;
                if read == Exit::Partial {
                    exit = Exit::Partial;
                }
                sets.push(set);
            }
            Ok(sets)
        };
        let (good, bad) = (all(good)?, all(bad)?);
        Ok(Self { good, bad, exit })
    }

    /// Whether there is any.
    pub(super) fn is_asked(&self) -> bool {
        !self.good.is_empty() || !self.bad.is_empty()
    }

    /// What files must be hashed with to be looked up.
    pub(super) fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.good.iter().chain(&self.bad).flat_map(KnownSet::algorithms)
    }

    /// Shows what is known to be bad, and with sets of good files also what is not known.
    ///
    /// # Errors
    /// If a set cannot be read or the output not written.
    pub(super) fn judge(
        &self,
        gathered: &Gathered,
        out: &Output<'_>,
        kept: &Kept<'_>,
    ) -> Result<Exit, Failure> {
        let mut count = Count::default();
        let mut named = Vec::new();
        for (path, content) in gathered.manifest.iter() {
            let Content::File { digests, .. } = content else { continue };
            let word = if knows(&self.bad, digests)? {
                count.bad += 1;
                named.push(format!("bad {}", hashing::escape_name(path)));
                "bad"
            } else if knows(&self.good, digests)? {
                count.good += 1;
                continue;
            } else {
                count.unknown += 1;
                if self.good.is_empty() {
                    continue;
                }
                "unknown"
            };
            let body = Judged { path: hashing::escape_name(path), known: word, digests };
            out.format.record("known", &body, || {
                let hex = digests.strongest().map(hashing::Digest::to_hex).unwrap_or_default();
                format!("{word:<7}  {hex}  {}", body.path)
            })?;
        }
        gathered.say_problems();
        let Count { bad, good, unknown } = count;
        let sentence = format!("{bad} known bad, {good} known good, {unknown} not known");
        if out.format.is_json() {
            out.format.record("known-count", &count, String::new)?;
        } else {
            say(&sentence);
        }
        let exit = if bad > 0 {
            Exit::Findings
        } else if gathered.problems.is_empty() {
            self.exit
        } else {
            Exit::Partial
        };
        kept.concludes(exit, sentence, &named);
        Ok(exit)
    }
}

fn knows(sets: &[KnownSet], digests: &Digests) -> Result<bool, Failure> {
    for set in sets {
        if set.knows(digests)? {
            return Ok(true);
        }
    }
    Ok(false)
}
