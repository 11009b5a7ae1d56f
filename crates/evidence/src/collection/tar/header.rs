//! One block of 512 bytes that describes a member: ustar (POSIX.1-1988), GNU and the older form.

use crate::bytes::Fields;
use crate::time::Time;

pub(super) const BLOCK_BYTES: u64 = 512;

/// Which dialect a header speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Old,
    Ustar,
    Gnu,
}

/// A header block whose checksum was right.
pub(super) struct Header<'a> {
    raw: Fields<'a>,
    pub(super) dialect: Dialect,
}

impl<'a> Header<'a> {
    /// The header in this block, if its checksum says that it is one.
    pub(super) fn parse(raw: &'a [u8]) -> Option<Self> {
        if raw.len() != 512 {
            return None;
        }
        let stored = octal(Fields(raw).slice(148, 8))?;
        // The field itself counts as blanks; some old writers summed signed bytes.
        let own = |at: usize| (148..156).contains(&at);
        let sum = |value: &dyn Fn(u8) -> i64| -> i64 {
            raw.iter()
                .enumerate()
                .map(|(at, byte)| if own(at) { 32 } else { value(*byte) })
                .fold(0, i64::saturating_add)
        };
        let unsigned = sum(&|byte| i64::from(byte));
        let signed = sum(&|byte| i64::from(i8::from_ne_bytes([byte])));
        if stored != unsigned && stored != signed {
            return None;
        }
        let raw = Fields(raw);
        let dialect = if raw.has(257, b"ustar  \0") {
            Dialect::Gnu
        } else if raw.has(257, b"ustar") {
            Dialect::Ustar
        } else {
            Dialect::Old
        };
        Some(Self { raw, dialect })
    }

    pub(super) fn form(&self) -> u8 {
        self.raw.u8(156)
    }

    /// The name; POSIX puts what does not fit in front of it.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = until_zero(self.raw.slice(0, 100));
        let prefix = match self.dialect {
            Dialect::Ustar => until_zero(self.raw.slice(345, 155)),
            _ => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        until_zero(self.raw.slice(157, 100)).to_vec()
    }

    pub(super) fn mode(&self) -> u32 {
        u32::try_from(number(self.raw.slice(100, 8)).unwrap_or(0) & 0o7777).unwrap_or(0)
    }

    pub(super) fn uid(&self) -> u32 {
        u32::try_from(number(self.raw.slice(108, 8)).unwrap_or(0)).unwrap_or(u32::MAX)
    }

    pub(super) fn gid(&self) -> u32 {
        u32::try_from(number(self.raw.slice(116, 8)).unwrap_or(0)).unwrap_or(u32::MAX)
    }

    /// Length of the member's data; `None` when it is no number or negative.
    pub(super) fn size_bytes(&self) -> Option<u64> {
        u64::try_from(number(self.raw.slice(124, 12))?).ok()
    }

    pub(super) fn modified(&self) -> Option<Time> {
        self.time(136)
    }

    /// Only GNU has the other times in the header, and only in incremental archives.
    pub(super) fn accessed_changed(&self) -> [Option<Time>; 2] {
        let is_gnu = self.dialect == Dialect::Gnu;
        [345, 357].map(|at| self.time(at).filter(|time| is_gnu && time.seconds != 0))
    }

    fn time(&self, at: usize) -> Option<Time> {
        Some(Time { seconds: number(self.raw.slice(at, 12))?, nanoseconds: 0 })
    }

    pub(super) fn user(&self) -> Vec<u8> {
        self.text(265)
    }

    pub(super) fn group(&self) -> Vec<u8> {
        self.text(297)
    }

    fn text(&self, at: usize) -> Vec<u8> {
        if self.dialect == Dialect::Old {
            Vec::new()
        } else {
            until_zero(self.raw.slice(at, 32)).to_vec()
        }
    }

    pub(super) fn device(&self) -> (u32, u32) {
        let part = |at| u32::try_from(number(self.raw.slice(at, 8)).unwrap_or(0)).unwrap_or(0);
        (part(329), part(337))
    }

    /// The old GNU sparse map: its first entries, whether more follow, and the real size.
    pub(super) fn sparse(&self) -> (Vec<(u64, u64)>, bool, Option<u64>) {
        let size = number(self.raw.slice(483, 12)).and_then(|size| u64::try_from(size).ok());
        (sparse_entries(self.raw.slice(386, 96)), self.raw.u8(482) != 0, size)
    }
}

/// Entries of the old GNU sparse map; an empty one ends it.
pub(super) fn sparse_entries(raw: &[u8]) -> Vec<(u64, u64)> {
    let entry = |raw: &[u8]| {
        let fields = Fields(raw);
        let offset = u64::try_from(number(fields.slice(0, 12))?).ok()?;
        let length = u64::try_from(number(fields.slice(12, 12))?).ok()?;
        Some((offset, length))
    };
    raw.chunks_exact(24).map_while(|raw| entry(raw).filter(|_| raw.first() != Some(&0))).collect()
}

fn until_zero(raw: &[u8]) -> &[u8] {
    raw.split(|byte| *byte == 0).next().unwrap_or(&[])
}

/// Octal digits between blanks, or (GNU, star) a binary number whose first bit is set; an empty field is 0.
fn number(raw: &[u8]) -> Option<i64> {
    let first = raw.first().copied().unwrap_or(0);
    if first & 0x80 == 0 {
        return octal(raw);
    }
    // 0xff begins a negative number, 0x80 a positive one.
    let start = if first & 0x40 != 0 { -1_i64 } else { 0 };
    let mut value = (start << 6) | i64::from(first & 0x3f);
    for byte in raw.get(1..).unwrap_or(&[]) {
        value = value.checked_mul(256)? | i64::from(*byte);
    }
    Some(value)
}

fn octal(raw: &[u8]) -> Option<i64> {
    let text = until_zero(raw).trim_ascii();
    let mut value = 0_i64;
    for digit in text {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value = value.checked_mul(8)?.checked_add(i64::from(digit))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_form() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"12x4"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
