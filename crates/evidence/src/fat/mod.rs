//! FAT12, FAT16 and FAT32, read only: what every USB stick, memory card and EFI system partition is.
//!
//! Nodes are The Sleuth Kit's: 2 is the root, every other object is the place of its entry, counted in entries of 32
//! bytes from the start of the data area, plus 3; so a body file agrees with theirs, and a given-up entry has a node too.
//! Times are local to a machine whose zone the format does not keep.
//!
//! Own reader, not a crate: those looked at (`fatfs`, `hadris-fat`) read through a seeking `&mut` handle, turn names into
//! text with loss, and know neither given-up entries nor the place of anything; mtools, the kernel's rules and The Sleuth
//! Kit judge ours in the tests.
//!
//! A file that was deleted has lost its chain; what is shown as its content is the guess of The Sleuth Kit: the next free
//! clusters from its first on. Windows also clears the upper half of that first cluster on FAT32; then nothing is left.

mod boot;
mod dir;
mod entry;
mod given_up;
mod names;
mod runs;
mod search;
mod stamp;
mod table;

pub(crate) use entry::{ENTRY_BYTES, attributes, mode};
pub(crate) use names::{Harm, harmless};
pub(crate) use runs::{Heap, Mapped, Runs, Shelf};
pub(crate) use search::{Found, Life, Searched, deleted};
pub(crate) use stamp::moment;
pub(crate) use table::{Table, Width, push_run};

use crate::bytes::{Fields, padded_text, to_usize};
use crate::error::EvidenceError;
use crate::fs::{
    Clock, Conventions, DeletedListing, Detail, Entry, Extent, FileKind, FileSystem, Listing,
    Metadata, Names, Node, Owners, RawPath, View, Xattr,
};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Cached, Source};
use boot::{Boot, Root};
use dir::{Scanner, State};
use entry::{HighBits, Short, Slot};
use std::sync::Arc;

/// The root directory, which has no entry.
const ROOT: Node = 2;
/// The node of the first place an entry can have.
const FIRST_NODE: Node = 3;
/// Longest directory read; the specification ends at 2 MiB.
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;
/// Memory for entries and tables read in small pieces.
const CACHE_BYTES: usize = 8 << 20;

/// A FAT file system.
pub struct Fat {
    /// For content.
    source: Arc<dyn Source>,
    /// For entries and tables.
    cached: Arc<dyn Source>,
    boot: Boot,
    table: Table,
    shelf: Shelf,
    label: Option<String>,
    problems: Vec<Problem>,
}

/// Where a directory lies: first byte and length of each part, and why there are no more where something is wrong.
struct Ranges {
    list: Vec<(u64, u64)>,
    broken: Option<String>,
}

/// Opens the file system that begins at the start of `source`; it has no journal, so both views are the same.
///
/// # Errors
/// As [`Fat::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = view;
    Ok(Box::new(Fat::open(source)?))
}

