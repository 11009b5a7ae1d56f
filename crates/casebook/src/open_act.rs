//! An act that has begun and not yet ended.
//!
//! Its marker file says so on the medium, and the lock this value holds on the marker says that its
//! writer lives. The marker is padded: when the medium is full at the end of the act, giving the
//! padding back makes room for the line that says so.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::exhibit::{ExhibitDir, exhibit_names};
use crate::files::{flush_dir, next_numbered, numbered, sha256};
use crate::marker::{self, RESERVE_BYTES};
use crate::members::at_work;
use crate::recovery::{OPEN, claimed, unnamed};
use crate::sealed::{self, SEAL};
use crate::{Act, ActDraft, Case, Completion, Error, SignedAct, Signer, left, read_acts};

/// Files left unfinished that are spelled out as problems; all are among the outputs.
const TOLD_OF: usize = 20;

/// An act that has begun. Dropping it without [`OpenAct::finish`] leaves the act unfinished, and
/// the case will say so.
#[derive(Debug)]
#[must_use = "an act that is not finished is recorded as unfinished"]
pub struct OpenAct<'a> {
    case: &'a Case,
    signer: &'a Signer,
    draft: ActDraft,
    begun: String,
    marker: File,
    marker_path: PathBuf,
    made: Mutex<Made>,
}

/// What the act has made so far.
#[derive(Debug, Default)]
struct Made {
    /// Bytes of the marker that say something.
    marker_bytes: u64,
    exhibits: Vec<String>,
    /// Exhibits of earlier acts it goes on with.
    continued: Vec<String>,
    /// Files in those that earlier acts finished.
    finished: BTreeSet<String>,
}

impl<'a> OpenAct<'a> {
    /// Writes the marker. The caller holds the case lock.
    pub(crate) fn begin(
        case: &'a Case,
        draft: ActDraft,
        signer: &'a Signer,
        head: &str,
    ) -> Result<Self, Error> {
        let marker_path = next_numbered(case.dir(), OPEN)?;
        let text = marker::first_line(&marker_path, &draft, head)?;
        let mut marker =
            File::create_new(&marker_path).map_err(Error::io("creating", &marker_path))?;
        let mut bytes = format!("{text}\n").into_bytes();
        let marker_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        bytes.resize(bytes.len().saturating_add(RESERVE_BYTES), b' ');
        let written =
            marker.lock().and_then(|()| marker.write_all(&bytes)).and_then(|()| marker.sync_all());
        if let Err(error) = written {
            // Nothing has been done yet, so there is no act to speak of; only an empty marker.
            let _ = fs::remove_file(&marker_path);
            return Err(Error::io("beginning an act in", &marker_path)(error));
        }
        flush_dir(case.dir())?;
        let begun = sha256(text.as_bytes());
        let made = Mutex::new(Made { marker_bytes, ..Made::default() });
        Ok(Self { case, signer, draft, begun, marker, marker_path, made })
    }

    /// Makes the next exhibit directory: no exhibit comes into being outside an act.
    ///
    /// # Errors
    /// When the medium does not take it.
    pub fn new_exhibit(&self, label: &str) -> Result<ExhibitDir, Error> {
        let (_lock, _journal) = self.case.lock()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = claimed(self.case.dir(), self.case.public_key())?;
        let exhibit = ExhibitDir::next(self.case.dir(), &taken, label)?;
        self.claim(exhibit.name(), &mut made)?;
        made.exhibits.push(exhibit.name().to_owned());
        exhibit.make()?;
        Ok(exhibit)
    }

    /// Goes on with an exhibit that an earlier act left unfinished. To be called before anything in it
    /// is touched: from here on the case expects its unfinished files to change.
    ///
    /// # Errors
    /// When there is no such exhibit, another act is at work on it, or the medium does not take the
    /// claim.
    pub fn go_on_with(&self, exhibit: &str) -> Result<(), Error> {
        let dir = self.case.dir();
        let refused = |reason: &str| {
            let name = hashing::escape_name(exhibit.as_bytes());
            Err(Error::Refused { reason: format!("exhibit {name}: {reason}") })
        };
        let (_lock, _journal) = self.case.lock()?;
        let known = exhibit_names(&dir.join("exhibits"))?;
        if !known.iter().any(|(_, name)| name == exhibit) {
            return refused("it is not in the case");
        }
        // Markers of dead acts were put aside when the case was locked: these are at work.
        for (_, name) in numbered(dir, OPEN)? {
            let marker = marker::read_at(&dir.join(&name), self.case.public_key())?;
            if marker.unwrap_or_default().exhibits.iter().any(|one| one == exhibit) {
                return refused(&format!("the act that {name} tells of is at work on it"));
            }
        }
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let within = format!("exhibits/{exhibit}/");
        for act in read_acts(dir)? {
            let outputs = act.act()?.outputs.into_iter();
            let finished = outputs.filter(|item| !item.is_unfinished());
            made.finished
                .extend(finished.map(|item| item.name).filter(|name| name.starts_with(&within)));
        }
        self.claim(exhibit, &mut made)?;
        made.continued.push(exhibit.to_owned());
        Ok(())
    }

