//! Definitions over an examined root: what they select, what it is, and what of them could not be applied.

use super::pattern::Pattern;
use super::{Definition, Definitions, Kind, Source};
use crate::context::Context;
use crate::finding::Times;
use crate::root::{Item, Root};
use evidence::fs::{FileKind, Names};
use evidence::{Place, Problem, ProblemKind, RawPath};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Files and directories listed at most.
const MAX_SELECTED: usize = 2_000_000;

/// A file or directory that definitions select.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// Names of the definitions, in order.
    pub definitions: Vec<String>,
    /// Its path, escaped.
    pub path: RawPath,
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Mode, owner and group as `0644 0:0`.
    pub rights: String,
    /// Its times.
    pub times: Times,
    /// SHA-256 of a regular file; none where it was too large or could not be read, which the problems tell.
    pub sha256: Option<String>,
}

/// What definitions selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Definitions at hand.
    pub definitions: usize,
    /// Those for this kind of system with sources of files: name, and number of objects selected.
    pub applied: BTreeMap<String, usize>,
    /// Sources for this kind of system that are no files, by their type: not applied.
    pub not_applied: BTreeMap<String, usize>,
    /// Variables in paths that are not known here, and how many paths were left out for them.
    pub unknown_variables: BTreeMap<String, usize>,
    /// What was selected, by path.
    #[serde(skip)]
    pub artifacts: Vec<Artifact>,
}

/// Variables of Windows with their usual places, `*` for each account.
const WINDOWS: &[(&str, &str)] = &[
    ("environ_allusersappdata", "/ProgramData"),
    ("environ_allusersprofile", "/ProgramData"),
    ("environ_commonprogramfiles", "/Program Files/Common Files"),
    ("environ_programdata", "/ProgramData"),
    ("environ_programfiles", "/Program Files"),
    ("environ_programfilesx86", "/Program Files (x86)"),
    ("environ_systemdrive", ""),
    ("environ_systemroot", "/Windows"),
    ("environ_windir", "/Windows"),
    ("users.appdata", "/Users/*/AppData/Roaming"),
    ("users.homedir", "/Users/*"),
    ("users.localappdata", "/Users/*/AppData/Local"),
    ("users.localappdata_low", "/Users/*/AppData/LocalLow"),
    ("users.temp", "/Users/*/AppData/Local/Temp"),
    ("users.userprofile", "/Users/*"),
    ("users.username", "*"),
    ("users.sid", "*"),
];

/// Selects by all definitions for the kind of system that is installed there.
pub(crate) fn apply(context: &mut Context<'_>, definitions: &Definitions) -> Selection {
    let root = context.root;
    let is_windows = evidence::os::find(root.fs).is_some_and(|system| system.windows.is_some());
    let folds = is_windows || root.fs.conventions().names == Names::CaseFolded;
    let mut selection = Selection { definitions: definitions.count(), ..Selection::default() };
    let index: BTreeMap<Vec<u8>, Item<'_>> =
        root.items().map(|item| (folded(item.path, folds), item)).collect();
    let mut names: BTreeMap<&[u8], BTreeSet<&str>> = BTreeMap::new();
    for definition in definitions.all.iter().filter(|one| suits(&one.systems, is_windows)) {
        let mut objects: BTreeSet<&[u8]> = BTreeSet::new();
        let mut has_files = false;
        for source in definition.sources.iter().filter(|one| suits(&one.systems, is_windows)) {
            match &source.kind {
                Kind::File | Kind::Path => {
                    has_files = true;
                    let found =
                        of_source(root, source, (&index, is_windows, folds), &mut selection);
                    objects.extend(found);
                }
                // What it names is applied by itself.
                Kind::Group(_) => {}
                Kind::Other(kind) => count(&mut selection.not_applied, kind),
            }
        }
        note(&mut names, definition, &objects);
        if has_files {
            selection.applied.insert(definition.name.clone(), objects.len());
        }
    }
    if names.len() > MAX_SELECTED {
        let text = format!(
            "definitions select {} objects; the first {MAX_SELECTED} are listed",
            names.len()
        );
        root.problems.borrow_mut().push(Problem::new(ProblemKind::Refused, Place::Source, text));
    }
    for (path, definitions) in names.into_iter().take(MAX_SELECTED) {
        let Some(item) = index.get(&folded(path, folds)).copied() else { continue };
        selection.artifacts.push(artifact(context, item, &definitions));
    }
    selection
}

fn note<'a>(
    names: &mut BTreeMap<&'a [u8], BTreeSet<&'a str>>,
    definition: &'a Definition,
    objects: &BTreeSet<&'a [u8]>,
) {
    for path in objects {
        names.entry(path).or_default().insert(&definition.name);
    }
}

