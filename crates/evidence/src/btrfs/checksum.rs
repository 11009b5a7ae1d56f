//! The four checksums a Btrfs may use for its metadata and data (`btrfs_csum_type`).
//!
//! They tell a good mirror from a stale or damaged one, which nothing else can, so all four are computed.

use crate::crc;
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

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// XXH64 with seed 0, from its specification (xxHash/doc/xxhash_spec.md).
fn xxhash64(data: &[u8]) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let round = |lane: u64, input: u64| {
        lane.wrapping_add(input.wrapping_mul(p2)).rotate_left(31).wrapping_mul(p1)
    };
    let (stripes, mut rest) = data.as_chunks::<32>();
    let mut hash = if stripes.is_empty() {
        p5
    } else {
        let mut lanes = [p1.wrapping_add(p2), p2, 0, 0_u64.wrapping_sub(p1)];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let [a, b, c, d] = lanes;
        let start = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        lanes
            .iter()
            .fold(start, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(p1).wrapping_add(p4))
    };
    hash = hash.wrapping_add(crate::bytes::to_u64(data.len()));
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        hash = (hash ^ round(0, u64::from_le_bytes(*word))).rotate_left(27);
        hash = hash.wrapping_mul(p1).wrapping_add(p4);
    }
    rest = tail;
    if let Some(half) = rest.first_chunk::<4>() {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(p1);
        hash = hash.rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
        rest = rest.get(4..).unwrap_or(&[]);
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(p5)).rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(p2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(p3);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        // Test vectors of the xxHash specification (nothing, one byte) and of RFC 7693's 256-bit variant of nothing.
        assert_eq!(xxhash64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxhash64(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(Checksum::Blake2b.of(b"")[..4], [0x0e, 0x57, 0x51, 0xc0]);
        assert_eq!(Checksum::Sha256.of(b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert!(Checksum::Crc32c.agrees(b"123456789", &0xe306_9283_u32.to_le_bytes()));
    }
}
