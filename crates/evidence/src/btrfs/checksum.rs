//! The four checksums a Btrfs may use for its metadata and data (`btrfs_csum_type`).
//!
//! They tell a good mirror from a stale or damaged one, which nothing else can, so all four are computed.

use crate::crc;
use crate::xxhash::xxhash64;
use blake2::Blake2b256;
use sha2::{Digest, Sha256};

/// Which checksum a file system uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    Crc32c,
    Xxhash64,
    Sha256,
    Blake2b,
}

impl Checksum {
    pub(super) fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Crc32c),
            1 => Some(Self::Xxhash64),
            2 => Some(Self::Sha256),
            3 => Some(Self::Blake2b),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32c => "crc32c",
            Self::Xxhash64 => "xxhash64",
            Self::Sha256 => "sha256",
            Self::Blake2b => "blake2b-256",
        }
    }

    /// Bytes one checksum takes in the tree of checksums.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Crc32c => 4,
            Self::Xxhash64 => 8,
            Self::Sha256 | Self::Blake2b => 32,
        }
    }

    /// The checksum of `data`, filled up with zeros.
    pub(super) fn of(self, data: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        let mut put = |bytes: &[u8]| {
            for (to, from) in out.iter_mut().zip(bytes) {
                *to = *from;
            }
        };
        match self {
            Self::Crc32c => put(&(!crc::crc32c(u32::MAX, data)).to_le_bytes()),
            Self::Xxhash64 => put(&xxhash64(data).to_le_bytes()),
            Self::Sha256 => put(&Sha256::digest(data)),
            Self::Blake2b => put(&Blake2b256::digest(data)),
        }
        out
    }

    /// Whether `stored` begins with the checksum of `data`.
    pub(super) fn agrees(self, data: &[u8], stored: &[u8]) -> bool {
        let sum = self.of(data);
        stored.get(..self.bytes()) == sum.get(..self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        // Of RFC 7693's 256-bit variant of nothing.
        assert_eq!(Checksum::Blake2b.of(b"")[..4], [0x0e, 0x57, 0x51, 0xc0]);
        assert_eq!(Checksum::Sha256.of(b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert!(Checksum::Crc32c.agrees(b"123456789", &0xe306_9283_u32.to_le_bytes()));
    }
}
