//! One pass over the headers of an archive, which makes a tree of them.
//!
//! A later member of the same name replaces an earlier one, as it does when the archive is unpacked; the earlier is kept
//! as deleted. What is no header is searched for the next one, so a damaged archive gives what is behind the damage.

use super::header::{BLOCK_BYTES, Header, sparse_entries};
use super::pax::{Extended, MAX_SPARSE_NUMBERS, decimal};
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::{FileKind, Node, RawPath, Xattr};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use crate::time::Time;
use std::collections::{BTreeMap, HashMap};

/// Longest extended header or long name read, in bytes.
const MAX_EXTENDED_BYTES: u64 = 4 << 20;
/// Memory for names, attributes and members; an archive with more is shown as far as that goes.
const MAX_MEMORY_BYTES: usize = 192 << 20;
/// About what a member costs beside its name.
const MEMBER_BYTES: usize = 400;
/// Problems recorded for one archive.
const MAX_PROBLEMS: usize = 1000;
/// So far the first header is looked for.
const MAX_LEAD_BYTES: u64 = 1 << 20;
/// Directories in one path.
const MAX_DEPTH: usize = 1024;

/// Number of the root in every archive.
pub(super) const ROOT: Node = 1;

/// A file of the archive.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) kind: FileKind,
    pub(super) mode: u32,
    pub(super) owners: [u32; 2],
    pub(super) names: [Vec<u8>; 2],
    pub(super) links: u32,
    pub(super) size_bytes: u64,
    /// Accessed, modified, changed, born.
    pub(super) times: [Option<Time>; 4],
    pub(super) device: Option<(u32, u32)>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) link: Vec<u8>,
    pub(super) header_at: Option<u64>,
    pub(super) data: Vec<Piece>,
}

/// Content that stands in the archive; what no piece covers reads as zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) logical_bytes: u64,
    pub(super) length_bytes: u64,
    pub(super) at: u64,
}

/// The archive as a tree.
#[derive(Default)]
pub(super) struct Index {
    pub(super) members: Vec<Member>,
    pub(super) children: HashMap<Node, BTreeMap<Vec<u8>, Node>>,
    pub(super) replaced: Vec<(RawPath, Node)>,
    pub(super) label: Option<String>,
    pub(super) problems: Vec<Problem>,
    memory_bytes: usize,
}

impl Member {
    fn directory() -> Self {
        Self {
            kind: FileKind::Directory,
            mode: 0o755,
            owners: [0; 2],
            names: [Vec::new(), Vec::new()],
            links: 1,
            size_bytes: 0,
            times: [None; 4],
            device: None,
            xattrs: Vec::new(),
            link: Vec::new(),
            header_at: None,
            data: Vec::new(),
        }
    }
}

