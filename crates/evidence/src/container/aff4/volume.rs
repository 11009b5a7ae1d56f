//! One file of an AFF4 image: its ZIP directory sorted by stream, and its metadata.
//!
//! A volume of many TiB has hundreds of thousands of members; of each only its place is kept, under the number of its bevy.

use super::turtle::{Graph, Value};
use super::zip::{self, Directory, Member};
use crate::bytes::Fields;
use crate::container::folder::Folder;
use crate::container::tables::Tables;
use crate::error::EvidenceError;
use crate::source::Source;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Texts of the Standard: the namespace of its terms, and the older one of the time before it.
pub(super) const SCHEMA: &str = "http://aff4.org/Schema#";
const TYPE: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type";

const MAX_TURTLE_BYTES: u64 = 16 << 20;
const MAX_SHORT_BYTES: u64 = 4096;

/// The members of one stream.
#[derive(Default)]
pub(super) struct Parts {
    /// Data and index of each bevy.
    pub(super) bevies: BTreeMap<u64, (Option<Member>, Option<Member>)>,
    /// Digests of the chunks of each bevy, by the name of the algorithm.
    pub(super) digests: BTreeMap<String, BTreeMap<u64, Member>>,
    pub(super) map: Option<Member>,
    pub(super) targets: Option<Member>,
    pub(super) path: Option<Member>,
}

/// A file of an image.
pub(super) struct Volume {
    /// Its name, escaped.
    pub(super) name: String,
    pub(super) file: Arc<dyn Source>,
    /// The same, for reading a few bytes at a time.
    pub(super) tables: Tables,
    /// The name it has for others.
    pub(super) urn: String,
    /// Lines of `version.txt`.
    pub(super) version: Vec<(String, String)>,
    pub(super) graph: Graph,
    parts: HashMap<String, Parts>,
    /// What is wrong with it.
    pub(super) problems: Vec<String>,
}

/// Whether the file is an AFF4 volume: a ZIP file with the members every volume has.
pub(super) fn is_volume(head: Fields<'_>, file: &dyn Source) -> bool {
    if !head.has(0, zip::LOCAL) {
        return false;
    }
    // A volume should begin with its description, which shows even where the directory at the end is missing.
    if head.has(30, b"container.description") {
        return true;
    }
    let Ok(Some(directory)) = Directory::find(file) else { return false };
    if !directory.comment.starts_with(b"aff4://") && !is_listed(&directory, file) {
        return false;
    }
    true
}

fn is_listed(directory: &Directory, file: &dyn Source) -> bool {
    let mut found = false;
    let listed = directory.each(file, &mut |name, _| found |= name == b"container.description");
    listed.is_ok() && found
}

impl Volume {
    pub(super) fn open(
        file: &Arc<dyn Source>,
        name: &[u8],
        folder: &mut Folder<'_>,
    ) -> Result<Self, EvidenceError> {
        let shown = crate::escape_bytes(name);
        let bad =
            |what: String| EvidenceError::corrupt(format!("the AFF4 volume \"{shown}\": {what}"));
        let directory = Directory::find(&**file).map_err(&bad)?.ok_or_else(|| {
            bad("it has no ZIP directory at its end; it was cut off, or is still being written"
                .into())
        })?;
        let mut volume = Self {
            name: shown.clone(),
            file: Arc::clone(file),
            tables: folder.tables(file),
            urn: String::from_utf8_lossy(&directory.comment).trim_end_matches('\0').to_owned(),
            version: Vec::new(),
            graph: Graph::default(),
            parts: HashMap::new(),
            problems: Vec::new(),
        };
        let mut known = HashMap::new();
        let listed = directory.each(&**file, &mut |name, member| match name {
            b"container.description" | b"version.txt" | b"information.turtle" => {
                known.insert(name.to_vec(), member);
            }
            _ => volume.sort(name, member),
        });
        volume.problems.extend(listed.err());
        let mut text = |name: &str, limit_bytes| {
            let member = known.get(name.as_bytes())?;
            let read = zip::content(&volume.file, &volume.tables, member, limit_bytes);
            read.map_err(|what| volume.problems.push(format!("{name}: {what}"))).ok()
        };
        let turtle = text("information.turtle", MAX_TURTLE_BYTES);
        let version = text("version.txt", MAX_SHORT_BYTES).unwrap_or_default();
        if let Some(urn) = text("container.description", MAX_SHORT_BYTES) {
            String::from_utf8_lossy(&urn).trim().clone_into(&mut volume.urn);
        }
        volume.version = String::from_utf8_lossy(&version)
            .split(['\r', '\n'])
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let turtle = turtle.ok_or_else(|| bad("it has no readable information.turtle".into()))?;
        let (graph, ended) = Graph::parse(&turtle);
        volume.problems.extend(ended.map(|what| format!("information.turtle, {what}")));
        volume.graph = graph;
        Ok(volume)
    }

