//! Chunks: which stripes on which devices a range of the logical address space lies in.
//!
//! Everything else in Btrfs speaks of logical addresses. Layout: `struct btrfs_chunk`; the arrangement of stripes is that
//! of `btrfs_map_block` in the kernel.

use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;

/// Bytes of one element of a striped profile (`BTRFS_STRIPE_LEN`), the only length there has ever been.
pub(super) const ELEMENT_BYTES: u64 = 64 << 10;
/// Most stripes of one chunk: far more devices than anybody has joined.
const MAX_STRIPES: usize = 256;
const DATA: u64 = 1;

/// How the stripes of a chunk hold its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    /// Every stripe holds everything: single, dup, raid1, raid1c3, raid1c4.
    Mirrored,
    /// Elements in turn over groups of this many equal stripes: raid0 (1) and raid10 (2).
    Striped { copies: usize },
    /// Elements in turn with this many of parity, rotating: raid5 and raid6.
    Parity { parities: usize },
}

/// A stripe: a place on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stripe {
    pub(super) device: u64,
    pub(super) at: u64,
}

/// A chunk.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) flags: u64,
    pub(super) profile: Profile,
    pub(super) stripes: Vec<Stripe>,
}

/// Bytes in one run on one stripe, with every place that holds them.
pub(super) struct Piece {
    pub(super) length: u64,
    /// Places that hold the bytes as they are, best first.
    pub(super) copies: Vec<Stripe>,
    /// How to compute them where no place gives them.
    pub(super) row: Option<Row>,
}

/// The elements of a raid5 or raid6 chunk that belong together: data in order, then parity, each at the offset wanted.
pub(super) struct Row {
    pub(super) places: Vec<Stripe>,
    pub(super) parities: usize,
    /// The element wanted.
    pub(super) target: usize,
}

impl Piece {
    /// How many different ways there are to read the bytes.
    pub(super) fn ways(&self) -> usize {
        let rebuilt = self.row.as_ref().map_or(0, |row| {
            // raid5: once from the others. raid6 also on the guess that one of the others is wrong too.
            if row.parities == 1 { 1 } else { row.places.len().saturating_add(1) }
        });
        self.copies.len().saturating_add(rebuilt)
    }
}

impl Chunk {
    /// Bytes of a chunk item with `stripes` stripes.
    pub(super) fn item_bytes(stripes: u16) -> usize {
        usize::from(stripes).saturating_mul(32).saturating_add(48)
    }

    /// A chunk that begins at the logical address `start`.
    pub(super) fn parse(start: u64, raw: &[u8]) -> Result<Self, EvidenceError> {
        let fields = Fields(raw);
        let (length, flags) = (fields.le64(0), fields.le64(24));
        let count = usize::from(fields.le16(44));
        let bad = |what: String| EvidenceError::corrupt(format!("chunk at {start} {what}"));
        let profile = match flags >> 3 & 0xff {
            0 if count == 1 => Profile::Mirrored,
            // raid0, raid1, dup, raid10, raid5, raid6, raid1c3, raid1c4, in the order of their bits
            1 if count >= 1 => Profile::Striped { copies: 1 },
            2 | 4 if count == 2 => Profile::Mirrored,
            8 if count >= 2 && count % 2 == 0 => Profile::Striped { copies: 2 },
            16 if count >= 2 => Profile::Parity { parities: 1 },
            32 if count >= 3 => Profile::Parity { parities: 2 },
            64 if count == 3 => Profile::Mirrored,
            128 if count == 4 => Profile::Mirrored,
            _ => return Err(bad(format!("has flags {flags:x} and {count} stripes"))),
        };
        if count > MAX_STRIPES || raw.len() < Self::item_bytes(fields.le16(44)) {
            return Err(bad(format!("has {count} stripes in {} bytes", raw.len())));
        }
        if length == 0 || start.checked_add(length).is_none() || length > 1 << 50 {
            return Err(bad(format!("is {length} bytes long")));
        }
        if profile != Profile::Mirrored && fields.le64(16) != ELEMENT_BYTES {
            return Err(bad(format!("has elements of {} bytes", fields.le64(16))));
        }
        let stripes = (0..count).map(|index| {
            let at = index.saturating_mul(32).saturating_add(48);
            Stripe { device: fields.le64(at), at: fields.le64(at.saturating_add(8)) }
        });
        Ok(Self { start, length, flags, profile, stripes: stripes.collect() })
    }

    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    pub(super) fn is_data(&self) -> bool {
        self.flags & DATA != 0
    }

