//! Headers of the RPM family: what a package file and the package database say of a package.
//!
//! A header is an index of tags over a store: two counts, sixteen bytes for each entry, then the data (rpm's documentation,
//! "Header Format"). Lenient: what makes no sense is left out here, and refused where something is to be believed.

/// Entries of one header at most; the largest packages have some hundred.
pub(super) const MAX_ENTRIES: usize = 100_000;
/// Files of one package at most.
const MAX_FILES: usize = 4_000_000;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCHITECTURE: u32 = 1022;
const FILE_SIZES: u32 = 1028;
const FILE_STATES: u32 = 1029;
const FILE_MODES: u32 = 1030;
const FILE_DIGESTS: u32 = 1035;
const FILE_LINKS: u32 = 1036;
const FILE_FLAGS: u32 = 1037;
const FILE_USERS: u32 = 1039;
const FILE_GROUPS: u32 = 1040;
const SOURCE: u32 = 1044;
const FILE_VERIFY_FLAGS: u32 = 1045;
const FILE_NODES: u32 = 1096;
const DIRECTORY_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORY_NAMES: u32 = 1118;
const LONG_FILE_SIZES: u32 = 5008;
const FILE_CAPS: u32 = 5010;
const FILE_DIGEST_ALGORITHM: u32 = 5011;
const SCRIPTS: [u32; 6] = [1023, 1024, 1025, 1026, 1151, 1152];

/// The file is a configuration file.
const CONFIG: u32 = 1;
/// The file is owned but not delivered.
const GHOST: u32 = 64;
/// The digest of the file is to be compared when it is verified.
const VERIFY_DIGEST: u32 = 1;

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: Vec<u8>,
    /// `epoch:version-release`, the epoch where there is one.
    pub version: Vec<u8>,
    /// Architecture, such as `x86_64` or `noarch`.
    pub architecture: Vec<u8>,
    /// File name of the source package it was built from.
    pub source: Vec<u8>,
    /// Its files and directories.
    pub files: Vec<File>,
    /// Texts of its scripts.
    pub scripts: Vec<Vec<u8>>,
    /// Number of the digests' algorithm (RFC 9580, 9.5): 8 is SHA-256; 1, MD5, where none is named.
    pub digest_algorithm: u32,
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
    /// Length in bytes.
    pub size_bytes: u64,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Name of the owner.
    pub user: Vec<u8>,
    /// Name of the group.
    pub group: Vec<u8>,
    /// Files of a package with one number are one file with several names.
    pub node: u32,
    /// Whether it is configuration, which administrators change.
    pub is_config: bool,
    /// Whether its content is made on the system, not delivered.
    pub is_ghost: bool,
    /// Whether the packager wants its content compared.
    pub is_verified: bool,
    /// Whether the package delivered it and it was put on the disk.
    pub is_installed: bool,
    /// File capabilities as text, such as `cap_net_raw=p`.
    pub capabilities: Vec<u8>,
}

pub(super) fn be32(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

pub(super) fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

pub(super) struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    pub(super) fn new(raw: &'a [u8]) -> Option<Self> {
        let (entries, length) = (size(be32(raw, 0)?), size(be32(raw, 4)?));
        if entries > MAX_ENTRIES {
            return None;
        }
        let end = entries.checked_mul(16)?.checked_add(8)?;
        let store = raw.get(end..end.checked_add(length)?)?;
        Some(Self { index: raw.get(8..end)?, store })
    }

    /// Type, data and count of a tag.
    pub(super) fn entry(&self, tag: u32) -> Option<(u32, &'a [u8], usize)> {
        let entry = self.index.chunks_exact(16).find(|entry| be32(entry, 0) == Some(tag))?;
        let data = self.store.get(size(be32(entry, 8)?)..)?;
        Some((be32(entry, 4)?, data, size(be32(entry, 12)?)))
    }

    pub(super) fn strings(&self, tag: u32) -> Vec<&'a [u8]> {
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
    pub(super) fn numbers(&self, tag: u32) -> Vec<u32> {
        let Some((kind, data, count)) = self.entry(tag) else { return Vec::new() };
        let width = match kind {
            1 | 2 => 1,
            3 => 2,
            4 => 4,
            _ => return Vec::new(),
        };
        let number = |raw: &[u8]| match kind {
            3 => raw.first_chunk().map(|bytes| u32::from(u16::from_be_bytes(*bytes))),
            4 => be32(raw, 0),
            _ => raw.first().map(|byte| u32::from(*byte)),
        };
        data.chunks_exact(width).take(count.min(MAX_FILES)).filter_map(number).collect()
    }
}

/// Lengths of files: of 32 bits, or of 64 where one of them needs it.
fn lengths(header: &Header<'_>) -> Vec<u64> {
    match header.entry(LONG_FILE_SIZES) {
        Some((5, data, count)) => {
            let numbers = data.chunks_exact(8).take(count.min(MAX_FILES));
            numbers
                .filter_map(|raw| raw.first_chunk().map(|raw| u64::from_be_bytes(*raw)))
                .collect()
        }
        _ => header.numbers(FILE_SIZES).into_iter().map(u64::from).collect(),
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
    let (capabilities, links) = (header.strings(FILE_CAPS), header.strings(FILE_LINKS));
    let (users, groups) = (header.strings(FILE_USERS), header.strings(FILE_GROUPS));
    let (verify, nodes) = (header.numbers(FILE_VERIFY_FLAGS), header.numbers(FILE_NODES));
    let lengths = lengths(&header);
    let names = header.strings(BASE_NAMES);
    let text = |all: &[&[u8]], at: usize| all.get(at).map(|text| text.to_vec()).unwrap_or_default();
    let files = names.iter().zip(&indexes).enumerate().filter_map(|(at, (name, index))| {
        let directory = directories.get(size(*index))?;
        let flag = flags.get(at).copied().unwrap_or(0);
        Some(File {
            path: [*directory, *name].concat(),
            mode: modes.get(at).copied().unwrap_or(0),
            digest: text(&digests, at),
            size_bytes: lengths.get(at).copied().unwrap_or(0),
            link: text(&links, at),
            user: text(&users, at),
            group: text(&groups, at),
            node: nodes.get(at).copied().unwrap_or(0),
            is_config: flag & CONFIG != 0,
            is_ghost: flag & GHOST != 0,
            is_verified: verify.get(at).copied().unwrap_or(VERIFY_DIGEST) & VERIFY_DIGEST != 0,
            is_installed: states.get(at).copied().unwrap_or(0) == 0 && flag & GHOST == 0,
            capabilities: text(&capabilities, at),
        })
    });
    let files = files.collect();
    let scripts = SCRIPTS.iter().map(|tag| header.string(*tag)).filter(|text| !text.is_empty());
    let name = header.string(NAME);
    (!name.is_empty()).then(|| Package {
        name,
        version,
        architecture: header.string(ARCHITECTURE),
        source: header.string(SOURCE),
        files,
        scripts: scripts.collect(),
        digest_algorithm: header.numbers(FILE_DIGEST_ALGORITHM).first().copied().unwrap_or(1),
    })
}
