//! A gzip stream (RFC 1952) that can be read at any offset.
//!
//! Deflate has no places to begin at, so one pass over the whole keeps the decoder's state every few mebibytes; reading
//! goes on from the nearest. When there are too many states every second is forgotten, so memory stays below 64 MiB
//! whatever the length, and a read costs at most the distance between two. Decoders left by earlier reads are kept too:
//! reading in order never goes back.
//!
//! `miniz_oxide` and not the decompressor used elsewhere, because the state of that one cannot be copied.

use crate::bytes::{Fields, to_u64, to_usize};
use crate::crc::crc32_continued;
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Source, SourceError};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress_with_limit, inflate_flags};
use std::sync::{Arc, Mutex, PoisonError};

/// What deflate may refer back to, and so what the state must hold.
const WINDOW_BYTES: usize = 32 * 1024;
const INPUT_BYTES: usize = 16 * 1024;
/// A stream that unpacks to more than this many times its length is not followed further.
const MAX_RATIO: u64 = 256;
/// So much may come out of any stream.
const FREE_BYTES: u64 = 64 << 20;
/// First distance between two states, in unpacked bytes.
const SPACING_BYTES: u64 = 1 << 20;
/// Most states kept, each of about 44 KiB.
const MAX_STATES: usize = 1024;
/// Decoders kept after a read.
const MAX_IDLE: usize = 4;
/// Longest optional part of a header skipped.
const MAX_HEADER_BYTES: u64 = 1 << 17;

/// The unpacked bytes of a gzip stream.
pub struct Gzip {
    source: Arc<dyn Source>,
    size_bytes: u64,
    states: Vec<Decoder>,
    idle: Mutex<Vec<Decoder>>,
    problems: Vec<Problem>,
}

/// A decoder at some place of the stream.
#[derive(Clone)]
struct Decoder {
    /// Next byte of the source that it has not seen.
    in_at: u64,
    /// Unpacked bytes so far.
    out_at: u64,
    window: Box<[u8]>,
    inflate: Box<DecompressorOxide>,
    /// Whether the next byte belongs to a header.
    is_between: bool,
    member: Member,
}

/// What a member's trailer is compared with.
#[derive(Clone, Copy)]
struct Member {
    crc: u32,
    length: u32,
}

/// What one step of a decoder came to.
enum Step {
    /// So many bytes were unpacked; they stand in the window before `out_at`.
    Bytes(usize),
    /// The stream is over, perhaps sooner than it should be.
    End(Option<String>),
}

impl Gzip {
    /// Whether a gzip stream begins here.
    #[must_use]
    pub fn is_here(head: &[u8]) -> bool {
        head.starts_with(&[0x1f, 0x8b, 8])
    }

    /// Reads the whole once.
    ///
    /// # Errors
    /// When the source does not begin with a gzip header or cannot be read; a stream damaged further on ends there, with
    /// a problem.
    pub fn open(source: Arc<dyn Source>) -> Result<Self, EvidenceError> {
        let head = source.bytes_at(0, 10).map_err(EvidenceError::read("the gzip header"))?;
        if !Self::is_here(&head) {
            return Err(EvidenceError::corrupt("there is no gzip header"));
        }
        let mut decoder = Decoder::new();
        let mut input = vec![0; INPUT_BYTES];
        let mut states = vec![decoder.clone()];
        let mut spacing = SPACING_BYTES;
        let mut problems = Vec::new();
        loop {
            match decoder.step(&*source, &mut input, usize::MAX) {
                Ok(Step::Bytes(_)) => {}
                Ok(Step::End(why)) => {
                    let place = Place::OffsetBytes(decoder.in_at);
                    problems.extend(why.map(|why| Problem::new(ProblemKind::Corrupt, place, why)));
                    break;
                }
                Err(error) => {
                    let error = EvidenceError::Read { what: "a gzip stream".into(), source: error };
                    problems.push(error.to_problem(Place::OffsetBytes(decoder.in_at)));
                    break;
                }
            }
            let most = decoder.in_at.saturating_mul(MAX_RATIO).saturating_add(FREE_BYTES);
            if decoder.out_at > most {
                let text = format!(
                    "the gzip stream holds more than {MAX_RATIO} times its length; what follows was left (gunzip it first)"
                );
                let place = Place::OffsetBytes(decoder.in_at);
                problems.push(Problem::new(ProblemKind::Refused, place, text));
                break;
            }
            let last = states.last().map_or(0, |state| state.out_at);
            if decoder.out_at.saturating_sub(last) >= spacing {
                states.push(decoder.clone());
                if states.len() >= MAX_STATES {
                    let mut number = 0_usize;
                    states.retain(|_| {
                        number = number.wrapping_add(1);
                        number % 2 == 1
                    });
                    spacing = spacing.saturating_mul(2);
                }
            }
        }
        let size_bytes = decoder.out_at;
        Ok(Self { source, size_bytes, states, idle: Mutex::default(), problems })
    }

