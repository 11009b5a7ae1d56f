//! The listing of one package, and of an installed tree: every object with what must be true of it, one JSON line each.
//!
//! Packed with gzip, always to the same bytes. A name that is no UTF-8 stands in hexadecimal, because JSON holds no other.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};

use hashing::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use crate::debian::{Contents, Kind, Origin, Package};
use crate::{Error, Result};

const FORMAT: u32 = 1;
/// Objects of one listing; the largest package has 60,000, an installed system a few hundred thousand.
const MAX_ITEMS: usize = 4_000_000;
/// Longest line.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// What must be true of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Absolute path, raw.
    pub path: Vec<u8>,
    /// Part of the package it is from.
    pub origin: Origin,
    /// What it is.
    pub kind: ItemKind,
    /// Permission bits with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    /// Number of the owner.
    pub uid: u64,
    /// Number of the group.
    pub gid: u64,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the package declares it as a file its owner may change.
    pub is_conffile: bool,
    /// Owner and group by name, where the vendor gives no numbers: those above mean nothing then.
    pub owner: Option<Owner>,
}

/// Names of an owner and a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The account.
    pub user: String,
    /// The group.
    pub group: String,
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// A regular file with these bytes.
    File {
        /// Its length in bytes.
        size_bytes: u64,
        /// Its SHA-256.
        sha256: Digest,
    },
    /// A directory.
    Directory,
    /// A symbolic link to this target, raw.
    Symlink(Vec<u8>),
    /// Another name of the object at this path of the same package.
    HardLink(Vec<u8>),
    /// A device, pipe or socket.
    Special,
    /// The package owns the place; what stands there is made on the system.
    Ghost,
}

/// All objects of one package or tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Name of the package, or of the tree.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Its architecture.
    pub architecture: String,
    /// SHA-256 of the package file in hexadecimal; empty for a tree.
    pub file_sha256: String,
    /// Its objects.
    pub items: Vec<Item>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    listing: u32,
    package: String,
    version: String,
    architecture: String,
    file_sha256: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    path_hex: Option<String>,
    #[serde(rename = "type")]
    kind: Word,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    to_hex: Option<String>,
    /// In octal.
    mode: String,
    uid: u64,
    gid: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    control: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    conffile: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    owner: Option<Owner>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    xattrs_hex: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Word {
    File,
    Directory,
    Symlink,
    HardLink,
    Special,
    Ghost,
}

impl Listing {
    /// The listing of a package whose bytes were checked.
    #[must_use]
    pub fn of_package(package: &Package, contents: &Contents) -> Self {
        let items = contents.members().iter().map(|member| Item {
            path: member.path.clone(),
            origin: member.origin,
            kind: match &member.kind {
                Kind::File { size_bytes, sha256 } => {
                    ItemKind::File { size_bytes: *size_bytes, sha256: sha256.clone() }
                }
                Kind::Directory => ItemKind::Directory,
                Kind::Symlink(to) => ItemKind::Symlink(to.clone()),
                Kind::HardLink(to) => ItemKind::HardLink(to.clone()),
                Kind::Special => ItemKind::Special,
            },
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            xattrs: member
                .xattrs
                .iter()
                .map(|(name, value)| (name.clone().into_bytes(), value.clone()))
                .collect(),
            is_conffile: member.origin == Origin::Data
                && contents.conffiles().contains(&member.path),
            owner: None,
        });
        Self {
            package: package.name.clone(),
            version: package.version.to_string(),
            architecture: package.architecture.clone(),
            file_sha256: package.file().sha256().to_hex(),
            items: items.collect(),
        }
    }

    /// The packed text; the same listing gives the same bytes.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_packed(&self) -> Result<Vec<u8>> {
        // No name and no time in the head of the gzip stream: `GzBuilder` writes neither unless told.
        let mut out = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::default());
        let mut put = |value: serde_json::Result<Vec<u8>>| -> std::io::Result<()> {
            out.write_all(&value?)?;
            out.write_all(b"\n")
        };
        let head = Head {
            listing: FORMAT,
            package: self.package.clone(),
            version: self.version.clone(),
            architecture: self.architecture.clone(),
            file_sha256: self.file_sha256.clone(),
        };
        let name = self.package.as_str();
        put(serde_json::to_vec(&head)).map_err(Error::io(name))?;
        for item in &self.items {
            put(serde_json::to_vec(&line(item))).map_err(Error::io(name))?;
        }
        out.finish().map_err(Error::io(name))
    }

    /// Reads what [`Listing::to_packed`] wrote; `name` is for messages.
    ///
    /// # Errors
    /// When a line makes no sense or there are too many.
    pub fn parse(name: &str, packed: impl Read) -> Result<Self> {
        let mut input = BufReader::new(flate2::read::MultiGzDecoder::new(packed));
        let mut raw = Vec::new();
        let mut number = 0_usize;
        let mut next = |raw: &mut Vec<u8>| -> Result<Option<usize>> {
            raw.clear();
            number = number.saturating_add(1);
            let limit = MAX_LINE_BYTES.saturating_add(1);
            let count = (&mut input).take(limit).read_until(b'\n', raw).map_err(Error::io(name))?;
            if u64::try_from(count).is_ok_and(|count| count > MAX_LINE_BYTES) {
                let what = format!("line {number} of {name}");
                return Err(Error::TooLarge { what, limit_bytes: MAX_LINE_BYTES });
            }
            Ok((count > 0).then_some(number))
        };
        let odd = |number: usize, reason: String| {
            Error::malformed(name, format!("line {number}"), reason)
        };
        next(&mut raw)?;
        let head: Head = serde_json::from_slice(&raw).map_err(|error| odd(1, error.to_string()))?;
        if head.listing != FORMAT {
            return Err(odd(1, format!("form {} is not known", head.listing)));
        }
        let mut items = Vec::new();
        while let Some(number) = next(&mut raw)? {
            let line: Line =
                serde_json::from_slice(&raw).map_err(|error| odd(number, error.to_string()))?;
            items.push(item(line).ok_or_else(|| odd(number, "its fields do not fit".to_owned()))?);
            if items.len() > MAX_ITEMS {
                let limit_bytes = u64::try_from(MAX_ITEMS).unwrap_or(u64::MAX);
                return Err(Error::TooLarge {
                    what: format!("number of lines in {name}"),
                    limit_bytes,
                });
            }
        }
        Ok(Self {
            package: head.package,
            version: head.version,
            architecture: head.architecture,
            file_sha256: head.file_sha256,
            items,
        })
    }
}

