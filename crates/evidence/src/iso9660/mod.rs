//! ISO 9660 with Rock Ridge and Joliet, read only: discs, installation images, and what is offered to virtual machines.
//!
//! A disc can hold several trees of names over the same content. The richest is shown: Rock Ridge, else Joliet, else the
//! enhanced or plain one; the details of the root say which. Content that only another tree names is told as a problem,
//! since that is how something is hidden from one system and shown to another.
//!
//! A node is the byte offset of the directory record, so every record has one, also of a tree that is not shown.
//!
//! Own reader, not a crate: `hadris-iso` turns names into text with loss and knows no place of anything. xorriso and isoinfo judge ours in the tests.
//!
//! Not read: interleaved files, sparse Rock Ridge files and zisofs content (named when met), UDF beside it. A disc
//! written in several sessions is shown as the descriptors at its start say; a later session is told in the details.

mod compare;
mod content;
mod date;
mod record;
mod rock;
mod volume;

use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fat::{Harm, harmless};
use crate::fs::{
    Attribute, Attributes, Clock, Conventions, Detail, Entry, Extent, FileKind, FileSystem,
    Listing, Metadata, Names, Node, Owners, RawPath, Stored, View, Xattr,
};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Cached, Source};
use content::Section;
use record::{Letters, Record, shown_name};
use rock::Rock;
use std::sync::Arc;
use volume::{SECTOR_BYTES, Tree, Volumes};

/// Problems kept for one directory.
const MAX_PROBLEMS: usize = 64;
/// Memory for records read in small pieces.
const CACHE_BYTES: usize = 16 << 20;
/// Blocks behind the volume searched for a later session.
const MAX_SESSION_BLOCKS: u64 = 1 << 14;

/// An ISO 9660 file system.
pub struct Iso {
    /// For content.
    source: Arc<dyn Source>,
    /// For directories.
    cached: Arc<dyn Source>,
    volumes: Volumes,
    tree: Tree,
    /// Bytes to pass over before Rock Ridge entries; `None` without Rock Ridge.
    rock_skip: Option<usize>,
    extensions: Vec<String>,
    problems: Vec<Problem>,
}

/// Opens the file system that begins at the start of `source`; it has no journal, so both views are the same.
///
/// # Errors
/// As [`Iso::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = view;
    Ok(Box::new(Iso::open(source)?))
}

