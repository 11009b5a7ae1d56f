//! One sorted table of raw digests of one algorithm, with an index by their first bits.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::Algorithm;

/// Digests that share one place of the index, on average.
const NEIGHBOURS: u64 = 8;
/// Most bits the index goes by: 2²⁴ places of 8 bytes.
const MOST_BITS: u32 = 24;

/// The records of a table.
#[derive(Debug)]
enum Records {
    Memory(Vec<u8>),
    File { file: File, offset_bytes: u64 },
}

/// A sorted table.
#[derive(Debug)]
pub(super) struct Table {
    algorithm: Algorithm,
    records: Records,
    /// First record of each value of the first bits, and the number of records at the end.
    index: Vec<u64>,
    bits: u32,
}

impl Table {
    /// Sorts raw digests, one behind the other, and drops what is there twice.
    pub(super) fn sorted(algorithm: Algorithm, mut raw: Vec<u8>) -> Self {
        match algorithm {
            Algorithm::Md5 => sort::<16>(&mut raw),
            Algorithm::Sha1 => sort::<20>(&mut raw),
            Algorithm::Sha256 | Algorithm::Blake3 => sort::<32>(&mut raw),
            Algorithm::Sha512 => sort::<64>(&mut raw),
        }
        let count = count_of(&raw, algorithm);
        let bits = bits_for(count);
        let index = index(&raw, algorithm, bits, count);
        Self { algorithm, records: Records::Memory(raw), index, bits }
    }

    /// A table whose records stay in a file; `None` if the index cannot be that of so many records.
    pub(super) fn in_file(
        algorithm: Algorithm,
        (file, offset_bytes): (File, u64),
        index: Vec<u64>,
        bits: u32,
    ) -> Option<Self> {
        let sound = bits <= MOST_BITS
            && index.len() == places(bits)
            && index.first() == Some(&0)
            && index.is_sorted();
        sound.then_some(Self {
            algorithm,
            records: Records::File { file, offset_bytes },
            index,
            bits,
        })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    pub(super) fn index(&self) -> &[u64] {
        &self.index
    }

    /// How many digests it has.
    pub(super) fn count(&self) -> u64 {
        self.index.last().copied().unwrap_or(0)
    }

    /// Whether `digest` is in it.
    pub(super) fn has(&self, digest: &[u8]) -> io::Result<bool> {
        let place = place(digest, self.bits);
        let at = |place: usize| self.index.get(place).copied().unwrap_or(0);
        let (mut low, mut high) = (at(place), at(place.saturating_add(1)));
        let mut buffer = [0; 64];
        let buffer = buffer.get_mut(..self.algorithm.length_bytes()).unwrap_or_default();
        // By halves: a list made to fall into one place costs no more than the logarithm of its length.
        while low < high {
            let middle = low.midpoint(high);
            self.record(middle, buffer)?;
            match (*buffer).cmp(digest) {
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => low = middle.saturating_add(1),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(false)
    }

    /// Record number `number` into `out`, whose length is that of a digest.
    pub(super) fn record(&self, number: u64, out: &mut [u8]) -> io::Result<()> {
        let length = u64::try_from(out.len()).unwrap_or(u64::MAX);
        let start = number.saturating_mul(length);
        match &self.records {
            Records::Memory(raw) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX);
                let record = raw.get(start..start.saturating_add(out.len()));
                out.copy_from_slice(record.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Records::File { file, offset_bytes } => {
                file.read_exact_at(out, offset_bytes.saturating_add(start))
            }
        }
    }
}

fn sort<const N: usize>(raw: &mut Vec<u8>) {
    let (records, _none) = raw.as_chunks_mut::<N>();
    records.sort_unstable();
    let mut kept = 0usize;
    for number in 0..records.len() {
        let Some(record) = records.get(number).copied() else { break };
        let known = kept.checked_sub(1).and_then(|last| records.get(last));
        if known != Some(&record) {
            if let Some(place) = records.get_mut(kept) {
                *place = record;
            }
            kept = kept.saturating_add(1);
        }
    }
    raw.truncate(kept.saturating_mul(N));
    raw.shrink_to_fit();
}

fn count_of(raw: &[u8], algorithm: Algorithm) -> u64 {
    let count = raw.len().checked_div(algorithm.length_bytes()).unwrap_or(0);
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn bits_for(count: u64) -> u32 {
    count.checked_div(NEIGHBOURS).and_then(u64::checked_ilog2).unwrap_or(0).min(MOST_BITS)
}

/// Entries of an index by so many bits: one for each value and one for the end.
pub(super) fn places(bits: u32) -> usize {
    1usize.checked_shl(bits).unwrap_or(usize::MAX).saturating_add(1)
}

/// The value of the first bits of a digest.
fn place(digest: &[u8], bits: u32) -> usize {
    let head = digest.first_chunk::<4>().map_or(0, |head| u32::from_be_bytes(*head));
    let value = head.checked_shr(32u32.saturating_sub(bits)).unwrap_or(0);
    usize::try_from(value).unwrap_or(0)
}

fn index(raw: &[u8], algorithm: Algorithm, bits: u32, count: u64) -> Vec<u64> {
    let mut index = Vec::with_capacity(places(bits));
    for (record, number) in raw.chunks_exact(algorithm.length_bytes()).zip(0u64..) {
        let place = place(record, bits);
        while index.len() <= place {
            index.push(number);
        }
    }
    index.resize(places(bits), count);
    index
}
