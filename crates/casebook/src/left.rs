//! What lies in an exhibit and no act has listed: the leavings of an act that failed or was cut off.
//!
//! They are counted and named by the act that ends, or by the one that tells of the interruption,
//! so that from then on a change to them shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hashing::{Algorithms, Digests};
use serde_json::{Value, json};

use crate::{Error, Item};

/// Up to this much is digested, file by file: half an image of a disk must not hold up the next
/// note for hours. Of the rest the size is recorded, and that it is only the size.
const DIGESTED_BYTES: u64 = 256 << 20;
/// Names kept; more than any verb makes, and a bound on what a hostile medium costs.
const MAX_FILES: usize = 1_000_000;

/// The regular files of these exhibits that are not among `known`, in order of their names.
pub(crate) fn files<'a>(
    case: &Path,
    exhibits: impl IntoIterator<Item = &'a String>,
    known: &BTreeSet<&str>,
) -> Result<Vec<Item>, Error> {
    let mut found = Vec::new();
    for exhibit in exhibits {
        list(case, &format!("exhibits/{exhibit}"), known, &mut found)?;
    }
    found.sort();
    let mut budget_bytes = DIGESTED_BYTES;
    Ok(found
        .into_iter()
        .map(|(name, size_bytes)| {
            let digests = budget_bytes.checked_sub(size_bytes).and_then(|rest| {
                budget_bytes = rest;
                hashing::digest_file(&case.join(&name), &Algorithms::sha256()).ok()
            });
            let digests = digests.map_or_else(Digests::default, |(digests, _)| digests);
            let facts = match digests.iter().next() {
                Some(_) => Value::Null,
                None => json!({ "digested": false }),
            };
            Item { name, size_bytes: Some(size_bytes), digests, facts }.unfinished()
        })
        .collect())
}

fn list(
    case: &Path,
    start: &str,
    known: &BTreeSet<&str>,
    found: &mut Vec<(String, u64)>,
) -> Result<(), Error> {
    let mut folders = vec![start.to_owned()];
    while let Some(folder) = folders.pop() {
        let path = case.join(&folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            // Claimed, and the power went before it was made.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("listing", &path)(error)),
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("listing", &path))?;
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let kind = fs::symlink_metadata(entry.path()).map_err(Error::io("reading", &path))?;
            if kind.is_dir() && folders.len() < MAX_FILES {
                folders.push(name);
            } else if kind.is_file() && !known.contains(name.as_str()) && found.len() < MAX_FILES {
                found.push((name, kind.len()));
            }
        }
    }
    Ok(())
}

/// The sentence about one such file.
pub(crate) fn sentence(item: &Item) -> String {
    let bytes = item.size_bytes.unwrap_or(0);
    let undigested = item.facts.get("digested") == Some(&Value::Bool(false));
    let rest = if undigested { "; only its size is recorded" } else { "" };
    format!(
        "{} was left unfinished with {bytes} bytes{rest}",
        hashing::escape_name(item.name.as_bytes())
    )
}
