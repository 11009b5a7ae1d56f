//! Reading content run by run, and where it lies.

use super::packed::MAX_PIECE_BYTES;
use super::run::{Form, Run};
use super::{Erofs, File};
use crate::bytes::{to_u64, to_usize};
use crate::codec::Packing;
use crate::error::EvidenceError;
use crate::fs::{Extent, Stored};
use std::sync::Arc;

/// Unpacked pieces longer than this are kept apart, few at a time.
const LARGE_BYTES: usize = 1 << 20;
/// Most extents given out for one file.
const MAX_EXTENTS: usize = 1 << 20;

/// A packed piece as a run names it.
#[derive(Clone, Copy)]
struct Piece {
    at: u64,
    stored_bytes: u64,
    packing: Packing,
    in_metadata: bool,
}

impl Erofs {
    /// Fills `buf`, which must lie inside the file.
    pub(super) fn content_exactly(
        &self,
        file: &File,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), EvidenceError> {
        let wanted = buf.len();
        if self.content(file, offset, buf)? == wanted {
            return Ok(());
        }
        let (node, size) = (file.inode.node, file.inode.size_bytes);
        Err(EvidenceError::corrupt(format!(
            "{wanted} bytes at {offset} of inode {node}, which has {size}"
        )))
    }

    /// Reads content: plain runs straight from the source, packed ones straight into `buf` where all of one is wanted.
    pub(super) fn content(
        &self,
        file: &File,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let total = to_usize(file.inode.size_bytes.saturating_sub(offset)).min(buf.len());
        let mut done = 0_usize;
        let mut stored = Vec::new();
        while done < total {
            let here = offset.saturating_add(to_u64(done));
            let run = self.run(file, here)?;
            let within = here.saturating_sub(run.logical_bytes);
            let left = run.length_bytes.saturating_sub(within);
            let Some(rest) = buf.get_mut(done..total) else { break };
            let count = to_usize(left).min(rest.len());
            let Some(part) = rest.get_mut(..count).filter(|part| !part.is_empty()) else { break };
            self.run_content(file, &run, within, part, &mut stored)?;
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn run_content(
        &self,
        file: &File,
        run: &Run,
        within: u64,
        part: &mut [u8],
        stored: &mut Vec<u8>,
    ) -> Result<(), EvidenceError> {
        match run.stored {
            Form::Hole => {
                part.fill(0);
                Ok(())
            }
            Form::Plain { at } => self.plain(at.saturating_add(within), part),
            Form::OnDevice { device, at } => {
                self.on_device(device, at.saturating_add(within), part)
            }
            Form::Metadata { at } => {
                self.metadata_at(file.inode.node, at.saturating_add(within), part)
            }
            Form::Interlaced { at } => {
                let block = self.superblock.block_bytes();
                let mask = block.saturating_sub(1);
                let turn = run.logical_bytes.saturating_add(within) & mask;
                let first = to_usize(block.saturating_sub(turn)).min(part.len());
                let (to_end, from_start) = part.split_at_mut_checked(first).unwrap_or_default();
                self.plain(at.saturating_add(turn), to_end)?;
                self.plain(at, from_start)
            }
            Form::Fragment { at } => {
                let packed = self.packed.as_deref().filter(|_| file.may_have_fragments);
                let packed = packed.ok_or_else(|| {
                    let node = file.inode.node;
                    EvidenceError::corrupt(format!(
                        "inode {node} has a tail in a packed file that is not there"
                    ))
                })?;
                self.content_exactly(packed, at.saturating_add(within), part)
            }
            Form::Packed { at, stored_bytes, packing, in_metadata } => {
                let piece = Piece { at, stored_bytes, packing, in_metadata };
                if run.length_bytes > MAX_PIECE_BYTES {
                    let length = run.length_bytes;
                    return Err(EvidenceError::corrupt(format!(
                        "the piece at byte {at} holds {length} bytes, more than {MAX_PIECE_BYTES}"
                    )));
                }
                if within == 0 && to_u64(part.len()) == run.length_bytes {
                    return self.unpack(file, piece, stored, part);
                }
                let whole = self.unpacked(file, piece, to_usize(run.length_bytes))?;
                let start = to_usize(within);
                let from = start.checked_add(part.len()).and_then(|end| whole.get(start..end));
                part.copy_from_slice(from.unwrap_or(&[]).get(..part.len()).ok_or_else(|| {
                    EvidenceError::corrupt(format!("the piece at byte {at} is too short"))
                })?);
                Ok(())
            }
        }
    }

    fn plain(&self, at: u64, part: &mut [u8]) -> Result<(), EvidenceError> {
        if part.is_empty() {
            return Ok(());
        }
        self.source
            .fill(at, part)
            .map_err(EvidenceError::read(format!("file content at byte {at}")))
    }

    fn on_device(&self, device: u64, at: u64, part: &mut [u8]) -> Result<(), EvidenceError> {
        let index = to_usize(device).saturating_sub(1);
        let Some(source) = self.devices.get(index) else {
            let known = self.superblock.devices.get(index);
            let tag = known.map_or("not described", |device| device.tag.as_str());
            return Err(EvidenceError::unsupported(format!(
                "content on the further EROFS device {device} (\"{tag}\"), which was not given,"
            )));
        };
        let reading = EvidenceError::read(format!("byte {at} of the further device {device}"));
        source.fill(at, part).map_err(reading)
    }

    /// Unpacks a piece into `part`, which must be filled.
    fn unpack(
        &self,
        file: &File,
        piece: Piece,
        stored: &mut Vec<u8>,
        part: &mut [u8],
    ) -> Result<(), EvidenceError> {
        stored.resize(to_usize(piece.stored_bytes), 0);
        if piece.in_metadata {
            self.metadata_at(file.inode.node, piece.at, stored)?;
        } else {
            // The last block of an image may be cut where its data ends.
            let place = self.placed(piece.at);
            match place {
                Form::OnDevice { device, at } => self.on_device(device, at, stored)?,
                _ => self.plain(piece.at, stored)?,
            }
        }
        // What does not fill its blocks stands at their end, behind zeros; no method's data begins with one.
        let start = stored.iter().position(|byte| *byte != 0).unwrap_or(stored.len());
        let packed = stored.get(start..).unwrap_or(&[]);
        let damaged = |what: String| {
            EvidenceError::corrupt(format!("the piece at byte {}: {what}", piece.at))
        };
        let wanted = part.len();
        match piece.packing.unpack_into(packed, part) {
            Ok(got) if got == wanted => Ok(()),
            Ok(got) => Err(damaged(format!("it holds {got} bytes, expected {wanted}"))),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// An unpacked piece, kept for whoever reads the rest of it.
    fn unpacked(
        &self,
        file: &File,
        piece: Piece,
        length: usize,
    ) -> Result<Arc<[u8]>, EvidenceError> {
        // An inline piece stands in another space than the device; the upper bits tell them apart.
        let space = file.inode.node & super::inode::IN_METABOX;
        let key = if piece.in_metadata { piece.at | 1 << 62 | space } else { piece.at };
        let kept = self.pieces.find(key).or_else(|| self.large_pieces.find(key));
        if let Some(known) = kept.filter(|known| known.len() >= length) {
            return Ok(known);
        }
        let mut out = vec![0; length];
        self.unpack(file, piece, &mut Vec::new(), &mut out)?;
        let out: Arc<[u8]> = out.into();
        if length > LARGE_BYTES {
            self.large_pieces.keep(key, Arc::clone(&out));
        } else {
            self.pieces.keep(key, Arc::clone(&out), length);
        }
        Ok(out)
    }

    /// All runs as extents; a tail in the packed file is shown where that file has it.
    pub(super) fn all_extents(&self, file: &File) -> Result<Vec<Extent>, EvidenceError> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < file.inode.size_bytes {
            let run = self.run(file, at)?;
            let end = run.logical_bytes.saturating_add(run.length_bytes);
            let length_bytes = end.saturating_sub(at);
            if length_bytes == 0 || out.len() >= MAX_EXTENTS {
                return Err(EvidenceError::refused(format!(
                    "inode {} has more than {MAX_EXTENTS} extents",
                    file.inode.node
                )));
            }
            let stored = match run.stored {
                Form::Hole => Stored::Hole,
                Form::Plain { at } => Stored::At(at),
                Form::OnDevice { device, at } => Stored::OnDevice { device, at },
                Form::Metadata { .. } | Form::Packed { in_metadata: true, .. } => Stored::Inline,
                Form::Packed { at, stored_bytes, .. } => {
                    Stored::Packed { at, length_bytes: stored_bytes }
                }
                Form::Interlaced { at } => {
                    Stored::Packed { at, length_bytes: self.superblock.block_bytes() }
                }
                Form::Fragment { at } => self.fragment_place(at),
            };
            out.push(Extent { logical_bytes: at, length_bytes, stored });
            at = end;
        }
        Ok(out)
    }

    /// Where the packed file keeps its byte `at`.
    fn fragment_place(&self, at: u64) -> Stored {
        let packed = self.packed.as_deref().filter(|packed| at < packed.inode.size_bytes);
        match packed.and_then(|packed| self.run(packed, at).ok()).map(|run| (run.stored, run)) {
            Some((Form::Packed { at, stored_bytes, in_metadata: false, .. }, _)) => {
                Stored::Packed { at, length_bytes: stored_bytes }
            }
            Some((Form::Plain { at: start }, run)) => {
                Stored::At(start.saturating_add(at.saturating_sub(run.logical_bytes)))
            }
            _ => Stored::Inline,
        }
    }
}