    /// What was wrong with the stream.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The decoder nearest before `offset`, taken from the idle ones or copied from a state.
    fn nearest(&self, offset: u64) -> Decoder {
        let after = self.states.partition_point(|state| state.out_at <= offset);
        let state = after.checked_sub(1).and_then(|index| self.states.get(index));
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let best = idle
            .iter()
            .enumerate()
            .filter(|(_, decoder)| decoder.out_at <= offset)
            .max_by_key(|(_, decoder)| decoder.out_at)
            .map(|(index, decoder)| (index, decoder.out_at));
        match (best, state) {
            (Some((index, at)), state) if state.is_none_or(|state| at >= state.out_at) => {
                idle.remove(index)
            }
            (_, Some(state)) => state.clone(),
            _ => Decoder::new(),
        }
    }
}

impl Source for Gzip {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let wanted = to_usize(self.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        let mut decoder = self.nearest(offset_bytes);
        let mut input = vec![0; INPUT_BYTES];
        let mut done = 0_usize;
        while done < wanted {
            let here = offset_bytes.saturating_add(to_u64(done));
            // Stopping where the reader does leaves the decoder where the next read in order begins.
            let left = wanted.saturating_sub(done);
            let most = to_usize(here.saturating_sub(decoder.out_at)).saturating_add(left);
            let Step::Bytes(count) = decoder.step(&*self.source, &mut input, most)? else { break };
            let end = decoder.out_at;
            if end <= here {
                continue;
            }
            let start = end.saturating_sub(to_u64(count)).max(here);
            let take = to_usize(end.saturating_sub(start)).min(left);
            let from = to_usize(start) % WINDOW_BYTES;
            let to = buf.get_mut(done..done.saturating_add(take)).unwrap_or_default();
            if let Some(piece) = decoder.window.get(from..from.saturating_add(take)) {
                to.copy_from_slice(piece);
            }
            done = done.saturating_add(take);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        idle.push(decoder);
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

impl Decoder {
    fn new() -> Self {
        Self {
            in_at: 0,
            out_at: 0,
            window: vec![0; WINDOW_BYTES].into(),
            inflate: Box::default(),
            is_between: true,
            member: Member { crc: 0, length: 0 },
        }
    }

    /// Unpacks at most `most` bytes, and at most to the end of the window.
    fn step(
        &mut self,
        source: &dyn Source,
        input: &mut [u8],
        most: usize,
    ) -> Result<Step, SourceError> {
        loop {
            if self.is_between {
                match self.header(source)? {
                    Some(at) => self.in_at = at,
                    None => return Ok(Step::End(None)),
                }
                self.is_between = false;
                *self.inflate = DecompressorOxide::default();
                self.member = Member { crc: 0, length: 0 };
            }
            let got = source.read_at(self.in_at, input)?;
            let more = self.in_at.saturating_add(to_u64(got)) < source.size_bytes();
            let flags = if more { inflate_flags::TINFL_FLAG_HAS_MORE_INPUT } else { 0 };
            let at = to_usize(self.out_at) % WINDOW_BYTES;
            let packed = input.get(..got).unwrap_or(&[]);
            let (status, used, count) =
                decompress_with_limit(&mut self.inflate, packed, &mut self.window, at, most, flags);
            self.in_at = self.in_at.saturating_add(to_u64(used));
            self.out_at = self.out_at.saturating_add(to_u64(count));
            let fresh = self.window.get(at..at.saturating_add(count)).unwrap_or(&[]);
            self.member.crc = crc32_continued(self.member.crc, fresh);
            let length = u32::try_from(count).unwrap_or(0);
            self.member.length = self.member.length.wrapping_add(length);
            match status {
                TINFLStatus::Done => {
                    let trailer = source.bytes_at(self.in_at, 8)?;
                    self.in_at = self.in_at.saturating_add(8);
                    self.is_between = true;
                    let (crc, length) = (Fields(&trailer).le32(0), Fields(&trailer).le32(4));
                    if (crc, length) != (self.member.crc, self.member.length) {
                        let found = self.member.crc;
                        let text = format!("gzip checksum is {found:08x}, expected {crc:08x}");
                        return Ok(Step::End(Some(text)));
                    }
                }
                TINFLStatus::HasMoreOutput | TINFLStatus::NeedsMoreInput
                    if used > 0 || count > 0 => {}
                other => {
                    let text = format!("the gzip stream breaks off here ({other:?})");
                    return Ok(Step::End(Some(text)));
                }
            }
            if count > 0 {
                return Ok(Step::Bytes(count));
            }
        }
    }

    /// Where the data of the member that begins here does; `None` when none does.
    fn header(&self, source: &dyn Source) -> Result<Option<u64>, SourceError> {
        let head = source.bytes_at(self.in_at, 12)?;
        if !Gzip::is_here(&head) {
            return Ok(None);
        }
        let f = Fields(&head);
        let flags = f.u8(3);
        let mut at = self.in_at.saturating_add(10);
        let limit = at.saturating_add(MAX_HEADER_BYTES);
        if flags & 4 != 0 {
            at = at.saturating_add(2).saturating_add(u64::from(f.le16(10)));
        }
        for bit in [8, 16] {
            // A name and a comment, each closed by a zero.
            while flags & bit != 0 && at < limit {
                let piece = source.bytes_at(at, 256)?;
                let end = piece.iter().position(|byte| *byte == 0);
                at =
                    at.saturating_add(to_u64(end.map_or(piece.len(), |end| end.saturating_add(1))));
                if end.is_some() || piece.is_empty() {
                    break;
                }
            }
        }
        Ok(Some(if flags & 2 != 0 { at.saturating_add(2) } else { at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemSource;
    use std::io::Write;

    /// Vouched for by another crate's encoder.
    #[test]
    fn any_offset_reads_as_the_whole() {
        let text: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 13) as u8).collect();
        let mut packed = Vec::new();
        for part in text.chunks(1_700_000) {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::GzBuilder::new().filename("name").write(&mut packed, level);
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap();
        }
        let gzip = Gzip::open(Arc::new(MemSource::new(packed.clone()))).unwrap();
        assert_eq!((gzip.size_bytes(), gzip.problems()), (3_000_000, &[][..]));
        for offset in [0, 1, 2_999_990, 5, 1_699_999, 32_768, 32_767, 1_048_570, 2_000_000] {
            for length in [1, 100, 70_000] {
                let mut buf = vec![0; length];
                let got = gzip.read_at(offset, &mut buf).unwrap();
                let offset = offset as usize;
                assert!(buf[..got] == text[offset..(offset + length).min(text.len())], "{offset}");
            }
        }
        packed.truncate(packed.len() / 3);
        let cut = Gzip::open(Arc::new(MemSource::new(packed))).unwrap();
        assert_eq!(cut.problems().len(), 1);
        assert!(cut.size_bytes() > 500_000);
    }
}
