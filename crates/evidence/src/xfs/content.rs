//! Content by its map: files straight from the source, directories and attributes through the metadata store.

use super::Xfs;
use super::map::{Map, Run};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::{Extent, Stored};

/// Fills `buf` from `offset` of a file of `size` bytes, each run read at once into its part of `buf`.
pub(super) fn read(
    xfs: &Xfs,
    map: &Map,
    size: u64,
    offset: u64,
    buf: &mut [u8],
) -> Result<usize, EvidenceError> {
    let total = to_usize(size.saturating_sub(offset)).min(buf.len());
    let buf = buf.get_mut(..total).unwrap_or(&mut []);
    pieces(xfs, map, offset, buf, &mut |at, part| {
        let got = xfs
            .store
            .source
            .read_at(at, part)
            .map_err(EvidenceError::read(format!("content at offset {at}")))?;
        if got < part.len() {
            return Err(EvidenceError::corrupt(format!(
                "{} bytes of content at offset {at} lie beyond the end of the source",
                part.len()
            )));
        }
        Ok(())
    })?;
    Ok(total)
}

/// `length` bytes from `offset` of a fork that holds metadata; a hole reads as zeros.
pub(super) fn metadata(
    xfs: &Xfs,
    map: &Map,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, EvidenceError> {
    let mut out = vec![0; length];
    pieces(xfs, map, offset, &mut out, &mut |at, part| xfs.store.fill(at, part))?;
    Ok(out)
}

/// Reads into a buffer from a byte offset of the source.
type Fill<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), EvidenceError> + 'a;

/// Calls `fill` with the place of every part of `buf` that is stored, and zeroes the rest.
fn pieces(
    xfs: &Xfs,
    map: &Map,
    offset: u64,
    buf: &mut [u8],
    fill: &mut Fill<'_>,
) -> Result<(), EvidenceError> {
    let block_bytes = xfs.superblock.block_bytes;
    let total = buf.len();
    let mut done = 0_usize;
    while done < total {
        let here = offset.saturating_add(to_u64(done));
        let logical = here.checked_div(block_bytes).unwrap_or(0);
        let run = map.at(logical);
        let until = match run {
            Some(run) if run.logical <= logical => run.end(),
            Some(next) => next.logical,
            None => u64::MAX,
        };
        let count = to_usize(until.saturating_mul(block_bytes).saturating_sub(here))
            .min(total.saturating_sub(done));
        let end = done.saturating_add(count);
        let Some(part) = buf.get_mut(done..end).filter(|part| !part.is_empty()) else { break };
        match run {
            Some(run) if run.logical <= logical && !run.is_unwritten => {
                let start = run_offset(xfs, run)?;
                let within = here.saturating_sub(run.logical.saturating_mul(block_bytes));
                fill(start.saturating_add(within), part)?;
            }
            _ => part.fill(0),
        }
        done = end;
    }
    Ok(())
}

fn run_offset(xfs: &Xfs, run: &Run) -> Result<u64, EvidenceError> {
    xfs.superblock.block_offset(run.block, u64::from(run.blocks))
}

/// The whole map of a file of `size` bytes with its holes; runs behind the size (preallocated) are given too.
pub(super) fn extents(
    xfs: &Xfs,
    map: &Map,
    size: u64,
    device: Option<u64>,
) -> Result<Vec<Extent>, EvidenceError> {
    let block_bytes = xfs.superblock.block_bytes;
    let mut out: Vec<Extent> = Vec::with_capacity(map.runs.len());
    let mut next = 0_u64;
    for run in &map.runs {
        let logical_bytes = run.logical.saturating_mul(block_bytes);
        if logical_bytes > next {
            let length_bytes = logical_bytes.saturating_sub(next);
            out.push(Extent { logical_bytes: next, length_bytes, stored: Stored::Hole });
        }
        let length_bytes = u64::from(run.blocks).saturating_mul(block_bytes);
        next = logical_bytes.saturating_add(length_bytes);
        let stored = match device {
            Some(device) => Stored::OnDevice { device, at: run.block.saturating_mul(block_bytes) },
            None if run.is_unwritten => Stored::Unwritten(run_offset(xfs, run)?),
            None => Stored::At(run_offset(xfs, run)?),
        };
        out.push(Extent { logical_bytes, length_bytes, stored });
    }
    if next < size {
        let length_bytes = size.saturating_sub(next);
        out.push(Extent { logical_bytes: next, length_bytes, stored: Stored::Hole });
    }
    Ok(out)
}

/// Header of a block of a remote value or link target, in version 5.
const REMOTE_HEADER_BYTES: usize = 56;

/// How often that header comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Headers {
    /// At the start of each block: attribute values.
    EachBlock,
    /// At the start of each run of blocks: link targets.
    EachRun,
}

/// `length` bytes kept in blocks from `offset` of a fork on, without the headers of version 5.
pub(super) fn remote(
    xfs: &Xfs,
    map: &Map,
    offset: u64,
    length: usize,
    headers: Headers,
) -> Result<Vec<u8>, EvidenceError> {
    if !xfs.superblock.is_v5 {
        return metadata(xfs, map, offset, length);
    }
    let block_bytes = xfs.superblock.block_bytes;
    let magic = if headers == Headers::EachBlock { b"XARM" } else { b"XSLM" };
    let mut out = Vec::with_capacity(length);
    let mut at = offset;
    while out.len() < length {
        let logical = at.checked_div(block_bytes).unwrap_or(0);
        let piece_bytes = match (headers, map.at(logical)) {
            (Headers::EachRun, Some(run)) if run.logical <= logical => {
                run.end().saturating_sub(logical).saturating_mul(block_bytes)
            }
            _ => block_bytes,
        };
        let room = to_usize(piece_bytes).saturating_sub(REMOTE_HEADER_BYTES);
        let wanted = length.saturating_sub(out.len()).min(room);
        let raw = metadata(xfs, map, at, wanted.saturating_add(REMOTE_HEADER_BYTES))?;
        let f = Fields(&raw);
        if !f.has(0, magic) || to_usize(u64::from(f.be32(8))) < wanted {
            return Err(EvidenceError::corrupt(format!(
                "block at {at} of a value has magic number {:08x} and {} bytes, expected {wanted}",
                f.be32(0),
                f.be32(8)
            )));
        }
        out.extend_from_slice(f.slice(REMOTE_HEADER_BYTES, wanted));
        at = at.saturating_add(piece_bytes);
    }
    Ok(out)
}
