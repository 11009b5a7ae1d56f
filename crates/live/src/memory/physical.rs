//! Where physical memory can be read: `/dev/crash`, `/proc/kcore`, `/dev/mem`, and what stands against each.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use serde::Serialize;

use crate::host::Host;

/// A way to physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The crash driver of Red Hat's kernels: offset is address.
    Crash,
    /// The kernel's memory as an ELF file.
    Kcore,
    /// Offset is address; most kernels give the first MiB only.
    Mem,
}

impl Source {
    /// All, the best first.
    pub const ALL: [Self; 3] = [Self::Crash, Self::Kcore, Self::Mem];

    /// Its name on the host.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Crash => "/dev/crash",
            Self::Kcore => "/proc/kcore",
            Self::Mem => "/dev/mem",
        }
    }
}

/// A way that was tried, and why it was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The source.
    pub source: String,
    /// Why not.
    pub why: String,
}

/// A part of physical memory and where it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) physical: u64,
    pub(super) offset_bytes: u64,
    pub(super) length_bytes: u64,
}

/// What will be read.
#[derive(Debug)]
pub struct Plan {
    /// From where.
    pub source: Source,
    /// What was tried before.
    pub tried: Vec<Tried>,
    /// The kernel's lockdown, in its own words; empty if it has none.
    pub lockdown: String,
    pub(super) file: File,
    pub(super) pieces: Vec<Piece>,
    /// Memory that this source does not show.
    pub(super) gaps: Vec<String>,
}

impl Plan {
    /// A plan for a file that holds memory, such as that of a virtual machine: physical address, offset and length of each
    /// part, in bytes.
    #[must_use]
    pub fn of_file(file: File, parts: &[(u64, u64, u64)]) -> Self {
        let pieces = parts.iter().map(|(physical, offset_bytes, length_bytes)| Piece {
            physical: *physical,
            offset_bytes: *offset_bytes,
            length_bytes: *length_bytes,
        });
        Self {
            source: Source::Mem,
            tried: Vec::new(),
            lockdown: String::new(),
            file,
            pieces: pieces.collect(),
            gaps: Vec::new(),
        }
    }

    /// Bytes of memory in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.length_bytes))
    }
}

/// Finds the first source that can be read; else why none can, and the kernel's lockdown.
///
/// # Errors
/// All that was tried, if nothing can be read.
pub fn plan(host: &Host, only: Option<Source>) -> Result<Plan, (Vec<Tried>, String)> {
    let lockdown = host.pseudo_text(&host.sys("kernel/security/lockdown"));
    let ranges = ranges(&host.pseudo_text(&host.proc("iomem")));
    let mut tried = Vec::new();
    for source in Source::ALL.into_iter().filter(|one| only.is_none_or(|only| only == *one)) {
        match from(host, source, &ranges) {
            Ok((file, pieces, gaps)) => {
                return Ok(Plan { source, tried, lockdown, file, pieces, gaps });
            }
            Err(error) => {
                tried.push(Tried { source: source.path().to_owned(), why: error.to_string() });
            }
        }
    }
    Err((tried, lockdown))
}

type Readable = (File, Vec<Piece>, Vec<String>);

fn from(host: &Host, source: Source, ranges: &[(u64, u64)]) -> io::Result<Readable> {
    let path = match source {
        Source::Kcore => host.proc("kcore"),
        Source::Crash | Source::Mem => host.path(source.path()),
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(rustix::fs::openat(CWD, Path::new(&path), flags, Mode::empty())?);
    let (pieces, gaps) = if source == Source::Kcore {
        through_headers(&segments(&file)?, ranges)
    } else {
        let whole = ranges.iter().map(|(first, length)| Piece {
            physical: *first,
            offset_bytes: *first,
            length_bytes: *length,
        });
        (whole.collect(), Vec::new())
    };
    // One page of each end shows whether it really reads: a strict kernel opens /dev/mem and gives nothing.
    let Some(last) = pieces.last() else {
        return Err(io::Error::other(
            "it shows no range of memory (not root, or /proc/iomem is masked)",
        ));
    };
    let mut page = [0_u8; super::PAGE_BYTES];
    let end = last.offset_bytes.saturating_add(last.length_bytes).saturating_sub(4096);
    let middle = last.offset_bytes.saturating_add((last.length_bytes / 2) & !4095);
    if file.read_exact_at(&mut page, end).is_err() {
        file.read_exact_at(&mut page, middle)?;
    }
    Ok((file, pieces, gaps))
}

/// First address and length of each range called "System RAM" at the outer level, in whole pages.
fn ranges(iomem: &str) -> Vec<(u64, u64)> {
    let lines = iomem.lines().filter(|line| !line.starts_with(' '));
    lines
        .filter_map(|line| {
            let (addresses, name) = line.split_once(" : ")?;
            let (first, last) = addresses.trim().split_once('-')?;
            let first = u64::from_str_radix(first, 16).ok()?;
            let end = u64::from_str_radix(last, 16).ok()?.checked_add(1)?;
            let first = first.checked_add(4095)? & !4095;
            let length = (end & !4095).checked_sub(first)?;
            (name.trim() == "System RAM" && length > 0).then_some((first, length))
        })
        .collect()
}

/// A loaded part of an ELF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    offset: u64,
    physical: u64,
    length: u64,
}

