//! Parsers of configuration, database and log files of Linux and Windows systems.
//!
//! Each takes bytes and returns records; a line that makes no sense is skipped or kept as odd, never an error, because
//! the programs that obey these files are lenient too.

pub mod accounts;
pub mod apk;
pub mod bolt;
pub mod bytes;
pub mod cron;
pub mod elf;
pub mod evtx;
pub mod git;
pub mod journal;
pub mod ld_cache;
pub mod module;
pub mod pacman;
pub mod pe;
pub mod rpm;
pub mod unit;
pub mod utmp;
pub mod windows;

// Both are also read where an installed system is verified, so they stand below.
pub use archive::debian::database as dpkg;
pub use evidence::initramfs;

/// Lines with their number (from 1) and byte offset, without the line end.
pub(crate) fn lines(raw: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    let mut offset = 0_usize;
    (1_usize..).zip(raw.split(|byte| *byte == b'\n')).map(move |(number, line)| {
        let start = offset;
        offset = offset.saturating_add(line.len()).saturating_add(1);
        (number, start, line.strip_suffix(b"\r").unwrap_or(line))
    })
}

/// As [`lines`], without empty lines and those that begin with `#`.
pub(crate) fn meaningful(raw: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    lines(raw).filter(|(_, _, line)| !matches!(line.trim_ascii().first(), None | Some(b'#')))
}

/// Words between blanks.
pub(crate) fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
}

/// Whether `needle` stands anywhere in `haystack`.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}
