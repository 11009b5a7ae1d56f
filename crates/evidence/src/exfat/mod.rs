//! exFAT, read only: what large sticks and memory cards are.
//!
//! Nodes are The Sleuth Kit's: 2 is the root, every other object is the place of its file entry, counted in entries of 32
//! bytes from the start of the clusters, plus 3. Times are UTC where the set records its zone, as Windows, Linux and
//! cameras of the last years do; where it does not, the local time is shown as it stands and the details say so.
//!
//! Own reader, not a crate: `exfat-fs` and `hadris-fat` read through a seeking `&mut` handle, turn names into text with
//! loss, and know neither given-up sets nor the place of anything. exfatprogs, exfat-fuse and The Sleuth Kit judge ours.
//!
//! Deleting clears a bit in each entry and the bits of the clusters; the chain in the table often stays, so it is
//! followed where all of it is still free, and guessed as on FAT where not. Not read: the second table and bitmap of
//! TexFAT beyond choosing between them.

mod bitmap;
mod boot;
mod dir;
mod given_up;
mod set;
mod upcase;

use crate::bytes::{to_usize, utf16_text};
use crate::error::EvidenceError;
use crate::fat::{ENTRY_BYTES, Mapped, Runs, Shelf, Table, Width, attributes, deleted};
use crate::fs::{
    Clock, Conventions, DeletedListing, Detail, Entry, Extent, FileKind, FileSystem, Listing,
    Metadata, Names, Node, Owners, RawPath, View, Xattr,
};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Cached, Source};
use bitmap::Bitmap;
use boot::Boot;
use dir::{Scanner, Specials, State};
use set::FileSet;
use std::sync::Arc;
use upcase::UpCase;

/// The root directory, which has no entry.
const ROOT: Node = 2;
/// The node of the first place an entry can have.
const FIRST_NODE: Node = 3;
/// The longest directory there may be (specification, section 7.4.9).
const MAX_DIRECTORY_BYTES: u64 = 256 << 20;
/// Memory for entries and tables read in small pieces.
const CACHE_BYTES: usize = 8 << 20;

/// An exFAT file system.
pub struct ExFat {
    /// For content.
    source: Arc<dyn Source>,
    /// For entries and tables.
    cached: Arc<dyn Source>,
    boot: Boot,
    table: Table,
    bitmap: Option<Bitmap>,
    upcase: Option<UpCase>,
    specials: Specials,
    shelf: Shelf,
    problems: Vec<Problem>,
}

/// Opens the file system that begins at the start of `source`; it has no journal, so both views are the same.
///
/// # Errors
/// As [`ExFat::open`].
pub fn open(source: Arc<dyn Source>, view: View) -> Result<Box<dyn FileSystem>, EvidenceError> {
    let _ = view;
    Ok(Box::new(ExFat::open(source)?))
}