/// What the headers before a member say about it.
#[derive(Default)]
struct Pending {
    extended: Extended,
    has_extended: bool,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

pub(super) fn read(source: &dyn Source) -> Result<Index, EvidenceError> {
    let mut index = Index { members: vec![Member::directory()], ..Index::default() };
    let mut global = Extended::default();
    let mut pending = Pending::default();
    let (mut at, mut gap, mut found) = (0_u64, None, 0_u64);
    while at < source.size_bytes() {
        let raw = source.bytes_at(at, 512).map_err(EvidenceError::read(format!("byte {at}")))?;
        let Some(header) = Header::parse(&raw) else {
            // Closing blocks are zeros, and another archive may follow them.
            if raw.iter().any(|byte| *byte != 0) {
                gap = gap.or(Some(at));
            }
            at = at.saturating_add(BLOCK_BYTES);
            if found == 0 && at > MAX_LEAD_BYTES {
                break;
            }
            continue;
        };
        if let Some(start) = gap.take() {
            let length = at.saturating_sub(start);
            index.problem(
                Place::OffsetBytes(start),
                format!("{length} bytes are no part of a member"),
            );
        }
        found = found.saturating_add(1);
        at = index.member(source, at, &header, &mut global, &mut pending)?;
        if index.memory_bytes > MAX_MEMORY_BYTES {
            let text = format!(
                "the list of members is longer than {MAX_MEMORY_BYTES} bytes; those from here on were left"
            );
            index.problems.push(Problem::new(ProblemKind::Refused, Place::OffsetBytes(at), text));
            break;
        }
    }
    if found == 0 {
        return Err(EvidenceError::corrupt("there is no tar header"));
    }
    if let Some(start) = gap {
        let length = source.size_bytes().saturating_sub(start);
        index.problem(
            Place::OffsetBytes(start),
            format!("{length} bytes at the end are no part of a member"),
        );
    }
    Ok(index)
}

impl Index {
    fn problem(&mut self, place: Place, text: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem::new(ProblemKind::Corrupt, place, text));
        }
    }

    /// The member or extension whose header stands at `at`; returns where the next begins.
    fn member(
        &mut self,
        source: &dyn Source,
        at: u64,
        header: &Header<'_>,
        global: &mut Extended,
        pending: &mut Pending,
    ) -> Result<u64, EvidenceError> {
        let mut data_at = at.saturating_add(BLOCK_BYTES);
        let form = header.form();
        let Some(size) = pending.extended.size_bytes.or_else(|| header.size_bytes()) else {
            self.problem(Place::OffsetBytes(at), "a member's size is no number");
            return Ok(data_at);
        };
        // Links, devices and folders have no data, whatever their size says; only POSIX lets a hard link have some.
        let has_data = match form {
            b'1' => pending.has_extended,
            b'2'..=b'6' => false,
            _ => true,
        };
        let stored = if has_data { size } else { 0 };
        let after = |data_at: u64| {
            data_at.saturating_add(stored.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX))
        };
        if data_at.saturating_add(stored) > source.size_bytes() {
            let there = source.size_bytes().saturating_sub(data_at);
            self.problem(
                Place::OffsetBytes(at),
                format!("a member of {stored} bytes, of which {there} are there"),
            );
        }
        if matches!(form, b'x' | b'X' | b'g' | b'L' | b'K') {
            if size > MAX_EXTENDED_BYTES {
                self.problem(Place::OffsetBytes(at), format!("an extended header of {size} bytes"));
                return Ok(after(data_at));
            }
            let raw = source
                .bytes_at(data_at, to_usize(size))
                .map_err(EvidenceError::read(format!("the extended header at byte {at}")))?;
            let name = || raw.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
            let left = match form {
                b'L' => {
                    pending.name = name();
                    0
                }
                b'K' => {
                    pending.link = name();
                    0
                }
                b'g' => global.add(&raw),
                _ => {
                    pending.has_extended = true;
                    pending.extended.add(&raw)
                }
            };
            if left > 0 {
                let text = format!("the last {left} bytes of an extended header make no sense");
                self.problem(Place::OffsetBytes(at), text);
            }
            return Ok(after(data_at));
        }
        let pending = std::mem::take(pending);
        let own = pending.extended.or(global);
        if form == b'V' {
            self.label = Some(crate::escape_bytes(&header.name()));
            return Ok(after(data_at));
        }
        if form == b'M' {
            let error =
                EvidenceError::unsupported("a member that began in another volume of the archive");
            self.problems.push(error.to_problem(Place::OffsetBytes(at)));
            return Ok(after(data_at));
        }
        let mut map = None;
        let mut real_bytes = stored;
        if form == b'S' {
            let (mut entries, mut more, real) = header.sparse();
            while more && entries.len() < MAX_SPARSE_NUMBERS {
                let raw = source
                    .bytes_at(data_at, 512)
                    .map_err(EvidenceError::read(format!("the sparse map at byte {data_at}")))?;
                entries.extend(sparse_entries(raw.get(..504).unwrap_or(&[])));
                more = raw.get(504).is_some_and(|byte| *byte != 0);
                data_at = data_at.saturating_add(BLOCK_BYTES);
            }
            real_bytes = real.unwrap_or(stored);
            map = Some((entries, data_at));
        } else if own.sparse.is_sparse {
            real_bytes = own.sparse.real_bytes.unwrap_or(stored);
            map = Some(if own.sparse.major == Some(1) {
                map_in_data(source, data_at, stored)?
            } else {
                let pairs = own.sparse.numbers.as_chunks::<2>().0;
                (pairs.iter().map(|[offset, length]| (*offset, *length)).collect(), data_at)
            });
        }
        let next = after(data_at);
        let path = own.sparse.name.clone().or(own.path.clone()).or(pending.name);
        let path = path.unwrap_or_else(|| header.name());
        let link = own.link.clone().or(pending.link).unwrap_or_else(|| header.link());
        let kind = match form {
            b'2' => FileKind::Symlink,
            b'3' => FileKind::CharDevice,
            b'4' => FileKind::BlockDevice,
            b'5' | b'D' => FileKind::Directory,
            b'6' => FileKind::Fifo,
            // Before there was a type for folders, a name that ended in a slash was one.
            0 | b'0' if path.ends_with(b"/") => FileKind::Directory,
            _ => FileKind::File,
        };
        if form == b'1' {
            self.hard_link(&path, &link);
            return Ok(next);
        }
        let data = match map {
            Some((entries, start)) => self.pieces(&entries, start, real_bytes, stored, at),
            None if kind == FileKind::File && stored > 0 => {
                vec![Piece { logical_bytes: 0, length_bytes: stored, at: data_at }]
            }
            None => Vec::new(),
        };
        let [accessed, changed] = header.accessed_changed();
        let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        let member = Member {
            kind,
            mode: header.mode(),
            owners: [
                own.uid.unwrap_or_else(|| header.uid()),
                own.gid.unwrap_or_else(|| header.gid()),
            ],
            names: [
                own.user.unwrap_or_else(|| header.user()),
                own.group.unwrap_or_else(|| header.group()),
            ],
            links: 1,
            size_bytes: match kind {
                FileKind::File => real_bytes,
                FileKind::Symlink => to_u64(link.len()),
                _ => 0,
            },
            times: [
                own.accessed.or(accessed),
                own.modified.or_else(|| header.modified()),
                own.changed.or(changed),
                own.born,
            ],
            device: is_device.then(|| header.device()),
            xattrs: own.xattrs,
            link: if kind == FileKind::Symlink { link } else { Vec::new() },
            header_at: Some(at),
            data,
        };
        self.place(&path, member);
        Ok(next)
    }

    /// A sparse map as pieces; entries that contradict each other or the member's length are left out, with a problem.
    fn pieces(
        &mut self,
        entries: &[(u64, u64)],
        mut at: u64,
        real_bytes: u64,
        stored: u64,
        header_at: u64,
    ) -> Vec<Piece> {
        let mut out: Vec<Piece> = Vec::new();
        let (mut end, mut used) = (0_u64, 0_u64);
        for (offset, length) in entries {
            let stop = offset.saturating_add(*length);
            used = used.saturating_add(*length);
            if *offset < end || stop > real_bytes || used > stored {
                let text = format!(
                    "{length} bytes at {offset} of a sparse file of {real_bytes}, stored in {stored}"
                );
                self.problem(Place::OffsetBytes(header_at), text);
                break;
            }
            if *length > 0 {
                out.push(Piece { logical_bytes: *offset, length_bytes: *length, at });
            }
            at = at.saturating_add(*length);
            end = stop;
        }
        self.memory_bytes = self.memory_bytes.saturating_add(out.len().saturating_mul(24));
        out
    }

    /// Puts a member at its place, making the folders above it where the archive has none.
    fn place(&mut self, path: &[u8], member: Member) {
        let Some(names) = self.names(path) else { return };
        let weight: usize = member.xattrs.iter().map(|x| x.value.len().saturating_add(64)).sum();
        let weight = weight.saturating_add(member.link.len()).saturating_add(path.len());
        self.memory_bytes = self.memory_bytes.saturating_add(weight).saturating_add(MEMBER_BYTES);
        let Some((last, above)) = names.split_last() else {
            // The member is the root itself.
            if let Some(root) =
                self.members.first_mut().filter(|_| member.kind == FileKind::Directory)
            {
                *root = member;
            }
            return;
        };
        let Some(parent) = self.folder(above, path) else { return };
        let before = self.children.get(&parent).and_then(|names| names.get(*last)).copied();
        let is_folder = |node: Node| self.get(node).is_some_and(|m| m.kind == FileKind::Directory);
        if let Some(node) = before {
            if is_folder(node) && member.kind == FileKind::Directory {
                if let Some(known) = self.members.get_mut(to_usize(node.saturating_sub(1))) {
                    *known = member;
                }
                return;
            }
            self.replaced.push((shown(&names), node));
        }
        let node = self.add(member);
        self.children.entry(parent).or_default().insert(last.to_vec(), node);
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8]) {
        let place = Place::Path(RawPath(path.to_vec()));
        let (Some(names), Some(target_names)) = (self.names(path), self.names(target)) else {
            return;
        };
        let Some(node) = self.find(&target_names) else {
            let target = crate::escape_bytes(target);
            self.problem(
                place,
                format!("a hard link to {target}, which the archive does not have before"),
            );
            return;
        };
        let Some((last, above)) = names.split_last() else { return };
        let Some(parent) = self.folder(above, path) else { return };
        if node == ROOT || self.get(node).is_some_and(|member| member.kind == FileKind::Directory) {
            self.problem(place, "a hard link to a folder");
            return;
        }
        self.memory_bytes = self.memory_bytes.saturating_add(path.len()).saturating_add(64);
        let before = self.children.entry(parent).or_default().insert(last.to_vec(), node);
        match before {
            Some(before) if before == node => return,
            Some(before) => self.replaced.push((shown(&names), before)),
            None => {}
        }
        if let Some(member) = self.members.get_mut(to_usize(node.saturating_sub(1))) {
            member.links = member.links.saturating_add(1);
        }
    }

    /// The names of a path; `None`, with a problem, where it would lead out of the archive.
    fn names<'p>(&mut self, path: &'p [u8]) -> Option<Vec<&'p [u8]>> {
        let names: Vec<&[u8]> = path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .collect();
        if names.len() > MAX_DEPTH || names.iter().any(|name| *name == b".." || name.contains(&0)) {
            let shown = crate::escape_bytes(path.get(..path.len().min(300)).unwrap_or(&[]));
            self.problem(Place::Source, format!("a member with the impossible name \"{shown}\""));
            return None;
        }
        Some(names)
    }

    fn folder(&mut self, names: &[&[u8]], path: &[u8]) -> Option<Node> {
        let mut here = ROOT;
        for name in names {
            let known = self.children.get(&here).and_then(|children| children.get(*name)).copied();
            here = match known {
                Some(node) if self.get(node).is_some_and(|m| m.kind == FileKind::Directory) => node,
                Some(_) => {
                    let place = Place::Path(RawPath(path.to_vec()));
                    self.problem(place, "stands below a name that is no folder");
                    return None;
                }
                None => {
                    let node = self.add(Member::directory());
                    let weight = name.len().saturating_add(MEMBER_BYTES);
                    self.memory_bytes = self.memory_bytes.saturating_add(weight);
                    self.children.entry(here).or_default().insert(name.to_vec(), node);
                    node
                }
            };
        }
        Some(here)
    }

    fn find(&self, names: &[&[u8]]) -> Option<Node> {
        names.iter().try_fold(ROOT, |here, name| self.children.get(&here)?.get(*name).copied())
    }

    fn add(&mut self, member: Member) -> Node {
        self.members.push(member);
        to_u64(self.members.len())
    }

    pub(super) fn get(&self, node: Node) -> Option<&Member> {
        self.members.get(to_usize(node.checked_sub(1)?))
    }
}

