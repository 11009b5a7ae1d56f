//! ELF files as far as triage asks them: sections by name, and what the loader is told to load from where (System V ABI,
//! chapters 4 and 5).
//!
//! Read piecewise, because thousands of programs are looked at for a few hundred bytes each.

use super::bytes::Bytes;

/// Entries of one table that are read.
const MAX_ENTRIES: usize = 4096;
/// Largest section that is handed out, in bytes.
const MAX_SECTION_BYTES: u64 = 16 << 20;
/// Longest string of the dynamic section, in bytes.
const MAX_STRING_BYTES: usize = 4096;
// `PT_LOAD` and `PT_DYNAMIC`.
const LOAD: u64 = 1;
const DYNAMIC: u64 = 2;

/// An ELF file, opened.
pub struct Elf<'a> {
    file: &'a dyn Bytes,
    is_64: bool,
    is_big: bool,
    header: Vec<u8>,
}

/// What the loader is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// Libraries to load, in order (`DT_NEEDED`).
    pub needed: Vec<Vec<u8>>,
    /// Directories searched first, unless a run path is given (`DT_RPATH`).
    pub rpath: Option<Vec<u8>>,
    /// Directories searched before the cache (`DT_RUNPATH`).
    pub runpath: Option<Vec<u8>>,
    /// What it calls itself (`DT_SONAME`).
    pub soname: Option<Vec<u8>>,
}

/// A program header: type, offset in the file, address, size in the file.
struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl<'a> Elf<'a> {
    /// Opens a file; `None` if it is none of this format.
    #[must_use]
    pub fn read(file: &'a dyn Bytes) -> Option<Self> {
        let ident = file.exactly(0, 16)?;
        let is_64 = match ident.get(..6)? {
            [0x7f, b'E', b'L', b'F', 1, 1 | 2] => false,
            [0x7f, b'E', b'L', b'F', 2, 1 | 2] => true,
            _ => return None,
        };
        let is_big = ident.get(5) == Some(&2);
        let header = file.exactly(0, if is_64 { 64 } else { 52 })?;
        Some(Self { file, is_64, is_big, header })
    }

    /// A number of `length` bytes.
    fn number(&self, raw: &[u8], at: usize, length: usize) -> Option<u64> {
        let bytes = raw.get(at..at.checked_add(length)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.is_big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// A field at one place in files of 64 and at another in files of 32 bits, as wide as an address.
    fn address(&self, raw: &[u8], at_64: usize, at_32: usize) -> Option<u64> {
        if self.is_64 { self.number(raw, at_64, 8) } else { self.number(raw, at_32, 4) }
    }

    fn half(&self, at_64: usize, at_32: usize) -> Option<u64> {
        self.number(&self.header, if self.is_64 { at_64 } else { at_32 }, 2)
    }

    /// The entries of a table of the file.
    fn table(&self, offset: u64, entry_bytes: u64, count: u64) -> Vec<Vec<u8>> {
        let length = usize::try_from(entry_bytes).unwrap_or(0);
        let count = usize::try_from(count).unwrap_or(0).min(MAX_ENTRIES);
        let whole = length.checked_mul(count).filter(|whole| *whole > 0 && length <= 256);
        let raw = whole.and_then(|whole| self.file.exactly(offset, whole));
        raw.map_or_else(Vec::new, |raw| raw.chunks(length).map(<[u8]>::to_vec).collect())
    }

    fn segments(&self) -> Option<Vec<Segment>> {
        let offset = self.address(&self.header, 32, 28)?;
        let rows = self.table(offset, self.half(54, 42)?, self.half(56, 44)?);
        let segment = |row: &Vec<u8>| {
            Some(Segment {
                kind: self.number(row, 0, 4)?,
                offset: self.address(row, 8, 4)?,
                address: self.address(row, 16, 8)?,
                size: self.address(row, 32, 16)?,
            })
        };
        Some(rows.iter().filter_map(segment).collect())
    }

    /// The bytes of the first section of this name; `None` too where it is too large to be held.
    #[must_use]
    pub fn section(&self, name: &[u8]) -> Option<Vec<u8>> {
        let offset = self.address(&self.header, 40, 32)?;
        let rows = self.table(offset, self.half(58, 46)?, self.half(60, 48)?);
        let place = |row: &Vec<u8>| Some((self.address(row, 24, 16)?, self.address(row, 32, 20)?));
        let names = rows.get(usize::try_from(self.half(62, 50)?).ok()?)?;
        let (names_at, names_bytes) = place(names)?;
        let wanted = [name, b"\0"].concat();
        let found = rows.iter().find(|row| {
            let at = self.number(row, 0, 4).filter(|at| *at < names_bytes);
            let at = at.and_then(|at| names_at.checked_add(at));
            at.and_then(|at| self.file.exactly(at, wanted.len())).as_ref() == Some(&wanted)
        })?;
        let (at, size) = place(found)?;
        let size = usize::try_from(size).ok().filter(|_| size <= MAX_SECTION_BYTES)?;
        self.file.exactly(at, size)
    }

    /// What the loader is told; `None` for a file that is linked statically.
    #[must_use]
    pub fn dynamic(&self) -> Option<Dynamic> {
        let segments = self.segments()?;
        let dynamic = segments.iter().find(|segment| segment.kind == DYNAMIC)?;
        let width: u64 = if self.is_64 { 16 } else { 8 };
        let half = if self.is_64 { 8 } else { 4 };
        let rows = self.table(dynamic.offset, width, dynamic.size.checked_div(width)?);
        let pairs: Vec<(u64, u64)> = rows
            .iter()
            .filter_map(|row| Some((self.number(row, 0, half)?, self.number(row, half, half)?)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let (_, strings) = *pairs.iter().find(|(tag, _)| *tag == 5)?;
        let strings = in_file(&segments, strings)?;
        let string = |value: u64| self.string(strings.checked_add(value)?);
        let one = |wanted: u64| {
            pairs.iter().find(|(tag, _)| *tag == wanted).and_then(|(_, value)| string(*value))
        };
        let needed = pairs.iter().filter(|(tag, _)| *tag == 1);
        Some(Dynamic {
            needed: needed.filter_map(|(_, value)| string(*value)).collect(),
            rpath: one(15),
            runpath: one(29),
            soname: one(14),
        })
    }

    /// A string that ends with a zero.
    fn string(&self, at: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = at;
        while out.len() < MAX_STRING_BYTES {
            let mut piece = [0; 64];
            let count = self.file.read_at(at, &mut piece);
            let piece = piece.get(..count)?;
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                out.extend_from_slice(piece.get(..end)?);
                return Some(out);
            }
            out.extend_from_slice(piece);
            at = at.checked_add(u64::try_from(count).ok().filter(|count| *count > 0)?)?;
        }
        None
    }
}

/// Where the byte of an address lies in the file.
fn in_file(segments: &[Segment], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.kind == LOAD).find_map(|segment| {
        let inside = address.checked_sub(segment.address)?;
        (inside < segment.size).then(|| segment.offset.checked_add(inside)).flatten()
    })
}
