//! Raw disks compressed by Zstandard in many frames, with a seek table or with frames that say their lengths.
//!
//! A frame is decoded as a whole, so only files with frames of a moderate size can be read at any place. What `zstd` makes
//! of a disk by itself is one frame: such a file is named with the way out, and never shown as if it were the disk.

mod frames;

use super::below::Notes;
use super::chunks::MAX_CHUNK_BYTES;
use super::folder::Folder;
use super::inflate::corrupt;
use super::mapped::{Chunk, Layout, Mapped, Piece, Stored, wrap};
use super::{Format, Opened};
use crate::bytes::{Fields, to_usize};
use crate::codec;
use crate::error::EvidenceError;
use crate::source::Source;
use crate::xxhash::xxhash64;
use frames::{Found, Frames};
use std::io;
use std::sync::Arc;

/// What a frame may be longer than its content: its header, and three bytes for each block of 128 KiB.
const SLACK_BYTES: u64 = 4096;

pub(super) fn is_zstd(head: Fields<'_>) -> bool {
    frames::begins(head)
}

/// Whether the file is a disk image rather than a packed archive; only what unpacks to a tar archive is one.
pub(super) fn is_image(first: &Arc<dyn Source>, name: &[u8]) -> bool {
    if frames::has_seek_table(&**first) {
        return true;
    }
    let mut folder = Folder::new(&super::NoSiblings);
    let Ok(opened) = open(first, name, &mut folder) else { return false };
    let head = opened.source.bytes_at(0, 512).unwrap_or_default();
    !head.is_empty() && !Fields(&head).has(257, b"ustar")
}

pub(super) fn open(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Result<Opened, EvidenceError> {
    let shown = crate::escape_bytes(name);
    let frames = Frames::find(&folder.tables(first)).map_err(|what| {
        EvidenceError::unsupported(format!(
            "the Zstandard file \"{shown}\": {what}; reading it in place"
        ))
    })?;
    let longest = frames.list.iter().map(|frame| frame.length_bytes).max().unwrap_or(0);
    if longest > MAX_CHUNK_BYTES {
        return Err(EvidenceError::unsupported(format!(
            "a Zstandard frame of {longest} bytes (\"{shown}\"; unpack it with zstd -d, or pack it in frames of at most {MAX_CHUNK_BYTES}), which as such"
        )));
    }
    let mut notes = Notes::of(name);
    notes.fact("frames", frames.list.len());
    notes.fact("longest frame bytes", longest);
    notes.fact(
        "index",
        match frames.found {
            Found::SeekTable => "seek table",
            Found::Headers => "frame headers",
        },
    );
    let layout = Packed { file: Arc::clone(first), frames };
    let source = Arc::new(Mapped::new(layout, folder.chunks()));
    Ok(notes.opened(source, Format::Zstd))
}

/// The disk.
struct Packed {
    file: Arc<dyn Source>,
    frames: Frames,
}

impl Layout for Packed {
    fn size_bytes(&self) -> u64 {
        self.frames.size_bytes()
    }

    fn piece(&self, offset_bytes: u64, _most_bytes: u64) -> Piece<'_> {
        let list = &self.frames.list;
        let behind = list.partition_point(|frame| frame.start_bytes <= offset_bytes);
        let index = behind.saturating_sub(1);
        let Some(frame) = list.get(index) else {
            return Piece {
                stored: Stored::Missing(io::ErrorKind::NotFound.into()),
                length_bytes: 1,
            };
        };
        let end = frame.start_bytes.saturating_add(frame.length_bytes);
        let length_bytes = end.saturating_sub(offset_bytes);
        let most = frame.length_bytes.saturating_add(SLACK_BYTES);
        if frame.stored_bytes > most {
            let text = format!(
                "the frame at {}: {} bytes for {} of content",
                frame.at_bytes, frame.stored_bytes, frame.length_bytes
            );
            return Piece { stored: Stored::Missing(corrupt(text)), length_bytes };
        }
        let chunk = Chunk {
            start_bytes: frame.start_bytes,
            length_bytes: to_usize(frame.length_bytes),
            file: index,
            at_bytes: frame.at_bytes,
            stored_bytes: to_usize(frame.stored_bytes),
            method: 0,
        };
        Piece { stored: Stored::Packed(chunk), length_bytes }
    }

    fn unpack(&self, chunk: &Chunk, out: &mut [u8]) -> io::Result<()> {
        let bad = |what: String| corrupt(format!("the frame at {}: {what}", chunk.at_bytes));
        let packed = self.file.bytes_at(chunk.at_bytes, chunk.stored_bytes).map_err(wrap)?;
        if packed.len() != chunk.stored_bytes {
            return Err(bad(format!(
                "the file has {} of {} bytes",
                packed.len(),
                chunk.stored_bytes
            )));
        }
        let whole = codec::zstd(&packed, out.len()).map_err(|error| bad(error.to_string()))?;
        if whole.len() != out.len() {
            return Err(bad(format!("{} bytes, {} expected", whole.len(), out.len())));
        }
        let found = xxhash64(&whole) & u64::from(u32::MAX);
        let has_own = frames::header(Fields(&packed)).is_ok_and(|header| header.has_checksum);
        let own_at = packed.len().saturating_sub(4);
        let own = has_own.then(|| Fields(&packed).le32(own_at));
        let listed = self.frames.list.get(chunk.file).and_then(|frame| frame.checksum);
        for recorded in [own, listed].into_iter().flatten() {
            if found != u64::from(recorded) {
                return Err(bad(format!("checksum is {found:08x}, recorded {recorded:08x}")));
            }
        }
        out.copy_from_slice(&whole);
        Ok(())
    }
}
