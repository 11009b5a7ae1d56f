//! Definitions of forensic artifacts (ForensicArtifacts, YAML): which files are worth taking, and what they are.
//!
//! A definition selects files by patterns of paths; nothing else of it is used here. Commands are never run, registry keys
//! and WMI queries are counted as not applied, so that nobody takes silence for absence.

mod apply;
mod pattern;
mod yaml;

pub(crate) use apply::apply;
pub use apply::{Artifact, Selection};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use yaml::Node;

/// Definitions read at most.
const MAX_DEFINITIONS: usize = 100_000;

/// Definitions that could not be read.
#[derive(Debug)]
pub struct DefinitionsRefused {
    /// The file they stand in; empty where the choice of them is what is wrong.
    pub file: String,
    /// What is wrong, with line and column.
    pub reason: String,
}

impl fmt::Display for DefinitionsRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            return f.write_str(&self.reason);
        }
        write!(f, "definitions of artifacts in {}: {}", self.file, self.reason)
    }
}

impl std::error::Error for DefinitionsRefused {}

/// What a source of a definition is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Files: their content.
    File,
    /// Files and directories: that they are there.
    Path,
    /// Other definitions by name.
    Group(Vec<String>),
    /// What is not read from files: `COMMAND`, `REGISTRY_KEY`, `WMI` and the like.
    Other(String),
}

#[derive(Clone, Debug)]
struct Source {
    kind: Kind,
    paths: Vec<String>,
    separator: char,
    systems: Vec<String>,
}

#[derive(Clone, Debug)]
struct Definition {
    name: String,
    aliases: Vec<String>,
    systems: Vec<String>,
    sources: Vec<Source>,
}

/// Definitions to apply.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    all: Vec<Definition>,
}

impl Definitions {
    /// Reads definitions, given as (name of the file, text).
    ///
    /// # Errors
    /// If a file is no YAML, or a document in it lacks a name or sources.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, DefinitionsRefused> {
        let mut all = Vec::new();
        for (file, text) in files {
            let refused = |reason: String| DefinitionsRefused { file: file.to_owned(), reason };
            for (number, node) in (1_usize..).zip(yaml::documents(text).map_err(refused)?) {
                let read = definition(&node);
                all.push(read.map_err(|what| refused(format!("document {number}: {what}")))?);
                if all.len() > MAX_DEFINITIONS {
                    return Err(refused(format!("more than {MAX_DEFINITIONS} definitions")));
                }
            }
        }
        Ok(Self { all })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Only those with these names, and what groups among them name.
    ///
    /// # Errors
    /// If there is none of a name.
    pub fn only(self, names: &[String]) -> Result<Self, DefinitionsRefused> {
        let mut by_name: BTreeMap<&str, &Definition> = BTreeMap::new();
        for one in &self.all {
            for name in one.aliases.iter().chain([&one.name]) {
                by_name.insert(name, one);
            }
        }
        let mut open: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut wanted: BTreeSet<&str> = BTreeSet::new();
        while let Some(name) = open.pop() {
            let Some(one) = by_name.get(name) else {
                // A group may name what another collection of definitions has; a person may not.
                if names.iter().any(|asked| asked == name) {
                    let reason = format!("there is no definition {name}");
                    return Err(DefinitionsRefused { file: String::new(), reason });
                }
                continue;
            };
            if wanted.insert(&one.name) {
                for source in &one.sources {
                    if let Kind::Group(names) = &source.kind {
                        open.extend(names.iter().map(String::as_str));
                    }
                }
            }
        }
        let wanted: BTreeSet<String> = wanted.into_iter().map(str::to_owned).collect();
        let all = self.all.into_iter().filter(|one| wanted.contains(&one.name)).collect();
        Ok(Self { all })
    }
}

fn definition(node: &Node) -> Result<Definition, String> {
    let name = node.field("name").and_then(Node::text).ok_or("it has no name")?;
    let sources = node.field("sources").and_then(Node::list);
    let sources = sources.ok_or_else(|| format!("{name} has no list of sources"))?;
    let sources = sources.iter().map(|one| source(one).map_err(|what| format!("{name}: {what}")));
    Ok(Definition {
        name: name.to_owned(),
        aliases: node.texts("aliases"),
        systems: node.texts("supported_os"),
        sources: sources.collect::<Result<_, _>>()?,
    })
}

fn source(node: &Node) -> Result<Source, String> {
    let kind = node.field("type").and_then(Node::text).ok_or("a source has no type")?;
    let empty = Node::Map(Vec::new());
    let attributes = node.field("attributes").unwrap_or(&empty);
    let paths = attributes.texts("paths");
    let kind = match kind {
        "FILE" => Kind::File,
        "PATH" | "DIRECTORY" => Kind::Path,
        "ARTIFACT_GROUP" => Kind::Group(attributes.texts("names")),
        other => Kind::Other(other.to_owned()),
    };
    if matches!(kind, Kind::File | Kind::Path) && paths.is_empty() {
        return Err("a source of files has no paths".to_owned());
    }
    let separator = attributes.field("separator").and_then(Node::text);
    let separator = separator.and_then(|text| text.chars().next()).unwrap_or('/');
    Ok(Source { kind, paths, separator, systems: node.texts("supported_os") })
}