impl Fat {
    /// Opens the file system that begins at the start of `source`.
    ///
    /// # Errors
    /// When the boot sector cannot be read or makes no sense.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        let (boot, raw, damaged) = Boot::read(&*source)?;
        let cached: Arc<dyn Source> = Arc::new(Cached::new(Arc::clone(&source), 4096, CACHE_BYTES));
        let table = Table {
            source: Arc::clone(&cached),
            starts: boot.tables.clone(),
            length_bytes: boot.table_bytes,
            width: boot.width,
            clusters: boot.heap.clusters,
        };
        let mut fat = Self {
            source,
            cached,
            boot,
            table,
            shelf: Shelf::new(),
            label: None,
            problems: damaged.into_iter().collect(),
        };
        fat.check(&raw);
        fat.label = fat.root_label().or_else(|| fat.boot.label.clone());
        Ok(fat)
    }

    /// What is wrong with the volume as a whole.
    fn check(&mut self, first_sector: &[u8]) {
        let (claimed, there) = (self.boot.total_bytes, self.source.size_bytes());
        if claimed > there {
            let text = format!("the volume claims {claimed} bytes, the source has {there}");
            self.problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
        }
        if self.boot.are_tables_mirrored {
            self.problems.extend(self.table.compare_copies());
        }
        let Some(at) = self.boot.backup_at else { return };
        // The first 90 bytes describe the volume; the mark of use in byte 65 is not kept up in the copy.
        let described = |raw: &[u8]| {
            let mut raw = raw.get(..90).unwrap_or(&[]).to_vec();
            if let Some(mark) = raw.get_mut(65) {
                *mark = 0;
            }
            raw
        };
        match self.source.bytes_at(at, 512) {
            Ok(copy) if described(&copy) == described(first_sector) => {}
            Ok(_) => {
                let text = "the boot sector and its copy describe different volumes";
                let place = Place::OffsetBytes(at);
                self.problems.push(Problem::new(ProblemKind::Corrupt, place, text));
            }
            Err(error) => {
                let error = EvidenceError::read("the copy of the boot sector")(error);
                self.problems.push(error.to_problem(Place::OffsetBytes(at)));
            }
        }
    }

    /// The label the root directory gives, which is the one Windows shows.
    fn root_label(&self) -> Option<String> {
        let scanner = self.scan(ROOT).ok()?;
        let labels = |record: &&dir::Record| {
            record.state == State::Live && record.short.is_label() && record.node != ROOT
        };
        let label = scanner.records.iter().find(labels)?;
        let raw = names::short_label(label.short.name);
        padded_text(&raw)
    }

    fn node_at(&self, offset_bytes: u64) -> Node {
        offset_bytes
            .saturating_sub(self.boot.data_start_bytes)
            .saturating_div(32)
            .saturating_add(FIRST_NODE)
    }

    /// Where the entry of a node stands.
    fn place_of(&self, node: Node) -> Result<u64, EvidenceError> {
        let offset = node
            .checked_sub(FIRST_NODE)
            .and_then(|index| index.checked_mul(32))
            .and_then(|bytes| bytes.checked_add(self.boot.data_start_bytes))
            .filter(|offset| *offset < self.boot.heap.end_bytes());
        offset.ok_or_else(|| EvidenceError::refused(format!("there is no entry number {node}")))
    }

    fn high_bits(&self) -> HighBits {
        if self.boot.width == Width::Bits28 { HighBits::Cluster } else { HighBits::Other }
    }

    /// The entry of any node but the root.
    fn short(&self, node: Node) -> Result<Short, EvidenceError> {
        let offset = self.place_of(node)?;
        let mut raw = [0; ENTRY_BYTES];
        self.cached
            .fill(offset, &mut raw)
            .map_err(EvidenceError::read(format!("directory entry {node}")))?;
        match Slot::parse(Fields(&raw), self.high_bits()) {
            Slot::Short(short) => Ok(short),
            Slot::Long(_) => {
                Err(EvidenceError::refused(format!("entry {node} is part of a long name")))
            }
            Slot::End => Err(EvidenceError::refused(format!("entry {node} is empty"))),
        }
    }

    /// Whether the entry was given up, or stands in a cluster that was.
    fn is_given_up(&self, node: Node, short: &Short) -> bool {
        if short.is_erased() {
            return true;
        }
        let cluster = self.place_of(node).ok().and_then(|at| self.boot.heap.cluster_at(at));
        cluster.is_some_and(|cluster| self.table.cursor().is_free(cluster).unwrap_or(false))
    }

    /// The clusters of an object other than a fixed root.
    fn runs(&self, node: Node) -> Result<Runs, EvidenceError> {
        let most_directory = self.boot.heap.clusters_for(MAX_DIRECTORY_BYTES);
        if node == ROOT {
            return Ok(match self.boot.root {
                Root::Chain(first) => Runs::follow(&self.table, first, most_directory),
                Root::Fixed(..) => Runs::default(),
            });
        }
        let short = self.short(node)?;
        let is_directory = short.is_directory();
        let given_up = self.is_given_up(node, &short);
        Ok(match (is_directory, given_up) {
            (true, true) => self.given_up_directory(short.cluster),
            (true, false) => Runs::follow(&self.table, short.cluster, most_directory),
            (false, given_up) => {
                let needed = self.boot.heap.clusters_for(short.size_bytes);
                if given_up {
                    self.guess(short.cluster, needed)
                } else {
                    Runs::follow(&self.table, short.cluster, needed)
                }
            }
        })
    }

    fn guess(&self, first: u32, needed: u64) -> Runs {
        let mut cursor = self.table.cursor();
        let last = self.table.clusters.saturating_add(1);
        Runs::guess(first, needed, last, |cluster| cursor.is_free(cluster))
    }

    /// The byte ranges of a directory.
    fn directory_ranges(&self, node: Node) -> Result<Ranges, EvidenceError> {
        if let (ROOT, Root::Fixed(start, length)) = (node, self.boot.root) {
            return Ok(Ranges { list: vec![(start, length)], broken: None });
        }
        let runs = self.runs(node)?;
        let heap = &self.boot.heap;
        let too_long = u64::from(runs.count).saturating_mul(heap.cluster_bytes)
            >= MAX_DIRECTORY_BYTES
            && runs.broken.is_none();
        let why = too_long.then(|| format!("only its first {MAX_DIRECTORY_BYTES} bytes were read"));
        let list = runs
            .list
            .iter()
            .map(|run| {
                (heap.offset(run.cluster), u64::from(run.count).saturating_mul(heap.cluster_bytes))
            })
            .collect();
        Ok(Ranges { list, broken: runs.broken.or(why) })
    }

    /// All entries of a directory.
    fn scan(&self, node: Node) -> Result<Scanner, EvidenceError> {
        let mut scanner = Scanner::new(self.table.clusters);
        let ranges = self.directory_ranges(node)?;
        for (start, length) in ranges.list {
            let error = self.scan_range(start, length, &mut scanner).err();
            scanner.problems.extend(error.map(|error| error.to_problem(Place::Node(node))));
        }
        scanner.finish(node);
        if let Some(why) = ranges.broken {
            let text = format!("the directory is not whole: {why}");
            scanner.problems.push(Problem::new(ProblemKind::Corrupt, Place::Node(node), text));
        }
        Ok(scanner)
    }

    fn scan_range(
        &self,
        start: u64,
        length: u64,
        scanner: &mut Scanner,
    ) -> Result<(), EvidenceError> {
        let end = start.saturating_add(length);
        let mut at = start;
        while at < end {
            let wanted = to_usize(end.saturating_sub(at)).min(1 << 16);
            let raw = self
                .cached
                .bytes_at(at, wanted)
                .map_err(EvidenceError::read(format!("a directory at {at}")))?;
            for entry in raw.chunks_exact(ENTRY_BYTES) {
                scanner.push(self.node_at(at), Slot::parse(Fields(entry), self.high_bits()));
                at = at.saturating_add(32);
            }
            if raw.len() < wanted {
                return Err(EvidenceError::corrupt(format!(
                    "a directory goes on at {at}, beyond the end of the source"
                )));
            }
        }
        Ok(())
    }

    fn mapped(&self, node: Node) -> Result<Arc<Mapped>, EvidenceError> {
        self.shelf.map(node, || {
            let size_bytes = self.short(node)?.size_bytes;
            Ok(Mapped { runs: self.runs(node)?, size_bytes, valid_bytes: u64::MAX })
        })
    }

    /// A mark of the table's second entry: set while all is well.
    fn has_mark(&self, sixteen: u32, twenty_eight: u32) -> Option<String> {
        let bit = match self.boot.width {
            Width::Bits12 => return None,
            Width::Bits16 => sixteen,
            Width::Bits28 | Width::Bits32 => twenty_eight,
        };
        let entry = self.table.second_entry().ok()?;
        Some(if entry & bit != 0 { "yes".to_owned() } else { "no".to_owned() })
    }

    fn volume_details(&self) -> Vec<Detail> {
        let mut out = Vec::new();
        let mut add = |name, value: Option<String>| {
            out.extend(value.map(|value| Detail { name, value }));
        };
        let boot = &self.boot;
        add("written by", boot.system.clone());
        add("sector bytes", Some(boot.sector_bytes.to_string()));
        add("cluster bytes", Some(boot.heap.cluster_bytes.to_string()));
        add("clusters", Some(boot.heap.clusters.to_string()));
        add("tables", Some(boot.tables.len().to_string()));
        add("label in the boot sector", boot.label.clone());
        add("marked in use", Some(if boot.is_marked_dirty { "yes" } else { "no" }.to_owned()));
        add("shut down cleanly", self.has_mark(1 << 15, 1 << 27));
        add("free of read errors", self.has_mark(1 << 14, 1 << 26));
        let info = boot.info_at.and_then(|at| self.cached.bytes_at(at, 512).ok());
        let info = info.as_deref().map(Fields).filter(|info| info.has(484, b"rrAa"));
        let count = |at: usize| info.map(|info| info.le32(at)).filter(|count| *count != u32::MAX);
        add("free clusters as last counted", count(488).map(|count| count.to_string()));
        add("last cluster given out", count(492).map(|count| count.to_string()));
        out
    }
}

