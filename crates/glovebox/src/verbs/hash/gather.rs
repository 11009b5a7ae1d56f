//! The digests of whatever was named: a file, a tree, a disk, the disk in an image, a path inside.

use std::collections::BTreeMap;
use std::io;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use evidence::fs::digest::{self, Digested, Wanted};
use evidence::fs::tree::{Limits, Visit};
use evidence::fs::{FileKind, FileSystem};
use evidence::source::Source;
use evidence::{Place, Problem, ProblemKind};
use guard::Guard;
use hashing::{
    Algorithms, Boundary, Content, Digests, Entry, Manifest, PieceDigests, PieceHasher,
    SpecialKind, TreeOptions, TreeReport,
};
use imaging::{Ending, FileSource, Plan, ReadAt, Sink};
use rustix::fs::{StatVfsMountFlags, statvfs};
use serde_json::json;

use super::kept::{Kept, full_name, item};
use crate::acting;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::say;
use crate::progress::Meter;
use crate::target::{self, Meaning};

/// How files are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// So that each can be found: below the target if there is one, with the target where there are several.
    Whole,
    /// Always below the target.
    Below,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) manifest: Manifest,
    pub(super) pieces: BTreeMap<Vec<u8>, Vec<PieceDigests>>,
    /// Paths that could not be read as they should, and why.
    pub(super) problems: Vec<(Vec<u8>, String)>,
}

/// What a word names.
pub(super) enum Kind {
    /// Something inside a disk or an image.
    Inside,
    /// A disk, or the disk in an image.
    Disk { name: String, source: Box<dyn ReadAt> },
    /// A file or folder.
    Tree,
}

/// Computes digests.
pub(super) struct Gatherer<'a> {
    pub(super) guard: &'a Guard,
    /// What the act will hold.
    pub(super) kept: &'a Kept<'a>,
    pub(super) reading: &'a Reading,
    pub(super) threads: NonZeroUsize,
    pub(super) algorithms: &'a Algorithms,
    pub(super) piece_bytes: Option<NonZeroU64>,
    /// The disk in an image is meant, not the image's file.
    pub(super) inside_image: bool,
}

impl Gathered {
    fn add(&mut self, path: Vec<u8>, content: Content) {
        self.manifest.insert(Entry { path, content });
    }

    /// Says what could not be read.
    pub(super) fn say_problems(&self) {
        for (path, reason) in &self.problems {
            say(&format!("problem: {}: {reason}", hashing::escape_name(path)));
        }
    }
}

