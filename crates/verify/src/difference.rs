//! What was changed in a configuration file: the packaged form out of the archive beside the one on the system.
//!
//! Configuration is its owner's to change, so that a digest alone says nothing: the lines do. The packaged form comes from the
//! package file, which is the one the signed catalogue names; never from the system (`*.dpkg-dist`, `*.ucf-dist`).

use std::collections::{BTreeMap, BTreeSet};

use archive::store::{Catalogue, Item, ItemKind};
use evidence::FileSystem;
use evidence::fs::Node;
use serde::Serialize;

use crate::diff;
use crate::examination::{Deviation, Examination, Rule};

/// Longest file compared line by line.
const MAX_TEXT_BYTES: u64 = 512 << 10;
/// Lines shown of one file.
const MAX_LINES: usize = 200;
/// Lines shown of all files together.
const MAX_LINES_IN_ALL: usize = 20_000;
/// Bytes shown of one line.
const MAX_LINE_BYTES: usize = 400;

/// How a file differs from its packaged form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Difference {
    /// In lines.
    Text {
        /// As `diff -u` tells them, from the packaged form to the one found; text from evidence is escaped.
        lines: Vec<String>,
        /// Lines that the packaged form has and the file has not.
        removed: usize,
        /// Lines that the file has and the packaged form has not.
        added: usize,
        /// Lines of the difference that are not shown.
        further_lines: usize,
    },
    /// One of them is no text.
    Binary {
        /// Length of the packaged form.
        packaged_bytes: u64,
        /// Length of the file.
        found_bytes: u64,
    },
    /// It could not be told.
    Unknown {
        /// Why.
        why: String,
    },
}

/// A changed configuration file that is still to be told.
pub(crate) struct Pending {
    pub(crate) rule: &'static Rule,
    pub(crate) path: Vec<u8>,
    /// Number of the package in the claims.
    pub(crate) package: usize,
    pub(crate) item: Item,
    pub(crate) node: Node,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Tells the changed configuration files, package by package, so that each package file is unpacked once.
pub(crate) fn apply(examination: &mut Examination<'_>, catalogue: &Catalogue) {
    let mut by_package: BTreeMap<usize, Vec<Pending>> = BTreeMap::new();
    for one in std::mem::take(&mut examination.pending) {
        by_package.entry(one.package).or_default().push(one);
    }
    let mut left = MAX_LINES_IN_ALL;
    for (package, all) in by_package {
        let packaged = packaged_forms(examination, catalogue, package, &all);
        for one in all {
            let difference = match &packaged {
                Ok(forms) => difference(examination, &one, forms, &mut left),
                Err(why) => Difference::Unknown { why: why.clone() },
            };
            let deviation = Deviation::at(&one.path)
                .of(examination.claims.name(package))
                .instead(one.expected, one.found)
                .differing(difference);
            examination.tell(one.rule, deviation);
        }
    }
}

/// The packaged forms, by their path in the package; only those short enough.
fn packaged_forms(
    examination: &Examination<'_>,
    catalogue: &Catalogue,
    package: usize,
    all: &[Pending],
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, String> {
    let is_short = |one: &&Pending| matches!(one.item.kind, ItemKind::File { size_bytes, .. } if size_bytes <= MAX_TEXT_BYTES);
    let paths: BTreeSet<Vec<u8>> =
        all.iter().filter(is_short).map(|one| one.item.path.clone()).collect();
    let mut forms = BTreeMap::new();
    if paths.is_empty() {
        return Ok(forms);
    }
    let claimed = examination.claims.packages.get(package);
    let row = claimed.and_then(|one| catalogue.find(&one.name, &one.version, &one.architecture));
    let row = row.ok_or_else(|| "its package is not in the catalogue".to_owned())?;
    let taken = catalogue.extract(row, &paths, &mut |item, input| {
        let mut text = Vec::new();
        input.read_to_end(&mut text)?;
        forms.insert(item.path.clone(), text);
        Ok(())
    });
    taken.map_err(|error| chain(&error))?;
    Ok(forms)
}

/// An error with what it is caused by.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        // Some errors tell their cause themselves.
        let own = cause.to_string();
        if !text.contains(&own) {
            text.push_str(&format!(": {own}"));
        }
        next = cause.source();
    }
    text
}

fn difference(
    examination: &Examination<'_>,
    one: &Pending,
    forms: &BTreeMap<Vec<u8>, Vec<u8>>,
    left: &mut usize,
) -> Difference {
    let unknown = |why: String| Difference::Unknown { why };
    let Some(packaged) = forms.get(&one.item.path) else {
        return unknown(format!("the packaged form is longer than {MAX_TEXT_BYTES} bytes"));
    };
    with_file(packaged, (examination.inventory.fs, one.node), left)
}

/// How a file of the system differs from a text it is to have; `left` lines may still be shown.
pub(crate) fn with_file(
    packaged: &[u8],
    (fs, node): (&dyn FileSystem, Node),
    left: &mut usize,
) -> Difference {
    let unknown = |why: String| Difference::Unknown { why };
    let limit = usize::try_from(MAX_TEXT_BYTES).unwrap_or(usize::MAX);
    let found = match fs.read_head(node, limit) {
        Ok((found, true)) => found,
        Ok((_, false)) => {
            return unknown(format!("the file is longer than {MAX_TEXT_BYTES} bytes"));
        }
        Err(error) => return unknown(chain(&error)),
    };
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if packaged.contains(&0) || found.contains(&0) {
        return Difference::Binary {
            packaged_bytes: length(packaged),
            found_bytes: length(&found),
        };
    }
    let hunks = diff::compare(packaged, &found);
    let shown = hunks.lines.len().min(MAX_LINES).min(*left);
    *left = left.saturating_sub(shown);
    let lines = hunks.lines.iter().take(shown).map(|line| line.shown(MAX_LINE_BYTES)).collect();
    Difference::Text {
        lines,
        removed: hunks.removed,
        added: hunks.added,
        further_lines: hunks.lines.len().saturating_sub(shown),
    }
}
