//! Records of logins: `utmp`, `wtmp`, `btmp` (utmp(5)) and `lastlog`.
//!
//! The record has 384 bytes on x86 and wherever 32-bit programs share the file, 400 on 64-bit ARM and s390x; which one a
//! file has is told by its length and by what makes sense in it.

use super::bytes::Bytes;

/// Records read of one file.
const MAX_RECORDS: u64 = 4_000_000;
/// Length of a record of `lastlog` in bytes.
pub const LASTLOG_BYTES: u64 = 292;

/// How records of a file are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// 384 bytes, little-endian.
    Short,
    /// 400 bytes, little-endian.
    Long,
    /// 400 bytes, big-endian.
    LongBig,
}

impl Layout {
    /// Length of a record in bytes.
    #[must_use]
    pub fn record_bytes(self) -> u64 {
        match self {
            Self::Short => 384,
            Self::Long | Self::LongBig => 400,
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in the file, from 0.
    pub index: u64,
    /// Its type: 7 a login, 8 a logout, 2 a start of the system, 3 and 4 the clock before and after it was set.
    pub kind: i16,
    /// The process.
    pub pid: i32,
    /// The terminal.
    pub line: Vec<u8>,
    /// The account.
    pub user: Vec<u8>,
    /// Where from.
    pub host: Vec<u8>,
    /// Seconds since 1970.
    pub seconds: i64,
    /// Whether every byte of it is zero.
    pub is_blank: bool,
}

/// The records of a file, and how many bytes at its end are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// How they are laid out.
    pub layout: Layout,
    /// In their order.
    pub records: Vec<Record>,
    /// Bytes behind the last whole record.
    pub left_bytes: u64,
    /// Records whose type no program writes.
    pub odd: usize,
}

/// The records of a file.
#[must_use]
pub fn parse(file: &dyn Bytes) -> Records {
    let layouts = [Layout::Short, Layout::Long, Layout::LongBig];
    let best = layouts.into_iter().map(|layout| read(file, layout)).reduce(|best, other| {
        // The fewest records that make no sense; of equals, the one that fits to the end.
        let rank = |one: &Records| (one.odd, one.left_bytes);
        if rank(&other) < rank(&best) { other } else { best }
    });
    best.unwrap_or(Records { layout: Layout::Short, records: Vec::new(), left_bytes: 0, odd: 0 })
}

fn read(file: &dyn Bytes, layout: Layout) -> Records {
    let width = layout.record_bytes();
    let count = file.size_bytes().checked_div(width).unwrap_or(0).min(MAX_RECORDS);
    let mut found = Records { layout, records: Vec::new(), left_bytes: 0, odd: 0 };
    found.left_bytes = file.size_bytes().saturating_sub(count.saturating_mul(width));
    for index in 0..count {
        let length = usize::try_from(width).unwrap_or(0);
        let Some(raw) = file.exactly(index.saturating_mul(width), length) else { break };
        let Some(record) = record(&raw, index, layout) else { break };
        let is_sensible = (0..=9).contains(&record.kind)
            && record.line.iter().chain(&record.user).all(|byte| !byte.is_ascii_control())
            && (record.is_blank || record.kind == 0 || record.seconds > 0);
        found.odd = found.odd.saturating_add(usize::from(!is_sensible));
        found.records.push(record);
    }
    found
}

fn record(raw: &[u8], index: u64, layout: Layout) -> Option<Record> {
    let text = |from: usize, length: usize| -> Option<Vec<u8>> {
        let field = raw.get(from..from.checked_add(length)?)?;
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
        field.get(..end).map(<[u8]>::to_vec)
    };
    let two: [u8; 2] = *raw.first_chunk()?;
    let four = |at: usize| raw.get(at..)?.first_chunk::<4>().copied();
    let eight = |at: usize| raw.get(at..)?.first_chunk::<8>().copied();
    let (kind, pid, seconds) = match layout {
        Layout::Short => (
            i16::from_le_bytes(two),
            i32::from_le_bytes(four(4)?),
            i64::from(u32::from_le_bytes(four(340)?)),
        ),
        Layout::Long => {
            (i16::from_le_bytes(two), i32::from_le_bytes(four(4)?), i64::from_le_bytes(eight(344)?))
        }
        Layout::LongBig => {
            (i16::from_be_bytes(two), i32::from_be_bytes(four(4)?), i64::from_be_bytes(eight(344)?))
        }
    };
    Some(Record {
        index,
        kind,
        pid,
        line: text(8, 32)?,
        user: text(44, 32)?,
        host: text(76, 256)?,
        seconds,
        is_blank: raw.iter().all(|byte| *byte == 0),
    })
}

/// The last login of an account as `lastlog` has it: when, terminal, from where; `None` if it never logged in.
#[must_use]
pub fn last_login(file: &dyn Bytes, uid: u32) -> Option<(i64, Vec<u8>, Vec<u8>)> {
    let raw = file.exactly(u64::from(uid).checked_mul(LASTLOG_BYTES)?, 292)?;
    let seconds = u32::from_le_bytes(*raw.first_chunk()?);
    let text = |field: &[u8]| field.iter().copied().take_while(|byte| *byte != 0).collect();
    (seconds > 0).then(|| {
        (
            i64::from(seconds),
            text(raw.get(4..36).unwrap_or(&[])),
            text(raw.get(36..).unwrap_or(&[])),
        )
    })
}