impl Gatherer<'_> {
    /// What is at all of the targets.
    ///
    /// # Errors
    /// If one of them cannot be opened.
    pub(super) fn all(&self, targets: &[String], naming: Naming) -> Result<Gathered, Failure> {
        let mut gathered = Gathered::default();
        for word in targets {
            let before = if targets.len() > 1 && naming == Naming::Whole {
                word.trim_end_matches('/')
            } else {
                ""
            };
            match self.kind(word)? {
                Kind::Inside => self.inside(word, naming, &mut gathered)?,
                Kind::Disk { name, source } => {
                    let (content, pieces, unreadable_bytes) = self.disk(&name, &*source)?;
                    let unread = unread(unreadable_bytes);
                    gathered.problems.extend(unread.map(|text| (name.clone().into_bytes(), text)));
                    if self.piece_bytes.is_some() {
                        gathered.pieces.insert(name.clone().into_bytes(), pieces);
                    }
                    gathered.add(name.into_bytes(), content);
                }
                Kind::Tree => {
                    let path = Path::new(word);
                    let report = self.tree(path)?;
                    let before = if path.is_dir() { before } else { &parent_of(before) };
                    join(report, before.as_bytes(), &mut gathered);
                }
            }
        }
        Ok(gathered)
    }

    /// What a word names, disks opened.
    ///
    /// # Errors
    /// If it is a disk and cannot be opened.
    pub(super) fn kind(&self, word: &str) -> Result<Kind, Failure> {
        let address = target::address(word);
        if address.label.is_some() || address.object.is_some() {
            return Ok(Kind::Inside);
        }
        match target::meaning(word, self.guard) {
            Meaning::Disk(name) => {
                let opened = self.guard.open(&name)?;
                let source = FileSource::new(opened.file, opened.disk.logical_block_bytes)?;
                Ok(Kind::Disk { name: name.to_string(), source: Box::new(source) })
            }
            Meaning::Path(_) if self.inside_image => {
                let disk = target::disk_source(word, self.guard)?;
                Ok(Kind::Disk { name: word.to_owned(), source: Box::new(InImage(disk.source)) })
            }
            Meaning::Path(_) => Ok(Kind::Tree),
        }
    }

    /// The digests of a disk, of its pieces, and how much of it could not be read.
    ///
    /// # Errors
    /// If it stops answering: the digest of a part must never be taken for that of the disk.
    pub(super) fn disk(
        &self,
        name: &str,
        source: &dyn ReadAt,
    ) -> Result<(Content, Vec<PieceDigests>, u64), Failure> {
        let mut meter = Meter::new(format!("hashing {name}"), source.size_bytes());
        let plan = Plan { algorithms: self.algorithms.clone(), ..Plan::default() };
        let cancel = AtomicBool::new(false);
        let pieces = self.piece_bytes.map(|bytes| PieceHasher::new(self.algorithms, bytes));
        let mut sink = PieceSink { pieces, next_bytes: 0 };
        let read = imaging::acquire(
            source,
            &mut sink,
            &plan,
            &mut |tick| meter.at(tick.done_bytes),
            &cancel,
        );
        meter.end();
        let read = read?;
        if read.ending != Ending::Complete {
            return Err(Failure::new(format!(
                "{name} stopped answering at byte {} of {}",
                read.copied_bytes, read.size_bytes
            )));
        }
        let unreadable_bytes = read.bad.total_bytes();
        self.keep_disk(name, read.size_bytes, &read.digests, unreadable_bytes);
        let content = Content::File { size_bytes: Some(read.size_bytes), digests: read.digests };
        Ok((content, sink.pieces.map(PieceHasher::finish).unwrap_or_default(), unreadable_bytes))
    }

    /// A disk as an input of the act, with what it turned out to hold.
    fn keep_disk(&self, name: &str, size_bytes: u64, digests: &Digests, unreadable_bytes: u64) {
        let mut input = target::known_disk(name, self.guard).as_ref().map_or_else(
            || item(name.to_owned(), None, Digests::default(), json!({ "is": "disk in an image" })),
            acting::disk_item,
        );
        (input.size_bytes, input.digests) = (Some(size_bytes), digests.clone());
        self.kept.input(input);
        if let Some(text) = unread(unreadable_bytes) {
            self.kept.problem(name.as_bytes(), &text);
        }
    }

    /// Files of this machine that were read below a folder, or one that was named itself.
    pub(super) fn keep_tree(&self, path: &Path, report: &TreeReport) {
        if !self.kept.is_on() {
            return;
        }
        if path.is_dir() {
            let facts = json!({ "is": "folder" });
            self.kept.input(item(full_name(path), None, Digests::default(), facts));
        }
        let named = names_below(path);
        for (path, content) in report.manifest.iter() {
            self.kept.file(named(path), content.clone());
        }
        for problem in &report.problems {
            self.kept.problem(&named(&problem.path), &problem.reason);
        }
    }

    /// Everything below a path of this machine.
    ///
    /// # Errors
    /// If it cannot be examined.
    pub(super) fn tree(&self, path: &Path) -> Result<TreeReport, Failure> {
        let options = self.options();
        let (kept, named) = (self.kept, names_below(path));
        let told = |below: &[u8], content: &Content| {
            if kept.is_on() {
                kept.file(named(below), content.clone());
            }
        };
        let report = hashing::digest_tree_told(path, &options, self.piece_bytes, &told)?;
        say_access_times(path, &report);
        self.keep_tree(path, &report);
        Ok(report)
    }

    pub(super) fn options(&self) -> TreeOptions {
        TreeOptions {
            algorithms: self.algorithms.clone(),
            threads: self.threads,
            boundary: Boundary::SameFileSystem,
        }
    }

    /// Walks what an address names; gives the address of its tree and the problems of the walk.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub(super) fn walk(
        &self,
        word: &str,
        take: &mut dyn FnMut(&dyn FileSystem, &str, Digested),
    ) -> Result<(String, Vec<Problem>), Failure> {
        let mut found = self.reading.find(word, self.guard)?;
        self.kept.inputs(std::mem::take(&mut found.inputs));
        let fs = &*found.tree.fs;
        let address = found.tree.address.clone();
        let mut problems = fs.problems().to_vec();
        let mut show = |one: Digested| {
            let path = one.visit.path.clone();
            let holes = one.holes.iter().map(|hole| {
                let text = format!(
                    "{} bytes at {} could not be read and count as zeros: {}",
                    hole.length_bytes, hole.offset_bytes, hole.why
                );
                Problem::new(ProblemKind::Io, Place::Path(path.clone()), text)
            });
            problems.extend(holes.chain(one.problem.clone()));
            if let Some(content) = content(fs, &one) {
                self.kept.file([address.as_bytes(), b":", &one.visit.path.0].concat(), content);
            }
            take(fs, &address, one);
        };
        let metadata = fs.metadata(found.node)?;
        let wanted = Wanted { algorithms: self.algorithms, piece_bytes: self.piece_bytes };
        let met = if metadata.kind == FileKind::Directory {
            let start = (found.node, &found.path);
            digest::walk(fs, start, Limits::default(), wanted, self.threads, &mut show)
        } else {
            let read = digest::file_in_pieces(fs, found.node, metadata.size_bytes, wanted)?;
            let visit = Visit { path: found.path.clone(), metadata };
            let (pieces, holes) = (read.pieces, read.holes);
            show(Digested { visit, digests: Some(read.digests), pieces, holes, problem: None });
            Vec::new()
        };
        problems.extend(met);
        for problem in &problems {
            self.kept.problem(address.as_bytes(), &problem.to_string());
        }
        Ok((address, problems))
    }

    fn inside(&self, word: &str, naming: Naming, all: &mut Gathered) -> Result<(), Failure> {
        let start = target::address(word);
        let start = match &start.object {
            Some(evidence::address::Object::Path(path)) => path.0.clone(),
            _ => b"/".to_vec(),
        };
        let (mut unread, in_pieces) = (Vec::new(), self.piece_bytes.is_some());
        let (address, problems) = self.walk(word, &mut |fs, address, mut one| {
            let below = below(&one.visit.path.0, &start);
            let path = match naming {
                Naming::Below => below,
                Naming::Whole => [address.as_bytes(), b":", &one.visit.path.0].concat(),
            };
            // The folder that was named is the root of the list and no entry of it.
            if path.is_empty() {
                return;
            }
            match content(fs, &one) {
                Some(content) => {
                    if in_pieces && one.digests.is_some() {
                        all.pieces.insert(path.clone(), std::mem::take(&mut one.pieces));
                    }
                    all.add(path, content);
                }
                None => unread.push(path),
            }
        })?;
        let texts = problems.iter().map(ToString::to_string);
        all.problems.extend(texts.map(|text| (address.clone().into_bytes(), text)));
        let silent = unread.into_iter().map(|path| (path, "no digest".to_owned()));
        all.problems.extend(silent);
        Ok(())
    }
}

