//! RAID as a source: stripes, copies and parity over legs of which some may be missing, shared by md and LVM.
//!
//! Every request is answered in memory, from redundancy where a leg does not give the bytes; nothing is ever repaired.

mod copies;
mod galois;
mod layout;
mod leg;
mod parity;
mod stripes;

pub(super) use copies::{Copies, Spread};
pub(super) use layout::ParityLayout;
pub(super) use leg::Leg;
pub(super) use parity::Parity;
pub(super) use stripes::{Stripes, ZoneRule};

use crate::bytes::{to_u64, to_usize};
use crate::source::SourceError;

/// Quotient, 0 where the divisor is: every divisor here was checked when the set was assembled.
fn div(value: u64, by: u64) -> u64 {
    value.checked_div(by).unwrap_or(0)
}

fn rem(value: u64, by: u64) -> u64 {
    value.checked_rem(by).unwrap_or(0)
}

/// Fills a part of a request: number of the chunk, offset within it.
type ReadPart<'a> = dyn FnMut(u64, u64, &mut [u8]) -> Result<(), SourceError> + 'a;
/// Fills a buffer from an offset.
type ReadAll<'a> = dyn Fn(u64, &mut [u8]) -> Result<(), SourceError> + 'a;

/// Splits a request at the borders of chunks; `read` gets the chunk's number, the offset within it and its part.
fn by_chunk(
    offset_bytes: u64,
    buf: &mut [u8],
    chunk_bytes: u64,
    size_bytes: u64,
    read: &mut ReadPart<'_>,
) -> Result<usize, SourceError> {
    let wanted = to_usize(size_bytes.saturating_sub(offset_bytes)).min(buf.len());
    let mut done = 0_usize;
    while let Some(rest) = buf.get_mut(done..wanted).filter(|rest| !rest.is_empty()) {
        let at = offset_bytes.saturating_add(to_u64(done));
        let within = rem(at, chunk_bytes);
        let count = to_usize(chunk_bytes.saturating_sub(within)).min(rest.len());
        let Some(part) = rest.get_mut(..count).filter(|part| !part.is_empty()) else { break };
        let length_bytes = part.len();
        read(div(at, chunk_bytes), within, part).map_err(|error| SourceError {
            offset_bytes: at,
            length_bytes,
            source: error.source,
        })?;
        done = done.saturating_add(count);
    }
    Ok(done)
}

/// Reads all at once; when that fails, half by half down to a sector, so that bad sectors of two legs that do not lie at
/// the same place hide nothing. Ends at the first sector nobody gives.
fn halving(at: u64, buf: &mut [u8], read: &ReadAll<'_>) -> Result<(), SourceError> {
    let error = match read(at, buf) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let middle = to_u64(buf.len() / 2).saturating_add(at).checked_next_multiple_of(512);
    let middle = middle.unwrap_or(u64::MAX);
    let first = to_usize(middle.saturating_sub(at));
    match buf.split_at_mut_checked(first) {
        Some((before, after)) if !before.is_empty() && !after.is_empty() => {
            halving(at, before, read)?;
            halving(middle, after, read)
        }
        _ => Err(error),
    }
}