impl Iso {
    /// Opens the file system that begins at the start of `source`.
    ///
    /// # Errors
    /// When no volume descriptor can be read or none names a root directory.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        let volumes = volume::read(&source)?;
        let cached: Arc<dyn Source> = Arc::new(Cached::new(Arc::clone(&source), 4096, CACHE_BYTES));
        let plain = volumes.enhanced.clone().or_else(|| volumes.primary.clone());
        let first = volumes.primary.clone().or_else(|| volumes.joliet.clone()).or(plain.clone());
        let Some(tree) = first else { return Err(EvidenceError::corrupt("no root directory")) };
        let mut iso = Self {
            source,
            cached,
            volumes,
            tree,
            rock_skip: None,
            extensions: Vec::new(),
            problems: Vec::new(),
        };
        iso.choose(plain);
        iso.check();
        Ok(iso)
    }

    /// Looks for Rock Ridge in the primary tree and settles for another where there is none.
    fn choose(&mut self, plain: Option<Tree>) {
        let own = self.own_record(self.tree.root.block, &self.tree);
        if self.tree.letters == Letters::Bytes
            && let Ok(own) = own
            && let Some(skip) = rock::skip_bytes(&own.system_use)
        {
            self.rock_skip = Some(skip);
            self.extensions = rock::extensions(&self.whole_area(&own.system_use));
            self.tree.name = "Rock Ridge";
            return;
        }
        if let Some(tree) = self.volumes.joliet.clone().or(plain) {
            self.tree = tree;
        }
    }

    /// What is wrong with the volume as a whole.
    fn check(&mut self) {
        for remark in std::mem::take(&mut self.volumes.remarks) {
            self.problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, remark));
        }
        let claimed = self.tree.blocks.saturating_mul(self.tree.block_bytes);
        let there = self.source.size_bytes();
        if claimed > there {
            let text = format!("the volume claims {claimed} bytes, the source has {there}");
            self.problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
        let hidden = compare::hidden(self);
        self.problems.extend(hidden);
    }

    fn offset(&self, block: u64) -> u64 {
        block.saturating_mul(self.tree.block_bytes)
    }

    /// The record a directory keeps of itself at its start.
    fn own_record(&self, block: u64, tree: &Tree) -> Result<Record, EvidenceError> {
        self.record(block.saturating_mul(tree.block_bytes))
    }

    /// The record at a byte offset.
    fn record(&self, node: Node) -> Result<Record, EvidenceError> {
        let left = SECTOR_BYTES.saturating_sub(node.checked_rem(SECTOR_BYTES).unwrap_or(0));
        let raw = self
            .cached
            .bytes_at(node, to_usize(left).min(255))
            .map_err(EvidenceError::read(format!("directory record {node}")))?;
        Record::parse(node, &raw).ok_or_else(|| {
            EvidenceError::refused(format!("there is no directory record at {node}"))
        })
    }

    /// An area of Rock Ridge entries and the first area it goes on in; enough for what is announced in the root.
    fn whole_area(&self, area: &[u8]) -> Vec<u8> {
        let mut all = area.to_vec();
        let at = area.windows(4).position(|window| window.starts_with(b"CE\x1c"));
        if let Some(entry) = at.and_then(|at| area.get(at..)) {
            let entry = crate::bytes::Fields(entry);
            let (block, offset, length) = (entry.le32(4), entry.le32(12), entry.le32(20));
            if let Ok(more) = self.area(u64::from(block), u64::from(offset), u64::from(length)) {
                // Entries read on from one area into the other once `CE` itself is passed over.
                all.extend(more);
            }
        }
        all
    }

    fn area(&self, block: u64, offset: u64, length: u64) -> Result<Vec<u8>, String> {
        if length > 1 << 16 {
            return Err(format!("it claims {length} bytes"));
        }
        let at = self.offset(block).saturating_add(offset);
        let bytes =
            self.cached.bytes_at(at, to_usize(length)).map_err(|error| error.to_string())?;
        if to_u64(bytes.len()) < length {
            return Err("it lies beyond the end of the source".to_owned());
        }
        Ok(bytes)
    }

    /// What Rock Ridge says about a record; nothing where the disc has none.
    fn rock(&self, record: &Record) -> Rock {
        let Some(skip) = self.rock_skip else { return Rock::default() };
        // The root's descriptor has no room for entries; those of its own record at the start of the directory count.
        let (area, skip) = if record.node == self.tree.root.node {
            match self.own_record(record.block, &self.tree) {
                Ok(own) => (own.system_use, 0),
                Err(_) => return Rock::default(),
            }
        } else {
            (record.system_use.clone(), skip)
        };
        rock::read(area.get(skip..).unwrap_or(&[]), |block, offset, length| {
            self.area(block, offset, length)
        })
    }

    /// The record whose content is the directory: the record itself, or where Rock Ridge moved it.
    fn directory(&self, record: Record, rock: &Rock) -> Result<Record, EvidenceError> {
        match rock.child_block {
            Some(block) => self.own_record(block, &self.tree),
            None => Ok(record),
        }
    }

    fn later_session(&self) -> Option<u64> {
        let end = self.offset(self.tree.blocks).div_ceil(SECTOR_BYTES);
        let all = self.source.size_bytes() / SECTOR_BYTES;
        (end..all).take(to_usize(MAX_SESSION_BLOCKS)).find(|block| {
            let mut mark = [0; 6];
            let at = block.saturating_mul(SECTOR_BYTES);
            self.source.fill(at, &mut mark).is_ok() && mark == *b"\x01CD001"
        })
    }

    fn volume_details(&self) -> Vec<Detail> {
        let mut out = vec![
            Detail { name: "tree shown", value: self.tree.name.to_owned() },
            Detail { name: "block bytes", value: self.tree.block_bytes.to_string() },
            Detail { name: "blocks", value: self.tree.blocks.to_string() },
        ];
        let volumes = &self.volumes;
        for tree in [&volumes.primary, &volumes.joliet, &volumes.enhanced].into_iter().flatten() {
            out.push(Detail { name: "tree present", value: tree.name.to_owned() });
        }
        for extension in &self.extensions {
            out.push(Detail { name: "extension", value: extension.clone() });
        }
        for (name, value) in &self.tree.texts {
            out.push(Detail { name, value: value.clone() });
        }
        if let Some(block) = volumes.boot_catalogue {
            for value in volume::boot_images(&self.source, block) {
                out.push(Detail { name: "boot image", value });
            }
        }
        if let Some(block) = self.later_session() {
            let value = format!("volume descriptor at block {block}; its files are not shown");
            out.push(Detail { name: "later session", value });
        }
        out
    }
}

