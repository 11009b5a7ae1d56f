//! What the examiner brings: YARA rules and definitions of artifacts, read from files and folders, checked, and told to the
//! act with their digests.

use std::path::{Path, PathBuf};

use casebook::Item;
use hashing::Algorithms;
use serde_json::json;
use triage::{Definitions, YaraRules};

use crate::failure::Failure;

/// Largest file read; the published collections in one file are a tenth of it.
const RULES_BYTES_AT_MOST: u64 = 64 << 20;
/// How files of rules and of definitions end, where a folder is given.
const RULES: [&str; 2] = ["yar", "yara"];
const DEFINITIONS: [&str; 2] = ["yaml", "yml"];

/// Rules ready for use.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) compiled: Option<YaraRules>,
    /// The files, as an act lists them.
    pub(super) items: Vec<Item>,
}

/// Reads and compiles; without any path there are no rules.
///
/// # Errors
/// If a file cannot be read or its rules are wrong, or a folder holds no rules.
pub(super) fn read(paths: &[PathBuf]) -> Result<Rules, Failure> {
    if paths.is_empty() {
        return Ok(Rules::default());
    }
    let (texts, items) = texts(paths, RULES, "YARA rules")?;
    let named = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let compiled = YaraRules::compile(named).map_err(|refused| {
        Failure::new(refused.to_string()).hint("YARA 4 rules, without include; give every file")
    })?;
    Ok(Rules { compiled: Some(compiled), items })
}

/// Definitions ready for use.
#[derive(Default)]
pub(super) struct Artifacts {
    pub(super) definitions: Option<Definitions>,
    /// The files, as an act lists them.
    pub(super) items: Vec<Item>,
}

/// Reads definitions, and keeps those of these names where any are given.
///
/// # Errors
/// If a file cannot be read or is wrong, a folder holds none, or there is none of a name.
pub(super) fn definitions(paths: &[PathBuf], names: &[String]) -> Result<Artifacts, Failure> {
    if paths.is_empty() {
        return Ok(Artifacts::default());
    }
    let (texts, items) = texts(paths, DEFINITIONS, "definitions of artifacts")?;
    let named = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let refused = |refused: triage::DefinitionsRefused| {
        Failure::new(refused.to_string())
            .hint("ForensicArtifacts definitions in YAML: name, sources, type, attributes")
    };
    let mut found = Definitions::parse(named).map_err(refused)?;
    if !names.is_empty() {
        found = found.only(names).map_err(refused)?;
    }
    Ok(Artifacts { definitions: Some(found), items })
}

/// Names and texts of files, and the files as an act lists them.
type Texts = (Vec<(String, String)>, Vec<Item>);

fn texts(paths: &[PathBuf], endings: [&str; 2], what: &str) -> Result<Texts, Failure> {
    let mut texts = Vec::new();
    let mut items = Vec::new();
    for path in files(paths, endings)? {
        let bytes = bounded(&path)?;
        let name = path.display().to_string();
        items.push(Item {
            name: name.clone(),
            size_bytes: u64::try_from(bytes.len()).ok(),
            digests: hashing::digest_bytes(&bytes, &Algorithms::sha256()),
            facts: json!({ "what": what }),
        });
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::new(format!("{name} is not text in UTF-8")))?;
        texts.push((name, text));
    }
    Ok((texts, items))
}

/// The files meant, folders resolved to what lies in them, in order of name.
fn files(paths: &[PathBuf], endings: [&str; 2]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let doing =
            |e: std::io::Error| Failure::from(e).while_doing(format!("reading {}", path.display()));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(doing)? {
            let entry = entry.map_err(doing)?.path();
            let ending = entry.extension().and_then(|ending| ending.to_str());
            if ending.is_some_and(|ending| endings.contains(&ending)) && entry.is_file() {
                found.push(entry);
            }
        }
        if found.is_empty() {
            let [one, other] = endings;
            let text = format!("{} holds no .{one} or .{other} file", path.display());
            return Err(Failure::new(text));
        }
        found.sort();
        all.append(&mut found);
    }
    Ok(all)
}

fn bounded(path: &Path) -> Result<Vec<u8>, Failure> {
    let doing =
        |e: std::io::Error| Failure::from(e).while_doing(format!("reading {}", path.display()));
    let found = std::fs::metadata(path).map_err(doing)?;
    if !found.is_file() || found.len() > RULES_BYTES_AT_MOST {
        let limit = RULES_BYTES_AT_MOST >> 20;
        return Err(Failure::new(format!("{} is no file of up to {limit} MiB", path.display())));
    }
    std::fs::read(path).map_err(doing)
}
