//! Bits behind one another, the first in the lowest bit of a byte (RFC 1951, 3.1.1).

/// Room for any stream that is shorter than its block, and for a write of eight bytes at any place a `u16` can name.
const ROOM: usize = (1 << 16) + 8;

/// A stream being written.
pub(super) struct Bits {
    room: Box<[u8; ROOM]>,
    at: u16,
    held: u64,
    count: u32,
}

impl Bits {
    pub(super) fn new() -> Self {
        Self { room: Box::new([0; ROOM]), at: 0, held: 0, count: 0 }
    }

    /// Forgets what was written.
    pub(super) fn begin(&mut self) {
        (self.at, self.held, self.count) = (0, 0, 0);
    }

    /// Adds bits. At most 7 are held after [`Self::flush`], so 57 more find room before the next.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        self.held |= bits.wrapping_shl(self.count);
        self.count = self.count.wrapping_add(count);
    }

    /// Writes the whole bytes out.
    #[inline]
    pub(super) fn flush(&mut self) {
        let at = usize::from(self.at);
        if let Some(place) = self.room.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<8>) {
            *place = self.held.to_le_bytes();
        }
        let whole = self.count >> 3;
        // The caller knows the length of the whole: far below what would wrap.
        self.at = self.at.wrapping_add(u16::try_from(whole).unwrap_or(0));
        self.held = self.held.wrapping_shr(whole.wrapping_mul(8));
        self.count &= 7;
    }

    /// Writes what is left, filled up to a byte, and shows all of it.
    pub(super) fn end(&mut self) -> &[u8] {
        self.flush();
        if self.count > 0 {
            self.count = 8;
            self.flush();
        }
        self.room.get(..usize::from(self.at)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bit_is_the_lowest() {
        let mut bits = Bits::new();
        bits.put(0b1, 1);
        bits.put(0b01, 2);
        bits.flush();
        bits.put(0x1ff, 9);
        assert_eq!(bits.end(), [0b1111_1011, 0b1111]);
        bits.begin();
        bits.put(u64::MAX >> 7, 57);
        bits.flush();
        bits.put(0, 7);
        assert_eq!(bits.end(), [255, 255, 255, 255, 255, 255, 255, 1]);
    }
}
