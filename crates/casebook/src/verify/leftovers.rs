//! What lies beside the list of acts: markers, files set aside, and what is no part of the case.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hashing::{Algorithms, escape_name};

use super::{Place, Problem, Recorded, Verification};
use crate::pair::{COPY, LIST};
use crate::recovery::{OPEN, TORN, UNFINISHED};
use crate::{Error, PublicKey, files, marker};

/// The files that make a case; `case.key` is the only secret one.
const OWN: [&str; 8] =
    [LIST, COPY, "case.key", "case.lock", "case.pub", "case.toml", "exhibits", "case.toml.partial"];

/// Exhibits claimed by acts that have not ended and that no later act has named, with the marker.
pub(super) type Claims = BTreeMap<String, String>;

/// Markers and files set aside: named ones must hold, others tell of an interruption.
pub(super) fn check(
    dir: &Path,
    key: &PublicKey,
    recorded: &Recorded,
    result: &mut Verification,
) -> Result<Claims, Error> {
    let (left, foreign) = list(dir)?;
    // A marker that was put aside and named is over; a copy of it under another name claims nothing.
    let mut over = recorded.begun.clone();
    for name in left.iter().filter(|name| recorded.set_aside.contains_key(*name)) {
        if name.starts_with(UNFINISHED) {
            over.extend(marker::read_at(&dir.join(name), key)?.map(|marker| marker.begun));
        }
    }
    let mut claims = Claims::new();
    for name in &left {
        match recorded.set_aside.get(name) {
            Some(_) => {}
            None if name.starts_with(OPEN) => result.open.push(name.clone()),
            None => result.unnamed.push(name.clone()),
        }
        let mut reason = match recorded.set_aside.get(name) {
            Some((act, _)) => format!("left by an interrupted session and named in act {act}"),
            None if name.starts_with(OPEN) => "an act has begun and not ended".to_owned(),
            None if is_shortened(name) => {
                "left by an interrupted session; the medium has lost its long name".to_owned()
            }
            None => "left by an interrupted session; the next act will name it".to_owned(),
        };
        let claimed = claimed(dir, key, name, &over)?;
        if !claimed.is_empty() {
            reason.push_str(&format!("; it had made {}", claimed.join(", ")));
            claims.extend(claimed.into_iter().map(|exhibit| (exhibit, name.clone())));
        }
        result.interruption(Place::File(name.clone()), reason);
    }
    for (name, (act, item)) in &recorded.set_aside {
        // Only names of this form were listed, so a hostile act cannot lead us to another file.
        let found = left.contains(name).then(|| {
            hashing::digest_file(&dir.join(name), &Algorithms::sha256())
                .map(|(digests, _)| digests.sha256_hex())
        });
        let reason = match found {
            Some(Ok(digest)) if digest == item.sha256 => continue,
            Some(Ok(digest)) => format!("sha256 is {digest}, act {act} says otherwise"),
            Some(Err(error)) => error.to_string(),
            None => format!("it is missing; act {act} names it"),
        };
        result.problem(Place::File(escape_name(name.as_bytes())), reason);
    }
    result.strangers.extend(foreign.into_iter().map(|name| Problem {
        place: Place::File(name),
        reason: "it is no part of the case and no act speaks of it".to_owned(),
    }));
    Ok(claims)
}

/// What is left of interrupted sessions, and the names of what is no part of the case, escaped.
fn list(dir: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>), Error> {
    let (mut left, mut foreign) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(dir).map_err(Error::io("listing", dir))? {
        let name = entry.map_err(Error::io("listing", dir))?.file_name();
        match name.to_str() {
            Some(name) if OWN.contains(&name) => {}
            Some(name) if is_numbered(name) || is_shortened(name) => {
                left.insert(name.to_owned());
            }
            _ if foreign.len() < super::MAX_PROBLEMS => {
                foreign.insert(escape_name(name.as_encoded_bytes()));
            }
            _ => {}
        }
    }
    Ok((left, foreign))
}

fn is_numbered(name: &str) -> bool {
    [TORN, UNFINISHED, OPEN].iter().any(|prefix| files::number(name, prefix).is_some())
}

/// `ACTS~1.OPE` and the like: the first letters of name and ending, in either case.
///
/// Files that a power cut on FAT left under their short names: the long one lies in other entries of
/// the directory, which were written before or after (Microsoft's FAT specification, "Long names").
fn is_shortened(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let Some((stem, ending)) = name.split_once('.') else { return false };
    let Some((stem, number)) = stem.split_once('~') else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    // The last dot of a long name is the one that stays.
    let mut long = [OPEN, UNFINISHED, TORN, LIST, COPY]
        .map(|long| long.rsplit_once('.').unwrap_or_default())
        .into_iter();
    let begins = |long: &str| long.replace('.', "").get(..6).unwrap_or(long) == stem;
    is_number
        && ending.len() == 3
        && long.any(|(first, last)| begins(first) && last.starts_with(ending))
}

/// What a marker claims, if no act has taken the claim over: neither its own, which says what it
/// made, nor the one that named it.
fn claimed(
    dir: &Path,
    key: &PublicKey,
    name: &str,
    over: &BTreeSet<String>,
) -> Result<Vec<String>, Error> {
    if name.starts_with(TORN) {
        return Ok(Vec::new());
    }
    let marker = marker::read_at(&dir.join(name), key)?.unwrap_or_default();
    Ok(if over.contains(&marker.begun) { Vec::new() } else { marker.exhibits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_names_of_markers_are_taken_for_them() {
        for name in ["ACTS~1.OPE", "acts~12.unf", "ACTS~1.TOR", "ACTS~1.JSO", "ACTSCO~2.JSO"] {
            assert!(is_shortened(name), "{name}");
        }
        for name in [
            "ACTS~1.JSX",
            "ACTSCO~1.OPE",
            "ACTS~.OPE",
            "ACTS~1",
            "ACTS~X.OPE",
            "acts.open-1",
            "XCTS~1.OPE",
            "ACTS~1.",
        ] {
            assert!(!is_shortened(name), "{name}");
        }
    }
}
