//! An act that has begun and not yet ended.
//!
//! Its marker file says so on the medium, and the lock this value holds on the marker says that its
//! writer lives. The marker is padded: when the medium is full at the end of the act, giving the
//! padding back makes room for the line that says so.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;

use crate::exhibit::ExhibitDir;
use crate::files::{flush_dir, next_numbered, sha256};
use crate::recovery::{OPEN, unnamed};
use crate::{Act, ActDraft, Case, Completion, Error, SignedAct, Signer};

/// Room kept for the line of an act on a full medium.
const RESERVE_BYTES: usize = 256 * 1024;

#[derive(serde::Serialize)]
struct Marker<'a> {
    after: &'a str,
    name: Option<&'a str>,
    draft: &'a ActDraft,
}

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
    marker_bytes: u64,
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
        // Head and file name make every marker different from every other, even when the same
        // thing is done twice in one tick of the clock.
        let name = marker_path.file_name().map(std::ffi::OsStr::to_string_lossy);
        let content = Marker { after: head, name: name.as_deref(), draft: &draft };
        let text = serde_json::to_string(&content)
            .map_err(|error| Error::Refused { reason: format!("writing an act: {error}") })?;
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
        Ok(Self { case, signer, draft, begun, marker, marker_path, marker_bytes })
    }

    /// Makes the next exhibit directory: no exhibit comes into being outside an act.
    ///
    /// # Errors
    /// When the medium does not take it.
    pub fn new_exhibit(&self, label: &str) -> Result<ExhibitDir, Error> {
        let (_lock, _journal) = self.case.lock()?;
        ExhibitDir::create(self.case.dir(), label)
    }

    /// Records the end of the act, whatever it was, and waits until it is on the medium.
    ///
    /// # Errors
    /// When the line cannot be added; everything recorded before stays valid, and the act will be
    /// shown as unfinished.
    pub fn finish(self, completion: Completion) -> Result<SignedAct, Error> {
        let (_lock, mut journal) = self.case.lock()?;
        let mut draft = self.draft;
        draft.inputs.extend(completion.inputs);
        let act = Act {
            number: journal.acts.saturating_add(1),
            previous: journal.head.clone(),
            begun: self.begun,
            draft,
            ended: completion.ended,
            outcome: completion.outcome,
            outputs: completion.outputs,
            counters_after: completion.counters_after,
            problems: completion.problems,
            set_aside: unnamed(self.case.dir(), &journal)?,
        };
        let signed = SignedAct::sign(&act, self.signer)?;
        match journal.append(&signed) {
            Err(error) if error.is_medium_full() => {
                self.marker
                    .set_len(self.marker_bytes)
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
