//! LiME: a header of 32 bytes before each part, then its bytes. Version 2 has snappy frames in their place, and behind them
//! their length in 8 bytes; parts are at most 16 MiB there, as AVML makes them.

use super::physical::{Piece, Plan};
use super::{Form, snappy};

/// `EMiL` and `AVML` as they stand in the file.
const LIME: &[u8; 4] = b"EMiL";
const COMPRESSED: &[u8; 4] = b"AVML";
const PART_BYTES: u64 = 16 << 20;

/// The plan's pieces, as the form wants them cut.
pub(super) fn pieces(plan: &Plan, form: Form) -> Vec<Piece> {
    if form == Form::Lime {
        return plan.pieces.clone();
    }
    let mut cut = Vec::new();
    for piece in &plan.pieces {
        let mut at = 0_u64;
        while at < piece.length_bytes {
            let length_bytes = piece.length_bytes.saturating_sub(at).min(PART_BYTES);
            cut.push(Piece {
                physical: piece.physical.saturating_add(at),
                offset_bytes: piece.offset_bytes.saturating_add(at),
                length_bytes,
            });
            at = at.saturating_add(length_bytes);
        }
    }
    cut
}

/// One part on its way.
pub(super) struct Packing {
    form: Form,
    first: u64,
    last: u64,
    packed_bytes: u64,
}

impl Packing {
    pub(super) fn begin(form: Form, piece: &Piece) -> Self {
        let last = piece.physical.saturating_add(piece.length_bytes).saturating_sub(1);
        Self { form, first: piece.physical, last, packed_bytes: 0 }
    }

    /// Magic, version, first and last address (included), eight bytes of nothing; all little-endian.
    pub(super) fn header(&mut self) -> Vec<u8> {
        let (magic, version) = match self.form {
            Form::Lime => (LIME, 1_u32),
            Form::Compressed => (COMPRESSED, 2),
        };
        let mut out = magic.to_vec();
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        if self.form == Form::Compressed {
            out.extend_from_slice(snappy::STREAM);
            self.count(snappy::STREAM.len());
        }
        out
    }

    pub(super) fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.form == Form::Lime {
            return bytes.to_vec();
        }
        let mut out = Vec::with_capacity(bytes.len() / 2);
        for block in bytes.chunks(snappy::BLOCK_BYTES) {
            snappy::chunk(block, &mut out);
        }
        self.count(out.len());
        out
    }

    pub(super) fn end(self) -> Vec<u8> {
        match self.form {
            Form::Lime => Vec::new(),
            Form::Compressed => self.packed_bytes.to_le_bytes().to_vec(),
        }
    }

    fn count(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(0);
        self.packed_bytes = self.packed_bytes.saturating_add(bytes);
    }
}
