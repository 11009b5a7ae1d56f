//! What a package puts on a system: every member of its file, with digest, type, mode and owner.
//!
//! Maintainer scripts and the other members of the control part are in the list, under the names they get in the package
//! database: they are programs that run as root, and nothing else on a Debian system vouches for them.

use std::io::{self, Read, Seek};
use std::ops::ControlFlow;

use hashing::{Algorithm, Algorithms, Digest, MultiHasher};

use super::parts::each_part;
use super::{Listed, Package};
use crate::{Error, Result};

/// Members of one package; the largest in Debian has about 60,000.
const MAX_MEMBERS: usize = 2_000_000;
/// Longest list of configuration files.
const MAX_LIST_BYTES: u64 = 4 << 20;

/// The files of a package whose file had the digest that a signed index lists.
#[derive(Debug, Clone)]
pub struct Contents {
    members: Vec<Member>,
    conffiles: Vec<Vec<u8>>,
}

/// Which part of the package a member comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The files of the package.
    Data,
    /// The control part, unpacked into the package database.
    Control,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
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
    /// Another name of this member, as an absolute path.
    HardLink(Vec<u8>),
    /// A block or character device or a pipe.
    Special,
}

/// One object a package delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Absolute path as raw bytes.
    pub path: Vec<u8>,
    /// Part of the package.
    pub origin: Origin,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    /// Number of the owner.
    pub uid: u64,
    /// Number of the group.
    pub gid: u64,
    /// Time of last change: seconds since 1970 UTC.
    pub modified_seconds: u64,
    /// Extended attributes the package records, by name.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

impl Contents {
    /// Reads a package file that has the length and digest it is listed with.
    ///
    /// It is read twice: the first time only its digest is taken, so that no decompressor sees bytes nobody signed; the
    /// second time it is measured again while it is unpacked, because a medium may answer twice differently. Memory does
    /// not grow with the size of the package, only with the number of its members.
    ///
    /// # Errors
    /// When the file cannot be read, is not the one listed, or is no package.
    pub fn read(package: &Package, file: impl Read + Seek) -> Result<Self> {
        Self::read_listed(&package.file, package, file)
    }

    fn read_listed(listed: &Listed, package: &Package, mut file: impl Read + Seek) -> Result<Self> {
        let mut first = Measured::new(&mut file);
        first.drain().map_err(Error::io(&listed.name))?;
        first.check(listed)?;
        file.rewind().map_err(Error::io(&listed.name))?;
        let mut second = Measured::new(&mut file);
        let contents = members(package, &mut second, &listed.name)?;
        second.drain().map_err(Error::io(&listed.name))?;
        second.check(listed)?;
        Ok(contents)
    }

    /// Paths of the configuration files the package declares: what their owner may change.
    #[must_use]
    pub fn conffiles(&self) -> &[Vec<u8>] {
        &self.conffiles
    }

    /// Every member, in the order of the package file.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }
}