/// What to say of bytes of a disk that could not be read.
pub(super) fn unread(unreadable_bytes: u64) -> Option<String> {
    (unreadable_bytes > 0).then(|| {
        format!(
            "{unreadable_bytes} bytes could not be read and count as zeros; \
             glovebox image lists them"
        )
    })
}

fn content(fs: &dyn FileSystem, one: &Digested) -> Option<Content> {
    let metadata = &one.visit.metadata;
    Some(match metadata.kind {
        FileKind::File => {
            Content::File { size_bytes: Some(metadata.size_bytes), digests: one.digests.clone()? }
        }
        FileKind::Directory => Content::Directory,
        FileKind::Symlink => Content::Symlink { target: fs.read_link(metadata.node).ok()?.0 },
        FileKind::BlockDevice => Content::Special(SpecialKind::BlockDevice),
        FileKind::CharDevice => Content::Special(SpecialKind::CharacterDevice),
        FileKind::Fifo => Content::Special(SpecialKind::Fifo),
        FileKind::Socket => Content::Special(SpecialKind::Socket),
        FileKind::Unknown => Content::Special(SpecialKind::Other),
    })
}

/// A path inside as it is below where the list begins; the name alone for a file that was named itself.
fn below(path: &[u8], start: &[u8]) -> Vec<u8> {
    let start = start.strip_suffix(b"/").unwrap_or(start);
    let rest = path.strip_prefix(start).unwrap_or(path);
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    rest.to_vec()
}

