//! `techniques.toml`: what is planted for each row and what must be told.

use crate::made::made;
use crate::overlay::Overlay;
use evidence::fs::FileKind;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Document {
    technique: Vec<Technique>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Technique {
    pub(crate) row: String,
    pub(crate) name: String,
    pub(crate) attack: Vec<String>,
    #[serde(default)]
    pub(crate) digests: bool,
    /// Cannot be planted together with the others.
    #[serde(default)]
    pub(crate) alone: bool,
    pub(crate) expect: Vec<String>,
    #[serde(default)]
    pub(crate) also: Vec<String>,
    plant: Vec<Plant>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plant {
    path: String,
    mode: Option<String>,
    text: Option<String>,
    append: Option<String>,
    link: Option<String>,
    elf: Option<String>,
    copy: Option<String>,
    flip: Option<usize>,
    cpio: Option<String>,
    made: Option<String>,
    xattr: Option<Attribute>,
}

#[derive(Debug, Deserialize)]
struct Attribute {
    name: String,
    hex: String,
}

pub(crate) fn techniques() -> Vec<Technique> {
    let document: Document = toml::from_str(include_str!("../techniques.toml")).unwrap();
    for one in &document.technique {
        assert!(one.attack.iter().all(|id| id.starts_with('T')) && !one.attack.is_empty());
    }
    document.technique
}

impl Technique {
    pub(crate) fn plant(&self, fs: &mut Overlay<'_>) {
        for plant in &self.plant {
            plant.put(fs);
        }
    }

    /// Whether the path is one that the row changes.
    pub(crate) fn touches(&self, path: &str) -> bool {
        let fits = |pattern: &String| {
            evidence::fs::glob::matches(pattern.as_bytes(), path.as_bytes()) || pattern == path
        };
        self.plant.iter().any(|plant| fits(&plant.path)) || self.also.iter().any(fits)
    }
}

impl Plant {
    fn put(&self, fs: &mut Overlay<'_>) {
        let path = fs.resolve(self.path.as_bytes());
        let path = path.as_slice();
        let mode = self.mode.as_ref().map(|text| u32::from_str_radix(text, 8).unwrap());
        if let Some(target) = &self.link {
            return fs.put(path, FileKind::Symlink, Some(0o777), Some(target.as_bytes().to_vec()));
        }
        let old = || fs.content(path).unwrap_or_else(|| panic!("{} is not there", self.path));
        let content = if let Some(text) = &self.text {
            Some(text.as_bytes().to_vec())
        } else if let Some(text) = &self.append {
            Some([fs.content(path).unwrap_or_default(), text.as_bytes().to_vec()].concat())
        } else if let Some(text) = &self.elf {
            Some([b"\x7fELF\x02\x01\x01\x00", text.as_bytes()].concat())
        } else if let Some(other) = &self.copy {
            Some(fs.content(other.as_bytes()).unwrap())
        } else if let Some(name) = &self.cpio {
            Some([newc(name, b"#!/bin/sh\n/opt/x\n"), newc("TRAILER!!!", b"")].concat())
        } else if let Some(kind) = &self.made {
            Some(made(kind))
        } else if let Some(at) = self.flip {
            let mut content = old();
            content[at] ^= 1;
            Some(content)
        } else {
            None
        };
        fs.put(path, FileKind::File, mode, content);
        if let Some(attribute) = &self.xattr {
            let hex = attribute.hex.as_bytes().chunks(2);
            let value =
                hex.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap());
            fs.xattr(path, &attribute.name, value.collect());
        }
    }
}

/// A member of an archive in cpio's "newc" form.
fn newc(name: &str, content: &[u8]) -> Vec<u8> {
    let mut out = b"070701".to_vec();
    let fields = [1, 0o100_755, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
    fields.iter().for_each(|field| out.extend(format!("{field:08x}").into_bytes()));
    out.extend(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(content);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}
