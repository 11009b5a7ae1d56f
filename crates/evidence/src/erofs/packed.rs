//! The runs of a compressed file: pieces told by the cluster index, or by extent records.

use super::index::{Cluster, Head, Header};
use super::inode::{Index, Inode};
use super::run::{Form, Run};
use super::{Erofs, File};
use crate::bytes::{Fields, to_usize};
use crate::codec::Packing;
use crate::error::EvidenceError;

/// The longest piece when unpacked, by the format.
pub(super) const MAX_PIECE_BYTES: u64 = 12 << 20;
/// The longest piece as stored, by the format.
const MAX_STORED_BYTES: u64 = 1 << 20;
/// Extent records of one file; they are held in memory while it is read.
const MAX_EXTENTS: u64 = 1 << 20;

/// The last piece of a file whose tail is kept elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    head: u64,
    /// Where the index ends, which is where an inline tail begins.
    index_end: u64,
}

/// One extent record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    logical_bytes: u64,
    at: u64,
    word: u32,
}

fn packing(algorithm: u8) -> Result<Packing, EvidenceError> {
    match algorithm {
        0 => Ok(Packing::Lz4),
        1 => Ok(Packing::MicroLzma),
        2 => Ok(Packing::Deflate),
        3 => Ok(Packing::Zstd),
        other => Err(EvidenceError::unsupported(format!("EROFS compression {other}"))),
    }
}

fn contradiction(file: &File, what: &str) -> EvidenceError {
    let node = file.inode.node;
    EvidenceError::corrupt(format!("the index of inode {node} contradicts itself: {what}"))
}

impl File {
    /// Where the header in front of the index stands.
    pub(super) fn index_at(&self) -> u64 {
        self.inode.tail_at().next_multiple_of(8)
    }
}

impl Erofs {
    /// Reads what stands in front of the index, and what the end of the index tells.
    pub(super) fn read_header(&self, file: &mut File, index: Index) -> Result<(), EvidenceError> {
        let mut raw = [0; 8];
        self.metadata_at(file.inode.node, file.index_at(), &mut raw)?;
        file.header = Header::parse(raw, self.superblock.block_bits);
        if file.header.is_all_fragment || file.inode.size_bytes == 0 {
            return Ok(());
        }
        if file.header.cluster_bits > 24 {
            return Err(contradiction(file, "clusters of more than 16 MiB"));
        }
        if file.header.has_extents(index) {
            file.records = self.read_records(file)?;
        } else if file.header.has_fragment() || file.header.inline_bytes > 0 {
            let last = file.inode.size_bytes.saturating_sub(1);
            let number = last >> file.header.cluster_bits;
            let index_end = self.cluster(file, index, number)?.next_at;
            let (head, block, _) = self.head(file, index, last)?;
            file.tail = Some(Tail { head, index_end });
            if file.header.has_fragment() && index == Index::Full {
                file.header.fragment_at |= block << 32;
            }
        }
        Ok(())
    }

    /// The cluster in which the piece that holds `offset` begins, its block, kind and first byte.
    fn head(
        &self,
        file: &File,
        index: Index,
        offset: u64,
    ) -> Result<(u64, u64, (Head, u64)), EvidenceError> {
        let bits = file.header.cluster_bits;
        let mut number = offset >> bits;
        let limit = (MAX_PIECE_BYTES >> bits).saturating_add(2);
        let first = number;
        loop {
            let back = match self.cluster(file, index, number)?.cluster {
                Cluster::Begins { head, within, block } => {
                    let begins = (number << bits).saturating_add(within);
                    if begins <= offset {
                        return Ok((number, block, (head, begins)));
                    }
                    1
                }
                Cluster::Inside { back, .. } => back,
            };
            let earlier = number.checked_sub(back).filter(|_| back > 0);
            number = earlier.ok_or_else(|| contradiction(file, "a piece without a beginning"))?;
            if first.saturating_sub(number) > limit {
                return Err(contradiction(file, "a piece longer than 12 MiB"));
            }
        }
    }

