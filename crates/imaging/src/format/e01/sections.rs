//! The sections of an E01 in bytes (chapter 3 of the specification). All numbers are little-endian, checksums Adler-32.

use hashing::{Algorithm, Digests};

use crate::deflate::adler32;
use crate::{Acquisition, Compression};

/// A section's own header.
pub(super) const DESCRIPTOR_BYTES: u64 = 76;

/// Ranges listed in the format; all are in the record beside it.
const MAX_ERRORS: usize = 1 << 18;

/// Shape of the disk, as `volume` and `data` have it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) chunks: u32,
    pub(super) chunk_sectors: u32,
    pub(super) sector_bytes: u32,
    pub(super) sectors: u64,
    pub(super) compression: Compression,
    pub(super) set_identifier: [u8; 16],
    pub(super) is_disk: bool,
}

impl Geometry {
    /// The content of `volume` and `data`, 1052 bytes (section 3.7).
    pub(super) fn volume(&self) -> Vec<u8> {
        let level = match self.compression {
            Compression::None | Compression::Zeros => 0,
            Compression::Fast | Compression::Good => 1,
            Compression::Best => 2,
        };
        let mut out = Vec::with_capacity(1052);
        // Media type: fixed.
        out.extend([1, 0, 0, 0]);
        out.extend(self.chunks.to_le_bytes());
        out.extend(self.chunk_sectors.to_le_bytes());
        out.extend(self.sector_bytes.to_le_bytes());
        out.extend(self.sectors.to_le_bytes());
        pad(&mut out, 36);
        // Media flags: 1 image, 2 physical.
        out.push(if self.is_disk { 3 } else { 1 });
        pad(&mut out, 52);
        out.push(level);
        pad(&mut out, 56);
        // Error granularity in sectors: every sector is tried.
        out.extend(1u32.to_le_bytes());
        pad(&mut out, 64);
        out.extend(self.set_identifier);
        pad(&mut out, 1048);
        summed(out)
    }
}

fn pad(out: &mut Vec<u8>, length: usize) {
    out.resize(length, 0);
}

/// The bytes with their checksum behind them.
fn summed(mut out: Vec<u8>) -> Vec<u8> {
    let sum = adler32(&out);
    out.extend(sum.to_le_bytes());
    out
}

/// The first bytes of a segment (section 2.1).
pub(super) fn file_header(number: u16) -> Vec<u8> {
    let mut out = b"EVF\x09\x0d\x0a\xff\x00\x01".to_vec();
    out.extend(number.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// The header of a section that begins at `at_bytes` and holds so many bytes (section 3.1).
pub(super) fn descriptor(kind: &[u8], at_bytes: u64, content_bytes: usize) -> Vec<u8> {
    let content = u64::try_from(content_bytes).unwrap_or(u64::MAX);
    let size = DESCRIPTOR_BYTES.saturating_add(content);
    described(kind, at_bytes.saturating_add(size), size)
}

/// The header of the section that ends a segment: it names itself as the next.
pub(super) fn last_descriptor(kind: &[u8], at_bytes: u64) -> Vec<u8> {
    described(kind, at_bytes, DESCRIPTOR_BYTES)
}

fn described(kind: &[u8], next: u64, size: u64) -> Vec<u8> {
    let mut out = kind.to_vec();
    pad(&mut out, 16);
    out.extend(next.to_le_bytes());
    out.extend(size.to_le_bytes());
    pad(&mut out, 72);
    summed(out)
}

/// Bytes a table of so many entries takes, with its header.
pub(super) fn table_bytes(entries: usize) -> u64 {
    let entries = u64::try_from(entries).unwrap_or(u64::MAX);
    entries.saturating_mul(4).saturating_add(DESCRIPTOR_BYTES).saturating_add(28)
}

/// The content of `table` and `table2` (section 3.9).
pub(super) fn table(base: u64, entries: &[u32]) -> Vec<u8> {
    let mut head = u32::try_from(entries.len()).unwrap_or(0).to_le_bytes().to_vec();
    pad(&mut head, 8);
    head.extend(base.to_le_bytes());
    pad(&mut head, 20);
    let mut out = summed(head);
    out.extend(summed(entries.iter().flat_map(|entry| entry.to_le_bytes()).collect()));
    out
}

/// The content of `error2` (section 3.14); `None` when every sector could be read.
///
/// Sectors past the 32 bits it has for each cannot be listed here; the record beside the image has all.
pub(super) fn errors(acquisition: &Acquisition) -> Option<Vec<u8>> {
    let ranges: Vec<(u32, u32)> = acquisition
        .bad
        .iter()
        .filter_map(|bad| {
            let (first, count) = bad.sectors(acquisition.sector_bytes)?;
            Some((u32::try_from(first).ok()?, u32::try_from(count).ok()?))
        })
        .take(MAX_ERRORS)
        .collect();
    if ranges.is_empty() {
        return None;
    }
    let mut head = u32::try_from(ranges.len()).unwrap_or(0).to_le_bytes().to_vec();
    pad(&mut head, 516);
    let mut out = summed(head);
    let list = ranges.into_iter().flat_map(|(first, count)| [first, count]);
    out.extend(summed(list.flat_map(u32::to_le_bytes).collect()));
    Some(out)
}

/// The content of `digest` (section 3.12); `None` without both digests it has.
pub(super) fn digest(digests: &Digests) -> Option<Vec<u8>> {
    let mut out = digests.of(Algorithm::Md5)?.as_bytes().to_vec();
    out.extend(digests.of(Algorithm::Sha1)?.as_bytes());
    pad(&mut out, 76);
    Some(summed(out))
}

/// The content of `hash` (section 3.13); `None` without an MD5.
pub(super) fn hash(digests: &Digests) -> Option<Vec<u8>> {
    let mut out = digests.of(Algorithm::Md5)?.as_bytes().to_vec();
    pad(&mut out, 32);
    Some(summed(out))
}
