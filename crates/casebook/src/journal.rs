//! The list of acts as two files: finding its sound end, and adding to it.
//!
//! Everything up to the sound end has been flushed before, to both files, one after the other: after
//! a power cut at most one of them can be damaged, and what the other holds counts. A damaged line
//! *before* a sound one, or two files that no cut can have made different, are a broken record:
//! nothing is added to it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files::{LineEnd, next_line};
use crate::line::{LineFault, Parts, SignedAct};
use crate::pair::{COPY, LIST, Pair};
use crate::{CaseInfo, Error, Outcome, OutcomeKind, Timestamp, sealed};

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

/// What became of the file that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Other {
    /// It is the same.
    Same,
    /// A power cut can have left it so.
    Damaged {
        /// Whole acts it has.
        acts: u64,
        /// Bytes it shares with the one that is read.
        common_bytes: u64,
        /// Bytes of it that are no whole act; `None` when there is no such file.
        rest_bytes: Option<u64>,
    },
    /// No power cut leaves it so.
    Contradicts {
        /// The act from which on they differ.
        number: u64,
        reason: String,
    },
}

/// What is known of the list up to its sound end.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    dir: PathBuf,
    /// Which of the two files this is of: the one that holds more.
    pub(crate) name: &'static str,
    /// What became of the other one.
    pub(crate) other: Other,
    /// Bytes up to the last act.
    last_begins_bytes: u64,
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
            dir: dir.to_path_buf(),
            name: LIST,
            other: Other::Same,
            last_begins_bytes: 0,
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

    /// The file that is read.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(self.name)
    }

    /// Name of the file that is not.
    pub(crate) fn other_name(&self) -> &'static str {
        if self.name == LIST { COPY } else { LIST }
    }

    /// Bytes of both files that are no whole act.
    pub(crate) fn torn_bytes(&self) -> u64 {
        let of_other = match &self.other {
            Other::Damaged { rest_bytes, .. } => rest_bytes.unwrap_or(0),
            _ => 0,
        };
        self.size_bytes.saturating_sub(self.sound_bytes).saturating_add(of_other)
    }

    /// Reads what was added since the last time, by this or another program.
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        self.look()??;
        if let Other::Contradicts { number, reason } = &self.other {
            let (path, reason) = (self.dir.join(self.other_name()), reason.clone());
            return Err(Error::BrokenAct { path, number: *number, reason });
        }
        Ok(())
    }

    /// As [`Self::advance`], and two files that contradict each other are no error. A list that is
    /// broken is the inner one: everything before the fault is known then.
    pub(crate) fn look(&mut self) -> Result<Result<(), Error>, Error> {
        let pair = Pair::compare(&self.dir, self.sound_bytes)?;
        let [list_bytes, copy_bytes] = pair.sizes;
        (self.name, self.other) = (LIST, Other::Same);
        if pair.is_same() {
            return Ok(self.read(pair.common_bytes));
        }
        // What both have is read once.
        if let Err(fault) = self.read(pair.common_lines_bytes) {
            return Ok(Err(fault));
        }
        let (mut list, mut copy) = (self.clone(), self.clone());
        copy.name = COPY;
        let from_list = list_bytes.map_or(Ok(()), |bytes| list.read(bytes));
        let from_copy = copy_bytes.map_or(Ok(()), |bytes| copy.read(bytes));
        let (more_in_list, more_in_copy) = (list.acts > self.acts, copy.acts > self.acts);
        let copy_is_clean = from_copy.is_ok() && copy.size_bytes == copy.sound_bytes;
        let list_is_clean = from_list.is_ok() && list.size_bytes == list.sound_bytes;
        let by_copy = more_in_copy && !more_in_list
            || more_in_copy == more_in_list && copy_is_clean && !list_is_clean
            || list_bytes.is_none();
        let common = (self.acts, more_in_list && more_in_copy);
        let (read, fault, other, other_bytes) = if by_copy && copy_bytes.is_some() {
            (copy, from_copy, list, list_bytes)
        } else {
            (list, from_list, copy, copy_bytes)
        };
        *self = read;
        self.other = self.judge(&pair, common, &other, other_bytes);
        Ok(fault)
    }

    /// Whether a power cut can have left the other file so.
    fn judge(
        &self,
        pair: &Pair,
        (common_acts, both_go_on): (u64, bool),
        other: &Self,
        other_bytes: Option<u64>,
    ) -> Other {
        let number = common_acts.saturating_add(1);
        let names = format!("{} and {}", self.name, self.other_name());
        if both_go_on {
            let reason = format!("{names} hold different acts of this number");
            return Other::Contradicts { number, reason };
        }
        if pair.common_bytes < self.last_begins_bytes && !pair.is_cut_at_a_sector {
            let at = pair.common_bytes;
            let reason = format!("{names} differ after byte {at}, and no power cut leaves them so");
            return Other::Contradicts { number, reason };
        }
        Other::Damaged {
            acts: other.acts,
            common_bytes: pair.common_bytes,
            rest_bytes: other_bytes.map(|bytes| bytes.saturating_sub(other.sound_bytes)),
        }
    }

    /// Reads up to this byte of the file.
    fn read(&mut self, end_bytes: u64) -> Result<(), Error> {
        let path = self.path();
        let mut file = match File::open(&path) {
            // Its place was taken by the copy.
            Err(_) if end_bytes <= self.sound_bytes => return Ok(()),
            file => file.map_err(Error::io("opening", &path))?,
        };
        file.seek(SeekFrom::Start(self.sound_bytes)).map_err(Error::io("reading", &path))?;
        let file = file.take(end_bytes.saturating_sub(self.sound_bytes));
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        self.size_bytes = self.sound_bytes;
        let mut torn = false;
        loop {
            let read = next_line(&mut reader, &mut line);
            let (end, taken) = read.map_err(Error::io("reading", &path))?;
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
        self.last_begins_bytes = self.sound_bytes;
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
            path: self.path(),
            number: self.acts.saturating_add(1),
            reason: reason.to_owned(),
        }
    }

    /// Adds one line to both files, one after the other, and waits until it is on the medium. The
    /// caller holds the case lock, has just advanced to a sound end, and mended what was damaged.
    pub(crate) fn append(&mut self, signed: &SignedAct) -> Result<(), Error> {
        let mut line = signed.to_line();
        line.push('\n');
        for (place, name) in [LIST, COPY].into_iter().enumerate() {
            let path = self.dir.join(name);
            let written = File::options().append(true).open(&path).and_then(|mut file| {
                file.write_all(line.as_bytes()).and_then(|()| file.sync_all())
            });
            if let Err(error) = written {
                // Take back the half line, and the whole one from the list, the last first. Where
                // even that fails, the next session finds what is left and mends it.
                for name in [LIST, COPY].iter().take(place.saturating_add(1)).rev() {
                    let _ = cut(&self.dir.join(name), self.sound_bytes);
                }
                return Err(Error::io("appending an act to", &path)(error));
            }
        }
        self.advance()
    }
}

fn cut(path: &Path, end_bytes: u64) -> io::Result<()> {
    let file = File::options().append(true).open(path)?;
    file.set_len(end_bytes)?;
    file.sync_all()
}

/// Which of the two files of the case in `dir` is to be read.
pub(crate) fn to_read(dir: &Path) -> Result<&'static str, Error> {
    if Pair::compare(dir, 0)?.is_same() {
        return Ok(LIST);
    }
    // Without a `case.toml` no chain can be followed.
    let Ok((.., hash)) = CaseInfo::read(dir) else { return Ok(LIST) };
    let mut journal = Journal::new(dir, hash);
    // A fault is for the reader to find.
    let _ = journal.look()?;
    Ok(journal.name)
}
