//! One object of a file system, as verbs show it: a line for people, a record for programs.

use evidence::bodyfile::{letter, permissions};
use evidence::fs::{FileKind, FileSystem, Metadata, Owners, RawPath};
use evidence::{EvidenceError, Problem, Time};
use serde::Serialize;

/// The record.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    /// Where the tree is addressed; address and path together name the object.
    pub(crate) volume: &'a str,
    /// Its path, escaped.
    pub(crate) path: &'a RawPath,
    /// Its path in hexadecimal, where escaping changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_hex: Option<String>,
    /// How the file system's own tools write its number.
    pub(crate) number: String,
    #[serde(flatten)]
    pub(crate) metadata: &'a Metadata,
    /// Where a symbolic link points to, escaped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<RawPath>,
}

impl<'a> Entry<'a> {
    /// The record of an object; a link whose target cannot be read has none.
    pub(crate) fn new(
        volume: &'a str,
        fs: &dyn FileSystem,
        path: &'a RawPath,
        metadata: &'a Metadata,
    ) -> Self {
        let is_link = metadata.kind == FileKind::Symlink;
        Self {
            volume,
            path,
            path_hex: hex_if_escaped(&path.0),
            number: fs.node_name(metadata.node),
            metadata,
            target: is_link.then(|| fs.read_link(metadata.node).ok()).flatten(),
        }
    }

    /// The line: rights, links, owner, size, time of last change, name.
    pub(crate) fn line(&self, name: &str, owners: Owners) -> String {
        let m = self.metadata;
        let owner = match owners {
            Owners::Recorded => format!("{:>5} {:>5}", m.uid, m.gid),
            Owners::None => format!("{:>5} {:>5}", "-", "-"),
        };
        let kind = if m.kind == FileKind::File { '-' } else { letter(m.kind) };
        let size = match m.device {
            Some((major, minor)) => format!("{major}, {minor}"),
            None => m.size_bytes.to_string(),
        };
        let mut line = format!(
            "{kind}{} {:>3} {owner} {size:>12} {:<20} {name}",
            permissions(m.mode),
            m.links,
            m.modified.map_or_else(|| "-".to_owned(), |time| seconds(time).to_string())
        );
        if let Some(target) = &self.target {
            line.push_str(&format!(" -> {target}"));
        }
        let marks: Vec<String> = m.attributes.iter().filter_map(|mark| word(&mark)).collect();
        if !marks.is_empty() {
            line.push_str(&format!("  [{}]", marks.join(", ")));
        }
        line
    }
}

/// Without the fraction, which `stat` shows.
fn seconds(time: Time) -> Time {
    Time { nanoseconds: 0, ..time }
}

/// The word a value is serialised as.
pub(crate) fn word<T: Serialize>(value: &T) -> Option<String> {
    Some(serde_json::to_value(value).ok()?.as_str()?.to_owned())
}

/// The bytes in hexadecimal, if showing them changes them.
pub(crate) fn hex_if_escaped(raw: &[u8]) -> Option<String> {
    (evidence::escape_bytes(raw).as_bytes() != raw)
        .then(|| raw.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A problem met while reading, for the record of a verb.
#[derive(Serialize)]
pub(crate) struct Trouble<'a> {
    pub(crate) volume: &'a str,
    #[serde(flatten)]
    pub(crate) problem: &'a Problem,
}

/// What an error says about an object, as a problem at its path.
pub(crate) fn problem_at(path: &RawPath, error: &EvidenceError) -> Problem {
    error.to_problem(evidence::Place::Path(path.clone()))
}
