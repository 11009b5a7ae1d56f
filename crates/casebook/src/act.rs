//! What one act records.
//!
//! The caller gives every fact: who, by which clock, on which host, with which program. Nothing is
//! looked up here, so a record never holds a guess of this library.

use hashing::Digests;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Timestamp;

/// In which of the three ways Glovebox was being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The examined machine was booted from the stick.
    Boot,
    /// The tools ran on the machine while its own system was running.
    Live,
    /// A trusted workstation.
    Desk,
}

/// The clock that times were read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Which clock, for example `firmware` or `ntp`.
    pub source: String,
    /// Known offset in milliseconds to add for true UTC; `None` when it was never compared.
    pub offset_ms: Option<i64>,
    /// How uncertain that offset is, in milliseconds; `None` when unknown.
    pub error_ms: Option<u64>,
}

/// The program that acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the program file itself, in hexadecimal.
    pub sha256: String,
}

/// Something read or written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// A path relative to the case (`exhibits/001-sda/sda.raw`) for what is in it, else a stable
    /// device name or another description.
    pub name: String,
    /// Size in bytes, where it has one.
    pub size_bytes: Option<u64>,
    /// Digests of its content; empty where it was not read as a whole.
    #[serde(default)]
    pub digests: Digests,
    /// Further facts: model, serial, unreadable sectors.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub facts: Value,
}

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeKind {
    /// All that was asked was done.
    Done,
    /// Done, but parts could not be read; the problems say which.
    Partial,
    /// Not done.
    Failed,
    /// Stopped by a person or by the end of the program.
    Interrupted,
}

/// The fact that marks an unfinished file.
const UNFINISHED: &str = "unfinished";

impl Item {
    /// Marks a file of an exhibit that is not finished. What is recorded of it holds until an act goes
    /// on with the exhibit ([`crate::OpenAct::go_on_with`]); from then on the file may grow, or be gone
    /// under this name.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        match &mut self.facts {
            Value::Object(facts) => drop(facts.insert(UNFINISHED.to_owned(), Value::Bool(true))),
            Value::Null => self.facts = serde_json::json!({ UNFINISHED: true }),
            other => {
                let rest = other.take();
                self.facts = serde_json::json!({ UNFINISHED: true, "facts": rest });
            }
        }
        self
    }

    /// Whether it is marked so.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.facts.get(UNFINISHED) == Some(&Value::Bool(true))
    }
}

/// How an act ended, in one word and in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The word.
    pub result: OutcomeKind,
    /// The sentence; may be empty when all was done.
    pub text: String,
}

impl Outcome {
    /// An outcome from a word and a sentence.
    #[must_use]
    pub fn new(result: OutcomeKind, text: impl Into<String>) -> Self {
        Self { result, text: text.into() }
    }

    /// All that was asked was done.
    #[must_use]
    pub fn done() -> Self {
        Self::new(OutcomeKind::Done, "")
    }
}

/// What is known when an act begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActDraft {
    /// The person acting.
    pub who: String,
    /// How Glovebox was being used.
    pub mode: Mode,
    /// When it began, by `clock`.
    pub started: Timestamp,
    /// The clock all times of this act were read from.
    pub clock: Clock,
    /// Identity of the machine the program runs on.
    pub host: Value,
    /// The program.
    pub tool: Tool,
    /// The verb of the command line, for example `image` or `case note`.
    pub verb: String,
    /// Its arguments, resolved: defaults filled in, relative names made absolute.
    pub arguments: Value,
    /// What is about to be read.
    #[serde(default)]
    pub inputs: Vec<Item>,
    /// Kernel write, discard and flush counters of the disks at the start.
    #[serde(default)]
    pub counters_before: Value,
}

/// What is known when an act ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// When it ended, by the clock of the draft.
    pub ended: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// What was read, where this is known better now than in the draft; added to its inputs.
    pub inputs: Vec<Item>,
    /// What was written.
    pub outputs: Vec<Item>,
    /// The disks' counters at the end.
    pub counters_after: Value,
    /// Everything that could not be read or done.
    pub problems: Vec<String>,
    /// Milliseconds the machine had been running at the end: a clock that nobody can set.
    pub since_boot_ms: Option<u64>,
}

impl Completion {
    /// An end with nothing to list.
    #[must_use]
    pub fn new(ended: Timestamp, outcome: Outcome) -> Self {
        Self {
            ended,
            outcome,
            inputs: Vec::new(),
            outputs: Vec::new(),
            counters_after: Value::Null,
            problems: Vec::new(),
            since_boot_ms: None,
        }
    }
}

/// A file of the case that an interrupted session left, kept under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// Its name in the case directory.
    pub file: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// Exhibits the interrupted act had claimed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exhibits: Vec<String>,
    /// What lies in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<Item>,
}

/// A whole act, as it stands in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// Its place in the list, from 1.
    pub number: u64,
    /// SHA-256 of the act before it; in the first act, of `case.toml`.
    pub previous: String,
    /// SHA-256 of the marker written when it began; ties the act to that marker.
    pub begun: String,
    /// What was known at the beginning.
    #[serde(flatten)]
    pub draft: ActDraft,
    /// When it ended.
    pub ended: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Milliseconds the machine had been running at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_since_boot_ms: Option<u64>,
    /// Exhibits it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exhibits: Vec<String>,
    /// Exhibits of earlier acts that it went on with: what those acts recorded of unfinished files in
    /// them no longer holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub continued: Vec<String>,
    /// What was written.
    #[serde(default)]
    pub outputs: Vec<Item>,
    /// The disks' counters at the end.
    #[serde(default)]
    pub counters_after: Value,
    /// Everything that could not be read or done.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What earlier, interrupted sessions left behind and no act has named yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<SetAside>,
}
