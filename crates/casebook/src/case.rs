//! A case open for writing.
//!
//! The case is locked only while a line is being added, not for the hours an image takes, so a
//! second examiner can write notes meanwhile. What a dead session left is put aside on opening.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::files::{CaseLock, create_with, flush_dir, rename_whole};
use crate::journal::Journal;
use crate::pair::{COPY, LIST};
use crate::recovery::{close_dead_markers, mend, unnamed};
use crate::{
    ActDraft, CaseInfo, Completion, Error, NewCase, OpenAct, Outcome, PublicKey, SetAside,
    SignedAct, Signer, members, sealed,
};

/// A case open for writing.
#[derive(Debug)]
pub struct Case {
    dir: PathBuf,
    info: CaseInfo,
    key: PublicKey,
    journal: Mutex<Journal>,
}

impl Case {
    /// Makes a new case in `dir`, which must not exist yet or be empty.
    ///
    /// The caller records the creation itself as the first act.
    ///
    /// # Errors
    /// When something is there already, or the medium does not take the files.
    pub fn create(dir: &Path, case: NewCase, key: &PublicKey) -> Result<Self, Error> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mut entries = fs::read_dir(dir).map_err(Error::io("listing", dir))?;
                if entries.next().is_some() {
                    let name = hashing::escape_name(dir.as_os_str().as_encoded_bytes());
                    return Err(Error::Refused { reason: format!("{name} is not empty") });
                }
            }
            result => result.map_err(Error::io("creating", dir))?,
        }
        let info = CaseInfo::new(case, key);
        let text = info.to_text()?;
        let exhibits = dir.join("exhibits");
        fs::create_dir(&exhibits).map_err(Error::io("creating", &exhibits))?;
        create_with(&dir.join(LIST), b"")?;
        create_with(&dir.join(COPY), b"")?;
        create_with(&dir.join("case.pub"), key.to_file_text().as_bytes())?;
        // Last, under another name first: a directory with a case.toml is a whole case.
        let partial = dir.join("case.toml.partial");
        create_with(&partial, text.as_bytes())?;
        rename_whole(&partial, &dir.join("case.toml"))?;
        flush_dir(dir)?;
        dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), flush_dir)?;
        Self::open(dir)
    }

    /// Opens the case in `dir` for writing, after putting aside what a dead session left.
    ///
    /// # Errors
    /// When it is no case, is locked, cannot be written, or its list of acts is broken.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let (info, key, hash) = CaseInfo::read(dir)?;
        let journal = Mutex::new(Journal::new(dir, hash));
        let case = Self { dir: dir.to_path_buf(), info, key, journal };
        drop(case.lock()?);
        Ok(case)
    }

    /// What `case.toml` says.
    #[must_use]
    pub fn info(&self) -> &CaseInfo {
        &self.info
    }

    /// The directory of the case.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The key its acts are checked with.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The number of the act that sealed the case, if it is sealed.
    ///
    /// # Errors
    /// When the case cannot be read.
    pub fn sealed_by(&self) -> Result<Option<u64>, Error> {
        let (_lock, journal) = self.lock()?;
        Ok(journal.sealed_by)
    }

    /// Markers of acts that some program, maybe this one, is at work on.
    ///
    /// # Errors
    /// When the case cannot be read.
    pub fn at_work(&self) -> Result<Vec<String>, Error> {
        members::at_work(&self.dir)
    }

    /// What dead sessions left and no act has named yet; the next act recorded will name it.
    ///
    /// # Errors
    /// When the case cannot be read.
    pub fn set_aside(&self) -> Result<Vec<SetAside>, Error> {
        let (_lock, journal) = self.lock()?;
        unnamed(&self.dir, &journal, &self.key, &BTreeSet::new())
    }

    /// Begins an act: from here on it shows in the case, whatever happens.
    ///
    /// # Errors
    /// When the key is not the case's, or the medium does not take the marker.
    pub fn begin<'a>(&'a self, draft: ActDraft, signer: &'a Signer) -> Result<OpenAct<'a>, Error> {
        if *signer.public_key() != self.key {
            return Err(Error::WrongKey {
                found: signer.public_key().to_string(),
                expected: self.key.to_string(),
            });
        }
        let (_lock, journal) = self.lock()?;
        sealed::permit(journal.sealed_by, &draft.verb)?;
        OpenAct::begin(self, draft, signer, &journal.head)
    }

    /// Records an act that has no duration.
    ///
    /// # Errors
    /// As [`Self::begin`] and [`OpenAct::finish`].
    pub fn record(
        &self,
        draft: ActDraft,
        completion: Completion,
        signer: &Signer,
    ) -> Result<SignedAct, Error> {
        self.begin(draft, signer)?.finish(completion)
    }

    /// Records a note: the draft's verb becomes `case note`, its arguments are the note.
    ///
    /// # Errors
    /// As [`Self::record`].
    pub fn note(&self, draft: ActDraft, signer: &Signer) -> Result<SignedAct, Error> {
        let draft = ActDraft { verb: "case note".to_owned(), ..draft };
        let completion = Completion::new(draft.started.clone(), Outcome::done());
        self.record(draft, completion, signer)
    }

    /// Locks the case and brings what is known of the list up to its sound end.
    pub(crate) fn lock(&self) -> Result<(CaseLock, MutexGuard<'_, Journal>), Error> {
        // The mutex first: two threads of one program would share the file lock's waiting time.
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = CaseLock::acquire(&self.dir)?;
        journal.advance()?;
        mend(&self.dir, &mut journal)?;
        close_dead_markers(&self.dir, &journal, &self.key)?;
        Ok((lock, journal))
    }
}