/// The program headers of `/proc/kcore` (ELF64, the machine's own byte order) that have a physical address.
fn segments(file: &File) -> io::Result<Vec<Segment>> {
    let mut head = [0_u8; 64];
    file.read_exact_at(&mut head, 0)?;
    headers(&head, &mut |buffer, offset| file.read_exact_at(buffer, offset))
}

fn headers(
    head: &[u8],
    read: &mut dyn FnMut(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<Vec<Segment>> {
    use crate::netlink::{u16_at, u32_at, u64_at};
    let wrong = || io::Error::other("it is no ELF file of 64 bits");
    if head.get(..5) != Some(b"\x7fELF\x02") {
        return Err(wrong());
    }
    let start = u64_at(head, 32).ok_or_else(wrong)?;
    let (size, many) = (u16_at(head, 54), u16_at(head, 56));
    let (56, many) = (size.ok_or_else(wrong)?, many.ok_or_else(wrong)?) else {
        return Err(wrong());
    };
    let mut found = Vec::new();
    for number in 0..u64::from(many) {
        let mut one = [0_u8; 56];
        let at = number.checked_mul(56).and_then(|at| at.checked_add(start)).ok_or_else(wrong)?;
        read(&mut one, at)?;
        let value = |at| u64_at(&one, at).unwrap_or(0);
        let (offset, physical, length) = (value(8), value(24), value(40));
        // PT_LOAD; parts without a place in physical memory bear all ones, or nothing on old kernels.
        if u32_at(&one, 0) == Some(1) && physical != u64::MAX {
            found.push(Segment { offset, physical, length });
        }
    }
    // On kernels before 4.19 all bear zero: such a header says nothing.
    if found.len() > 1 && found.iter().all(|one| one.physical == 0) {
        return Err(io::Error::other("its headers bear no physical addresses (an old kernel)"));
    }
    Ok(found)
}

/// Ranges of memory as the segments show them; without ranges everything the segments show.
fn through_headers(segments: &[Segment], ranges: &[(u64, u64)]) -> (Vec<Piece>, Vec<String>) {
    let mut sorted = segments.to_vec();
    // The kernel's text lies in RAM too and is shown twice: the longer view comes first.
    sorted.sort_by_key(|one| (one.physical, u64::MAX.saturating_sub(one.length)));
    let everything: Vec<(u64, u64)>;
    let ranges = if ranges.is_empty() {
        everything = sorted.iter().map(|one| (one.physical, one.length)).collect();
        &everything
    } else {
        ranges
    };
    let (mut pieces, mut gaps) = (Vec::new(), Vec::new());
    let mut reached = 0_u64;
    for (first, length) in ranges {
        let end = first.saturating_add(*length);
        let mut at = (*first).max(reached);
        while at < end {
            let covering = sorted
                .iter()
                .filter(|one| one.physical <= at && at < one.physical.saturating_add(one.length));
            let best = covering.max_by_key(|one| one.physical.saturating_add(one.length));
            if let Some(one) = best {
                let stop = one.physical.saturating_add(one.length).min(end);
                pieces.push(Piece {
                    physical: at,
                    offset_bytes: one.offset.saturating_add(at.saturating_sub(one.physical)),
                    length_bytes: stop.saturating_sub(at),
                });
                at = stop;
            } else {
                let next = sorted.iter().map(|one| one.physical).filter(|start| *start > at).min();
                let stop = next.unwrap_or(end).min(end);
                gaps.push(format!("{at:#x} to {stop:#x} is System RAM, but not shown"));
                at = stop;
            }
        }
        reached = reached.max(end);
    }
    (pieces, gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_whole_pages_of_system_ram() {
        let text = "00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\n  00002000-00002fff : x\n\
                    00100000-bfffffff : System RAM\nfed00000-fed003ff : HPET 0\n";
        assert_eq!(ranges(text), [(0x1000, 0x9e000), (0x10_0000, 0xbff0_0000)]);
        assert_eq!(ranges("00000000-00000000 : System RAM\n"), []);
    }

    #[test]
    fn segments_give_each_range_once() {
        let segment = |offset, physical, length| Segment { offset, physical, length };
        let all = [
            segment(0x9000_0000, 0x100_0000, 0x20_0000),
            segment(0x1000, 0x1000, 0x9e000),
            segment(0x10_0000, 0x10_0000, 0x400_0000),
        ];
        let (pieces, gaps) = through_headers(&all, &[(0x1000, 0x9e000), (0x10_0000, 0x500_0000)]);
        assert_eq!(pieces.len(), 2);
        assert_eq!((pieces[1].physical, pieces[1].length_bytes), (0x10_0000, 0x400_0000));
        assert_eq!(gaps, ["0x4100000 to 0x5100000 is System RAM, but not shown"]);
        let (alone, none) = through_headers(&all, &[]);
        assert_eq!((alone.len(), none.len()), (2, 0));
        let mut head = [0xff_u8; 64];
        assert!(headers(&head, &mut |_, _| Ok(())).is_err());
        head[..5].copy_from_slice(b"\x7fELF\x02");
        assert!(headers(&head, &mut |_, _| Ok(())).is_err());
    }
}
