//! Examiners' media of each kind the stick writes, and reading the case back from one.
//!
//! ext4 is read by e2fsprogs, after the repair its own system would do. exFAT and FAT are read as
//! they lie, by our own reader: nothing repairs them before the next session of the stick.

use evidence::fs::tree::{LastLink, resolve};
use evidence::fs::{FileKind, Node};
use evidence::{FileSource, FileSystem, View};
use machine::error::{Doing, Result, test};
use machine::{Error, digest, process};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BYTES: u64 = 64 << 20;
/// Deepest folder of a case.
const DEPTH: u32 = 8;

/// A file system the stick writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ExFat,
    Ext4,
    Fat,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Ext4, Self::ExFat, Self::Fat];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ExFat => "exfat",
            Self::Ext4 => "ext4",
            Self::Fat => "fat",
        }
    }

    /// Makes an empty medium.
    pub(super) fn make(self, file: &Path) -> Result<()> {
        digest::sparse(file, BYTES)?;
        let path = file.to_string_lossy();
        match self {
            Self::ExFat => process::run("mkfs.exfat", &[&path]),
            Self::Ext4 => process::run("mke2fs", &["-q", "-F", "-t", "ext4", "-m", "0", &path]),
            Self::Fat => process::run("mkfs.fat", &["-F", "32", &path]),
        }
        .map(drop)
    }

    /// Whether what a drive writes in another order than it was told can be put right.
    pub(super) fn has_journal(self) -> bool {
        self == Self::Ext4
    }

    /// What must be done before Linux writes to a cut medium again: on a FAT with a broken chain of
    /// clusters it stops at the first write, on exFAT it gives clusters of an unfinished file to
    /// another. No program of the stick mends file systems.
    pub(super) fn repair(self, disk: &Path) -> Result<()> {
        let path = disk.to_string_lossy();
        let program = match self {
            Self::Ext4 => return Ok(()),
            Self::ExFat => "fsck.exfat -y",
            Self::Fat => "fsck.fat -a",
        };
        // 1: faults were mended.
        let line = format!("{program} '{path}' >/dev/null 2>&1; [ $? -lt 2 ]");
        process::run("sh", &["-c", &line]).map(drop)
    }

    /// Copies the case called `name` from a medium to the new folder `to`; `None` when there is none.
    pub(super) fn read_case(self, disk: &Path, name: &str, to: &Path) -> Result<Option<PathBuf>> {
        if to.exists() {
            std::fs::remove_dir_all(to).doing("emptying", to)?;
        }
        std::fs::create_dir_all(to).doing("creating", to)?;
        match self {
            Self::Ext4 => read_ext4(disk, name, to)?,
            Self::ExFat | Self::Fat => self.read_by_ours(disk, name, to)?,
        }
        let case = to.join(name);
        Ok(case.join("case.toml").exists().then_some(case))
    }

    fn read_by_ours(self, disk: &Path, name: &str, to: &Path) -> Result<()> {
        let file = std::fs::File::open(disk).doing("opening", disk)?;
        let source = FileSource::new(file, 512).map_err(|e| Error::Machine(e.to_string()))?;
        let open = if self == Self::ExFat { evidence::exfat::open } else { evidence::fat::open };
        let fs = open(Arc::new(source), View::Recovered)
            .or_else(|e| test(format!("the {} is not readable: {e}", self.name())))?;
        let path = format!("/{name}");
        let Ok(node) = resolve(&*fs, path.as_bytes(), LastLink::Keep) else { return Ok(()) };
        copy(&*fs, node, &to.join(name), DEPTH)
    }
}

fn read_ext4(disk: &Path, name: &str, to: &Path) -> Result<()> {
    let path = disk.to_string_lossy();
    // 1: faults were mended; 4 and more: some were not.
    let repair = format!("e2fsck -fy '{path}' >/dev/null 2>&1; [ $? -lt 4 ]");
    process::run("sh", &["-c", &repair])?;
    let order = format!("rdump /glovebox/{name} {}", to.display());
    process::run("debugfs", &["-R", &order, &path]).map(drop)
}

fn copy(fs: &dyn FileSystem, node: Node, to: &Path, depth: u32) -> Result<()> {
    let unread = |e: evidence::EvidenceError| Error::Test(format!("{}: {e}", to.display()));
    let metadata = fs.metadata(node).map_err(unread)?;
    if metadata.kind != FileKind::Directory {
        let size = usize::try_from(metadata.size_bytes.min(BYTES)).unwrap_or(0);
        let (bytes, _) = fs.read_head(node, size).map_err(unread)?;
        return std::fs::write(to, bytes).doing("writing", to);
    }
    std::fs::create_dir(to).doing("creating", to)?;
    let listing = fs.read_dir(node).map_err(unread)?;
    for entry in listing.entries {
        let name = String::from_utf8_lossy(entry.name.as_ref()).into_owned();
        if depth == 0 || name.contains('/') {
            return test(format!("a folder of the case is no folder of ours: {}", to.display()));
        }
        copy(fs, entry.node, &to.join(name), depth - 1)?;
    }
    Ok(())
}