/// The folder part of what was typed.
fn parent_of(word: &str) -> String {
    word.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}

fn join(report: TreeReport, before: &[u8], all: &mut Gathered) {
    let named = |path: &[u8]| match before {
        b"" => path.to_vec(),
        before => [before, b"/", path].concat(),
    };
    for (path, content) in report.manifest.iter() {
        all.add(named(path), content.clone());
    }
    all.pieces.extend(report.pieces.into_iter().map(|(path, pieces)| (named(&path), pieces)));
    let problems = report.problems.into_iter();
    all.problems.extend(problems.map(|problem| (named(&problem.path), problem.reason)));
}

/// Says when reading may have been noted as an access: only root and the owner can prevent it.
pub(super) fn say_access_times(path: &Path, report: &TreeReport) {
    let quiet = StatVfsMountFlags::NOATIME | StatVfsMountFlags::RDONLY;
    let harmless = statvfs(path).is_ok_and(|found| found.f_flag.intersects(quiet));
    if report.access_times_at_risk > 0 && !harmless {
        say(&format!(
            "note: {} objects below {} belong to somebody else: their access times may have been \
             set; root can prevent that",
            report.access_times_at_risk,
            path.display()
        ));
    }
}

/// Keeps nothing but the digests of pieces.
struct PieceSink {
    pieces: Option<PieceHasher>,
    next_bytes: u64,
}

impl Sink for PieceSink {
    fn name(&self) -> String {
        "the digests of pieces".to_owned()
    }

    fn write_all_at(&mut self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(pieces) = &mut self.pieces {
            if offset_bytes != self.next_bytes {
                return Err(io::Error::other("bytes came out of their order"));
            }
            pieces.update(bytes);
            self.next_bytes += bytes.len() as u64;
        }
        Ok(())
    }

    fn complete(&mut self, _size_bytes: u64) -> io::Result<()> {
        Ok(())
    }
}

/// The disk in an image, read as a disk is.
struct InImage(Arc<dyn Source>);

impl ReadAt for InImage {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset_bytes, buffer).map_err(io::Error::other)
    }

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.0.sector_bytes()
    }
}

/// The full names of what lies below a path of this machine, or of the file it names.
fn names_below(path: &Path) -> impl Fn(&[u8]) -> Vec<u8> + Sync + use<> {
    let root = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let root =
        if path.is_dir() { root } else { root.parent().map(Path::to_path_buf).unwrap_or_default() };
    move |path: &[u8]| {
        if path.starts_with(b"/") {
            return path.to_vec();
        }
        let root = root.as_os_str().as_encoded_bytes();
        let root = root.strip_suffix(b"/").unwrap_or(root);
        [root, b"/", path].concat()
    }
}
