//! The JSON-lines form of a manifest.
//!
//! First line: `{"format":"glovebox-manifest","version":1}`. Each further line is one entry. A path
//! that is UTF-8 stands in `path`, any other in `path_hex`, so no name is lost or changed.

use serde::{Deserialize, Serialize};

use crate::digest::{decode_hex, encode_hex};
use crate::manifest::keep_problem;
use crate::{Content, Digests, Entry, Error, Manifest, SpecialKind};

const FORMAT: &str = "glovebox-manifest";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize, Default)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digests: Option<Digests>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    special: Option<SpecialKind>,
}

impl Manifest {
    /// The list as JSON lines, each ending in a line feed.
    #[must_use]
    pub fn to_json_lines(&self) -> String {
        let header = Header { format: FORMAT.to_owned(), version: VERSION };
        let mut text = serde_json::to_string(&header).unwrap_or_default();
        text.push('\n');
        for (path, content) in self.iter() {
            // Strings, numbers and enums only: there is nothing here that JSON cannot hold.
            text.push_str(&serde_json::to_string(&Line::of(path, content)).unwrap_or_default());
            text.push('\n');
        }
        text
    }

    /// One line that is no heading.
    pub(crate) fn entry_of_json(line: &[u8]) -> Result<Entry, String> {
        let line = serde_json::from_slice::<Line>(line).map_err(|error| error.to_string())?;
        line.into_entry()
    }

    /// Reads JSON lines; lines that do not follow the format become problems, the rest is kept.
    #[must_use]
    pub fn from_json_lines(text: &[u8]) -> (Self, Vec<Error>) {
        let mut manifest = Self::new();
        let mut problems = Vec::new();
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1usize..) {
            let result = if number == 1 {
                check_header(line)
            } else if line.is_empty() {
                Ok(())
            } else {
                serde_json::from_slice::<Line>(line)
                    .map_err(|error| error.to_string())
                    .and_then(Line::into_entry)
                    .and_then(|entry| manifest.accept(entry))
            };
            keep_problem(&mut problems, number, result);
        }
        (manifest, problems)
    }
}

fn check_header(line: &[u8]) -> Result<(), String> {
    let header: Header = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if header.format == FORMAT && header.version == VERSION {
        Ok(())
    } else {
        Err(format!(
            "format is \"{}\" version {}, expected \"{FORMAT}\" version {VERSION}",
            crate::escape_name(header.format.as_bytes()),
            header.version
        ))
    }
}

impl Line {
    fn of(path: &[u8], content: &Content) -> Self {
        let (path, path_hex) = to_text(path);
        let line = Self { path, path_hex, ..Self::default() };
        match content {
            Content::File { size_bytes, digests } => Self {
                kind: "file".to_owned(),
                size_bytes: *size_bytes,
                digests: Some(digests.clone()),
                ..line
            },
            Content::Directory => Self { kind: "directory".to_owned(), ..line },
            Content::Symlink { target } => {
                let (target, target_hex) = to_text(target);
                Self { kind: "symlink".to_owned(), target, target_hex, ..line }
            }
            Content::Special(special) => {
                Self { kind: "special".to_owned(), special: Some(*special), ..line }
            }
        }
    }

    fn into_entry(self) -> Result<Entry, String> {
        let path = from_text(self.path, self.path_hex).ok_or("entry has no readable path")?;
        let content = match self.kind.as_str() {
            "file" => Content::File {
                size_bytes: self.size_bytes,
                digests: self.digests.unwrap_or_default(),
            },
            "directory" => Content::Directory,
            "symlink" => Content::Symlink {
                target: from_text(self.target, self.target_hex)
                    .ok_or("symlink has no readable target")?,
            },
            "special" => Content::Special(self.special.unwrap_or(SpecialKind::Other)),
            other => {
                return Err(format!("type is \"{}\"", crate::escape_name(other.as_bytes())));
            }
        };
        Ok(Entry { path, content })
    }
}

fn to_text(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(encode_hex(bytes))),
    }
}

fn from_text(text: Option<String>, hex: Option<String>) -> Option<Vec<u8>> {
    match (text, hex) {
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(hex)) => decode_hex(&hex),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, digest_bytes};

    #[test]
    fn every_kind_survives() {
        let digests = digest_bytes(b"abc", &Algorithm::ALL.into_iter().collect());
        let contents = [
            Content::File { size_bytes: Some(3), digests },
            Content::Directory,
            Content::Symlink { target: b"\xff/x".to_vec() },
            Content::Special(SpecialKind::Fifo),
        ];
        let mut manifest = Manifest::new();
        for (content, letter) in contents.into_iter().zip(b'a'..) {
            manifest.insert(Entry { path: vec![letter, 0xfe, b'\n'], content });
        }
        let (back, problems) = Manifest::from_json_lines(manifest.to_json_lines().as_bytes());
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(back, manifest);
    }

    #[test]
    fn another_version_is_refused() {
        let (_, problems) =
            Manifest::from_json_lines(b"{\"format\":\"glovebox-manifest\",\"version\":9}\n");
        assert!(problems[0].to_string().contains("version 9, expected"), "{problems:?}");
    }
}
