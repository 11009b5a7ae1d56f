//! What a case says of an image that lies in it: an image can be exchanged together with the digests it carries, the acts
//! of the case cannot.

use std::fs;
use std::path::{Path, PathBuf};

use casebook::Act;
use evidence::container::{Counted, Recorded};
use hashing::{Digest, Digests};

use crate::failure::Failure;

/// The digests an act recorded of the disk in an image.
pub(super) struct InCase {
    /// The number of the act.
    pub(super) act: u64,
    /// Its digests, unreadable sectors counted as zeros.
    pub(super) digests: Vec<Recorded>,
}

/// What the case around an image records of the disk in it; the last act that does so counts.
///
/// Only the form of the acts is looked at: whether the case holds is for `glovebox case verify` to say.
///
/// # Errors
/// If the image lies in a case whose acts cannot be read.
pub(super) fn look(image: &str, counted: Counted) -> Result<Option<InCase>, Failure> {
    let Some((case, name)) = place(Path::new(image)) else { return Ok(None) };
    let acts = casebook::read_acts(&case).map_err(|error| {
        Failure::from(error).while_doing("looking up the image in the case it lies in")
    })?;
    for signed in acts.iter().rev() {
        let Ok(act) = signed.act() else { continue };
        let digests = digests(&act, &name, counted);
        if !digests.is_empty() {
            return Ok(Some(InCase { act: act.number, digests }));
        }
    }
    Ok(None)
}

/// The case a file is an exhibit's file of, and its name there.
fn place(image: &Path) -> Option<(PathBuf, String)> {
    let path = fs::canonicalize(image).ok()?;
    let exhibit = path.parent()?;
    let exhibits = exhibit.parent().filter(|folder| folder.ends_with("exhibits"))?;
    let case = exhibits.parent().filter(|case| case.join("acts.jsonl").is_file())?;
    let name = path.strip_prefix(case).ok()?.to_str()?.to_owned();
    Some((case.to_path_buf(), name))
}

fn digests(act: &Act, name: &str, counted: Counted) -> Vec<Recorded> {
    let output = act.outputs.iter().find(|item| item.name == name);
    let facts = output.and_then(|item| item.facts.get("image_digests"));
    let found: Option<Digests> = facts.and_then(|facts| serde_json::from_value(facts.clone()).ok());
    let recorded = |digest: &Digest| Recorded {
        algorithm: digest.algorithm().name().to_owned(),
        hex: digest.to_hex(),
        counted,
    };
    found.iter().flat_map(|digests| digests.iter().map(recorded)).collect()
}
