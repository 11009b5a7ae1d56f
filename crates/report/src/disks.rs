//! The proof of zero writes: what the kernel counted on each disk, from the first act to the last.
//!
//! Counters stand in every act, before and after it. What grew did so during an act or between two; a counter that fell
//! means that the machine was started anew and counts from zero again. An act that overlaps another began before the
//! other ended, so its first counters are older than the last known and say nothing new.

use serde::Serialize;
use serde_json::Value;

use crate::act::{ActView, shown};
use crate::{Moment, Text};

const DISKS_AT_MOST: usize = 500;
const CHANGES_AT_MOST: usize = 50;

/// What can be said of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskVerdict {
    /// Writes or discards were counted while it was locked.
    Written,
    /// The lock could not be set.
    LockFailed,
    /// Nothing locks disks where this was recorded (a desk or a live host).
    Unguarded,
    /// Locked in every act, and nothing was written or discarded between the first and the last of them.
    Untouched,
    /// The examiner unlocked it as a medium of his own.
    Unlocked,
}

/// Kernel counters of a disk; sectors are of 512 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Completed write requests.
    pub writes: u64,
    /// Sectors written.
    pub sectors_written: u64,
    /// Completed discard requests.
    pub discards: u64,
    /// Sectors discarded.
    pub sectors_discarded: u64,
    /// Completed flush requests, which change no data.
    pub flushes: u64,
}

impl Counts {
    fn read(value: &Value) -> Option<Self> {
        let field = |name: &str| value.get(name).and_then(Value::as_u64);
        Some(Self {
            writes: field("writes")?,
            sectors_written: field("sectors_written").unwrap_or(0),
            discards: field("discards").unwrap_or(0),
            sectors_discarded: field("sectors_discarded").unwrap_or(0),
            flushes: field("flushes").unwrap_or(0),
        })
    }

    fn fell_since(&self, before: &Self) -> bool {
        self.writes < before.writes
            || self.sectors_written < before.sectors_written
            || self.discards < before.discards
            || self.sectors_discarded < before.sectors_discarded
            || self.flushes < before.flushes
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            writes: self.writes.saturating_sub(before.writes),
            sectors_written: self.sectors_written.saturating_sub(before.sectors_written),
            discards: self.discards.saturating_sub(before.discards),
            sectors_discarded: self.sectors_discarded.saturating_sub(before.sectors_discarded),
            flushes: self.flushes.saturating_sub(before.flushes),
        }
    }

    fn plus(&self, other: &Self) -> Self {
        Self {
            writes: self.writes.saturating_add(other.writes),
            sectors_written: self.sectors_written.saturating_add(other.sectors_written),
            discards: self.discards.saturating_add(other.discards),
            sectors_discarded: self.sectors_discarded.saturating_add(other.sectors_discarded),
            flushes: self.flushes.saturating_add(other.flushes),
        }
    }

    /// True if nothing was written or discarded.
    #[must_use]
    pub fn changed_nothing(&self) -> bool {
        Self { flushes: 0, ..*self } == Self::default()
    }
}

/// Counters that grew.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// The act during which they grew; when `between`, the act before which they had grown.
    pub act: u64,
    /// They grew between this act and the one before it.
    pub between: bool,
    /// The lock state recorded with the higher counters.
    pub lock: Text,
    /// By how much.
    pub by: Counts,
}

/// One disk through all acts.
#[derive(Debug, Clone, Serialize)]
pub struct DiskProof {
    /// What can be said.
    pub verdict: DiskVerdict,
    /// The kernel's name when first seen.
    pub name: Text,
    /// Model as the device gives it.
    pub model: Text,
    /// Serial number as the device gives it.
    pub serial: Text,
    /// Lock states recorded, in order of appearance.
    pub locks: Vec<Text>,
    /// First and last act with its counters.
    pub first_act: u64,
    /// The last act with its counters.
    pub last_act: u64,
    /// How often its counters were recorded.
    pub snapshots: u64,
    /// Counters when first seen.
    pub first: Counts,
    /// Counters when last seen.
    pub last: Counts,
    /// All growth while it was locked.
    pub grown_locked: Counts,
    /// All growth otherwise.
    pub grown_unlocked: Counts,
    /// How often the counters began anew.
    pub restarts: u64,
    /// The first times something was written or discarded.
    pub changes: Vec<Change>,
    /// All times.
    pub changes_in_all: u64,
    /// Whether an act read it (an image, an examination).
    pub read_by_an_act: bool,
}