fn members(package: &Package, file: &mut impl Read, name: &str) -> Result<Contents> {
    let mut found = Contents { members: Vec::new(), conffiles: Vec::new() };
    let stem = package.stem();
    each_part(file, name, &mut |origin, plain| {
        unpack_part(&stem, origin, plain, name, &mut found)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn unpack_part(
    stem: &str,
    origin: Origin,
    plain: Box<dyn Read + '_>,
    name: &str,
    found: &mut Contents,
) -> Result<()> {
    let mut archive = tar::Archive::new(plain);
    for entry in archive.entries().map_err(Error::io(name))? {
        let mut entry = entry.map_err(Error::io(name))?;
        let raw = entry.path_bytes().into_owned();
        let path = place(stem, origin, &raw).ok_or_else(|| {
            let place = hashing::escape_name(&raw);
            Error::malformed(name, place, "the name leads out of the package")
        })?;
        let Some(path) = path else { continue };
        let link = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let header = entry.header();
        let kind = header.entry_type();
        let (mode, modified_seconds) = (header.mode(), header.mtime());
        let (uid, gid) = (header.uid(), header.gid());
        let xattrs = xattrs(&mut entry).map_err(Error::io(name))?;
        let kind = match kind {
            tar::EntryType::Directory => Kind::Directory,
            tar::EntryType::Symlink => Kind::Symlink(link),
            tar::EntryType::Link => {
                let target = absolute(&link).ok_or_else(|| {
                    let place = hashing::escape_name(&link);
                    Error::malformed(name, place, "the link leads out of the package")
                })?;
                Kind::HardLink(target)
            }
            tar::EntryType::Block | tar::EntryType::Char | tar::EntryType::Fifo => Kind::Special,
            _ if origin == Origin::Control && path.ends_with(b".conffiles") => {
                let mut text = Vec::new();
                entry
                    .by_ref()
                    .take(MAX_LIST_BYTES)
                    .read_to_end(&mut text)
                    .map_err(Error::io(name))?;
                found.conffiles = conffiles(&text);
                let mut whole = text.as_slice().chain(entry);
                let (size_bytes, sha256) = digest(&mut whole).map_err(Error::io(name))?;
                Kind::File { size_bytes, sha256 }
            }
            _ => {
                let (size_bytes, sha256) = digest(&mut entry).map_err(Error::io(name))?;
                Kind::File { size_bytes, sha256 }
            }
        };
        found.members.push(Member {
            path,
            origin,
            kind,
            mode: mode.map_err(Error::io(name))? & 0o7777,
            uid: uid.map_err(Error::io(name))?,
            gid: gid.map_err(Error::io(name))?,
            modified_seconds: modified_seconds.map_err(Error::io(name))?,
            xattrs,
        });
        if found.members.len() > MAX_MEMBERS {
            let limit_bytes = u64::try_from(MAX_MEMBERS).unwrap_or(u64::MAX);
            return Err(Error::TooLarge {
                what: format!("number of files in {name}"),
                limit_bytes,
            });
        }
    }
    Ok(())
}

/// Lines are paths; a word before the path is a flag such as `remove-on-upgrade` (`deb-conffiles(5)`).
fn conffiles(text: &[u8]) -> Vec<Vec<u8>> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let kept = lines.filter(|line| line.starts_with(b"/")).filter_map(absolute);
    kept.collect()
}

/// Extended attributes as GNU tar records them, in records of the form `SCHILY.xattr.NAME`.
fn xattrs(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    if let Some(records) = entry.pax_extensions()? {
        for record in records {
            let record = record?;
            let name = record.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr."));
            if let Some(name) = name {
                found.push((name.to_owned(), record.value_bytes().to_vec()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Where a member lies on the system: outer `None` when its name leads out, inner `None` for what is not unpacked.
#[allow(
    clippy::option_option,
    reason = "two different kinds of absence, told apart at the one caller"
)]
pub(super) fn place(stem: &str, origin: Origin, raw: &[u8]) -> Option<Option<Vec<u8>>> {
    let path = absolute(raw)?;
    if origin == Origin::Data {
        // The root itself is nobody's.
        return Some((path.len() > 1).then_some(path));
    }
    let name = path.strip_prefix(b"/").unwrap_or(&path);
    // dpkg keeps all of them but `control`, which becomes the entry in `status`.
    if name.is_empty() || name == b"control" {
        return Some(None);
    }
    let prefix = format!("/var/lib/dpkg/info/{stem}.");
    Some(Some([prefix.as_bytes(), name].concat()))
}

/// `./usr/bin/x` and the like as `/usr/bin/x`; `None` when it leads upwards.
fn absolute(raw: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(raw.len().saturating_add(1));
    for part in raw.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => {
                path.push(b'/');
                path.extend_from_slice(part);
            }
        }
    }
    if path.is_empty() {
        path.push(b'/');
    }
    Some(path)
}

fn digest(input: &mut impl Read) -> io::Result<(u64, Digest)> {
    let mut measured = Measured::new(input);
    measured.drain()?;
    let (size_bytes, digest) = measured.finish();
    Ok((size_bytes, digest.ok_or_else(|| io::Error::other("no digest"))?))
}

/// Measures what passes through it.
struct Measured<'a, R> {
    input: &'a mut R,
    hasher: MultiHasher,
    size_bytes: u64,
}

impl<'a, R: Read> Measured<'a, R> {
    fn new(input: &'a mut R) -> Self {
        Self { input, hasher: MultiHasher::new(&Algorithms::sha256()), size_bytes: 0 }
    }

    /// Reads to the end.
    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 128 << 10];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }

    fn finish(self) -> (u64, Option<Digest>) {
        (self.size_bytes, self.hasher.finish().of(Algorithm::Sha256).cloned())
    }

    fn check(self, listed: &Listed) -> Result<()> {
        let (size_bytes, digest) = self.finish();
        listed.compare(size_bytes, digest.as_ref())
    }
}

impl<R: Read> Read for Measured<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.input.read(buffer) {
                Ok(count) => {
                    self.hasher.update(buffer.get(..count).unwrap_or_default());
                    let more = u64::try_from(count).unwrap_or(u64::MAX);
                    self.size_bytes = self.size_bytes.saturating_add(more);
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
