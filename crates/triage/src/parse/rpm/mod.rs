//! The package database of the RPM family: headers (here), in one of three containers.
//!
//! A header is an index of tags over a store, as `rpm` keeps it: two counts, sixteen bytes for each entry, then the data
//! (rpm's documentation, "Header Format"). The containers are a SQLite table, rpm's own `ndb`, and a Berkeley DB hash.

pub mod bdb;
pub mod ndb;
pub mod sqlite;

use super::bytes::{be16, be32, size};

/// Entries and data of one header at most; the largest packages have some megabytes.
const MAX_ENTRIES: usize = 100_000;
/// Files of one package at most.
const MAX_FILES: usize = 4_000_000;
/// Largest header taken from a container, in bytes.
pub(crate) const MAX_HEADER_BYTES: usize = 256 << 20;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const FILE_STATES: u32 = 1029;
const FILE_MODES: u32 = 1030;
const FILE_DIGESTS: u32 = 1035;
const FILE_FLAGS: u32 = 1037;
const DIRECTORY_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORY_NAMES: u32 = 1118;
const FILE_CAPS: u32 = 5010;
const SCRIPTS: [u32; 6] = [1023, 1024, 1025, 1026, 1151, 1152];

/// The file is a configuration file.
const CONFIG: u32 = 1;
/// The file is owned but not delivered.
const GHOST: u32 = 64;

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: Vec<u8>,
    /// `epoch:version-release`, the epoch where there is one.
    pub version: Vec<u8>,
    /// Its files and directories.
    pub files: Vec<File>,
    /// Texts of its scripts.
    pub scripts: Vec<Vec<u8>>,
}

/// One file of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Absolute path.
    pub path: Vec<u8>,
    /// Type and permissions as `stat` has them.
    pub mode: u32,
    /// Digest in hexadecimal, MD5 or SHA-256 by its length; empty for what is no regular file.
    pub digest: Vec<u8>,
    /// Whether it is configuration, which administrators change.
    pub is_config: bool,
    /// Whether the package delivered it and it was put on the disk.
    pub is_installed: bool,
    /// File capabilities as text, such as `cap_net_raw=p`.
    pub capabilities: Vec<u8>,
}

struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    fn new(raw: &'a [u8]) -> Option<Self> {
        let (entries, length) = (size(be32(raw, 0)?), size(be32(raw, 4)?));
        if entries > MAX_ENTRIES {
            return None;
        }
        let end = entries.checked_mul(16)?.checked_add(8)?;
        let store = raw.get(end..end.checked_add(length)?)?;
        Some(Self { index: raw.get(8..end)?, store })
    }

    /// Type, data and count of a tag.
    fn entry(&self, tag: u32) -> Option<(u32, &'a [u8], usize)> {
        let entry = self.index.chunks_exact(16).find(|entry| be32(entry, 0) == Some(tag))?;
        let data = self.store.get(size(be32(entry, 8)?)..)?;
        Some((be32(entry, 4)?, data, size(be32(entry, 12)?)))
    }

    fn strings(&self, tag: u32) -> Vec<&'a [u8]> {
        match self.entry(tag) {
            Some((6 | 8 | 9, data, count)) => {
                data.split(|byte| *byte == 0).take(count.min(MAX_FILES)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn string(&self, tag: u32) -> Vec<u8> {
        self.strings(tag).first().map(|text| text.to_vec()).unwrap_or_default()
    }

    /// Numbers of any width.
    fn numbers(&self, tag: u32) -> Vec<u32> {
        let Some((kind, data, count)) = self.entry(tag) else { return Vec::new() };
        let width = match kind {
            1 | 2 => 1,
            3 => 2,
            4 => 4,
            _ => return Vec::new(),
        };
        let number = |raw: &[u8]| match kind {
            3 => be16(raw, 0).map(u32::from),
            4 => be32(raw, 0),
            _ => raw.first().map(|byte| u32::from(*byte)),
        };
        data.chunks_exact(width).take(count.min(MAX_FILES)).filter_map(number).collect()
    }
}

/// The package of a header as a database keeps it; `None` when it makes no sense.
#[must_use]
pub fn parse_header(raw: &[u8]) -> Option<Package> {
    let header = Header::new(raw)?;
    let mut version = header.string(VERSION);
    version.push(b'-');
    version.extend(header.string(RELEASE));
    if let Some(epoch) = header.numbers(EPOCH).first() {
        version = [epoch.to_string().as_bytes(), b":", &version].concat();
    }
    let directories = header.strings(DIRECTORY_NAMES);
    let indexes = header.numbers(DIRECTORY_INDEXES);
    let (modes, flags) = (header.numbers(FILE_MODES), header.numbers(FILE_FLAGS));
    let (digests, states) = (header.strings(FILE_DIGESTS), header.numbers(FILE_STATES));
    let capabilities = header.strings(FILE_CAPS);
    let names = header.strings(BASE_NAMES);
    let files = names.iter().zip(&indexes).enumerate().filter_map(|(at, (name, index))| {
        let directory = directories.get(size(*index))?;
        let flag = flags.get(at).copied().unwrap_or(0);
        Some(File {
            path: [*directory, *name].concat(),
            mode: modes.get(at).copied().unwrap_or(0),
            digest: digests.get(at).map(|digest| digest.to_vec()).unwrap_or_default(),
            is_config: flag & CONFIG != 0,
            is_installed: states.get(at).copied().unwrap_or(0) == 0 && flag & GHOST == 0,
            capabilities: capabilities.get(at).map(|text| text.to_vec()).unwrap_or_default(),
        })
    });
    let files = files.collect();
    let scripts = SCRIPTS.iter().map(|tag| header.string(*tag)).filter(|text| !text.is_empty());
    let name = header.string(NAME);
    (!name.is_empty()).then(|| Package { name, version, files, scripts: scripts.collect() })
}
