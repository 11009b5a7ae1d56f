//! A bag as one stream: the little of tar (POSIX.1-2001, pax) that this takes, both ways.
//!
//! Owners, rights and times are constant, so the same bag gives the same bytes. Reading takes what
//! writing gives and nothing else: no links, no devices, no name that leads out of the folder.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use hashing::escape_name;

use crate::Error;
use crate::files::flush_dir;
use crate::members::inside;

const BLOCK: usize = 512;
const BLOCK_BYTES: u64 = 512;
/// Sizes that fit into eleven octal digits.
const MAX_PLAIN_BYTES: u64 = 1 << 33;
const MAX_NAME: usize = 100;
const MAX_RECORDS_BYTES: u64 = 64 << 10;
/// Entries taken from an archive.
const MAX_ENTRIES: u64 = 10_000_000;

pub(super) struct Writer<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    pub(super) fn folder(&mut self, name: &str) -> Result<(), Error> {
        self.head(&format!("{name}/"), 0, b'5')
    }

    pub(super) fn bytes(&mut self, name: &str, content: &[u8]) -> Result<(), Error> {
        let size_bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
        self.head(name, size_bytes, b'0')?;
        self.put(content)?;
        self.pad(size_bytes)
    }

    /// Exactly `size_bytes` of the file, each piece shown to `see`.
    pub(super) fn file(
        &mut self,
        name: &str,
        path: &Path,
        size_bytes: u64,
        see: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        self.head(name, size_bytes, b'0')?;
        let mut source = File::open(path).map_err(Error::io("opening", path))?.take(size_bytes);
        let (mut buffer, mut left) = (vec![0; 1 << 20], size_bytes);
        loop {
            let read = source.read(&mut buffer).map_err(Error::io("reading", path))?;
            let bytes = buffer.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            see(bytes);
            self.put(bytes)?;
            left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        }
        if left > 0 {
            return Err(Error::Refused {
                reason: format!("{} became shorter", escape_name(name.as_bytes())),
            });
        }
        self.pad(size_bytes)
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        self.put_zeros(BLOCK.saturating_mul(2))
    }

    fn put_zeros(self, count: usize) -> Result<(), Error> {
        self.out.write_all(&vec![0; count]).map_err(writing)
    }

    fn head(&mut self, name: &str, size_bytes: u64, kind: u8) -> Result<(), Error> {
        let mut records = Vec::new();
        if name.len() > MAX_NAME {
            records.extend(record("path", name));
        }
        if size_bytes >= MAX_PLAIN_BYTES {
            records.extend(record("size", &size_bytes.to_string()));
        }
        if !records.is_empty() {
            let length = u64::try_from(records.len()).unwrap_or(u64::MAX);
            self.put(&header("pax", length, b'x'))?;
            self.put(&records)?;
            self.pad(length)?;
        }
        let plain_size = if size_bytes >= MAX_PLAIN_BYTES { 0 } else { size_bytes };
        self.put(&header(name, plain_size, kind))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(writing)
    }

    fn pad(&mut self, size_bytes: u64) -> Result<(), Error> {
        let rest = size_bytes.next_multiple_of(BLOCK_BYTES).saturating_sub(size_bytes);
        self.put(&vec![0; usize::try_from(rest).unwrap_or(0)])
    }
}

fn writing(source: io::Error) -> Error {
    Error::Io { action: "writing", path: "the archive".into(), source }
}

/// One pax record: its own length, counted with the digits of that length, then name and value.
fn record(name: &str, value: &str) -> Vec<u8> {
    let body = format!(" {name}={value}\n");
    let mut length = body.len();
    for _ in 0..3 {
        length = body.len().saturating_add(length.to_string().len());
    }
    format!("{length}{body}").into_bytes()
}

fn header(name: &str, size_bytes: u64, kind: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        let end = at.saturating_add(bytes.len());
        if let Some(field) = block.get_mut(at..end) {
            field.copy_from_slice(bytes);
        }
    };
    let short: &[u8] = name.as_bytes();
    put(0, short.get(..MAX_NAME).unwrap_or(short));
    put(100, if kind == b'5' { b"0000755\0" } else { b"0000644\0" });
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size_bytes:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum = block.iter().fold(0u32, |sum, byte| sum.saturating_add(u32::from(*byte)));
    if let Some(field) = block.get_mut(148..156) {
        field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    block
}