    /// Puts the claim of an exhibit on the medium.
    fn claim(&self, exhibit: &str, made: &mut Made) -> Result<(), Error> {
        let line = marker::claim_line(&self.begun, exhibit, self.signer)?;
        self.marker
            .write_all_at(format!("{line}\n").as_bytes(), made.marker_bytes)
            .and_then(|()| self.marker.sync_data())
            .map_err(Error::io("claiming an exhibit in", &self.marker_path))?;
        let line_bytes = u64::try_from(line.len()).unwrap_or(u64::MAX).saturating_add(1);
        made.marker_bytes = made.marker_bytes.saturating_add(line_bytes);
        Ok(())
    }

    /// Records the end of the act, whatever it was, and waits until it is on the medium.
    ///
    /// Files in its exhibits that the completion does not list are listed as left unfinished.
    ///
    /// # Errors
    /// When the line cannot be added; everything recorded before stays valid, and the act will be
    /// shown as unfinished.
    pub fn finish(self, mut completion: Completion) -> Result<SignedAct, Error> {
        let made = self.made.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Before the case is locked: reading takes its time.
        let mut known: BTreeSet<&str> =
            completion.outputs.iter().map(|i| i.name.as_str()).collect();
        known.extend(made.finished.iter().map(String::as_str));
        let exhibits = made.exhibits.iter().chain(&made.continued);
        let left = left::files(self.case.dir(), exhibits, &known)?;
        completion.problems.extend(left.iter().take(TOLD_OF).map(left::sentence));
        if left.len() > TOLD_OF {
            completion.problems.push(format!("{} files were left unfinished in all", left.len()));
        }
        completion.outputs.extend(left);
        let (_lock, mut journal) = self.case.lock()?;
        let mut known: BTreeSet<&str> =
            completion.outputs.iter().map(|i| i.name.as_str()).collect();
        known.extend(made.finished.iter().map(String::as_str));
        let set_aside = unnamed(self.case.dir(), &journal, self.case.public_key(), &known)?;
        let mut draft = self.draft;
        draft.inputs.extend(completion.inputs);
        let act = Act {
            number: journal.acts.saturating_add(1),
            previous: journal.head.clone(),
            begun: self.begun,
            draft,
            ended: completion.ended,
            outcome: completion.outcome,
            ended_since_boot_ms: completion.since_boot_ms,
            exhibits: made.exhibits,
            continued: made.continued,
            outputs: completion.outputs,
            counters_after: completion.counters_after,
            problems: completion.problems,
            set_aside,
        };
        sealed::permit(journal.sealed_by, &act.draft.verb)?;
        if act.draft.verb == SEAL {
            let own = self.marker_path.file_name();
            let mut others = at_work(self.case.dir())?;
            others.retain(|name| own != Some(std::ffi::OsStr::new(name)));
            if !others.is_empty() {
                let reason = format!("acts are in progress: {}", others.join(", "));
                return Err(Error::Refused { reason });
            }
        }
        let signed = SignedAct::sign(&act, self.signer)?;
        match journal.append(&signed) {
            Err(error) if error.is_medium_full() => {
                self.marker
                    .set_len(made.marker_bytes)
                    .and_then(|()| self.marker.sync_all())
                    .map_err(Error::io("giving back the reserve of", &self.marker_path))?;
                journal.append(&signed)?;
            }
            result => result?,
        }
        // From here on the act stands; a marker that stays is recognised by its hash and removed.
        let _ = fs::remove_file(&self.marker_path);
        flush_dir(self.case.dir())?;
        Ok(signed)
    }
}