impl ExFat {
    /// Opens the file system that begins at the start of `source`.
    ///
    /// # Errors
    /// When the boot sector cannot be read, makes no sense or is of a revision yet unknown.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        let (boot, damaged) = Boot::read(&*source)?;
        let cached: Arc<dyn Source> = Arc::new(Cached::new(Arc::clone(&source), 4096, CACHE_BYTES));
        let table = Table {
            source: Arc::clone(&cached),
            starts: boot.tables.clone(),
            length_bytes: boot.table_bytes,
            width: Width::Bits32,
            clusters: boot.heap.clusters,
        };
        let mut fs = Self {
            problems: damaged.into_iter().chain(boot.check(&source)).collect(),
            source,
            cached,
            boot,
            table,
            bitmap: None,
            upcase: None,
            specials: Specials::default(),
            shelf: Shelf::new(),
        };
        fs.check();
        Ok(fs)
    }

    /// Reads what the root directory tells about the volume.
    fn check(&mut self) {
        let (claimed, there) = (self.boot.total_bytes, self.source.size_bytes());
        if claimed > there {
            self.problem(format!("the volume claims {claimed} bytes, the source has {there}"));
        }
        match self.scan(ROOT) {
            Ok(scanner) => self.specials = scanner.specials,
            Err(error) => self.problems.push(error.to_problem(Place::Node(ROOT))),
        }
        let wanted = usize::from(self.boot.flags & 1);
        let bitmaps = self.specials.bitmaps;
        match bitmaps.get(wanted).copied().flatten().or(bitmaps.first().copied().flatten()) {
            Some((cluster, size_bytes)) => {
                let needed = u64::from(self.boot.heap.clusters).div_ceil(8);
                if size_bytes < needed {
                    self.problem(format!(
                        "the allocation bitmap has {size_bytes} bytes, {needed} are needed"
                    ));
                }
                self.bitmap = Some(Bitmap {
                    source: Arc::clone(&self.cached),
                    heap: self.boot.heap,
                    map: self.special_map(cluster, size_bytes.min(needed)),
                });
            }
            None => self.problem("the root directory names no allocation bitmap".to_owned()),
        }
        match self.specials.upcase {
            Some(stored) => self.load_upcase(stored),
            None => self.problem("the root directory names no up-case table".to_owned()),
        }
    }

    fn problem(&mut self, text: String) {
        self.problems.push(Problem::new(ProblemKind::Corrupt, Place::Source, text));
    }

    /// The clusters of the bitmap or the up-case table, which have a chain as the root directory has.
    fn special_map(&self, cluster: u32, size_bytes: u64) -> Mapped {
        let needed = self.boot.heap.clusters_for(size_bytes);
        let runs = Runs::follow(&self.table, cluster, needed);
        Mapped { runs, size_bytes, valid_bytes: size_bytes }
    }

    fn load_upcase(&mut self, stored: upcase::Stored) {
        let length = to_usize(stored.size_bytes).min(upcase::MAX_BYTES);
        let mut raw = vec![0; length];
        let map = self.special_map(stored.cluster, stored.size_bytes);
        match map.read(&self.source, &self.boot.heap, 0, 0, &mut raw) {
            Ok(got) if got == length && upcase::checksum(&raw) == stored.checksum => {
                self.upcase = Some(UpCase::unpack(&raw));
            }
            Ok(_) => {
                let (found, expected) = (stored.checksum, upcase::checksum(&raw));
                self.problem(format!(
                    "the checksum of the up-case table is {found:08x}, expected {expected:08x}"
                ));
            }
            Err(error) => self.problem(format!("the up-case table: {error}")),
        }
    }

    fn node_at(&self, offset_bytes: u64) -> Node {
        let from_start = offset_bytes.saturating_sub(self.boot.heap.start_bytes);
        from_start.saturating_div(32).saturating_add(FIRST_NODE)
    }

    /// Where the entry of a node stands, and the cluster it is in.
    fn place_of(&self, node: Node) -> Result<(u64, u32), EvidenceError> {
        let heap = &self.boot.heap;
        node.checked_sub(FIRST_NODE)
            .and_then(|index| index.checked_mul(32))
            .and_then(|bytes| bytes.checked_add(heap.start_bytes))
            .and_then(|offset| Some((offset, heap.cluster_at(offset)?)))
            .ok_or_else(|| EvidenceError::refused(format!("there is no entry number {node}")))
    }

    /// The set of any node but the root. It may go on in another cluster, whose number only its directory knows for
    /// sure: the table's next and the neighbour are tried, and the checksum tells which is right.
    fn set(&self, node: Node) -> Result<FileSet, EvidenceError> {
        let (offset, cluster) = self.place_of(node)?;
        let read = |at: u64, length: usize| {
            let what = EvidenceError::read(format!("directory entry {node}"));
            self.cached.bytes_at(at, length).map_err(what)
        };
        let entries = set::entries_of(&read(offset, ENTRY_BYTES)?);
        let heap = &self.boot.heap;
        let end = heap.offset(cluster.saturating_add(1));
        let parse = |raw: &[u8]| {
            FileSet::parse(raw).ok_or_else(|| {
                EvidenceError::refused(format!("entry {node} does not begin a file"))
            })
        };
        let straight = read(offset, entries.saturating_mul(ENTRY_BYTES))?;
        let Some(available) = set::crossing(entries, end.saturating_sub(offset)) else {
            return parse(&straight);
        };
        // Nineteen entries reach into three clusters of 512 bytes at most.
        let chain = Runs::follow(&self.table, cluster, 3);
        let mut chained = straight.get(..available).unwrap_or(&[]).to_vec();
        let clusters =
            chain.list.iter().flat_map(|run| run.cluster..run.cluster.saturating_add(run.count));
        for cluster in clusters.skip(1) {
            let missing = straight.len().saturating_sub(chained.len());
            let length = missing.min(to_usize(heap.cluster_bytes));
            chained.extend(read(heap.offset(cluster), length)?);
        }
        match (parse(&chained), parse(&straight)) {
            (Ok(set), _) | (Err(_), Ok(set)) if set.is_whole() => Ok(set),
            (Ok(_), Ok(set)) if set.is_whole() => Ok(set),
            (Ok(set), _) => Ok(set),
            (Err(_), straight) => straight,
        }
    }

    fn is_free(&self, cluster: u32) -> bool {
        self.bitmap.as_ref().is_some_and(|map| map.cursor().is_free(cluster).unwrap_or(false))
    }

    /// Whether the set was given up, or stands in a cluster that was.
    fn is_given_up(&self, node: Node, set: &FileSet) -> bool {
        !set.is_live || self.place_of(node).is_ok_and(|(_, cluster)| self.is_free(cluster))
    }

    fn runs(&self, node: Node) -> Result<Runs, EvidenceError> {
        let heap = &self.boot.heap;
        if node == ROOT {
            let most = heap.clusters_for(MAX_DIRECTORY_BYTES);
            return Ok(Runs::follow(&self.table, self.boot.root_cluster, most));
        }
        let set = self.set(node)?;
        let size_bytes = if set.is_directory() {
            set.size_bytes.min(MAX_DIRECTORY_BYTES)
        } else {
            set.size_bytes
        };
        let needed = heap.clusters_for(size_bytes);
        Ok(if self.is_given_up(node, &set) {
            self.given_up_runs(&set, needed)
        } else if set.is_contiguous {
            Runs::straight(&self.table, set.cluster, needed)
        } else {
            Runs::follow(&self.table, set.cluster, needed)
        })
    }

    /// All entries of a directory.
    fn scan(&self, node: Node) -> Result<Scanner<'_>, EvidenceError> {
        let mut scanner = Scanner::new(self.upcase.as_ref());
        let heap = &self.boot.heap;
        let mut left = MAX_DIRECTORY_BYTES;
        let mut needed = 0;
        if node != ROOT {
            let set = self.set(node)?;
            if !set.is_directory() {
                return Err(EvidenceError::refused(format!("entry {node} is not a directory")));
            }
            left = set.size_bytes;
            needed = heap.clusters_for(left);
        }
        let runs = self.runs(node)?;
        for run in &runs.list {
            let length = u64::from(run.count).saturating_mul(heap.cluster_bytes).min(left);
            left = left.saturating_sub(length);
            let error = self.scan_range(heap.offset(run.cluster), length, &mut scanner).err();
            scanner.problems.extend(error.map(|error| error.to_problem(Place::Node(node))));
        }
        scanner.finish(node);
        let broken = runs.broken.is_some() || u64::from(runs.count) < needed;
        if broken {
            let why = runs.shortage(needed.max(u64::from(runs.count).saturating_add(1)));
            let text = format!("the directory is not whole: {}", why.unwrap_or_default());
            scanner.problems.push(Problem::new(ProblemKind::Corrupt, Place::Node(node), text));
        }
        Ok(scanner)
    }

    fn scan_range(
        &self,
        start: u64,
        length: u64,
        scanner: &mut Scanner<'_>,
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
                scanner.push(self.node_at(at), entry);
                at = at.saturating_add(32);
            }
            if raw.len() < wanted || wanted < ENTRY_BYTES {
                return Err(EvidenceError::corrupt(format!(
                    "a directory breaks off at {at}, before its end at {end}"
                )));
            }
        }
        Ok(())
    }

    fn mapped(&self, node: Node, set: &FileSet) -> Result<Arc<Mapped>, EvidenceError> {
        self.shelf.map(node, || {
            let (size_bytes, valid_bytes) = (set.size_bytes, set.valid_bytes);
            Ok(Mapped { runs: self.runs(node)?, size_bytes, valid_bytes })
        })
    }

    fn volume_details(&self) -> Vec<Detail> {
        let boot = &self.boot;
        let yes_no = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let mut out = vec![
            ("revision", format!("{}.{:02}", boot.revision >> 8, boot.revision & 0xff)),
            ("sector bytes", boot.sector_bytes.to_string()),
            ("cluster bytes", boot.heap.cluster_bytes.to_string()),
            ("clusters", boot.heap.clusters.to_string()),
            ("tables", boot.tables.len().to_string()),
            ("marked in use", yes_no(boot.flags & 2 != 0)),
            ("free of read errors", yes_no(boot.flags & 4 == 0)),
            ("percent in use as last counted", boot.percent_in_use.to_string()),
        ];
        if let Some(guid) = self.specials.guid {
            out.push(("volume GUID", crate::bytes::guid_text(guid)));
        }
        out.into_iter().map(|(name, value)| Detail { name, value }).collect()
    }
}