/// Unpacks an archive that [`super::Bag::write_tar`] made into the existing folder `to`; gives the
/// name of its one top folder.
///
/// # Errors
/// When it is no such archive, ends early, leads elsewhere, or the medium does not take it.
pub fn unpack(mut input: &mut dyn Read, to: &Path) -> Result<String, Error> {
    let bad =
        |reason: &str| Error::BadBag { path: "the archive".into(), reason: reason.to_owned() };
    let (mut top, mut long, mut long_size) = (None::<String>, None::<String>, None::<u64>);
    for _ in 0..MAX_ENTRIES {
        let mut block = [0; BLOCK];
        input.read_exact(&mut block).map_err(|_| bad("it ends early"))?;
        if block == [0; BLOCK] {
            // The decryptor proves the end only when it is read to.
            io::copy(&mut input, &mut io::sink()).map_err(reading)?;
            return top.ok_or_else(|| bad("it is empty"));
        }
        let (name, size_bytes, kind) = parse(&block).ok_or_else(|| bad("a header has no form"))?;
        if kind == b'x' {
            let mut text = String::new();
            let limit = size_bytes.min(MAX_RECORDS_BYTES);
            (&mut input).take(limit).read_to_string(&mut text).map_err(reading)?;
            skip_padding(input, size_bytes, text.len())?;
            for line in text.lines() {
                match line.split_once(' ').and_then(|(_, rest)| rest.split_once('=')) {
                    Some(("path", path)) => long = Some(path.to_owned()),
                    Some(("size", size)) => long_size = size.parse().ok(),
                    _ => return Err(bad("a pax record is unknown")),
                }
            }
            continue;
        }
        let name = long.take().unwrap_or(name);
        let size_bytes = long_size.take().unwrap_or(size_bytes);
        let name = name.strip_suffix('/').unwrap_or(&name);
        let path = inside(to, name)
            .ok_or_else(|| bad(&format!("\"{}\" leads elsewhere", escape_name(name.as_bytes()))))?;
        let first = name.split('/').next().unwrap_or_default();
        if *top.get_or_insert_with(|| first.to_owned()) != first {
            return Err(bad("it has more than one top folder"));
        }
        match kind {
            b'5' => fs::create_dir(&path).map_err(Error::io("creating", &path))?,
            b'0' => {
                let mut file = File::create_new(&path).map_err(Error::io("creating", &path))?;
                let copied = io::copy(&mut (&mut input).take(size_bytes), &mut file)
                    .map_err(Error::io("writing", &path))?;
                if copied != size_bytes {
                    return Err(bad("it ends early"));
                }
                file.sync_all().map_err(Error::io("flushing", &path))?;
                skip_padding(input, size_bytes, 0)?;
                path.parent().map_or(Ok(()), flush_dir)?;
            }
            _ => return Err(bad("it holds something else than files and folders")),
        }
    }
    Err(bad("it has too many entries"))
}

fn reading(source: io::Error) -> Error {
    Error::Io { action: "reading", path: "the archive".into(), source }
}

/// What follows content up to the next block, and what of it was left unread.
fn skip_padding(input: &mut dyn Read, size_bytes: u64, read: usize) -> Result<(), Error> {
    let whole = size_bytes.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(size_bytes);
    let done = if read == 0 { size_bytes } else { u64::try_from(read).unwrap_or(u64::MAX) };
    let rest = whole.saturating_sub(done);
    io::copy(&mut input.take(rest), &mut io::sink()).map_err(reading).map(drop)
}

fn parse(block: &[u8; BLOCK]) -> Option<(String, u64, u8)> {
    let text = |from: usize, to: usize| {
        let field = block.get(from..to)?;
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        std::str::from_utf8(field.get(..end)?).ok()
    };
    let octal = |from, to| u64::from_str_radix(text(from, to)?.trim(), 8).ok();
    let blank = [b' '; 8];
    let sum = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { blank.first() } else { Some(byte) })
        .try_fold(0u64, |sum, byte| sum.checked_add(u64::from(*byte?)))?;
    (octal(148, 155)? == sum && text(257, 263)? == "ustar").then_some(())?;
    Some((text(0, MAX_NAME)?.to_owned(), octal(124, 136)?, *block.get(156)?))
}
