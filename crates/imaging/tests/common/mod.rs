//! What the tests of this crate share: disks with faults, and tools of others.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use imaging::ReadAt;

/// A disk in memory with faults.
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sector: u32,
    pub(crate) bad: BTreeSet<u64>,
    /// No read that touches this offset or more works, once it was reached; then none at all.
    pub(crate) vanishes_at: Option<u64>,
    /// After so many reads, none works.
    pub(crate) vanishes_after: u64,
    pub(crate) vanished: AtomicBool,
    /// Longest read answered at once.
    pub(crate) longest: usize,
    pub(crate) reads: AtomicU64,
}

impl Disk {
    pub(crate) fn new(size: usize, sector: u32) -> Self {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let bytes = (0..size).map(|index| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Runs of zeros between noise, so that sparse writing has something to do.
            if (index / 100_000) % 3 == 1 { 0 } else { state as u8 }
        });
        Self {
            bytes: bytes.collect(),
            sector,
            bad: BTreeSet::new(),
            vanishes_at: None,
            vanishes_after: u64::MAX,
            vanished: AtomicBool::new(false),
            longest: usize::MAX,
            reads: AtomicU64::new(0),
        }
    }

    pub(crate) fn with_bad(mut self, sectors: impl IntoIterator<Item = u64>) -> Self {
        self.bad = sectors.into_iter().collect();
        self
    }

    /// What a perfect image is: the bytes with zeros exactly where the bad sectors lie.
    pub(crate) fn perfect_image(&self) -> Vec<u8> {
        let mut image = self.bytes.clone();
        for sector in &self.bad {
            let start = (*sector as usize * self.sector as usize).min(image.len());
            let end = (start + self.sector as usize).min(image.len());
            image[start..end].fill(0);
        }
        image
    }
}

impl ReadAt for Disk {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= self.vanishes_after {
            self.vanished.store(true, Ordering::Relaxed);
        }
        let start = (offset as usize).min(self.bytes.len());
        let end = (start + buffer.len().min(self.longest)).min(self.bytes.len());
        if self.vanishes_at.is_some_and(|limit| end as u64 > limit) {
            self.vanished.store(true, Ordering::Relaxed);
        }
        let sector = u64::from(self.sector);
        let (first, last) = (start as u64 / sector, (end as u64).div_ceil(sector));
        if self.vanished.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(19)); // ENODEV
        }
        if self.bad.range(first..last).next().is_some() {
            buffer.fill(0xee); // a device may leave rubbish behind
            return Err(io::Error::from_raw_os_error(5)); // EIO
        }
        buffer[..end - start].copy_from_slice(&self.bytes[start..end]);
        Ok(end - start)
    }

    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn sector_bytes(&self) -> u32 {
        self.sector
    }
}

/// Whether a program of others is there; says so when it is not.
pub(crate) fn tool(name: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {name}")]).output();
    let is_there = found.is_ok_and(|out| out.status.success());
    if !is_there {
        println!("skipped: no {name}");
    }
    is_there
}

/// Runs a program; gives what it said and whether it was content.
pub(crate) fn run(program: &str, arguments: &[&str], folder: &Path) -> (bool, String) {
    let out = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    let said = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&said).into_owned())
}