fn shown(names: &[&[u8]]) -> RawPath {
    names.iter().fold(RawPath::from("/"), |path, name| path.join(name))
}

/// GNU's newest form: numbers in lines in front of the data, padded to a block. Returns the map and where the data begins.
fn map_in_data(
    source: &dyn Source,
    data_at: u64,
    stored: u64,
) -> Result<(Vec<(u64, u64)>, u64), EvidenceError> {
    let mut text = Vec::new();
    let mut numbers: Vec<u64> = Vec::new();
    let mut taken = 0_u64;
    let wanted = |numbers: &[u64]| {
        numbers.first().map(|count| to_usize(*count).saturating_mul(2).saturating_add(1))
    };
    while wanted(&numbers).is_none_or(|wanted| numbers.len() < wanted) {
        let raw = source
            .bytes_at(data_at.saturating_add(taken), 512)
            .map_err(EvidenceError::read(format!("the sparse map at byte {data_at}")))?;
        if raw.len() < 512 || taken >= stored || numbers.len() > MAX_SPARSE_NUMBERS {
            return Err(EvidenceError::corrupt(format!(
                "the sparse map at byte {data_at} has no end"
            )));
        }
        taken = taken.saturating_add(BLOCK_BYTES);
        text.extend(raw);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let number = decimal(line.trim_ascii_end());
            numbers.extend(number);
            if number.is_none() || wanted(&numbers).is_some_and(|wanted| numbers.len() >= wanted) {
                break;
            }
        }
    }
    let pairs = numbers.get(1..).unwrap_or(&[]).as_chunks::<2>().0;
    let map = pairs.iter().map(|[offset, length]| (*offset, *length)).collect();
    Ok((map, data_at.saturating_add(taken)))
}
