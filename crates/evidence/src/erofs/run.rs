//! From a place in a file to where it is stored: one run of content that is kept in one way.

use super::inode::Layout;
use super::{Erofs, File};
use crate::bytes::{Fields, to_u64};
use crate::codec::Packing;
use crate::error::EvidenceError;

/// Content from `logical_bytes` on, kept in one way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) logical_bytes: u64,
    pub(super) length_bytes: u64,
    pub(super) stored: Form,
}

/// How a run is stored; places are bytes of the whole, or of the metadata the inode stands in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Hole,
    Plain {
        at: u64,
    },
    /// On a further device, by its number from 1.
    OnDevice {
        device: u64,
        at: u64,
    },
    /// Behind the inode.
    Metadata {
        at: u64,
    },
    Packed {
        at: u64,
        stored_bytes: u64,
        packing: Packing,
        in_metadata: bool,
    },
    /// A block whose content is turned round, so that each byte stands at its own place within a block.
    Interlaced {
        at: u64,
    },
    /// In the file that packs many tail ends.
    Fragment {
        at: u64,
    },
}

/// Neighbouring chunks joined to one run at most.
const MAX_JOINED: u64 = 4096;

impl Erofs {
    /// The run that holds this byte of the file, which must lie before its end.
    pub(super) fn run(&self, file: &File, offset: u64) -> Result<Run, EvidenceError> {
        let size = file.inode.size_bytes;
        match file.inode.layout {
            Layout::Packed(index) => self.packed_run(file, index, offset),
            Layout::Chunks => self.chunk_run(file, offset),
            Layout::Plain | Layout::Inline => {
                let whole = match file.inode.layout {
                    // The last block, full or not, stands behind the inode.
                    Layout::Inline => {
                        size.saturating_sub(1) & !self.superblock.block_bytes().saturating_sub(1)
                    }
                    _ => size,
                };
                if offset >= whole && file.inode.layout == Layout::Inline {
                    let stored = Form::Metadata { at: file.inode.tail_at() };
                    let length_bytes = size.saturating_sub(whole);
                    return Ok(Run { logical_bytes: whole, length_bytes, stored });
                }
                let stored = match file.inode.start {
                    Some(start) => self.placed(self.superblock.bytes(start)),
                    None => Form::Hole,
                };
                Ok(Run { logical_bytes: 0, length_bytes: whole, stored })
            }
        }
    }

    /// A plain place of the whole, which may be one of a further device.
    pub(super) fn placed(&self, at: u64) -> Form {
        match self.superblock.on_device(at) {
            Some((device, at)) => Form::OnDevice { device, at },
            None => Form::Plain { at },
        }
    }

    /// Chunks of equal length, each with an address; neighbours are joined.
    fn chunk_run(&self, file: &File, offset: u64) -> Result<Run, EvidenceError> {
        let format = file.inode.word & 0xffff;
        if format & !0x7f != 0 {
            return Err(EvidenceError::unsupported(format!("EROFS chunk format {format:x}")));
        }
        let bits = self.superblock.block_bits.saturating_add(format & 0x1f);
        let chunk_bytes = 1_u64.checked_shl(bits).unwrap_or(1 << 62);
        let number = offset.checked_shr(bits).unwrap_or(0);
        let first = self.chunk(file, format, number)?;
        let start = number.saturating_mul(chunk_bytes);
        let mut chunks = 1_u64;
        while chunks < MAX_JOINED
            && start.saturating_add(chunks.saturating_mul(chunk_bytes)) < file.inode.size_bytes
        {
            let next = self.chunk(file, format, number.saturating_add(chunks))?;
            let passed = chunks.saturating_mul(chunk_bytes);
            let goes_on = match (first, next) {
                (Form::Hole, Form::Hole) => true,
                (Form::Plain { at }, Form::Plain { at: next }) => at.saturating_add(passed) == next,
                (Form::OnDevice { device, at }, Form::OnDevice { device: other, at: next }) => {
                    device == other && at.saturating_add(passed) == next
                }
                _ => false,
            };
            if !goes_on {
                break;
            }
            chunks = chunks.saturating_add(1);
        }
        let length_bytes =
            chunks.saturating_mul(chunk_bytes).min(file.inode.size_bytes.saturating_sub(start));
        Ok(Run { logical_bytes: start, length_bytes, stored: first })
    }

    fn chunk(&self, file: &File, format: u32, number: u64) -> Result<Form, EvidenceError> {
        let has_indexes = format & 0x20 != 0;
        let unit: usize = if has_indexes { 8 } else { 4 };
        let list = file.inode.tail_at().next_multiple_of(to_u64(unit));
        let mut raw = [0; 8];
        let part = raw.get_mut(..unit).unwrap_or_default();
        let at = list.saturating_add(number.saturating_mul(to_u64(unit)));
        self.metadata_at(file.inode.node, at, part)?;
        let f = Fields(&raw);
        if !has_indexes {
            let block = f.le32(0);
            let place = || self.placed(self.superblock.bytes(u64::from(block)));
            return Ok(if block == u32::MAX { Form::Hole } else { place() });
        }
        let is_wide = format & 0x40 != 0;
        let high = if is_wide { u64::from(f.le16(0)) } else { 0 };
        if f.le32(4) == u32::MAX && (!is_wide || high == 0xffff) {
            return Ok(Form::Hole);
        }
        let at = self.superblock.bytes(u64::from(f.le32(4)) | high << 32);
        // Bits above what the devices need are reserved.
        let slots = to_u64(self.superblock.devices.len()).saturating_add(1);
        let mask = slots.next_power_of_two().saturating_sub(1);
        match u64::from(f.le16(2)) & mask {
            0 => Ok(self.placed(at)),
            device => Ok(Form::OnDevice { device, at }),
        }
    }
}
