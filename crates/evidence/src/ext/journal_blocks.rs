//! The forms of journal blocks: descriptor tags, revoke records and checksums, in all the variants the features select.

use crate::bytes::{Fields, to_usize};
use crate::crc::crc32c;
use crate::error::EvidenceError;

/// First word of every journal block that is not data.
pub(super) const MAGIC: u32 = 0xc03b_3998;

const COMPAT_CHECKSUM: u32 = 0x1;
const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_CHECKSUM_2: u32 = 0x8;
const INCOMPAT_CHECKSUM_3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;
/// Revoke, 64-bit, asynchronous commit, checksums 2 and 3, fast commit.
const INCOMPAT_KNOWN: u32 = 0x3f;

/// Which checksums the log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Checksums {
    #[default]
    None,
    /// Two bytes for each data block.
    Second,
    /// Four bytes for each data block.
    Third,
}

/// What decides the form of the blocks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {
    is_wide: bool,
    checksums: Checksums,
    /// The first kind: one sum over a transaction, in its commit block.
    pub(super) sums_transactions: bool,
    pub(super) has_fast_commits: bool,
    seed: u32,
}

/// One block a descriptor lists.
pub(super) struct Tag {
    pub(super) block: u64,
    pub(super) is_escaped: bool,
    checksum: u32,
}

impl Features {
    /// From the journal's superblock.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, EvidenceError> {
        let sb = Fields(raw);
        // Version 1 of the superblock ends before the feature words.
        if sb.be32(4) != 4 {
            return Ok(Self::default());
        }
        let incompat = sb.be32(40);
        let unknown = incompat & !INCOMPAT_KNOWN;
        if unknown != 0 {
            return Err(EvidenceError::unsupported(format!(
                "the unknown journal feature {unknown:#x}"
            )));
        }
        let checksums = match (incompat & INCOMPAT_CHECKSUM_3, incompat & INCOMPAT_CHECKSUM_2) {
            (0, 0) => Checksums::None,
            (0, _) => Checksums::Second,
            _ => Checksums::Third,
        };
        Ok(Self {
            is_wide: incompat & INCOMPAT_64BIT != 0,
            checksums,
            sums_transactions: sb.be32(36) & COMPAT_CHECKSUM != 0 && checksums == Checksums::None,
            has_fast_commits: incompat & INCOMPAT_FAST_COMMIT != 0,
            seed: crc32c(u32::MAX, sb.slice(48, 16)),
        })
    }

    pub(super) fn has_checksums(&self) -> bool {
        self.checksums != Checksums::None
    }

    /// Descriptor and revoke blocks end in a checksum of the whole block with that field zero.
    pub(super) fn has_good_tail(&self, raw: &[u8]) -> bool {
        if !self.has_checksums() {
            return true;
        }
        let at = raw.len().saturating_sub(4);
        let sum = crc32c(crc32c(self.seed, raw.get(..at).unwrap_or(&[])), &[0; 4]);
        sum == Fields(raw).be32(at)
    }

    /// Whether a commit block's own checksum fits, or the one it has of its transaction.
    pub(super) fn is_good_commit(&self, raw: &[u8], transaction_sum: Option<u32>) -> bool {
        let fields = Fields(raw);
        if self.has_checksums() {
            let before = crc32c(self.seed, raw.get(..16).unwrap_or(&[]));
            let sum = crc32c(crc32c(before, &[0; 4]), raw.get(20..).unwrap_or(&[]));
            return sum == fields.be32(16);
        }
        // Type 1 is CRC-32, of four bytes; 0 stands in commits written before the feature was switched on.
        let has_sum = self.sums_transactions && fields.u8(12) == 1 && fields.u8(13) == 4;
        !has_sum || transaction_sum.unwrap_or(u32::MAX) == fields.be32(16)
    }

    /// Whether a data block is the one its tag speaks of.
    pub(super) fn data_fits(&self, tag: &Tag, sequence: u32, content: &[u8]) -> bool {
        let sum = || crc32c(crc32c(self.seed, &sequence.to_be_bytes()), content);
        match self.checksums {
            Checksums::None => true,
            Checksums::Second => sum() & 0xffff == tag.checksum,
            Checksums::Third => sum() == tag.checksum,
        }
    }

    /// The blocks a descriptor lists.
    pub(super) fn tags(&self, raw: &[u8]) -> Vec<Tag> {
        let fields = Fields(raw);
        let tag_bytes: usize = match (self.checksums, self.is_wide) {
            (Checksums::Third, _) => 16,
            (Checksums::Second, true) => 14,
            (Checksums::Second, false) => 10,
            (Checksums::None, true) => 12,
            (Checksums::None, false) => 8,
        };
        let end = raw.len().saturating_sub(if self.has_checksums() { 4 } else { 0 });
        let mut out = Vec::new();
        let mut at = 12_usize;
        while at.saturating_add(tag_bytes) <= end {
            let tag = Fields(fields.slice(at, tag_bytes));
            let (flags, checksum) = if self.checksums == Checksums::Third {
                (tag.be32(4), tag.be32(12))
            } else {
                (u32::from(tag.be16(6)), u32::from(tag.be16(4)))
            };
            let high = if self.is_wide { u64::from(tag.be32(8)) << 32 } else { 0 };
            let block = high | u64::from(tag.be32(0));
            out.push(Tag { block, is_escaped: flags & 1 != 0, checksum });
            at = at.saturating_add(tag_bytes);
            if flags & 2 == 0 {
                // Without this flag the journal's UUID follows.
                at = at.saturating_add(16);
            }
            if flags & 8 != 0 {
                break;
            }
        }
        out
    }

    /// The blocks a revoke record lists.
    pub(super) fn revoked(&self, raw: &[u8]) -> Vec<u64> {
        let used = to_usize(u64::from(Fields(raw).be32(12))).min(raw.len());
        let body = raw.get(16..used).unwrap_or(&[]);
        if self.is_wide {
            body.as_chunks::<8>().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect()
        } else {
            body.as_chunks::<4>()
                .0
                .iter()
                .map(|entry| u64::from(u32::from_be_bytes(*entry)))
                .collect()
        }
    }
}

/// Continues the sum over a transaction: CRC-32 with the bits of each byte from the top, as the kernel's `crc32_be`.
pub(super) fn sum(before: Option<u32>, content: &[u8]) -> u32 {
    content.iter().fold(before.unwrap_or(u32::MAX), |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn check_value() {
        // The "check" value of CRC-32/MPEG-2, which is this sum.
        assert_eq!(super::sum(None, b"123456789"), 0x0376_e6e7);
    }
}
