//! QEMU's own count of what the guest did to each disk (`query-blockstats`, qapi BlockDeviceStats).
//!
//! Counters see what a digest cannot: a write of the bytes that were there before.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Add;

/// Counts since power-on of one disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Read requests.
    pub rd_operations: u64,
    /// Bytes read.
    pub rd_bytes: u64,
    /// Write requests.
    pub wr_operations: u64,
    /// Bytes written.
    pub wr_bytes: u64,
    /// Discard requests.
    pub unmap_operations: u64,
    /// Bytes discarded.
    pub unmap_bytes: u64,
    /// Zone appends (QEMU 8.1 and later; else 0).
    pub zone_append_operations: u64,
    /// Cache flushes; they change no data and are reported apart.
    pub flush_operations: u64,
    /// Reads that ended in an error.
    pub failed_rd_operations: u64,
    /// Writes that ended in an error.
    pub failed_wr_operations: u64,
    /// Discards that ended in an error.
    pub failed_unmap_operations: u64,
    /// Writes QEMU refused as malformed.
    pub invalid_wr_operations: u64,
    /// Discards QEMU refused as malformed.
    pub invalid_unmap_operations: u64,
}

impl Counters {
    /// Reads the `stats` object of one disk.
    #[must_use]
    pub fn parse(stats: &Value) -> Self {
        let of = |name: &str| stats.get(name).and_then(Value::as_u64).unwrap_or(0);
        Self {
            rd_operations: of("rd_operations"),
            rd_bytes: of("rd_bytes"),
            wr_operations: of("wr_operations"),
            wr_bytes: of("wr_bytes"),
            unmap_operations: of("unmap_operations"),
            unmap_bytes: of("unmap_bytes"),
            zone_append_operations: of("zone_append_operations"),
            flush_operations: of("flush_operations"),
            failed_rd_operations: of("failed_rd_operations"),
            failed_wr_operations: of("failed_wr_operations"),
            failed_unmap_operations: of("failed_unmap_operations"),
            invalid_wr_operations: of("invalid_wr_operations"),
            invalid_unmap_operations: of("invalid_unmap_operations"),
        }
    }

    /// Attempts to change the disk that ended in an error but did reach QEMU.
    #[must_use]
    pub fn failed_changes(&self) -> u64 {
        self.failed_wr_operations
            + self.failed_unmap_operations
            + self.invalid_wr_operations
            + self.invalid_unmap_operations
    }

    /// True when nothing that could change the disk reached it, not even an attempt.
    #[must_use]
    pub fn untouched(&self) -> bool {
        self.wr_operations == 0
            && self.unmap_operations == 0
            && self.zone_append_operations == 0
            && self.failed_changes() == 0
    }
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            rd_operations: self.rd_operations + other.rd_operations,
            rd_bytes: self.rd_bytes + other.rd_bytes,
            wr_operations: self.wr_operations + other.wr_operations,
            wr_bytes: self.wr_bytes + other.wr_bytes,
            unmap_operations: self.unmap_operations + other.unmap_operations,
            unmap_bytes: self.unmap_bytes + other.unmap_bytes,
            zone_append_operations: self.zone_append_operations + other.zone_append_operations,
            flush_operations: self.flush_operations + other.flush_operations,
            failed_rd_operations: self.failed_rd_operations + other.failed_rd_operations,
            failed_wr_operations: self.failed_wr_operations + other.failed_wr_operations,
            failed_unmap_operations: self.failed_unmap_operations + other.failed_unmap_operations,
            invalid_wr_operations: self.invalid_wr_operations + other.invalid_wr_operations,
            invalid_unmap_operations: self.invalid_unmap_operations
                + other.invalid_unmap_operations,
        }
    }
}

/// Counters of every attached disk by the id of its device.
#[must_use]
pub fn by_device(answer: &Value) -> BTreeMap<String, Counters> {
    let entries = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let path = entry.get("qdev")?.as_str()?;
            // "/machine/peripheral/ID/virtio-backend", "/machine/peripheral/ID" or plain "ID".
            let id = match path.strip_prefix("/machine/peripheral/") {
                Some(rest) => rest.split('/').next()?,
                None => path,
            };
            Some((id.to_owned(), Counters::parse(entry.get("stats")?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_write_of_equal_bytes_is_touching() {
        let stats = json!({ "wr_operations": 1, "wr_bytes": 512, "flush_operations": 3 });
        assert!(!Counters::parse(&stats).untouched());
        assert!(Counters::parse(&json!({ "flush_operations": 3 })).untouched());
        assert!(!Counters::parse(&json!({ "failed_unmap_operations": 1 })).untouched());
    }

    #[test]
    fn devices_are_found_under_each_kind_of_path() {
        let answer = json!([
            { "qdev": "/machine/peripheral/a/virtio-backend", "stats": { "wr_operations": 1 } },
            { "qdev": "b", "stats": { "wr_operations": 2 } },
            { "device": "pflash0", "stats": { "wr_operations": 9 } },
        ]);
        let found = by_device(&answer);
        assert_eq!(found.len(), 2);
        assert_eq!((found["a"].wr_operations, found["b"].wr_operations), (1, 2));
    }
}