impl FileSystem for Fat {
    fn kind(&self) -> &'static str {
        self.boot.kind()
    }

    fn label(&self) -> Option<String> {
        self.label.clone()
    }

    fn uuid(&self) -> Option<String> {
        self.boot.serial.clone()
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn conventions(&self) -> Conventions {
        Conventions { clock: Clock::LocalUnknown, owners: Owners::None, names: Names::CaseFolded }
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        let length = |ranges: Ranges| {
            ranges.list.iter().fold(0_u64, |sum, (_, length)| sum.saturating_add(*length))
        };
        if node == ROOT {
            let size_bytes = length(self.directory_ranges(node)?);
            return Ok(Metadata {
                node,
                kind: FileKind::Directory,
                mode: 0o777,
                uid: 0,
                gid: 0,
                links: 1,
                size_bytes,
                accessed: None,
                modified: None,
                changed: None,
                born: None,
                generation: None,
                attributes: attributes(0),
                device: None,
            });
        }
        let short = self.short(node)?;
        let size_bytes = if short.is_directory() {
            length(self.directory_ranges(node)?)
        } else {
            short.size_bytes
        };
        Ok(short.metadata(node, size_bytes))
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        if node != ROOT && !self.short(node)?.is_directory() {
            return Err(EvidenceError::refused(format!("entry {node} is not a directory")));
        }
        let scanner = self.scan(node)?;
        let mut listing = Listing { entries: Vec::new(), problems: scanner.problems };
        for record in scanner.records.into_iter().filter(|record| record.state == State::Live) {
            if !record.short.is_label() {
                listing.entries.push(Entry { name: RawPath(record.name), node: record.node });
            } else if node != ROOT {
                // No system shows such an entry, which makes it a place to hide something.
                let name = crate::escape_bytes(&record.name);
                let text = format!("a volume label {name:?} stands in a subdirectory");
                let place = Place::Node(record.node);
                listing.problems.push(Problem::new(ProblemKind::Corrupt, place, text));
            }
        }
        Ok(listing)
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        Err(EvidenceError::refused(format!("entry {node} is not a symbolic link")))
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        if node == ROOT || self.short(node)?.kind() != FileKind::File {
            return Err(EvidenceError::refused(format!("entry {node} is not a regular file")));
        }
        let map = self.mapped(node)?;
        map.read(&self.source, &self.boot.heap, node, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        let _ = node;
        Ok(Vec::new())
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        if let (ROOT, Root::Fixed(start, length_bytes)) = (node, self.boot.root) {
            let stored = crate::fs::Stored::At(start);
            return Ok(vec![Extent { logical_bytes: 0, length_bytes, stored }]);
        }
        Ok(self.runs(node)?.extents(&self.boot.heap, u64::MAX))
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        if node == ROOT {
            return Ok(self.volume_details());
        }
        let short = self.short(node)?;
        let mut out = vec![
            Detail { name: "short name", value: crate::escape_bytes(&short.shown_name()) },
            Detail { name: "attributes", value: format!("{:#04x}", short.attributes) },
            Detail { name: "first cluster", value: short.cluster.to_string() },
        ];
        for (name, value) in short.impossible_times() {
            out.push(Detail { name: "impossible time", value: format!("{name}: {value}") });
        }
        Ok(out)
    }

    fn deleted(&self, limit: usize) -> DeletedListing {
        deleted(self, limit)
    }

    fn free_ranges(&self) -> Result<Vec<std::ops::Range<u64>>, EvidenceError> {
        Ok(self.boot.heap.ranges(&self.table.free_runs()?))
    }
}