    /// Puts a member to its stream. Names are `<stream>/00000000`, `….index`, `….blockHash.md5`, `<map>/map` and `/idx`,
    /// the stream with `://` and more percent-encoded, or relative to the volume (Standard, 5.1 and 5.2).
    fn sort(&mut self, name: &[u8], member: Member) {
        let name = decode(name);
        let Some((stream, leaf)) = name.rsplit_once('/') else { return };
        let stream = stream.trim_start_matches('/');
        let parts = match self.parts.get_mut(stream) {
            Some(parts) => parts,
            None => self.parts.entry(stream.to_owned()).or_default(),
        };
        match leaf {
            "map" => parts.map = Some(member),
            "idx" => parts.targets = Some(member),
            "mapPath" => parts.path = Some(member),
            _ => {
                let (number, ending) = leaf.split_once('.').unwrap_or((leaf, ""));
                let is_number =
                    number.len() >= 8 && number.bytes().all(|byte| byte.is_ascii_digit());
                let Some(number) = number.parse::<u64>().ok().filter(|_| is_number) else { return };
                match ending {
                    "" => parts.bevies.entry(number).or_default().0 = Some(member),
                    "index" => parts.bevies.entry(number).or_default().1 = Some(member),
                    _ => {
                        let method = ending.strip_prefix("blockHash.").unwrap_or(ending);
                        let digests = parts.digests.entry(method.to_ascii_lowercase()).or_default();
                        digests.insert(number, member);
                    }
                }
            }
        }
    }

    /// The members of a stream, by its whole name.
    pub(super) fn parts(&self, urn: &str) -> Option<&Parts> {
        let relative =
            || urn.strip_prefix(self.urn.as_str()).map(|rest| rest.trim_start_matches('/'));
        self.parts.get(urn).or_else(|| self.parts.get(relative()?))
    }

    /// Whether a resource is said to be of a type of the Standard.
    pub(super) fn is_a(&self, subject: &str, kind: &str) -> bool {
        self.graph
            .all(subject, TYPE)
            .any(|value| value.text().strip_prefix(SCHEMA).is_some_and(|found| found == kind))
    }

    /// A property of the Standard.
    pub(super) fn property(&self, subject: &str, name: &str) -> Option<&Value> {
        self.graph.first(subject, &format!("{SCHEMA}{name}"))
    }

    /// A property that is a number.
    pub(super) fn number(&self, subject: &str, name: &str) -> Option<u64> {
        self.property(subject, name)?.text().trim().parse().ok()
    }

    /// The whole of a short member.
    pub(super) fn content(&self, member: &Member, limit_bytes: u64) -> Result<Vec<u8>, String> {
        zip::content(&self.file, &self.tables, member, limit_bytes)
    }
}

/// Resolves the percent-encoding of a member's name.
fn decode(name: &[u8]) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value.filter(|_| *byte == b'%') {
            Some(value) => {
                out.push(value);
                rest = after.get(2..).unwrap_or(&[]);
            }
            None => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_as_the_standard_shows() {
        assert_eq!(decode(b"aff4%3A%2F%2Fab-1/00000000.index"), "aff4://ab-1/00000000.index");
        assert_eq!(decode(b"%zz%4"), "%zz%4");
    }
}
