//! The proof: digests before, counters and digests after, one verdict per disk.

use crate::counters::Counters;
use crate::digest;
use crate::disk::Disk;
use crate::error::{Result, test};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Evidence disks with their digests from before the run.
#[derive(Debug, Default)]
pub struct Ledger {
    disks: Vec<(Disk, String)>,
}

/// What happened to one disk.
#[derive(Debug, Clone)]
pub struct Row {
    /// The disk.
    pub disk: Disk,
    /// SHA-256 before.
    pub before: String,
    /// SHA-256 after.
    pub after: String,
    /// Counters at the end; `None` when QEMU had none for it.
    pub counters: Option<Counters>,
}

impl Row {
    /// True when the digest is the same and no change was even attempted.
    #[must_use]
    pub fn untouched(&self) -> bool {
        self.before == self.after && self.counters.is_some_and(|c| c.untouched())
    }
}

impl Ledger {
    /// Takes the digest of each disk; to be called before the machine starts.
    ///
    /// # Errors
    /// [`crate::Error::File`] when a disk file cannot be read.
    pub fn open(disks: &[Disk]) -> Result<Self> {
        let mut ledger = Self::default();
        for disk in disks {
            ledger.disks.push((disk.clone(), digest::of_file(&disk.file)?));
        }
        Ok(ledger)
    }

    /// Digest from before the run.
    #[must_use]
    pub fn before(&self, id: &str) -> Option<&str> {
        self.disks.iter().find(|(d, _)| d.id == id).map(|(_, digest)| digest.as_str())
    }

    /// Takes the digests again and joins them with the counters.
    ///
    /// # Errors
    /// [`crate::Error::File`] when a disk file cannot be read.
    pub fn close(self, counters: &BTreeMap<String, Counters>) -> Result<Vec<Row>> {
        self.disks
            .into_iter()
            .map(|(disk, before)| {
                let after = digest::of_file(&disk.file)?;
                let counters = counters.get(&disk.id).copied();
                Ok(Row { disk, before, after, counters })
            })
            .collect()
    }
}

/// The rows as a text table.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut out = format!(
        "{:<14} {:<11} {:<14} {:>8} {:>6} {:>8} {:>6} {:>7}  {:<12} {:<12} verdict\n",
        "disk",
        "bus",
        "serial",
        "reads",
        "writes",
        "discards",
        "failed",
        "flushes",
        "before",
        "after"
    );
    for row in rows {
        let c = row.counters.unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{:<14} {:<11} {:<14} {:>8} {:>6} {:>8} {:>6} {:>7}  {:<12} {:<12} {}",
            row.disk.id,
            row.disk.bus.name(),
            row.disk.serial,
            c.rd_operations,
            c.wr_operations,
            c.unmap_operations,
            c.failed_changes(),
            c.flush_operations,
            &row.before[..12],
            &row.after[..12],
            if row.untouched() { "untouched" } else { "TOUCHED" },
        );
    }
    out
}

/// Fails unless every disk is untouched.
///
/// # Errors
/// [`crate::Error::Test`] with the whole table.
pub fn all_untouched(rows: &[Row]) -> Result<()> {
    if rows.iter().all(Row::untouched) {
        return Ok(());
    }
    test(format!("evidence was touched:\n{}", table(rows)))
}
