//! A look at a case that changes nothing, not even when it lies on a read-only medium.

use std::collections::BTreeSet;
use std::path::Path;

use crate::exhibit::exhibit_names;
use crate::files::numbered;
use crate::journal::Journal;
use crate::recovery::{OPEN, dead_marker, unnamed};
use crate::{CaseInfo, Error, SetAside};

/// An act that has begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenMarker {
    /// A program is at work on it now.
    Live(String),
    /// Its program died; opening the case for writing will put the marker aside.
    Dead(String),
}

/// What stands in a case.
#[derive(Debug, Clone)]
pub struct Status {
    /// What `case.toml` says.
    pub info: CaseInfo,
    /// How many acts are recorded and follow each other.
    pub acts: u64,
    /// Hash of the last act. Written on paper, it proves later that nothing was cut off the end.
    pub head: String,
    /// When the last act ended.
    pub last_ended: Option<String>,
    /// The act that sealed the case, unless a later one opened it again.
    pub sealed_by: Option<u64>,
    /// Names of the exhibits, in order.
    pub exhibits: Vec<String>,
    /// Acts that have begun and not ended.
    pub open: Vec<OpenMarker>,
    /// Bytes of the list and its copy that are no whole act, as a power cut leaves them.
    pub torn_bytes: u64,
    /// What interrupted sessions left and no act has named yet.
    pub set_aside: Vec<SetAside>,
    /// What is wrong with the list of acts, if anything; the figures above end there.
    pub broken: Option<String>,
}

/// Looks at the case in `dir`. Signatures and exhibits are not checked; [`crate::verify()`] does that.
///
/// # Errors
/// When it is no case or cannot be read.
pub fn status(dir: &Path) -> Result<Status, Error> {
    let (info, key, hash) = CaseInfo::read(dir)?;
    let mut journal = Journal::new(dir, hash);
    let broken = match journal.advance() {
        Err(error @ Error::BrokenAct { .. }) => Some(error.to_string()),
        result => result.map(|()| None)?,
    };
    let exhibits = exhibit_names(&dir.join("exhibits"))?;
    let mut open = Vec::new();
    for (_, name) in numbered(dir, OPEN)? {
        open.push(match dead_marker(&dir.join(&name), &key)? {
            Some(_) => OpenMarker::Dead(name),
            None => OpenMarker::Live(name),
        });
    }
    Ok(Status {
        info,
        acts: journal.acts,
        head: journal.head.clone(),
        last_ended: journal.last_ended.clone(),
        sealed_by: journal.sealed_by,
        exhibits: exhibits.into_iter().map(|(_, name)| name).collect(),
        open,
        torn_bytes: journal.torn_bytes(),
        set_aside: unnamed(dir, &journal, &key, &BTreeSet::new())?,
        broken,
    })
}