    /// Where the piece that begins in cluster `head` ends.
    fn piece_end(&self, file: &File, index: Index, head: u64) -> Result<u64, EvidenceError> {
        let (bits, size) = (file.header.cluster_bits, file.inode.size_bytes);
        let limit = (MAX_PIECE_BYTES >> bits).saturating_add(2);
        let mut number = head.saturating_add(1);
        loop {
            if number >= size.div_ceil(1 << bits) {
                return Ok(size);
            }
            match self.cluster(file, index, number)?.cluster {
                Cluster::Begins { within, .. } => {
                    return Ok((number << bits).saturating_add(within).min(size));
                }
                // Old writers left the distance 0.
                Cluster::Inside { on, .. } => number = number.saturating_add(on.max(1)),
            }
            if number.saturating_sub(head) > limit {
                return Err(contradiction(file, "a piece longer than 12 MiB"));
            }
        }
    }

    /// How many bytes of the device a piece has.
    fn stored_bytes(
        &self,
        file: &File,
        index: Index,
        number: u64,
        head: Head,
    ) -> Result<u64, EvidenceError> {
        let next = number.saturating_add(1);
        let is_last = next >= file.inode.size_bytes.div_ceil(1 << file.header.cluster_bits);
        let blocks = if !file.header.is_big(head) || is_last {
            1
        } else {
            match self.cluster(file, index, next)?.cluster {
                Cluster::Begins { .. } => 1,
                Cluster::Inside { blocks: Some(blocks), .. } if blocks > 0 => blocks,
                Cluster::Inside { .. } => {
                    return Err(contradiction(
                        file,
                        "a piece of several blocks does not tell how many",
                    ));
                }
            }
        };
        let stored = self.superblock.bytes(blocks);
        if stored > MAX_STORED_BYTES.max(self.superblock.block_bytes()) {
            return Err(contradiction(file, "a piece stored in more than 1 MiB"));
        }
        Ok(stored)
    }

    pub(super) fn packed_run(
        &self,
        file: &File,
        index: Index,
        offset: u64,
    ) -> Result<Run, EvidenceError> {
        let size = file.inode.size_bytes;
        let fragment = Form::Fragment { at: file.header.fragment_at };
        let tail_is_fragment = file.header.has_fragment() && file.tail.is_some();
        if file.header.is_all_fragment
            || (tail_is_fragment && file.tail.is_some_and(|tail| tail.head == 0))
        {
            return Ok(Run { logical_bytes: 0, length_bytes: size, stored: fragment });
        }
        if file.header.has_extents(index) {
            return self.record_run(file, offset);
        }
        let (number, block, (head, logical_bytes)) = self.head(file, index, offset)?;
        let end = self.piece_end(file, index, number)?;
        let length_bytes = end.checked_sub(logical_bytes).filter(|_| end > offset);
        let length_bytes =
            length_bytes.ok_or_else(|| contradiction(file, "a piece ends before it begins"))?;
        let run = |stored| Ok(Run { logical_bytes, length_bytes, stored });
        if let Some(tail) = file.tail.filter(|tail| tail.head == number) {
            if tail_is_fragment {
                return run(fragment);
            }
            let (at, stored_bytes) = (tail.index_end, file.header.inline_bytes);
            return run(match head {
                Head::Plain if length_bytes <= stored_bytes => Form::Metadata { at },
                Head::Plain => {
                    return Err(contradiction(file, "a plain tail longer than its data"));
                }
                _ => Form::Packed {
                    at,
                    stored_bytes,
                    packing: algorithm(file, head)?,
                    in_metadata: true,
                },
            });
        }
        let stored_bytes = self.stored_bytes(file, index, number, head)?;
        let at = self.superblock.bytes(block);
        if head != Head::Plain {
            let packing = algorithm(file, head)?;
            return run(Form::Packed { at, stored_bytes, packing, in_metadata: false });
        }
        if length_bytes > stored_bytes {
            return Err(contradiction(file, "a plain piece longer than its data"));
        }
        if file.header.is_interlaced() {
            if stored_bytes > self.superblock.block_bytes() {
                return Err(EvidenceError::unsupported(
                    "an EROFS interlaced piece of several blocks",
                ));
            }
            return run(Form::Interlaced { at });
        }
        run(self.placed(at))
    }

