//! Re-computing everything a case claims.
//!
//! Nothing is taken from an index: every line is hashed and its signatures checked, the chain is
//! followed, and every exhibit is read again. Each fault names the act or the file it was found at.

mod acts;
mod exhibits;
mod leftovers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

pub use acts::Reader;

use crate::journal::{Journal, Other};
use crate::pair::{LIST, Pair};
use crate::{CaseInfo, Error, Item, PublicKey, SetAside};

/// Problems kept; a hostile case must not turn into unbounded memory.
const MAX_PROBLEMS: usize = 10_000;

/// What the examiner knows from elsewhere, and how hard to work.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The key the case must have been signed with; without it a case that was signed anew as a
    /// whole cannot be told from the original.
    pub expected_key: Option<PublicKey>,
    /// The head written down earlier; without it acts cut off the end cannot be noticed.
    pub expected_head: Option<String>,
    /// How many acts and exhibit files are checked at the same time.
    pub threads: NonZeroUsize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { expected_key: None, expected_head: None, threads: NonZeroUsize::MIN }
    }
}

/// Where in a case something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The act on this line of the list, counted from 1.
    Act(u64),
    /// This file of an exhibit, relative to the case, escaped.
    Exhibit(String),
    /// Another file of the case.
    File(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act(number) => write!(f, "act {number}"),
            Self::Exhibit(name) | Self::File(name) => f.write_str(name),
        }
    }
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, safe to print.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// The result of verifying a case.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// Lines of the list that were checked.
    pub acts: u64,
    /// Exhibit files that were read.
    pub exhibit_files: u64,
    /// Hash of the last act that holds.
    pub head: String,
    /// The key the case was checked with.
    pub public_key: String,
    /// What does not hold; the first one is the first in the case.
    pub problems: Vec<Problem>,
    /// Signs of interrupted sessions. They take nothing away from what is recorded.
    pub interruptions: Vec<Problem>,
    /// Files in the case's directory that are no part of it: nothing vouches for them.
    pub strangers: Vec<Problem>,
    /// Markers of acts that have begun and not ended: their programs are at work, or died.
    pub open: Vec<String>,
    /// Files left by interrupted sessions that no act has named yet.
    pub unnamed: Vec<String>,
    /// Bytes of the list and its copy that are no whole act, as a power cut leaves them.
    pub torn_bytes: u64,
}

impl Verification {
    /// Whether everything recorded holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }

    fn interruption(&mut self, place: Place, reason: impl Into<String>) {
        if self.interruptions.len() < MAX_PROBLEMS {
            self.interruptions.push(Problem { place, reason: reason.into() });
        }
    }

    fn problem(&mut self, place: Place, reason: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { place, reason: reason.into() });
        }
    }
}

/// Verifies the case in `dir`, reading only.
///
/// # Errors
/// Only when there is no case there or its list cannot be read; all else is in the result.
pub fn verify(dir: &Path, options: &VerifyOptions) -> Result<Verification, Error> {
    check(dir, options, None)
}

/// As [`verify()`], and hands on the acts meanwhile, in order and some at a time: a long list is read
/// and hashed once. An act is handed on also when its signature does not hold; none comes after the
/// first that is not whole.
///
/// # Errors
/// As [`verify()`].
pub fn verify_reading(
    dir: &Path,
    options: &VerifyOptions,
    reader: Reader<'_>,
) -> Result<Verification, Error> {
    check(dir, options, Some(reader))
}

