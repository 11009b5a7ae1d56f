//! From the disk through the L1 and L2 tables to clusters.
//!
//! Neighbours that lie in one piece are joined, so that a long read of an image that was written in order is one read.

use super::header::{Compression, Header};
use crate::bytes::to_usize;
use crate::codec;
use crate::container::below::Below;
use crate::container::inflate::{Wrapping, corrupt, inflate};
use crate::container::mapped::{Chunk, Layout, Piece, Stored, wrap};
use crate::container::tables::Tables;
use crate::source::Source;
use std::io;
use std::sync::Arc;

/// The offset within an L1 entry or a standard L2 entry: bits 9 to 55.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// Where a cluster or a subcluster is.
enum Cluster {
    Below,
    Zeros,
    /// From this offset of the data file on.
    Plain(u64),
    Packed(Chunk),
    Bad(io::Error),
}

/// The disk.
pub(super) struct Clusters {
    pub(super) header: Header,
    pub(super) meta: Tables,
    /// The image itself, which holds what is compressed.
    pub(super) file: Arc<dyn Source>,
    /// What holds the rest; `None` when that file is missing.
    pub(super) data: Option<Arc<dyn Source>>,
    pub(super) below: Below,
}

impl Clusters {
    fn entry(&self, at: u64) -> io::Result<u64> {
        let mut raw = [0; 8];
        let dynamic: &dyn Source = &self.meta;
        dynamic.fill(at, &mut raw).map_err(wrap)?;
        Ok(u64::from_be_bytes(raw))
    }

    /// Where the L2 table for an offset is; `None` when there is none.
    fn l2_at(&self, offset: u64) -> io::Result<Option<u64>> {
        let index = offset.checked_div(self.header.l2_reach_bytes()).unwrap_or(u64::MAX);
        if index >= self.header.l1_count {
            return Err(corrupt(format!("the L1 table has no entry {index}")));
        }
        let at = self.header.l1_at.saturating_add(index.saturating_mul(8));
        Ok(Some(self.entry(at)? & OFFSET).filter(|at| *at != 0))
    }

    /// The cluster at an offset and how much of it is left from there.
    fn cluster(&self, l2_at: u64, offset: u64) -> (Cluster, u64) {
        let bytes = self.header.cluster_bytes();
        let number = offset.checked_shr(self.header.cluster_bits).unwrap_or(0);
        let within = offset & bytes.wrapping_sub(1);
        let entries = 1_u64.checked_shl(self.header.l2_bits()).unwrap_or(1);
        let index = number & entries.wrapping_sub(1);
        let left = bytes.saturating_sub(within);
        let entry_bytes = if self.header.has_extended_l2 { 16 } else { 8 };
        let at = l2_at.saturating_add(index.saturating_mul(entry_bytes));
        let entry = match self.entry(at) {
            Ok(entry) => entry,
            Err(error) => return (Cluster::Bad(error), left),
        };
        if entry & COMPRESSED != 0 {
            return (self.compressed(entry, offset.saturating_sub(within)), left);
        }
        if self.header.has_extended_l2 {
            return self.subcluster(entry, at, within);
        }
        let cluster = if entry & ZERO != 0 && self.header.version >= 3 {
            Cluster::Zeros
        } else if self.is_allocated(entry) {
            Cluster::Plain((entry & OFFSET).saturating_add(within))
        } else {
            Cluster::Below
        };
        (cluster, left)
    }

    /// Offset 0 is the header, so it means nothing is there; only in a data file of its own it is a real place.
    fn is_allocated(&self, entry: u64) -> bool {
        entry & OFFSET != 0 || (self.header.has_data_file && entry & COPIED != 0)
    }

    /// With extended L2 entries a cluster has 32 parts, each with a bit for "allocated" and one for "zeros".
    fn subcluster(&self, entry: u64, at: u64, within: u64) -> (Cluster, u64) {
        let bits = self.header.cluster_bits.saturating_sub(5);
        let size = 1_u64.checked_shl(bits).unwrap_or(1);
        let left = size.saturating_sub(within & size.wrapping_sub(1));
        let index = u32::try_from(within.checked_shr(bits).unwrap_or(0)).unwrap_or(0);
        let bitmap = match self.entry(at.saturating_add(8)) {
            Ok(bitmap) => bitmap,
            Err(error) => return (Cluster::Bad(error), left),
        };
        let is_set = |bit: u32| bitmap.checked_shr(bit).unwrap_or(0) & 1 == 1;
        let cluster = match (is_set(index), is_set(index.saturating_add(32))) {
            (true, false) if self.is_allocated(entry) => {
                Cluster::Plain((entry & OFFSET).saturating_add(within))
            }
            (false, true) => Cluster::Zeros,
            (false, false) => Cluster::Below,
            _ => Cluster::Bad(corrupt(format!(
                "L2 entry at {at}: {entry:016x} with the bitmap {bitmap:016x}"
            ))),
        };
        (cluster, left)
    }