/// Text if it is any, else hexadecimal.
fn told(raw: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(raw) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(hex(raw))),
    }
}

fn raw(text: Option<String>, hex: Option<String>) -> Option<Vec<u8>> {
    match (text, hex) {
        (Some(text), None) => Some(text.into_bytes()),
        (None, Some(hex)) => from_hex(&hex),
        _ => None,
    }
}

fn hex(raw: &[u8]) -> String {
    raw.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        })
        .collect()
}

fn line(item: &Item) -> Line {
    let (path, path_hex) = told(&item.path);
    let (mut size_bytes, mut digest, mut target) = (None, None, None);
    let kind = match &item.kind {
        ItemKind::File { size_bytes: size, sha256 } => {
            (size_bytes, digest) = (Some(*size), Some(sha256.to_hex()));
            Word::File
        }
        ItemKind::Directory => Word::Directory,
        ItemKind::Symlink(to) => {
            target = Some(to);
            Word::Symlink
        }
        ItemKind::HardLink(to) => {
            target = Some(to);
            Word::HardLink
        }
        ItemKind::Special => Word::Special,
        ItemKind::Ghost => Word::Ghost,
    };
    let (to, to_hex) = target.map_or((None, None), |to| told(to));
    Line {
        path,
        path_hex,
        kind,
        size_bytes,
        sha256: digest,
        to,
        to_hex,
        mode: format!("{:04o}", item.mode),
        uid: item.uid,
        gid: item.gid,
        control: item.origin == Origin::Control,
        conffile: item.is_conffile,
        owner: item.owner.clone(),
        xattrs_hex: item
            .xattrs
            .iter()
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), hex(value)))
            .collect(),
    }
}

fn item(line: Line) -> Option<Item> {
    let path = raw(line.path, line.path_hex)?;
    let target = raw(line.to, line.to_hex);
    let kind = match line.kind {
        Word::File => ItemKind::File {
            size_bytes: line.size_bytes?,
            sha256: Digest::from_hex(Algorithm::Sha256, &line.sha256?).ok()?,
        },
        Word::Directory => ItemKind::Directory,
        Word::Symlink => ItemKind::Symlink(target?),
        Word::HardLink => ItemKind::HardLink(target?),
        Word::Special => ItemKind::Special,
        Word::Ghost => ItemKind::Ghost,
    };
    let xattrs = line.xattrs_hex.into_iter();
    let xattrs = xattrs.map(|(name, value)| Some((name.into_bytes(), from_hex(&value)?)));
    path.starts_with(b"/").then_some(())?;
    Some(Item {
        path,
        origin: if line.control { Origin::Control } else { Origin::Data },
        kind,
        mode: u32::from_str_radix(&line.mode, 8).ok()?,
        uid: line.uid,
        gid: line.gid,
        xattrs: xattrs.collect::<Option<Vec<_>>>()?,
        is_conffile: line.conffile,
        owner: line.owner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only we vouch for the form; that nothing is lost in it is what the test shows.
    #[test]
    fn a_listing_comes_back_as_it_went() {
        let digest = hashing::digest_bytes(b"x", &hashing::Algorithms::sha256());
        let of = |path: &[u8], kind| Item {
            path: path.to_vec(),
            origin: Origin::Data,
            kind,
            mode: 0o4755,
            uid: 0,
            gid: 42,
            xattrs: vec![(b"security.capability".to_vec(), vec![1, 0, 255])],
            is_conffile: false,
            owner: None,
        };
        let sha256 = digest.of(Algorithm::Sha256).unwrap().clone();
        let items = vec![
            of(b"/a\n\"b", ItemKind::File { size_bytes: 1, sha256 }),
            of(b"/\xff\xfe", ItemKind::Symlink(b"\x80".to_vec())),
            Item { origin: Origin::Control, is_conffile: true, ..of(b"/c", ItemKind::Directory) },
            of(b"/d", ItemKind::HardLink(b"/c".to_vec())),
            of(b"/e", ItemKind::Special),
            Item {
                owner: Some(Owner { user: "a".to_owned(), group: "b".to_owned() }),
                ..of(b"/f", ItemKind::Ghost)
            },
        ];
        let listing = Listing {
            package: "p".to_owned(),
            version: "1:2~3-4".to_owned(),
            architecture: "amd64".to_owned(),
            file_sha256: String::new(),
            items,
        };
        let packed = listing.to_packed().unwrap();
        assert_eq!(packed, listing.to_packed().unwrap());
        assert_eq!(Listing::parse("p", packed.as_slice()).unwrap(), listing);
        assert!(Listing::parse("p", &packed[..packed.len() / 2]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Listing::parse("x", bytes.as_slice());
            let mut packed = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::fast());
            packed.write_all(&bytes).unwrap();
            let _ = Listing::parse("x", packed.finish().unwrap().as_slice());
        }
    }
}
