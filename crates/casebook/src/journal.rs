//! The list of acts as a file: finding its sound end, and adding to it.
//!
//! Everything up to the sound end has been flushed before, so after a power cut at most one line
//! behind it can be damaged. A damaged line *before* a sound one was not torn by a power cut: that
//! is a broken record, and nothing is added to it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files::{LineEnd, next_line};
use crate::line::{LineFault, Parts, SignedAct};
use crate::{Error, Outcome, OutcomeKind, Timestamp, sealed};

/// The little of an act that adding to the list needs. The rest is left unread: a case of many acts
/// is opened for every note.
#[derive(Deserialize)]
struct Link {
    number: u64,
    previous: String,
    begun: String,
    ended: Timestamp,
    verb: String,
    outcome: Outcome,
    #[serde(default)]
    set_aside: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    file: String,
}

/// Hash and link of a line that is just as we write it.
fn quick(line: &[u8]) -> Option<(String, Link)> {
    let parts = Parts::of(line)?;
    Some((parts.hash.to_owned(), serde_json::from_str(parts.act).ok()?))
}

/// What is known of the list up to its sound end.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    pub(crate) path: PathBuf,
    /// Bytes up to the sound end.
    pub(crate) sound_bytes: u64,
    /// Bytes of the file; more than the above when its end is torn.
    pub(crate) size_bytes: u64,
    /// How many acts there are.
    pub(crate) acts: u64,
    /// Hash of the last act; of `case.toml` when there is none.
    pub(crate) head: String,
    /// When the last act ended.
    pub(crate) last_ended: Option<String>,
    /// The act that sealed the case, unless a later one opened it again.
    pub(crate) sealed_by: Option<u64>,
    /// Hashes of all markers that have become acts.
    pub(crate) begun: HashSet<String>,
    /// Names of files set aside that an act has named.
    pub(crate) set_aside: HashSet<String>,
}

impl Journal {
    pub(crate) fn new(dir: &Path, case_hash: String) -> Self {
        Self {
            path: dir.join("acts.jsonl"),
            sound_bytes: 0,
            size_bytes: 0,
            acts: 0,
            head: case_hash,
            last_ended: None,
            sealed_by: None,
            begun: HashSet::new(),
            set_aside: HashSet::new(),
        }
    }

    /// Reads what was added since the last time, by this or another program.
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        let reading = || Error::io("reading", &self.path);
        let mut file = File::open(&self.path).map_err(Error::io("opening", &self.path))?;
        file.seek(SeekFrom::Start(self.sound_bytes)).map_err(reading())?;
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        self.size_bytes = self.sound_bytes;
        let mut torn = false;
        loop {
            let read = next_line(&mut reader, &mut line);
            let (end, taken) = read.map_err(Error::io("reading", &self.path))?;
            self.size_bytes = self.size_bytes.saturating_add(taken);
            let result = match end {
                LineEnd::End => return Ok(()),
                LineEnd::Torn => Err(LineFault::NotALine("line has no end".to_owned())),
                LineEnd::TooLong => Err(LineFault::NotALine("line is too long".to_owned())),
                LineEnd::Whole => match quick(&line) {
                    Some((hash, link)) if !torn => {
                        self.take(&hash, link)?;
                        continue;
                    }
                    _ => SignedAct::parse(&line),
                },
            };
            match result {
                Ok(_) if torn => return Err(self.broken("a damaged line stands before it")),
                Ok(act) => self.take(act.hash(), self.link(&act)?)?,
                Err(LineFault::NotALine(_)) => torn = true,
                Err(fault) => return Err(self.broken(&fault.into_reason())),
            }
        }
    }

    fn link(&self, signed: &SignedAct) -> Result<Link, Error> {
        serde_json::from_slice(signed.act_bytes()).map_err(|error| {
            let reason = hashing::escape_name(format!("act is not readable: {error}").as_bytes());
            self.broken(&reason)
        })
    }

    fn take(&mut self, hash: &str, act: Link) -> Result<(), Error> {
        let number = self.acts.saturating_add(1);
        if act.number != number || act.previous != self.head {
            return Err(self.broken("it does not follow the act before it"));
        }
        self.acts = number;
        self.sound_bytes = self.size_bytes;
        hash.clone_into(&mut self.head);
        self.last_ended = Some(act.ended.to_string());
        let done = act.outcome.result == OutcomeKind::Done;
        self.sealed_by = sealed::after(self.sealed_by, number, &act.verb, done);
        self.begun.insert(act.begun);
        self.set_aside.extend(act.set_aside.into_iter().map(|item| item.file));
        Ok(())
    }

    fn broken(&self, reason: &str) -> Error {
        Error::BrokenAct {
            path: self.path.clone(),
            number: self.acts.saturating_add(1),
            reason: reason.to_owned(),
        }
    }

    /// Adds one line and waits until it is on the medium. The caller holds the case lock and has
    /// just advanced to a sound end.
    pub(crate) fn append(&mut self, signed: &SignedAct) -> Result<(), Error> {
        let mut line = signed.to_line();
        line.push('\n');
        let options = File::options().append(true).open(&self.path);
        let mut file = options.map_err(Error::io("opening", &self.path))?;
        let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Take back the half line, so that what was there stays whole. Where even that fails,
            // the next session finds the torn end and sets it aside.
            let _ = file.set_len(self.sound_bytes).and_then(|()| file.sync_all());
            return Err(Error::io("appending an act to", &self.path)(error));
        }
        self.advance()
    }
}
