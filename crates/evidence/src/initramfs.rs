//! Initial RAM disks: archives of cpio's "newc" form one behind the other, plain or compressed (Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Everything is walked to the end of the file, because a segment behind the last one that was meant is where an intruder's
//! would lie.

use std::io::{BufRead, BufReader, Read};

/// Unpacked bytes of one image at most.
const MAX_UNPACKED_BYTES: u64 = 2 << 30;
/// Members of one image at most.
const MAX_MEMBERS: usize = 500_000;
/// Content of one member held in memory; what is longer is cut and says so by its length.
const MAX_MEMBER_BYTES: u64 = 128 << 20;
/// Largest block of the old form of LZ4 (lz4's `lz4io.c`).
const LZ4_BLOCK_BYTES: usize = 8 << 20;

/// Something that can be read anywhere: a slice in tests, a file of the examined root otherwise, so that a file of hundreds
/// of megabytes need not be in memory.
pub trait Bytes {
    /// Its size in bytes.
    fn size_bytes(&self) -> u64;

    /// Reads at an offset; fewer bytes than asked at the end or where it cannot be read.
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize;

    /// Exactly `length` bytes, or `None`.
    fn exactly(&self, offset_bytes: u64, length: usize) -> Option<Vec<u8>> {
        let end = offset_bytes.checked_add(u64::try_from(length).ok()?)?;
        if end > self.size_bytes() {
            return None;
        }
        let mut out = vec![0; length];
        (self.read_at(offset_bytes, &mut out) == length).then_some(out)
    }
}

impl Bytes for [u8] {
    fn size_bytes(&self) -> u64 {
        u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize {
        let rest = usize::try_from(offset_bytes).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        count
    }
}

impl Bytes for &[u8] {
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize {
        (**self).read_at(offset_bytes, buf)
    }
}

/// A length from a file as one of memory.
fn size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn le32(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name as recorded, without a slash in front.
    pub name: Vec<u8>,
    /// Type and permissions as `stat` has them.
    pub mode: u32,
    /// Its content, or the target of a link.
    pub content: Vec<u8>,
}

/// Where reading stands in the file.
struct Position<'a> {
    file: &'a dyn Bytes,
    at: u64,
}

impl Read for Position<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(self.at, buf);
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

/// Hands over each member in order.
///
/// # Errors
/// What makes the rest of the image unreadable; members before it have been handed over.
pub fn for_each(file: &dyn Bytes, visit: &mut dyn FnMut(Member)) -> Result<(), String> {
    let mut source = BufReader::with_capacity(1 << 16, Position { file, at: 0 });
    let mut budget = Budget { bytes: MAX_UNPACKED_BYTES, members: MAX_MEMBERS };
    loop {
        let at = || file.size_bytes();
        let head = match source.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(head) => head.get(..6.min(head.len())).unwrap_or(&[]).to_vec(),
            Err(error) => return Err(error.to_string()),
        };
        match head.as_slice() {
            [0, ..] => source.consume(1),
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2'] => {
                archive(&mut source, &mut budget, visit)?;
            }
            [0x1f, 0x8b, ..] => {
                archives(flate2::bufread::GzDecoder::new(&mut source), &mut budget, visit)?;
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let stream = ruzstd::decoding::StreamingDecoder::new(&mut source)
                    .map_err(|error| format!("its Zstandard part cannot be read: {error}"))?;
                archives(stream, &mut budget, visit)?;
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0] => {
                archives(lzma_rust2::XzReader::new(&mut source, false), &mut budget, visit)?;
            }
            [0x02, 0x21, 0x4c, 0x18, ..] => {
                source.consume(4);
                let stream = Lz4 { source: &mut source, block: Vec::new(), used: 0 };
                archives(stream, &mut budget, visit)?;
            }
            [b'B', b'Z', b'h', ..] => return Err("a part packed with bzip2 cannot be read".into()),
            [0x5d, 0, 0, ..] => return Err("a part packed with LZMA cannot be read".into()),
            _ => {
                let left = at().saturating_sub(source.get_ref().at);
                let text = format!("{left} bytes or more at its end are of no known form");
                return Err(text);
            }
        }
    }
}