    /// A compressed cluster: its offset in the lower bits, the number of further sectors in the upper.
    fn compressed(&self, entry: u64, start_bytes: u64) -> Cluster {
        let offset_bits = 70_u32.saturating_sub(self.header.cluster_bits);
        let entry = entry & !(COMPRESSED | COPIED);
        let at_bytes = entry & 1_u64.checked_shl(offset_bits).unwrap_or(0).wrapping_sub(1);
        let sectors = entry.checked_shr(offset_bits).unwrap_or(0).saturating_add(1);
        let stored = sectors.saturating_mul(512).saturating_sub(at_bytes & 511);
        Cluster::Packed(Chunk {
            start_bytes,
            length_bytes: to_usize(self.header.cluster_bytes()),
            file: 0,
            at_bytes,
            stored_bytes: to_usize(stored),
            method: 0,
        })
    }

    /// Follows neighbours that continue the cluster at `offset`; the result ends with the L2 table at the latest.
    fn run(&self, l2_at: u64, offset: u64, most: u64) -> (Cluster, u64) {
        let reach = self.header.l2_reach_bytes();
        let table_left = reach.saturating_sub(offset & reach.wrapping_sub(1));
        let (first, mut length) = self.cluster(l2_at, offset);
        while length < most.min(table_left) {
            let (next, more) = self.cluster(l2_at, offset.saturating_add(length));
            let goes_on = match (&first, next) {
                (Cluster::Below, Cluster::Below) | (Cluster::Zeros, Cluster::Zeros) => true,
                (Cluster::Plain(from), Cluster::Plain(next)) => from.saturating_add(length) == next,
                _ => false,
            };
            if !goes_on {
                break;
            }
            length = length.saturating_add(more);
        }
        (first, length)
    }
}

impl Layout for Clusters {
    fn size_bytes(&self) -> u64 {
        self.header.size_bytes
    }

    fn piece(&self, offset_bytes: u64, most_bytes: u64) -> Piece<'_> {
        let reach = self.header.l2_reach_bytes();
        let (cluster, length_bytes) = match self.l2_at(offset_bytes) {
            Ok(Some(l2_at)) => self.run(l2_at, offset_bytes, most_bytes),
            Ok(None) => {
                (Cluster::Below, reach.saturating_sub(offset_bytes & reach.wrapping_sub(1)))
            }
            Err(error) => {
                (Cluster::Bad(error), reach.saturating_sub(offset_bytes & reach.wrapping_sub(1)))
            }
        };
        let (stored, most) = match cluster {
            Cluster::Below => self.below.stored(offset_bytes),
            Cluster::Zeros => (Stored::Zeros, u64::MAX),
            Cluster::Plain(at) => match &self.data {
                Some(data) => (Stored::Plain(data, at), u64::MAX),
                None => {
                    let error = io::Error::new(io::ErrorKind::NotFound, "the data file is missing");
                    (Stored::Missing(error), u64::MAX)
                }
            },
            Cluster::Packed(chunk) => (Stored::Packed(chunk), u64::MAX),
            Cluster::Bad(error) => (Stored::Missing(error), u64::MAX),
        };
        Piece { stored, length_bytes: length_bytes.min(most) }
    }

    fn unpack(&self, chunk: &Chunk, out: &mut [u8]) -> io::Result<()> {
        let packed = self.file.bytes_at(chunk.at_bytes, chunk.stored_bytes).map_err(wrap)?;
        let named = |what: &dyn std::fmt::Display| {
            corrupt(format!("cluster at {} of {} bytes: {what}", chunk.at_bytes, packed.len()))
        };
        match self.header.compression {
            Compression::Deflate => {
                inflate(Wrapping::Bare, &packed, out).map_err(|error| named(&error))
            }
            Compression::Zstd => {
                let whole = codec::zstd(&packed, out.len()).map_err(|error| named(&error))?;
                if whole.len() != out.len() {
                    return Err(named(&format!("{} of {} bytes", whole.len(), out.len())));
                }
                out.copy_from_slice(&whole);
                Ok(())
            }
        }
    }
}