/// All disks seen.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Disks {
    /// Worst first, then in order of appearance.
    pub list: Vec<DiskProof>,
    /// Acts in which no counters are recorded.
    pub acts_without_counters: u64,
    /// Disks beyond the number kept.
    pub left_out: u64,
    #[serde(skip)]
    last_ended: Option<Moment>,
}

impl Disks {
    pub(crate) fn take(&mut self, act: &ActView) {
        let overlaps = match (act.moment("started"), self.last_ended) {
            (Some(started), Some(ended)) => started < ended,
            _ => false,
        };
        let (before, after) = (act.list("counters_before"), act.list("counters_after"));
        if before.is_empty() && after.is_empty() {
            self.acts_without_counters = self.acts_without_counters.saturating_add(1);
        }
        for value in before {
            self.snapshot(act.line, value, if overlaps { When::Overlapping } else { When::Before });
        }
        for value in after {
            self.snapshot(act.line, value, When::After);
        }
        for item in act.list("inputs") {
            self.was_read(item);
        }
        self.last_ended = act.moment("ended").or(self.last_ended);
    }

    fn snapshot(&mut self, act: u64, value: &Value, when: When) {
        let Some(counts) = Counts::read(value) else { return };
        let field = |name: &str| shown(value.get(name).unwrap_or(&Value::Null));
        let (name, model, serial, lock) =
            (field("disk"), field("model"), field("serial"), field("lock"));
        let known = self.list.iter_mut().find(|disk| {
            // A serial number is the disk's identity; without one its name has to do.
            disk.serial == serial
                && disk.model == model
                && (!serial.is_empty() || disk.name == name)
        });
        let Some(disk) = known else {
            if self.list.len() >= DISKS_AT_MOST {
                self.left_out = self.left_out.saturating_add(1);
                return;
            }
            self.list.push(DiskProof {
                verdict: DiskVerdict::Unguarded,
                name,
                model,
                serial,
                locks: vec![lock],
                first_act: act,
                last_act: act,
                snapshots: 1,
                first: counts,
                last: counts,
                grown_locked: Counts::default(),
                grown_unlocked: Counts::default(),
                restarts: 0,
                changes: Vec::new(),
                changes_in_all: 0,
                read_by_an_act: false,
            });
            return;
        };
        disk.last_act = act;
        disk.snapshots = disk.snapshots.saturating_add(1);
        if counts.fell_since(&disk.last) {
            if when == When::Overlapping {
                return;
            }
            disk.restarts = disk.restarts.saturating_add(1);
            // What was counted since the new start was counted under this lock state or before it; it shows as growth.
            disk.last = Counts::default();
        }
        let by = counts.since(&disk.last);
        disk.last = counts;
        let locked = lock.raw() == "locked" && disk.locks.last() == Some(&lock);
        if disk.locks.last() != Some(&lock) && disk.locks.len() < CHANGES_AT_MOST {
            disk.locks.push(lock.clone());
        }
        let total = if locked { &mut disk.grown_locked } else { &mut disk.grown_unlocked };
        *total = total.plus(&by);
        if !by.changed_nothing() {
            disk.changes_in_all = disk.changes_in_all.saturating_add(1);
            if disk.changes.len() < CHANGES_AT_MOST {
                disk.changes.push(Change { act, between: when != When::After, lock, by });
            }
        }
    }

    fn was_read(&mut self, item: &Value) {
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let Some(name) =
            item.get("name").and_then(Value::as_str).and_then(|name| name.strip_prefix("disk "))
        else {
            return;
        };
        let serial = text(item.pointer("/facts/serial"));
        for disk in &mut self.list {
            disk.read_by_an_act |= if serial.is_empty() {
                disk.name.raw() == name
            } else {
                disk.serial.raw() == serial
            };
        }
    }

    pub(crate) fn finish(&mut self) {
        for disk in &mut self.list {
            let has = |word: &str| disk.locks.iter().any(|lock| lock.raw() == word);
            disk.verdict = if !disk.grown_locked.changed_nothing() {
                DiskVerdict::Written
            } else if has("failed") {
                DiskVerdict::LockFailed
            } else if has("unlocked") {
                DiskVerdict::Unlocked
            } else if disk.locks.iter().all(|lock| lock.raw() == "locked") {
                DiskVerdict::Untouched
            } else {
                DiskVerdict::Unguarded
            };
        }
        self.list.sort_by_key(|disk| disk.verdict);
    }

    /// How many disks have this verdict.
    #[must_use]
    pub fn count(&self, verdict: DiskVerdict) -> usize {
        self.list.iter().filter(|disk| disk.verdict == verdict).count()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Before,
    Overlapping,
    After,
}