fn check(
    dir: &Path,
    options: &VerifyOptions,
    reader: Option<Reader<'_>>,
) -> Result<Verification, Error> {
    let (_, key, case_hash) = CaseInfo::read(dir)?;
    let mut result = Verification { public_key: key.to_string(), ..Verification::default() };
    check_key(dir, &key, options, &mut result);
    let mut recorded = Recorded::default();
    let pair = twice(dir, &case_hash)?;
    let (name, _) = pair;
    let keys = (&key, options.threads);
    let early = std::thread::scope(|scope| {
        let mut early = None;
        let mut begin = |recorded: &Recorded| {
            // Of a long list the exhibits are read meanwhile, where there is a processor for it.
            if early.is_none() && options.threads.get() > 1 {
                let algorithms = exhibits::algorithms(recorded);
                early =
                    Some(scope.spawn(|| exhibits::Read::new(dir, algorithms, NonZeroUsize::MIN)));
            }
        };
        let watchers = acts::Watchers { reading: reader, early: &mut begin };
        acts::check((dir, name), keys, case_hash, watchers, &mut recorded, &mut result)?;
        // Where that thread died, the exhibits are read once more.
        Ok::<_, Error>(early.and_then(|thread| thread.join().ok()))
    })?;
    tell_of_other(pair, &mut result);
    if options.expected_head.as_ref().is_some_and(|head| *head != result.head) {
        let reason = format!("the last act is {}, another was expected", result.head);
        result.problem(Place::Act(result.acts), reason);
    }
    let claims = leftovers::check(dir, &key, &recorded, &mut result)?;
    let wanted = exhibits::algorithms(&recorded);
    let read = early
        .filter(|early| early.has(&wanted))
        .unwrap_or_else(|| exhibits::Read::new(dir, wanted, options.threads));
    exhibits::check(read, &recorded, &claims, &mut result);
    Ok(result)
}

/// Which of list and copy is to be checked, and what is known of the other one where they differ.
fn twice(dir: &Path, case_hash: &str) -> Result<(&'static str, Option<Journal>), Error> {
    if Pair::compare(dir, 0)?.is_same() {
        return Ok((LIST, None));
    }
    let mut journal = Journal::new(dir, case_hash.to_owned());
    // What is wrong with the one is found and named when it is checked.
    let _ = journal.look()?;
    Ok((journal.name, Some(journal)))
}

fn tell_of_other((name, journal): (&str, Option<Journal>), result: &mut Verification) {
    let Some(journal) = journal else { return };
    let other = journal.other_name();
    match journal.other {
        Other::Same => {}
        Other::Damaged { acts, rest_bytes, .. } => {
            let what = match rest_bytes {
                None => "is missing, or the case is from before it was kept".to_owned(),
                Some(0) => format!("holds {acts} whole acts"),
                Some(bytes) => format!("holds {acts} whole acts and {bytes} torn bytes"),
            };
            let reason = format!(
                "it {what}; {name} holds {}, and the next act makes both the same",
                journal.acts
            );
            result.interruption(Place::File(other.to_owned()), reason);
            result.torn_bytes = result.torn_bytes.saturating_add(rest_bytes.unwrap_or(0));
        }
        Other::Contradicts { number, reason } => result.problem(Place::Act(number), reason),
    }
}

/// What the acts say lies in the case.
#[derive(Default)]
struct Recorded {
    /// Files of exhibits by name, with the acts that speak of them.
    files: BTreeMap<String, Vec<(u64, Item)>>,
    /// Exhibits by name, with the act that made each.
    exhibits: BTreeMap<String, u64>,
    /// Exhibits that interrupted acts had claimed; their directories may never have been made.
    cut_off: BTreeSet<String>,
    /// Exhibits that acts claimed again, interrupted ones too, with the last act that tells of it.
    gone_on: BTreeMap<String, u64>,
    /// Files set aside, with the act that names each.
    set_aside: BTreeMap<String, (u64, SetAside)>,
    /// The act that sealed the case, unless a later one opened it again.
    sealed_by: Option<u64>,
    /// Hashes of all markers that have become acts.
    begun: BTreeSet<String>,
}

fn check_key(dir: &Path, key: &PublicKey, options: &VerifyOptions, result: &mut Verification) {
    if options.expected_key.as_ref().is_some_and(|expected| expected != key) {
        let reason = format!("the key is {key}, another was expected");
        result.problem(Place::File("case.toml".to_owned()), reason);
    }
    let text = fs::read_to_string(dir.join("case.pub")).unwrap_or_default();
    if text != key.to_file_text() {
        let reason = "it does not hold the key named in case.toml";
        result.problem(Place::File("case.pub".to_owned()), reason);
    }
}
