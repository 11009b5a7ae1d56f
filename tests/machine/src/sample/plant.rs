//! Puts single traces into the tree of the sample system, with modes and times.

use crate::error::{Doing, Result};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Seconds since 1970 of the break-in: 2026-03-14 02:41:07 UTC.
pub(super) const BREAK_IN_S: u64 = 1_773_456_067;

/// Text of all recipe files: part of the cache key.
pub(super) fn recipe() -> String {
    [
        include_str!("accounts.rs"),
        include_str!("logs.rs"),
        include_str!("mod.rs"),
        include_str!("persistence.rs"),
        include_str!("plant.rs"),
        include_str!("programs.rs"),
    ]
    .concat()
}

/// The tree being changed.
pub(super) struct Plant<'a> {
    tree: &'a Path,
    /// A static program that only says that it ran.
    pub(super) canary: &'a [u8],
}

impl<'a> Plant<'a> {
    pub(super) fn new(tree: &'a Path, canary: &'a [u8]) -> Self {
        Self { tree, canary }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.tree.join(path.trim_start_matches('/'))
    }

    /// Writes a file, its folders, mode and modification time (seconds after the break-in).
    pub(super) fn file(&self, path: &str, mode: u32, after_s: u64, text: &[u8]) -> Result<()> {
        let full = self.at(path);
        if let Some(parent) = full.parent() {
            std::fs::create_dir_all(parent).doing("creating", parent)?;
        }
        std::fs::write(&full, text).doing("writing", &full)?;
        std::fs::set_permissions(&full, std::fs::Permissions::from_mode(mode))
            .doing("setting mode of", &full)?;
        self.touch(path, after_s)
    }

    /// Adds to the end of a file that a package may own.
    pub(super) fn append(&self, path: &str, after_s: u64, text: &str) -> Result<()> {
        let full = self.at(path);
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&full)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .doing("extending", &full)?;
        self.touch(path, after_s)
    }

    /// Changes one byte of a file and keeps its old modification time, as a careful intruder does.
    pub(super) fn flip(&self, path: &str, from_end: usize) -> Result<()> {
        let full = self.at(path);
        let time = std::fs::metadata(&full).and_then(|m| m.modified()).doing("examining", &full)?;
        let mut bytes = std::fs::read(&full).doing("reading", &full)?;
        let at = bytes.len().saturating_sub(from_end);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 0x01;
        }
        std::fs::write(&full, bytes).doing("writing", &full)?;
        let file = std::fs::File::options().append(true).open(&full).doing("opening", &full)?;
        file.set_modified(time).doing("setting time of", &full)
    }

    /// Makes a symbolic link.
    pub(super) fn link(&self, path: &str, target: &str) -> Result<()> {
        let full = self.at(path);
        if let Some(parent) = full.parent() {
            std::fs::create_dir_all(parent).doing("creating", parent)?;
        }
        std::os::unix::fs::symlink(target, &full).doing("linking", &full)
    }

    fn touch(&self, path: &str, after_s: u64) -> Result<()> {
        let full = self.at(path);
        let file = std::fs::File::options().append(true).open(&full).doing("opening", &full)?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(BREAK_IN_S + after_s);
        file.set_modified(time).doing("setting time of", &full)
    }
}
