//! Every exhibit read again and held against the acts.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;

use hashing::{
    Algorithms, Boundary, Content, Digests, TreeOptions, TreeReport, digest_tree, escape_name,
};

use super::leftovers::Claims;
use super::{Place, Recorded, Verification};
use crate::Item;

/// The exhibits as they were read.
pub(super) struct Read {
    algorithms: Algorithms,
    tree: Result<TreeReport, hashing::Error>,
}

impl Read {
    pub(super) fn new(dir: &Path, algorithms: Algorithms, threads: NonZeroUsize) -> Self {
        let boundary = Boundary::SameFileSystem;
        let options = TreeOptions { algorithms: algorithms.clone(), threads, boundary };
        Self { algorithms, tree: digest_tree(&dir.join("exhibits"), &options) }
    }

    /// Whether all these digests were made.
    pub(super) fn has(&self, wanted: &Algorithms) -> bool {
        wanted.iter().all(|algorithm| self.algorithms.has(algorithm))
    }
}

/// The digests that acts speak of.
pub(super) fn algorithms(recorded: &Recorded) -> Algorithms {
    let items = recorded.files.values().flatten();
    items.flat_map(|(_, item)| item.digests.iter().map(hashing::Digest::algorithm)).collect()
}

pub(super) fn check(read: Read, recorded: &Recorded, claims: &Claims, result: &mut Verification) {
    let standing = standing(recorded, claims);
    let tree = match read.tree {
        Ok(tree) => tree,
        Err(error) => return result.problem(Place::File("exhibits".to_owned()), error.to_string()),
    };
    for problem in tree.problems {
        result.problem(place(&problem.path), problem.reason);
    }
    let (mut seen, mut unfinished) = (BTreeSet::new(), Unfinished::default());
    for (path, content) in tree.manifest.iter() {
        let text = String::from_utf8_lossy(path);
        let name = format!("exhibits/{text}");
        let exhibit = text.split('/').next().unwrap_or_default();
        match (content, standing.get(name.as_str())) {
            (Content::Directory, None) if text != exhibit => {}
            (Content::Directory, None) if known(exhibit, recorded, claims) => {}
            (Content::File { size_bytes, digests }, Some(records)) => {
                result.exhibit_files = result.exhibit_files.saturating_add(1);
                compare(path, size_bytes.unwrap_or(0), digests, records, result);
            }
            (Content::File { size_bytes, .. }, None) if claims.contains_key(exhibit) => {
                unfinished.count(exhibit, size_bytes.unwrap_or(0));
            }
            (Content::File { .. } | Content::Directory, None) => {
                result.problem(place(path), "no act speaks of it");
            }
            _ => result.problem(place(path), "it is not a regular file"),
        }
        seen.insert(name);
    }
    unfinished.tell(claims, result);
    for (name, records) in standing.iter().filter(|(name, _)| !seen.contains(**name)) {
        let acts: Vec<String> = records.iter().map(|(act, _)| act.to_string()).collect();
        let reason = format!("it is missing; act {} says it was written", acts.join(", "));
        result.problem(Place::Exhibit(escape_name(name.as_bytes())), reason);
    }
    for (exhibit, act) in &recorded.exhibits {
        if !seen.contains(&format!("exhibits/{exhibit}")) {
            let name = format!("exhibits/{}", escape_name(exhibit.as_bytes()));
            result.problem(Place::Exhibit(name), format!("it is missing; act {act} made it"));
        }
    }
}

/// What the acts say of a file, and still stand by.
type Standing<'a> = BTreeMap<&'a str, Vec<&'a (u64, Item)>>;

/// What was said of an unfinished file holds until its exhibit is claimed again, by a later act or by
/// one that is at work or was cut off: only who holds the key can claim.
fn standing<'a>(recorded: &'a Recorded, claims: &Claims) -> Standing<'a> {
    let is_over = |name: &str, act: u64, item: &Item| {
        let exhibit = name.split('/').nth(1).unwrap_or_default();
        let gone_on = recorded.gone_on.get(exhibit).is_some_and(|last| act < *last);
        item.is_unfinished() && (gone_on || claims.contains_key(exhibit))
    };
    let mut standing = Standing::new();
    for (name, records) in &recorded.files {
        let records: Vec<_> =
            records.iter().filter(|(act, item)| !is_over(name, *act, item)).collect();
        if !records.is_empty() {
            standing.insert(name, records);
        }
    }
    standing
}

fn place(path: &[u8]) -> Place {
    Place::Exhibit(format!("exhibits/{}", escape_name(path)))
}

fn known(exhibit: &str, recorded: &Recorded, claims: &Claims) -> bool {
    recorded.exhibits.contains_key(exhibit)
        || recorded.cut_off.contains(exhibit)
        || claims.contains_key(exhibit)
}

fn compare(
    path: &[u8],
    size_bytes: u64,
    digests: &Digests,
    records: &[&(u64, Item)],
    result: &mut Verification,
) {
    for (act, item) in records {
        if let Some(said) = item.size_bytes.filter(|said| *said != size_bytes) {
            let reason = format!("it has {size_bytes} bytes, act {act} says {said}");
            result.problem(place(path), reason);
        } else if item.digests.iter().next().is_none() {
            let reason = format!("act {act} records only its size: its content is not protected");
            result.interruption(place(path), reason);
        } else if !item.digests.agrees_with(digests) {
            let (found, said) = (digests.sha256_hex(), item.digests.sha256_hex());
            let reason = format!("sha256 is {found}, act {act} says {said}");
            result.problem(place(path), reason);
        }
    }
}

/// Files in exhibits of acts that have not ended: how many, how large.
#[derive(Default)]
struct Unfinished(BTreeMap<String, (u64, u64)>);

impl Unfinished {
    fn count(&mut self, exhibit: &str, size_bytes: u64) {
        let (files, bytes) = self.0.entry(exhibit.to_owned()).or_default();
        *files = files.saturating_add(1);
        *bytes = bytes.saturating_add(size_bytes);
    }

    fn tell(self, claims: &Claims, result: &mut Verification) {
        for (exhibit, (files, bytes)) in self.0 {
            let marker = claims.get(&exhibit).map_or("", String::as_str);
            let reason = format!(
                "{files} files of {bytes} bytes by the act that {marker} tells of, not recorded yet"
            );
            result.interruption(
                Place::Exhibit(format!("exhibits/{}", escape_name(exhibit.as_bytes()))),
                reason,
            );
        }
    }
}