struct Budget {
    bytes: u64,
    members: usize,
}

/// The archives of one unpacked stream.
fn archives(
    stream: impl Read,
    budget: &mut Budget,
    visit: &mut dyn FnMut(Member),
) -> Result<(), String> {
    let mut stream = BufReader::new(stream);
    loop {
        match stream.fill_buf() {
            Ok([]) => return Ok(()),
            Ok([0, ..]) => stream.consume(1),
            Ok([b'0', ..]) => archive(&mut stream, budget, visit)?,
            Ok(_) => return Err("an unpacked part is no cpio archive".to_owned()),
            Err(error) => return Err(format!("a packed part cannot be read to its end: {error}")),
        }
    }
}

/// One archive up to its trailer.
fn archive(
    stream: &mut dyn Read,
    budget: &mut Budget,
    visit: &mut dyn FnMut(Member),
) -> Result<(), String> {
    loop {
        let head = take(stream, 110)?;
        let field = |number: usize| {
            let at = number.saturating_mul(8).saturating_add(6);
            let digits = head.get(at..at.saturating_add(8))?;
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let (Some(b"07070"), Some(mode), Some(length), Some(name_length)) =
            (head.get(..5), field(1), field(6), field(11))
        else {
            return Err("a member of a cpio archive makes no sense".to_owned());
        };
        if name_length == 0 || name_length > 65_536 {
            return Err("a member's name is longer than a path can be".to_owned());
        }
        // Name and content are padded to four bytes, the header of 110 bytes counted in.
        let padded = name_length.saturating_add(110).next_multiple_of(4).saturating_sub(110);
        let name = take(stream, u64::from(padded))?;
        let name = name.get(..size(name_length).saturating_sub(1)).unwrap_or(&[]);
        let name = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")).unwrap_or(name);
        let length = u64::from(length);
        let spent = length.max(110);
        if spent > budget.bytes || budget.members == 0 {
            return Err("it unpacks to more than is looked at".to_owned());
        }
        budget.bytes = budget.bytes.saturating_sub(spent);
        budget.members = budget.members.saturating_sub(1);
        let kept = length.min(MAX_MEMBER_BYTES);
        let content = take(stream, kept)?;
        let rest = length.next_multiple_of(4).saturating_sub(kept);
        let skipped = std::io::copy(&mut stream.take(rest), &mut std::io::sink());
        if name == b"TRAILER!!!" {
            return Ok(());
        }
        visit(Member { name: name.to_vec(), mode, content });
        if skipped.is_err() {
            return Err("a member is cut off".to_owned());
        }
    }
}

/// Exactly so many bytes; memory grows with what is there, not with what is claimed.
fn take(stream: &mut dyn Read, length: u64) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let got = stream.take(length).read_to_end(&mut out).map_err(|error| error.to_string())?;
    if u64::try_from(got).ok() == Some(length) { Ok(out) } else { Err("it is cut off".to_owned()) }
}

/// The old form of LZ4 that kernels read: blocks with their packed length in front, until the file ends.
struct Lz4<'a, R> {
    source: &'a mut R,
    block: Vec<u8>,
    used: usize,
}

impl<R: BufRead> Read for Lz4<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.used >= self.block.len() {
            let mut head = Vec::new();
            self.source.by_ref().take(4).read_to_end(&mut head)?;
            let Some(length) = le32(&head, 0).map(size) else { return Ok(0) };
            if length == 0 {
                return Ok(0);
            }
            let bound = LZ4_BLOCK_BYTES.saturating_add(LZ4_BLOCK_BYTES >> 4);
            if length > bound {
                return Err(std::io::Error::other("a block of LZ4 is longer than blocks can be"));
            }
            let mut packed = Vec::new();
            let want = u64::try_from(length).unwrap_or(0);
            self.source.by_ref().take(want).read_to_end(&mut packed)?;
            self.block = lz4_flex::block::decompress(&packed, LZ4_BLOCK_BYTES)
                .map_err(std::io::Error::other)?;
            self.used = 0;
            if self.block.is_empty() {
                return Ok(0);
            }
        }
        let rest = self.block.get(self.used..).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.used = self.used.saturating_add(count);
        Ok(count)
    }
}
