//! LZ4 blocks that are read only in part, or that have other bytes behind them.
//!
//! EROFS fills a cluster of fixed length with as much as fits, and readers stop when they have enough; the kept LZ4 crate
//! wants the exact length of both sides. Format: `lz4_Block_format.md` of the LZ4 project.

use super::CodecError;

/// Decodes until `out` is full or `packed` ends.
pub(crate) fn lz4_partial(packed: &[u8], out: &mut [u8]) -> Result<usize, CodecError> {
    let mut from = Bytes { rest: packed };
    let mut done = 0_usize;
    while done < out.len() {
        let Some(token) = from.next() else { break };
        let literals = from.length(token >> 4)?;
        let room = out.len().saturating_sub(done);
        let wanted = literals.min(room);
        let text = from.take(wanted)?;
        let end = done.saturating_add(wanted);
        if let Some(to) = out.get_mut(done..end) {
            to.copy_from_slice(text);
        }
        done = end;
        // The last sequence has literals only.
        if wanted < literals || from.rest.is_empty() || done == out.len() {
            break;
        }
        let distance = usize::from(u16::from_le_bytes(from.pair()?));
        let length = from.length(token & 15)?.saturating_add(4);
        if distance == 0 || distance > done {
            let what = format!("a match {distance} bytes back after {done} bytes");
            return Err(CodecError::new("lz4", what));
        }
        done = repeat(out, done, distance, length);
    }
    Ok(done)
}

/// Copies `length` bytes from `distance` before `done`, at most to the end of `out`; the two may overlap.
fn repeat(out: &mut [u8], done: usize, distance: usize, length: usize) -> usize {
    let end = done.saturating_add(length).min(out.len());
    let start = done.saturating_sub(distance);
    let mut at = done;
    while at < end {
        // What has been copied may be copied again: each turn doubles the piece.
        let piece = at.saturating_sub(start).min(end.saturating_sub(at));
        out.copy_within(start..start.saturating_add(piece), at);
        at = at.saturating_add(piece);
    }
    end
}

struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(ended)?;
        self.rest = rest;
        Ok(taken)
    }

    fn pair(&mut self) -> Result<[u8; 2], CodecError> {
        let (pair, rest) = self.rest.split_first_chunk::<2>().ok_or_else(ended)?;
        self.rest = rest;
        Ok(*pair)
    }

    /// A length of four bits, continued in bytes while they are 255.
    fn length(&mut self, nibble: u8) -> Result<usize, CodecError> {
        let mut length = usize::from(nibble);
        if nibble == 15 {
            loop {
                let more = self.next().ok_or_else(ended)?;
                length = length.saturating_add(usize::from(more));
                if more != 255 {
                    break;
                }
            }
        }
        Ok(length)
    }
}

fn ended() -> CodecError {
    CodecError::new("lz4", "the block ends inside a sequence")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by the encoder of another crate.
    #[test]
    fn every_length_of_output_is_the_start_of_the_whole() {
        let mut text: Vec<u8> = (0..3000_u32).map(|n| (n * n / 7) as u8).collect();
        text.extend(vec![7; 2000]);
        text.extend_from_within(100..2100);
        let packed = lz4_flex::block::compress(&text);
        for length in (0..text.len()).step_by(13).chain([text.len()]) {
            let mut out = vec![0; length];
            assert_eq!(lz4_partial(&packed, &mut out).unwrap(), length);
            assert_eq!(out, text[..length]);
        }
    }

    #[test]
    fn nonsense_ends() {
        let mut out = [0; 64];
        assert!(lz4_partial(&[0x0f, 0, 0], &mut out).is_err());
        assert!(lz4_partial(&[0x10, 65, 9, 0], &mut out).is_err());
        assert!(lz4_partial(&[0xf0, 255, 255], &mut out).is_err());
        assert_eq!(lz4_partial(&[], &mut out).unwrap(), 0);
    }
}