    /// Elements of data side by side.
    pub(super) fn width(&self) -> u64 {
        let count = self.stripes.len();
        to_u64(match self.profile {
            Profile::Mirrored => 1,
            Profile::Striped { copies } => count.checked_div(copies).unwrap_or(1),
            Profile::Parity { parities } => count.saturating_sub(parities),
        })
        .max(1)
    }

    /// Bytes each stripe takes on its device.
    pub(super) fn stripe_bytes(&self) -> u64 {
        self.length.checked_div(self.width()).unwrap_or(self.length)
    }

    /// The places of the bytes from `offset` of the chunk on, at most `wanted` of them.
    pub(super) fn piece(&self, offset: u64, wanted: u64) -> Piece {
        let left = self.length.saturating_sub(offset).min(wanted);
        let within = offset.checked_rem(ELEMENT_BYTES).unwrap_or(0);
        let element = offset.checked_div(ELEMENT_BYTES).unwrap_or(0);
        let column = to_usize(element.checked_rem(self.width()).unwrap_or(0));
        let row = element.checked_div(self.width()).unwrap_or(0);
        let depth = row.saturating_mul(ELEMENT_BYTES).saturating_add(within);
        let short = left.min(ELEMENT_BYTES.saturating_sub(within));
        match self.profile {
            Profile::Mirrored => {
                let copies = self.stripes.iter().map(|stripe| stripe.deeper(offset)).collect();
                Piece { length: left, copies, row: None }
            }
            Profile::Striped { copies } => {
                let first = column.saturating_mul(copies);
                let group = self.stripes.iter().skip(first).take(copies);
                let copies = group.map(|stripe| stripe.deeper(depth)).collect();
                Piece { length: short, copies, row: None }
            }
            Profile::Parity { parities } => {
                let turn = to_usize(row.checked_rem(to_u64(self.stripes.len())).unwrap_or(0));
                let turned = self.stripes.iter().cycle().skip(turn).take(self.stripes.len());
                let places: Vec<Stripe> = turned.map(|stripe| stripe.deeper(depth)).collect();
                let copies = places.get(column).copied().into_iter().collect();
                Piece { length: short, copies, row: Some(Row { places, parities, target: column }) }
            }
        }
    }
}

impl Stripe {
    fn deeper(self, bytes: u64) -> Self {
        Self { at: self.at.saturating_add(bytes), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk of 1 MiB at 0 whose stripe n lies at n MiB of device n + 1.
    fn chunk(flags: u64, count: u16) -> Result<Chunk, EvidenceError> {
        let mut raw = vec![0; Chunk::item_bytes(count)];
        raw[..8].copy_from_slice(&(1_u64 << 20).to_le_bytes());
        raw[16..24].copy_from_slice(&ELEMENT_BYTES.to_le_bytes());
        raw[24..32].copy_from_slice(&flags.to_le_bytes());
        raw[44..46].copy_from_slice(&count.to_le_bytes());
        for index in 0..u64::from(count) {
            let at = 48 + 32 * usize::try_from(index).unwrap();
            raw[at..at + 8].copy_from_slice(&(index + 1).to_le_bytes());
            raw[at + 8..at + 16].copy_from_slice(&(index << 20).to_le_bytes());
        }
        Chunk::parse(0, &raw)
    }

    #[test]
    fn elements_rotate_in_raid5() {
        // The third element of three devices is the first of row 1, which begins one device further.
        let piece = chunk(128 | DATA, 3).unwrap().piece(2 * ELEMENT_BYTES + 5, 1 << 30);
        assert_eq!(piece.length, ELEMENT_BYTES - 5);
        assert_eq!(piece.copies, [Stripe { device: 2, at: (1 << 20) + ELEMENT_BYTES + 5 }]);
        let row = piece.row.unwrap();
        assert_eq!(row.places.iter().map(|p| p.device).collect::<Vec<_>>(), [2, 3, 1]);
    }

    #[test]
    fn counts_that_do_not_fit_the_profile_are_refused() {
        for (flags, count) in [(0, 2), (0, 0), (16, 1), (64, 3), (256, 2), (1024, 2), (24, 2)] {
            assert!(chunk(flags | DATA, count).is_err(), "{flags} {count}");
        }
    }
}