/// Kind by the format bits of a mode, as Linux has them.
fn kind_of(mode: u32) -> Option<FileKind> {
    Some(match mode & 0o170_000 {
        0o100_000 => FileKind::File,
        0o040_000 => FileKind::Directory,
        0o120_000 => FileKind::Symlink,
        0o060_000 => FileKind::BlockDevice,
        0o020_000 => FileKind::CharDevice,
        0o010_000 => FileKind::Fifo,
        0o140_000 => FileKind::Socket,
        _ => return None,
    })
}

/// Some writers put the whole number in the low part, as Linux packs it (twelve bits of the major number, the rest of the
/// minor around them); the specification wants the major number in the high one.
fn device((high, low): (u32, u32)) -> (u32, u32) {
    if high == 0 && low & !0xff != 0 {
        ((low >> 8) & 0xfff, (low & 0xff) | ((low >> 12) & 0xf_ff00))
    } else {
        (high, low)
    }
}

impl FileSystem for Iso {
    fn kind(&self) -> &'static str {
        "iso9660"
    }

    fn label(&self) -> Option<String> {
        self.tree.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        self.volumes.serial.clone()
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        self.tree.root.node
    }

    fn conventions(&self) -> Conventions {
        let is_rock = self.rock_skip.is_some();
        Conventions {
            clock: Clock::Utc,
            owners: if is_rock { Owners::Recorded } else { Owners::None },
            names: if is_rock { Names::Exact } else { Names::CaseFolded },
        }
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        let record = self.record(node)?;
        let rock = self.rock(&record);
        let is_hidden = record.is_hidden();
        let recorded = record.recorded;
        let is_plain_file = !record.is_directory() && rock.child_block.is_none();
        let (mut size_bytes, first) = if is_plain_file {
            // An interleaved file has its length in its record.
            let length = record.size_bytes;
            let sections = if record.continues() { self.sections(record).ok() } else { None };
            let sum = |all: Vec<Section>| {
                all.iter().fold(0_u64, |sum, part| sum.saturating_add(part.length_bytes))
            };
            (sections.map_or(length, sum), rock.posix)
        } else {
            let directory = self.directory(record, &rock)?;
            // The placeholder of a moved directory has the mode of a file; the directory itself knows better.
            let posix = if rock.child_block.is_some() { self.rock(&directory).posix } else { None };
            (directory.size_bytes, posix.or(rock.posix))
        };
        let mut kind = if is_plain_file { FileKind::File } else { FileKind::Directory };
        if let Some(posix) = first.filter(|_| is_plain_file) {
            kind = kind_of(posix.mode).filter(|kind| *kind != FileKind::Directory).unwrap_or(kind);
        }
        let mut attributes = Attributes::default();
        if is_hidden {
            attributes = attributes.with(Attribute::Hidden);
        }
        if rock.is_sparse {
            attributes = attributes.with(Attribute::Sparse);
        }
        if let Some((_, unpacked)) = &rock.packed {
            attributes = attributes.with(Attribute::Compressed);
            size_bytes = *unpacked;
        }
        if let Some(target) = rock.target.as_ref().filter(|_| kind == FileKind::Symlink) {
            size_bytes = to_u64(target.len());
        }
        let made_up = if kind == FileKind::Directory { 0o555 } else { 0o444 };
        let is_device = matches!(kind, FileKind::BlockDevice | FileKind::CharDevice);
        Ok(Metadata {
            node,
            kind,
            mode: first.map_or(made_up, |posix| posix.mode & 0o7777),
            uid: first.map_or(0, |posix| posix.uid),
            gid: first.map_or(0, |posix| posix.gid),
            links: first.map_or(1, |posix| posix.links),
            size_bytes,
            accessed: rock.accessed,
            modified: rock.modified.or(recorded),
            changed: rock.changed,
            born: rock.created,
            generation: None,
            attributes,
            device: rock.device.filter(|_| is_device).map(device),
        })
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let record = self.record(node)?;
        let rock = self.rock(&record);
        if !record.is_directory() && rock.child_block.is_none() {
            return Err(EvidenceError::refused(format!("record {node} is not a directory")));
        }
        let directory = self.directory(record, &rock)?;
        let (records, problems) = self.records(&directory);
        let mut listing = Listing { entries: Vec::new(), problems };
        let mut note = |node, text: String| {
            let problem = Problem::new(ProblemKind::Corrupt, Place::Node(node), text);
            if listing.problems.len() < MAX_PROBLEMS {
                listing.problems.push(problem);
            }
        };
        for record in records {
            let rock = self.rock(&record);
            if rock.is_moved_here {
                continue;
            }
            for remark in &rock.remarks {
                note(record.node, remark.clone());
            }
            let name = rock.name.unwrap_or_else(|| shown_name(&record.name, self.tree.letters));
            let (name, harm) = harmless(name);
            let shown = crate::escape_bytes(&name);
            if harm == Harm::Replaced {
                note(
                    record.node,
                    format!("a name that would change its path is shown as {shown:?}"),
                );
            }
            if record.is_associated() {
                note(record.node, format!("{shown:?} has an associated file, which is not shown"));
                continue;
            }
            listing.entries.push(Entry { name: RawPath(name), node: record.node });
        }
        Ok(listing)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        let record = self.record(node)?;
        let target = self.rock(&record).target;
        match target {
            Some(target) if target.len() <= 4095 => Ok(RawPath(target)),
            Some(target) => Err(EvidenceError::corrupt(format!(
                "link target of record {node} is {} bytes long",
                target.len()
            ))),
            None => Err(EvidenceError::refused(format!("record {node} is not a symbolic link"))),
        }
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let record = self.record(node)?;
        let rock = self.rock(&record);
        let is_file = rock.posix.is_none_or(|posix| kind_of(posix.mode) == Some(FileKind::File));
        if record.is_directory() || rock.child_block.is_some() || !is_file {
            return Err(EvidenceError::refused(format!("record {node} is not a regular file")));
        }
        if let Some((method, _)) = rock.packed {
            return Err(EvidenceError::unsupported(format!("content compressed as {method:?}")));
        }
        if rock.is_sparse {
            return Err(EvidenceError::unsupported("a sparse file of Rock Ridge"));
        }
        let mut done = 0_usize;
        let mut before = 0_u64;
        for part in self.sections(record)? {
            let at = offset_bytes.saturating_add(to_u64(done));
            let within = at.saturating_sub(before);
            before = before.saturating_add(part.length_bytes);
            let rest = buf.get_mut(done..).unwrap_or(&mut []);
            let length = to_usize(part.length_bytes.saturating_sub(within)).min(rest.len());
            let rest = rest.get_mut(..length).unwrap_or(&mut []);
            if rest.is_empty() {
                continue;
            }
            let from = part.at.saturating_add(within);
            let got = self
                .source
                .read_at(from, rest)
                .map_err(EvidenceError::read(format!("content of record {node} at {at}")))?;
            done = done.saturating_add(got);
            if got < length {
                if done > 0 {
                    return Ok(done);
                }
                return Err(EvidenceError::corrupt(format!(
                    "record {node} at {at}: its content lies at {from}, beyond the end of the source"
                )));
            }
        }
        Ok(done)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        let _ = node;
        Ok(Vec::new())
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let record = self.record(node)?;
        let rock = self.rock(&record);
        let record = self.directory(record, &rock)?;
        let mut logical_bytes = 0_u64;
        let mut out = Vec::new();
        for part in self.sections(record)?.into_iter().filter(|part| part.length_bytes > 0) {
            let Section { at, length_bytes } = part;
            let stored = match &rock.packed {
                Some(_) => Stored::Packed { at, length_bytes },
                None => Stored::At(at),
            };
            let covered = rock.packed.as_ref().map_or(length_bytes, |(_, unpacked)| *unpacked);
            out.push(Extent { logical_bytes, length_bytes: covered, stored });
            logical_bytes = logical_bytes.saturating_add(length_bytes);
        }
        Ok(out)
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        if node == self.tree.root.node {
            return Ok(self.volume_details());
        }
        let record = self.record(node)?;
        let rock = self.rock(&record);
        let mut out = vec![
            ("recorded name", crate::escape_bytes(&record.name)),
            ("first block", record.block.to_string()),
            ("flags", format!("{:#04x}", record.flags)),
        ];
        out.extend(record.recorded.map(|time| ("recorded", time.to_string())));
        let serial = rock.posix.and_then(|posix| posix.serial);
        out.extend(serial.map(|serial| ("serial number", serial.to_string())));
        out.extend(rock.packed.map(|(method, _)| ("compressed as", method)));
        out.extend(rock.child_block.map(|block| ("moved to block", block.to_string())));
        Ok(out.into_iter().map(|(name, value)| Detail { name, value }).collect())
    }
}
