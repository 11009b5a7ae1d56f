//! The machine's memory, from whatever source the kernel still offers; else that of each process.
//!
//! Physical memory is written as LiME (version 1), or with snappy frames in the form that AVML calls compressed (version 2).
//! The ranges are the "System RAM" of `/proc/iomem`. `/proc/kcore` shows them through the program headers of an ELF file:
//! those of RAM bear the physical address, so no symbol of the kernel is needed. A running machine changes while it is read:
//! the image is no moment, but a span, and its beginning and end stand in the act.

mod image;
mod physical;
mod processes;
mod snappy;

pub use physical::{Plan, Source, Tried, plan};
pub use processes::{Chosen, ProcessMemory, processes};

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use serde_json::json;

use crate::sink::Outgoing;
use crate::{Error, Sink, Written};

/// How physical memory is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// LiME version 1: headers and bytes.
    Lime,
    /// The same with each part in snappy's framing format.
    Compressed,
}

impl Form {
    /// Name of the file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Lime => "memory.lime",
            Self::Compressed => "memory.lime.compressed",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The files written.
    pub files: Vec<Written>,
    /// Bytes of memory in the image, those that could not be read included.
    pub memory_bytes: u64,
    /// Of them zeros in place of what could not be read.
    pub unreadable_bytes: u64,
    /// What could not be read, in words.
    pub problems: Vec<String>,
}

/// Bytes read at a time, and of one page.
const CHUNK_BYTES: usize = 1 << 20;
const PAGE_BYTES: usize = 4096;
/// Places spelled out that could not be read.
const PLACES_AT_MOST: usize = 100;

/// A memory-like file that is read whatever happens: what does not read is zeros, and counted.
struct Reading<'a> {
    file: &'a File,
    unreadable_bytes: u64,
    problems: Vec<String>,
}

impl Reading<'_> {
    /// Fills the buffer from this offset; `named` is where that is, for people.
    fn fill(&mut self, buffer: &mut [u8], offset: u64, named: u64) {
        if read_exactly(self.file, buffer, offset).is_ok() {
            return;
        }
        let (mut place, mut name) = (offset, named);
        for page in buffer.chunks_mut(PAGE_BYTES) {
            let length = u64::try_from(page.len()).unwrap_or(0);
            if let Err(error) = read_exactly(self.file, page, place) {
                page.fill(0);
                self.unreadable_bytes = self.unreadable_bytes.saturating_add(length);
                if self.problems.len() < PLACES_AT_MOST {
                    self.problems.push(format!("{length} bytes at {name:#x}: {error}"));
                }
            }
            place = place.saturating_add(length);
            name = name.saturating_add(length);
        }
    }
}

fn read_exactly(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// Writes physical memory as planned, hashed on its way; `told` is given bytes done and bytes in all.
///
/// # Errors
/// If the sink does not take it.
pub fn take(
    plan: &Plan,
    form: Form,
    pause: Option<Duration>,
    sink: &mut dyn Sink,
    told: &mut dyn FnMut(u64, u64),
) -> Result<Taken, Error> {
    let mut reading =
        Reading { file: &plan.file, unreadable_bytes: 0, problems: plan.gaps.clone() };
    let total = plan.bytes();
    let mut done = 0_u64;
    let mut open = Outgoing::begin(sink, form.file_name())?;
    let mut buffer = vec![0_u8; CHUNK_BYTES];
    for piece in image::pieces(plan, form) {
        let mut packing = image::Packing::begin(form, &piece);
        open.write(sink, &packing.header())?;
        let mut at = 0_u64;
        while at < piece.length_bytes {
            let left = piece.length_bytes.saturating_sub(at);
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let Some(part) = buffer.get_mut(..length) else { break };
            let offset = piece.offset_bytes.saturating_add(at);
            reading.fill(part, offset, piece.physical.saturating_add(at));
            open.write(sink, &packing.pack(part))?;
            let length = u64::try_from(length).unwrap_or(0);
            at = at.saturating_add(length);
            done = done.saturating_add(length);
            told(done, total);
            if let Some(pause) = pause {
                std::thread::sleep(pause);
            }
        }
        open.write(sink, &packing.end())?;
    }
    let mut files = vec![written(open, sink)?];
    let ranges: Vec<_> = plan
        .pieces
        .iter()
        .map(|piece| json!({ "first": piece.physical, "bytes": piece.length_bytes }))
        .collect();
    let mut about = Outgoing::begin(sink, "memory.json")?;
    let text = json!({
        "source": plan.source.path(), "tried": plan.tried, "lockdown": plan.lockdown,
        "ranges": ranges, "memory_bytes": total, "unreadable_bytes": reading.unreadable_bytes,
        "problems": reading.problems,
    });
    about.write(sink, format!("{text}\n").as_bytes())?;
    files.push(written(about, sink)?);
    Ok(Taken {
        files,
        memory_bytes: total,
        unreadable_bytes: reading.unreadable_bytes,
        problems: reading.problems,
    })
}

fn written(open: Outgoing, sink: &mut dyn Sink) -> Result<Written, Error> {
    let (name, size_bytes, digests) = open.end(sink)?;
    Ok(Written { name, size_bytes, digests })
}
