//! The ZIP64 records around the members of a volume (PKWARE APPNOTE.TXT 6.3.10). Members are stored; the AFF4 Standard
//! wants every record in its wide form.

/// What a member is, from which its name follows: names of a large disk would fill the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// A bevy of the stream, by its number.
    Bevy(u64),
    /// The index of a bevy.
    Index(u64),
    /// A member there is one of.
    Single(&'static str),
}

impl Name {
    pub(super) fn text(self) -> String {
        match self {
            Self::Bevy(number) => format!("stream/{number:08}"),
            Self::Index(number) => format!("stream/{number:08}.index"),
            Self::Single(name) => name.to_owned(),
        }
    }

    /// The number of a bevy, by the name of its data or its index.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let number = text.strip_prefix("stream/")?;
        match number.strip_suffix(".index") {
            Some(number) => Some(Self::Index(number.parse().ok()?)),
            None => Some(Self::Bevy(number.parse().ok()?)),
        }
    }
}

/// A member that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: Name,
    pub(super) header_at: u64,
    pub(super) size_bytes: u64,
    pub(super) crc: u32,
}

pub(super) const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// Length of a member's own header without its name.
pub(super) const LOCAL_BYTES: u64 = 50;

const VERSION: u16 = 45;
/// The first day ZIP can name: a clock is not this crate's.
const DATE: u16 = 0x0021;

fn common(out: &mut Vec<u8>, crc: u32) {
    for field in [VERSION, 0, 0, 0, DATE] {
        out.extend(field.to_le_bytes());
    }
    out.extend(crc.to_le_bytes());
    out.extend([0xff; 8]);
}

fn length(text: &str) -> [u8; 2] {
    u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes()
}

impl Member {
    /// The header in front of the member.
    pub(super) fn local(&self) -> Vec<u8> {
        let name = self.name.text();
        let mut out = LOCAL.to_vec();
        common(&mut out, self.crc);
        out.extend(length(&name));
        out.extend(20_u16.to_le_bytes());
        out.extend(name.as_bytes());
        out.extend([1, 0, 16, 0]);
        out.extend(self.size_bytes.to_le_bytes());
        out.extend(self.size_bytes.to_le_bytes());
        out
    }

    /// Where its bytes begin.
    pub(super) fn data_at(&self) -> u64 {
        let name = u64::try_from(self.name.text().len()).unwrap_or(u64::MAX);
        self.header_at.saturating_add(LOCAL_BYTES).saturating_add(name)
    }

    /// Its entry in the directory.
    fn entry(&self, out: &mut Vec<u8>) {
        let name = self.name.text();
        out.extend(b"PK\x01\x02");
        out.extend(VERSION.to_le_bytes());
        common(out, self.crc);
        out.extend(length(&name));
        out.extend(28_u16.to_le_bytes());
        // No comment, first disk, no attributes.
        out.extend([0; 10]);
        out.extend([0xff; 4]);
        out.extend(name.as_bytes());
        out.extend([1, 0, 24, 0]);
        for field in [self.size_bytes, self.size_bytes, self.header_at] {
            out.extend(field.to_le_bytes());
        }
    }
}

/// The directory and the records behind it.
pub(super) fn directory(members: &[Member], at_bytes: u64, comment: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for member in members {
        member.entry(&mut out);
    }
    let size_bytes = u64::try_from(out.len()).unwrap_or(u64::MAX);
    let count = u64::try_from(members.len()).unwrap_or(u64::MAX);
    out.extend(b"PK\x06\x06");
    out.extend(44_u64.to_le_bytes());
    out.extend(VERSION.to_le_bytes());
    out.extend(VERSION.to_le_bytes());
    out.extend([0; 8]);
    for field in [count, count, size_bytes, at_bytes] {
        out.extend(field.to_le_bytes());
    }
    out.extend(b"PK\x06\x07");
    out.extend([0; 4]);
    out.extend(at_bytes.saturating_add(size_bytes).to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend(b"PK\x05\x06");
    out.extend([0; 4]);
    out.extend([0xff; 12]);
    out.extend(length(comment));
    out.extend(comment.as_bytes());
    out
}
