//! Re-computing everything a case claims.
//!
//! Nothing is taken from an index: every line is hashed and its signatures checked, the chain is
//! followed, and every exhibit is read again. Each fault names the act or the file it was found at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::BufReader;
use std::num::NonZeroUsize;
use std::path::Path;

use hashing::{Algorithms, Boundary, Content, TreeOptions, digest_tree, escape_name};

use crate::files::{LineEnd, next_line};
use crate::line::SignedAct;
use crate::recovery::OPEN;
use crate::{Act, CaseInfo, Error, Item, PublicKey, SetAside, files};

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
    /// How many exhibit files are read at the same time.
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
}

impl Verification {
    /// Whether everything recorded holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
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
    let (_, key, case_hash) = CaseInfo::read(dir)?;
    let mut result = Verification { public_key: key.to_string(), ..Verification::default() };
    check_key(dir, &key, options, &mut result);
    let mut outputs = BTreeMap::new();
    let mut set_aside = BTreeMap::new();
    check_acts(dir, &key, case_hash, &mut outputs, &mut set_aside, &mut result)?;
    if options.expected_head.as_ref().is_some_and(|head| *head != result.head) {
        let reason = format!("the last act is {}, another was expected", result.head);
        result.problem(Place::Act(result.acts), reason);
    }
    check_left_files(dir, set_aside, &mut result)?;
    check_exhibits(dir, &outputs, options.threads, &mut result);
    Ok(result)
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

type Outputs = BTreeMap<String, Vec<(u64, Item)>>;

fn check_acts(
    dir: &Path,
    key: &PublicKey,
    case_hash: String,
    outputs: &mut Outputs,
    set_aside: &mut BTreeMap<String, SetAside>,
    result: &mut Verification,
) -> Result<(), Error> {
    let path = dir.join("acts.jsonl");
    let file = File::open(&path).map_err(Error::io("opening", &path))?;
    let (mut reader, mut line) = (BufReader::with_capacity(1 << 16, file), Vec::new());
    result.head = case_hash;
    let mut offset_bytes = 0u64;
    loop {
        let read = next_line(&mut reader, &mut line).map_err(Error::io("reading", &path))?;
        let (number, place) =
            (result.acts.saturating_add(1), Place::Act(result.acts.saturating_add(1)));
        match read.0 {
            LineEnd::End => return Ok(()),
            LineEnd::Torn => {
                let (bytes, place) = (read.1, Place::File("acts.jsonl".to_owned()));
                let reason =
                    format!("{bytes} bytes after byte {offset_bytes} are a torn, unfinished line");
                result.interruptions.push(Problem { place, reason });
                return Ok(());
            }
            LineEnd::TooLong => result.problem(place, "line is too long"),
            LineEnd::Whole => match SignedAct::parse(&line) {
                Err(fault) => result.problem(place, fault.into_reason()),
                Ok(signed) => {
                    if let Err(reason) = signed.check(key) {
                        result.problem(place.clone(), escape_name(reason.as_bytes()));
                    }
                    match signed.facts() {
                        Err(reason) => result.problem(place, reason),
                        Ok(act) => check_order(&act, number, result),
                    }
                    if let Ok(act) = signed.facts() {
                        collect(act, outputs, set_aside);
                    }
                    signed.hash().clone_into(&mut result.head);
                }
            },
        }
        result.acts = number;
        offset_bytes = offset_bytes.saturating_add(read.1);
    }
}

fn check_order(act: &Act, number: u64, result: &mut Verification) {
    let place = Place::Act(number);
    if act.number != number {
        let reason = format!("it calls itself act {}, line {number} was expected", act.number);
        result.problem(place.clone(), reason);
    }
    if act.previous != result.head {
        let previous = escape_name(act.previous.as_bytes());
        let reason = format!("it follows {previous}, before it stands {}", result.head);
        result.problem(place, reason);
    }
}

fn collect(act: Act, outputs: &mut Outputs, set_aside: &mut BTreeMap<String, SetAside>) {
    for item in act.outputs {
        if item.name.starts_with("exhibits/") {
            outputs.entry(item.name.clone()).or_default().push((act.number, item));
        }
    }
    set_aside.extend(act.set_aside.into_iter().map(|item| (item.file.clone(), item)));
}

/// Markers and files set aside: named ones must hold, others tell of an interruption.
fn check_left_files(
    dir: &Path,
    named: BTreeMap<String, SetAside>,
    result: &mut Verification,
) -> Result<(), Error> {
    let mut left = BTreeSet::new();
    for prefix in ["acts.torn-", "acts.unfinished-", OPEN] {
        left.extend(files::numbered(dir, prefix)?.into_iter().map(|(_, name)| name));
    }
    for name in &left {
        let reason = if name.starts_with(OPEN) {
            "an act has begun and not ended"
        } else if named.contains_key(name) {
            "left by an interrupted session and named in a later act"
        } else {
            "left by an interrupted session; the next act will name it"
        };
        let (place, reason) = (Place::File(name.clone()), reason.to_owned());
        result.interruptions.push(Problem { place, reason });
    }
    for (name, item) in named {
        // Only names of this form were listed, so a hostile act cannot lead us to another file.
        let found = left.contains(&name).then(|| {
            hashing::digest_file(&dir.join(&name), &Algorithms::sha256())
                .map(|(digests, _)| digests.sha256_hex())
        });
        let reason = match found {
            Some(Ok(digest)) if digest == item.sha256 => continue,
            Some(Ok(digest)) => format!("sha256 is {digest}, an act says otherwise"),
            Some(Err(error)) => error.to_string(),
            None => "it is missing".to_owned(),
        };
        result.problem(Place::File(escape_name(name.as_bytes())), reason);
    }
    Ok(())
}

fn check_exhibits(dir: &Path, outputs: &Outputs, threads: NonZeroUsize, result: &mut Verification) {
    let algorithms: Algorithms = outputs
        .values()
        .flatten()
        .flat_map(|(_, item)| item.digests.iter().map(hashing::Digest::algorithm))
        .collect();
    let options = TreeOptions { algorithms, threads, boundary: Boundary::SameFileSystem };
    let tree = match digest_tree(&dir.join("exhibits"), &options) {
        Ok(tree) => tree,
        Err(error) => return result.problem(Place::File("exhibits".to_owned()), error.to_string()),
    };
    let place = |path: &[u8]| Place::Exhibit(format!("exhibits/{}", escape_name(path)));
    for problem in tree.problems {
        result.problem(place(&problem.path), problem.reason);
    }
    let mut seen = BTreeSet::new();
    for (path, content) in tree.manifest.iter() {
        let name = format!("exhibits/{}", String::from_utf8_lossy(path));
        match (content, outputs.get(&name)) {
            (Content::Directory, None) => {}
            (Content::File { size_bytes, digests }, Some(records)) => {
                result.exhibit_files = result.exhibit_files.saturating_add(1);
                for (act, item) in records {
                    if item.size_bytes.is_some() && item.size_bytes != *size_bytes {
                        let (found, said) = (size_bytes.unwrap_or(0), item.size_bytes.unwrap_or(0));
                        let reason = format!("it has {found} bytes, act {act} says {said}");
                        result.problem(place(path), reason);
                    } else if !item.digests.agrees_with(digests) {
                        let found = digests.sha256_hex();
                        let said = item.digests.sha256_hex();
                        let reason = format!("sha256 is {found}, act {act} says {said}");
                        result.problem(place(path), reason);
                    }
                }
            }
            (Content::File { .. }, None) => result.problem(place(path), "no act speaks of it"),
            _ => result.problem(place(path), "it is not a regular file"),
        }
        seen.insert(name);
    }
    for (name, records) in outputs.iter().filter(|(name, _)| !seen.contains(*name)) {
        let acts: Vec<String> = records.iter().map(|(act, _)| act.to_string()).collect();
        let reason = format!("it is missing; act {} says it was written", acts.join(", "));
        result.problem(Place::Exhibit(escape_name(name.as_bytes())), reason);
    }
}