fn folded(path: &[u8], folds: bool) -> Vec<u8> {
    if folds { path.to_ascii_lowercase() } else { path.to_vec() }
}

/// Whether a list of kinds of systems has this one; an empty list has all.
fn suits(systems: &[String], is_windows: bool) -> bool {
    let wanted = if is_windows { "Windows" } else { "Linux" };
    systems.is_empty() || systems.iter().any(|one| one == wanted)
}

fn count(counts: &mut BTreeMap<String, usize>, key: &str) {
    let number = counts.entry(key.to_owned()).or_default();
    *number = number.saturating_add(1);
}

/// Paths that a source selects.
fn of_source<'a>(
    root: &Root<'_>,
    source: &Source,
    (index, is_windows, folds): (&BTreeMap<Vec<u8>, Item<'a>>, bool, bool),
    selection: &mut Selection,
) -> Vec<&'a [u8]> {
    let mut out = Vec::new();
    for path in &source.paths {
        let path: String =
            path.chars().map(|one| if one == source.separator { '/' } else { one }).collect();
        let patterns = match expanded(root, &path, is_windows) {
            Ok(patterns) => patterns,
            Err(variable) => {
                count(&mut selection.unknown_variables, &variable);
                continue;
            }
        };
        for text in patterns {
            let pattern = Pattern::new(&folded(&root.canonical(&text), folds));
            let prefix = pattern.prefix();
            let range =
                index.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
            for (key, item) in range {
                let suits = source.kind == Kind::Path || item.metadata.kind != FileKind::Directory;
                if suits && pattern.matches(key) {
                    out.push(item.path);
                }
            }
        }
    }
    out
}

/// A path with its variables replaced, once for each value; the name of a variable that is not known otherwise.
fn expanded(root: &Root<'_>, path: &str, is_windows: bool) -> Result<Vec<Vec<u8>>, String> {
    let Some((before, rest)) = path.split_once("%%") else {
        return Ok(vec![path.as_bytes().to_vec()]);
    };
    let Some((name, after)) = rest.split_once("%%") else { return Err(rest.to_owned()) };
    let values: Vec<Vec<u8>> = if is_windows {
        let known = WINDOWS.iter().find(|(known, _)| *known == name.to_ascii_lowercase());
        known.map(|(_, value)| vec![value.as_bytes().to_vec()]).ok_or_else(|| name.to_owned())?
    } else {
        match name {
            "users.homedir" | "users.userprofile" => root.homes(),
            "users.username" => root.accounts.iter().map(|one| one.name.clone()).collect(),
            other => return Err(other.to_owned()),
        }
    };
    let mut out = Vec::new();
    for end in expanded(root, after, is_windows)? {
        out.extend(values.iter().map(|value| [before.as_bytes(), value, &end].concat()));
    }
    Ok(out)
}

fn artifact(context: &mut Context<'_>, item: Item<'_>, definitions: &BTreeSet<&str>) -> Artifact {
    let metadata = item.metadata;
    let sha256 = context.hashes(item).map(|hashes| hashes.sha256);
    if item.is_file() && metadata.size_bytes > context.options.largest_hashed_bytes {
        let limit = context.options.largest_hashed_bytes;
        let text = format!("{} bytes, no digest of files over {limit} bytes", metadata.size_bytes);
        let place = Place::Path(item.path.into());
        context.root.problems.borrow_mut().push(Problem::new(ProblemKind::Refused, place, text));
    }
    Artifact {
        definitions: definitions.iter().map(|name| (*name).to_owned()).collect(),
        path: RawPath(item.path.to_vec()),
        kind: metadata.kind,
        size_bytes: metadata.size_bytes,
        rights: format!("{:04o} {}:{}", metadata.mode, metadata.uid, metadata.gid),
        times: Times {
            modified: metadata.modified,
            changed: metadata.changed,
            born: metadata.born,
        },
        sha256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_windows_stand_for_its_places() {
        let known = |name: &str| WINDOWS.iter().find(|(known, _)| *known == name).unwrap().1;
        let pattern = format!("{}/Microsoft/**2", known("users.appdata")).to_ascii_lowercase();
        let pattern = Pattern::new(pattern.as_bytes());
        let path = folded(b"/Users/Eve/AppData/Roaming/microsoft/x/Y", true);
        assert!(pattern.matches(&path));
        assert!(suits(&[], true) && suits(&["Windows".to_owned()], true));
        assert!(!suits(&["Windows".to_owned()], false));
    }
}
