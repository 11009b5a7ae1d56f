//! Chunks: from the disk to a table entry, and from there to bytes.

use super::tables::{Table, TableSet};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::container::adler::adler32;
use crate::container::inflate::{corrupt, inflate_chunk};
use crate::container::mapped::{Chunk, Layout, Piece, Stored, wrap};
use crate::container::tables::Tables;
use crate::source::Source;
use std::io;
use std::sync::Arc;

const COMPRESSED: u8 = 1;
const PLAIN: u8 = 0;

/// What a compressed chunk may be longer than its content; deflate adds 5 bytes for each 16 KiB at worst.
const SLACK_BYTES: u64 = 4096;

/// The disk in chunks.
pub(super) struct Chunked {
    pub(super) size_bytes: u64,
    pub(super) chunk_bytes: u64,
    pub(super) sector_bytes: u32,
    pub(super) tables: TableSet,
    /// Each segment through a memory, for the tables.
    pub(super) meta: Vec<Tables>,
    /// Each segment, for the chunks.
    pub(super) sources: Vec<Arc<dyn Source>>,
}

impl Chunked {
    fn chunk(&self, table: &Table, number: u64, start_bytes: u64) -> io::Result<Chunk> {
        let length = self.size_bytes.saturating_sub(start_bytes).min(self.chunk_bytes);
        let index = number.saturating_sub(table.first_chunk);
        let meta = self.meta.get(table.segment).ok_or(io::ErrorKind::NotFound)?;
        let mut raw = [0; 8];
        let at = table.entries_at.saturating_add(index.saturating_mul(4));
        meta.read_at(at, &mut raw).map_err(wrap)?;
        let fields = Fields(&raw);
        let place = |entry: u32, index: u64| {
            let offset = if index >= table.overflow_at { entry } else { entry & 0x7fff_ffff };
            table.base.saturating_add(u64::from(offset))
        };
        let at_bytes = place(fields.le32(0), index);
        let next = index.saturating_add(1);
        let section_end = self.tables.section_end(table.segment, at_bytes);
        let mut end = section_end.unwrap_or(meta.size_bytes());
        if next < table.count {
            let next = place(fields.le32(4), next);
            if next > at_bytes {
                end = end.min(next);
            }
        }
        let most = self.chunk_bytes.saturating_add(SLACK_BYTES);
        let stored = end.saturating_sub(at_bytes).min(most);
        if stored == 0 {
            return Err(corrupt(format!("chunk {number} begins at {at_bytes}, past its data")));
        }
        // Past the overflow the flag is part of the offset; such images hold uncompressed chunks there.
        let is_compressed = fields.le32(0) >> 31 == 1 && index < table.overflow_at;
        Ok(Chunk {
            start_bytes,
            length_bytes: to_usize(length),
            file: table.segment,
            at_bytes,
            stored_bytes: to_usize(stored),
            method: if is_compressed { COMPRESSED } else { PLAIN },
        })
    }
}

impl Layout for Chunked {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }

    fn piece(&self, offset_bytes: u64, _most_bytes: u64) -> Piece<'_> {
        let number = offset_bytes.checked_div(self.chunk_bytes).unwrap_or(0);
        let start_bytes = number.saturating_mul(self.chunk_bytes);
        let (stored, end) = match self.tables.find(number) {
            Ok(table) => {
                let stored = match self.chunk(table, number, start_bytes) {
                    Ok(chunk) => Stored::Packed(chunk),
                    Err(error) => Stored::Missing(error),
                };
                (stored, start_bytes.saturating_add(self.chunk_bytes))
            }
            Err(next) => {
                let text = format!("no table has chunk {number}");
                let end =
                    next.map_or(self.size_bytes, |next| next.saturating_mul(self.chunk_bytes));
                (Stored::Missing(io::Error::new(io::ErrorKind::NotFound, text)), end)
            }
        };
        Piece { stored, length_bytes: end.min(self.size_bytes).saturating_sub(offset_bytes) }
    }

    fn unpack(&self, chunk: &Chunk, out: &mut [u8]) -> io::Result<()> {
        let source = self.sources.get(chunk.file).ok_or(io::ErrorKind::NotFound)?;
        if chunk.method == COMPRESSED {
            let packed = source.bytes_at(chunk.at_bytes, chunk.stored_bytes).map_err(wrap)?;
            return inflate_chunk(&packed, out, to_usize(self.chunk_bytes))
                .map_err(|error| corrupt(format!("chunk at {}: {error}", chunk.at_bytes)));
        }
        source.fill(chunk.at_bytes, out).map_err(wrap)?;
        let length = out.len();
        if chunk.stored_bytes < length.saturating_add(4) {
            return Err(corrupt(format!(
                "chunk at {}: {} bytes stored, {length} and a checksum expected",
                chunk.at_bytes, chunk.stored_bytes
            )));
        }
        let mut stored = [0; 4];
        source.fill(chunk.at_bytes.saturating_add(to_u64(length)), &mut stored).map_err(wrap)?;
        let (expected, found) = (u32::from_le_bytes(stored), adler32(1, out));
        if expected == found {
            return Ok(());
        }
        Err(corrupt(format!(
            "chunk at {}: checksum is {found:08x}, recorded {expected:08x}",
            chunk.at_bytes
        )))
    }
}
