//! What the kernel counted on one block device.
//!
//! Counters beat digests: a write of identical bytes leaves the digest equal but is counted here.

use serde::{Deserialize, Serialize};

/// Counts since the device appeared, from `/sys/block/*/stat` (`Documentation/block/stat.rst`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Completed read requests.
    pub reads: u64,
    /// Sectors of 512 bytes read.
    pub sectors_read: u64,
    /// Completed write requests.
    pub writes: u64,
    /// Sectors of 512 bytes written.
    pub sectors_written: u64,
    /// Completed discard requests.
    pub discards: u64,
    /// Sectors of 512 bytes discarded.
    pub sectors_discarded: u64,
    /// Completed flush requests. A flush changes no data; it is shown apart.
    pub flushes: u64,
}

impl Counters {
    /// Parses the text of a `stat` file. Kernels before 4.18 have no discard fields and kernels
    /// before 5.5 no flush fields; these then count zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<u64> =
            text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let field = |index: usize| fields.get(index).copied();
        Some(Self {
            reads: field(0)?,
            sectors_read: field(2)?,
            writes: field(4)?,
            sectors_written: field(6)?,
            discards: field(11).unwrap_or(0),
            sectors_discarded: field(13).unwrap_or(0),
            flushes: field(15).unwrap_or(0),
        })
    }

    /// True if nothing was written to or discarded from the device.
    #[must_use]
    pub fn untouched(&self) -> bool {
        self.writes == 0
            && self.sectors_written == 0
            && self.discards == 0
            && self.sectors_discarded == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_kernel_puts_them() {
        let text = "  10 1 80 5  3 0 24 9 0 12 14 2 0 16 1 4 2\n";
        let counters = Counters::parse(text).unwrap();
        assert_eq!(counters.reads, 10);
        assert_eq!(counters.sectors_read, 80);
        assert_eq!(counters.writes, 3);
        assert_eq!(counters.sectors_written, 24);
        assert_eq!(counters.discards, 2);
        assert_eq!(counters.sectors_discarded, 16);
        assert_eq!(counters.flushes, 4);
        assert!(!counters.untouched());
    }

    #[test]
    fn an_old_kernel_and_nonsense() {
        assert!(Counters::parse("1 0 8 0 0 0 0 0 0 0 0").unwrap().untouched());
        assert!(Counters::parse("").is_none());
        assert!(Counters::parse("1 0 x").is_none());
    }

    #[test]
    fn a_write_of_no_sectors_is_still_a_touch() {
        let counters = Counters { writes: 1, ..Counters::default() };
        assert!(!counters.untouched());
    }
}