impl FileSystem for ExFat {
    fn kind(&self) -> &'static str {
        "exfat"
    }

    fn label(&self) -> Option<String> {
        self.specials.label.as_deref().and_then(utf16_text)
    }

    fn uuid(&self) -> Option<String> {
        Some(self.boot.serial.clone())
    }

    fn problems(&self) -> &[Problem] {
        &self.problems
    }

    fn root(&self) -> Node {
        ROOT
    }

    fn conventions(&self) -> Conventions {
        Conventions { clock: Clock::Utc, owners: Owners::None, names: Names::CaseFolded }
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        if node != ROOT {
            return Ok(self.set(node)?.metadata(node));
        }
        let clusters = u64::from(self.runs(node)?.count);
        Ok(Metadata {
            node,
            kind: FileKind::Directory,
            mode: 0o777,
            uid: 0,
            gid: 0,
            links: 1,
            size_bytes: clusters.saturating_mul(self.boot.heap.cluster_bytes),
            accessed: None,
            modified: None,
            changed: None,
            born: None,
            generation: None,
            attributes: attributes(0),
            device: None,
        })
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let scanner = self.scan(node)?;
        let live = scanner.records.into_iter().filter(|record| record.state == State::Live);
        let entries =
            live.map(|record| Entry { name: RawPath(record.name), node: record.node }).collect();
        Ok(Listing { entries, problems: scanner.problems })
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
        let is_root = node == ROOT;
        let set = if is_root { None } else { Some(self.set(node)?) };
        let Some(set) = set.filter(|set| !set.is_directory()) else {
            return Err(EvidenceError::refused(format!("entry {node} is not a regular file")));
        };
        let map = self.mapped(node, &set)?;
        map.read(&self.source, &self.boot.heap, node, offset_bytes, buf)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        let _ = node;
        Ok(Vec::new())
    }

    fn extents(&self, node: Node) -> Result<Vec<Extent>, EvidenceError> {
        let valid_bytes = if node == ROOT { u64::MAX } else { self.set(node)?.valid_bytes };
        Ok(self.runs(node)?.extents(&self.boot.heap, valid_bytes))
    }

    fn details(&self, node: Node) -> Result<Vec<Detail>, EvidenceError> {
        if node == ROOT {
            return Ok(self.volume_details());
        }
        let set = self.set(node)?;
        let mut out = vec![
            ("attributes", format!("{:#06x}", set.attributes)),
            ("first cluster", set.cluster.to_string()),
            ("contiguous", if set.is_contiguous { "yes" } else { "no" }.to_owned()),
            ("valid bytes", set.valid_bytes.to_string()),
        ];
        let times =
            [("created", set.created), ("modified", set.modified), ("accessed", set.accessed)];
        for (name, stamp) in times {
            out.extend(stamp.remark().map(|remark| (name, remark)));
        }
        Ok(out.into_iter().map(|(name, value)| Detail { name, value }).collect())
    }

    fn deleted(&self, limit: usize) -> DeletedListing {
        deleted(self, limit)
    }

    fn free_ranges(&self) -> Result<Vec<std::ops::Range<u64>>, EvidenceError> {
        match &self.bitmap {
            Some(bitmap) => Ok(self.boot.heap.ranges(&bitmap.free_runs()?)),
            None => Err(EvidenceError::corrupt("the volume names no allocation bitmap")),
        }
    }
}