    /// Records of 4, 8, 16 or 32 bytes behind the header; the short ones have a place only for the first, or leave out the
    /// offset because all are equally long.
    fn read_records(&self, file: &File) -> Result<Vec<Record>, EvidenceError> {
        let header = &file.header;
        let record_bytes = 4_u64 << (header.advice >> 1 & 3);
        let mut at = file.index_at().saturating_add(8).next_multiple_of(record_bytes);
        let cluster_bytes = 1_u64 << header.cluster_bits;
        let is_short = record_bytes <= 8;
        let count =
            if is_short { file.inode.size_bytes.div_ceil(cluster_bytes) } else { header.extents };
        if count > MAX_EXTENTS {
            let node = file.inode.node;
            return Err(EvidenceError::refused(format!(
                "inode {node} has {count} extents, more than {MAX_EXTENTS}"
            )));
        }
        let mut next_at = 0_u64;
        if record_bytes == 4 {
            let mut raw = [0; 8];
            self.metadata_at(file.inode.node, at, &mut raw)?;
            next_at = u64::from_le_bytes(raw);
            at = at.saturating_add(8);
        }
        let mut out: Vec<Record> = Vec::new();
        let mut raw = [0; 32];
        let raw = raw.get_mut(..to_usize(record_bytes)).unwrap_or_default();
        for number in 0..count {
            self.metadata_at(file.inode.node, at, raw)?;
            at = at.saturating_add(record_bytes);
            let f = Fields(raw);
            let word = f.le32(0);
            let place = if record_bytes == 4 {
                let here = next_at;
                next_at = next_at.saturating_add(u64::from(word) & STORED_MASK);
                here
            } else {
                u64::from(f.le32(4)) | u64::from(f.le32(8)) << 32
            };
            let logical_bytes = if is_short {
                number.saturating_mul(cluster_bytes)
            } else {
                u64::from(f.le32(12)) | u64::from(f.le32(16)) << 32
            };
            if out.last().is_some_and(|last| last.logical_bytes >= logical_bytes) {
                return Err(contradiction(file, "its extents are out of order"));
            }
            out.push(Record { logical_bytes, at: place, word });
        }
        Ok(out)
    }

    fn record_run(&self, file: &File, offset: u64) -> Result<Run, EvidenceError> {
        let size = file.inode.size_bytes;
        let after = file.records.partition_point(|record| record.logical_bytes <= offset);
        let end = file.records.get(after).map_or(size, |next| next.logical_bytes.min(size));
        let Some(record) = after.checked_sub(1).and_then(|index| file.records.get(index)) else {
            return Ok(Run { logical_bytes: 0, length_bytes: end, stored: Form::Hole });
        };
        let logical_bytes = record.logical_bytes;
        let length_bytes = end.saturating_sub(logical_bytes);
        let run = |stored| Ok(Run { logical_bytes, length_bytes, stored });
        let has_place = file.header.advice >> 1 & 3 != 0;
        if after == file.records.len() && file.header.has_fragment() {
            let high = if has_place { record.at << 32 } else { 0 };
            return run(Form::Fragment { at: u64::from(record.word) | high });
        }
        let stored_bytes = u64::from(record.word) & STORED_MASK;
        if stored_bytes == 0 {
            return run(Form::Hole);
        }
        if length_bytes > MAX_PIECE_BYTES {
            return Err(contradiction(file, "a piece longer than 12 MiB"));
        }
        if let Some(algorithm) = u8::try_from(record.word >> 28).unwrap_or(0).checked_sub(1) {
            let packing = packing(algorithm)?;
            return run(Form::Packed { at: record.at, stored_bytes, packing, in_metadata: false });
        }
        if length_bytes > stored_bytes {
            return Err(contradiction(file, "a plain piece longer than its data"));
        }
        let mask = self.superblock.block_bytes().saturating_sub(1);
        if file.header.is_interlaced() && (record.at | stored_bytes) & mask == 0 {
            if stored_bytes > self.superblock.block_bytes() {
                return Err(EvidenceError::unsupported(
                    "an EROFS interlaced piece of several blocks",
                ));
            }
            return run(Form::Interlaced { at: record.at });
        }
        run(self.placed(record.at))
    }
}

/// The part of a record's first word that is the stored length.
const STORED_MASK: u64 = (1 << 21) - 1;

fn algorithm(file: &File, head: Head) -> Result<Packing, EvidenceError> {
    let [first, second] = file.header.algorithms;
    packing(if head == Head::Second { second } else { first })
}

/// Whether the inode's content is compressed, and by which index.
pub(super) fn index(inode: &Inode) -> Option<Index> {
    match inode.layout {
        super::inode::Layout::Packed(index) => Some(index),
        _ => None,
    }
}
