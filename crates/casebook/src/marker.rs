//! The marker of an act that has begun: who began what, and which exhibits it made since.
//!
//! The first line is the act's beginning, and its hash ties the act to it. Each further line claims
//! one exhibit, signed, and is on the medium before the exhibit's directory is. So whatever moment
//! the power goes, a directory in the case is named by an act or by a marker that only the holder
//! of the key can have written; one that is named by neither was put there by somebody else.
//! Blanks follow: room that is given back when the medium is full.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::{self, sha256};
use crate::line::SignedAct;
use crate::{ActDraft, Error, PublicKey, Signer};

/// Room kept for the line of an act on a full medium.
pub(crate) const RESERVE_BYTES: usize = 256 * 1024;
/// Claims are read up to here; more than the reserve holds is no marker of ours.
const CLAIM_BYTES: u64 = 1 << 20;

#[derive(Serialize)]
struct Beginning<'a> {
    after: &'a str,
    name: Option<&'a str>,
    draft: &'a ActDraft,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// SHA-256 of the marker's first line: a claim copied from another marker does not count.
    begun: String,
    exhibit: String,
}

/// What stands in a marker.
#[derive(Debug, Default)]
pub(crate) struct Marker {
    /// SHA-256 of the first line.
    pub(crate) begun: String,
    /// Exhibits it claims, in order.
    pub(crate) exhibits: Vec<String>,
}

/// The first line of a marker. Head and file name make every marker different from every other,
/// even when the same thing is done twice in one tick of the clock.
pub(crate) fn first_line(path: &Path, draft: &ActDraft, head: &str) -> Result<String, Error> {
    let name = path.file_name().map(std::ffi::OsStr::to_string_lossy);
    serde_json::to_string(&Beginning { after: head, name: name.as_deref(), draft })
        .map_err(|error| Error::Refused { reason: format!("writing an act: {error}") })
}

/// The line that claims an exhibit for the act with this beginning.
pub(crate) fn claim_line(begun: &str, exhibit: &str, signer: &Signer) -> Result<String, Error> {
    let claim = Claim { begun: begun.to_owned(), exhibit: exhibit.to_owned() };
    Ok(SignedAct::sign(&claim, signer)?.to_line())
}

/// Reads a marker. Claims that `key` did not sign, or that belong to another act, are passed over:
/// what they name then counts as unclaimed, which is what it is.
pub(crate) fn read(file: File, path: &Path, key: &PublicKey) -> Result<Marker, Error> {
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let limit = u64::try_from(files::MAX_LINE_BYTES).unwrap_or(u64::MAX);
    let mut first = reader.by_ref().take(limit);
    first.read_until(b'\n', &mut line).map_err(Error::io("reading", path))?;
    line.pop_if(|byte| *byte == b'\n');
    let mut marker = Marker { begun: sha256(&line), exhibits: Vec::new() };
    let mut claims = reader.take(CLAIM_BYTES);
    loop {
        line.clear();
        claims.read_until(b'\n', &mut line).map_err(Error::io("reading", path))?;
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            return Ok(marker);
        }
        let Ok(signed) = SignedAct::parse(&line) else { continue };
        let Ok(claim) = serde_json::from_slice::<Claim>(signed.act_bytes()) else { continue };
        if claim.begun == marker.begun && signed.check(key).is_ok() {
            marker.exhibits.push(claim.exhibit);
        }
    }
}

/// As [`read`], of the file with this name; `None` when it is gone by now.
pub(crate) fn read_at(path: &Path, key: &PublicKey) -> Result<Option<Marker>, Error> {
    match File::open(path) {
        Ok(file) => read(file, path, key).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("opening", path)(error)),
    }
}
