//! File content from beginning to end, with unreadable parts left out by the sector and named.
//!
//! One bad sector costs one sector: a long read that fails is narrowed down, and the reading goes on behind it.

use super::{FileSystem, Node};
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use serde::Serialize;

/// Length of one read.
const PIECE_BYTES: usize = 1 << 20;
/// The least that is given up.
const SECTOR_BYTES: usize = 512;
/// Holes kept one by one; what follows is counted in the last.
const MAX_HOLES: usize = 10_000;

/// A run of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes as they stand.
    Data(&'a [u8]),
    /// This many bytes could not be read; a copy has zeros here.
    Unreadable(u64),
}

/// A run that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// First byte of it within the file.
    pub offset_bytes: u64,
    /// Its length in bytes.
    pub length_bytes: u64,
    /// Why, for its first part.
    pub why: String,
}

/// What a stream of content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// The content of the file.
    Main,
    /// A named stream beside it.
    Named(&'a [u8]),
}

/// Gives all content of `node` (of `size_bytes`) to `take`, in order, and returns what could not be read.
///
/// # Errors
/// What `take` returns, at once; or an error of the reader that holds for the whole file (unsupported, refused).
pub fn stream<E: From<EvidenceError>>(
    fs: &dyn FileSystem,
    node: Node,
    which: Which<'_>,
    size_bytes: u64,
    take: &mut dyn FnMut(Piece<'_>) -> Result<(), E>,
) -> Result<Vec<Hole>, E> {
    let mut buf = vec![0; PIECE_BYTES.min(to_usize(size_bytes).max(SECTOR_BYTES))];
    let mut holes: Vec<Hole> = Vec::new();
    let (mut offset, mut step) = (0_u64, buf.len());
    while offset < size_bytes {
        let wanted = to_usize(size_bytes.saturating_sub(offset)).min(step);
        let Some(part) = buf.get_mut(..wanted) else { break };
        let read = match which {
            Which::Main => fs.read_at(node, offset, part),
            Which::Named(name) => fs.read_stream_at(node, name, offset, part),
        };
        let (lost, why) = match read {
            Ok(got) if got > 0 => {
                take(Piece::Data(part.get(..got).unwrap_or(part)))?;
                offset = offset.saturating_add(to_u64(got));
                step = step.saturating_mul(2).min(buf.len());
                continue;
            }
            Ok(_) => (size_bytes.saturating_sub(offset), "the content ends before its size".into()),
            Err(error)
                if !matches!(error, EvidenceError::Read { .. } | EvidenceError::Corrupt { .. }) =>
            {
                return Err(error.into());
            }
            Err(_) if wanted > SECTOR_BYTES => {
                step = (wanted / 2).max(SECTOR_BYTES);
                continue;
            }
            Err(error) => {
                // Up to the next border of a sector, so that narrowing never drifts off it.
                let into = offset.checked_rem(to_u64(SECTOR_BYTES)).unwrap_or(0);
                let rest = to_u64(SECTOR_BYTES).saturating_sub(into);
                (rest.min(size_bytes.saturating_sub(offset)), chain(&error))
            }
        };
        take(Piece::Unreadable(lost))?;
        lose(&mut holes, offset, lost, why);
        offset = offset.saturating_add(lost);
    }
    Ok(holes)
}

fn chain(error: &EvidenceError) -> String {
    error.to_problem(crate::Place::Source).text
}

/// Notes a hole; one that follows another directly makes it longer.
fn lose(holes: &mut Vec<Hole>, offset_bytes: u64, length_bytes: u64, why: String) {
    let full = holes.len() >= MAX_HOLES;
    match holes.last_mut() {
        Some(last)
            if full || last.offset_bytes.saturating_add(last.length_bytes) == offset_bytes =>
        {
            last.length_bytes =
                offset_bytes.saturating_add(length_bytes).saturating_sub(last.offset_bytes);
        }
        _ => holes.push(Hole { offset_bytes, length_bytes, why }),
    }
}
