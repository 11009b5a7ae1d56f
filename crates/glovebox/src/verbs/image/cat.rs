//! `glovebox image cat`: the disk an image holds, or a part of it, byte for byte.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use evidence::source::Window;
use imaging::{Ending, Plan, Sink, acquire};

use super::store::Keys;
use super::stored::{self, Reading};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::say;

/// Write the disk an image holds to standard output
///
/// What the image has no content for is written as zeros and named.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The image, or its first file; s3://BUCKET/KEY too
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    keys: Keys,
    /// Begin at this byte
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
    /// Write so many bytes; without it, all that is left
    #[arg(long, value_name = "BYTES")]
    length: Option<u64>,
}

struct Out(io::Stdout);

impl Sink for Out {
    fn name(&self) -> String {
        "standard output".to_owned()
    }

    fn write_all_at(&mut self, _offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn complete(&mut self, _size_bytes: u64) -> io::Result<()> {
        self.0.flush()
    }
}

impl Args {
    /// Writes it.
    ///
    /// # Errors
    /// If the image cannot be opened, or standard output is a terminal or takes no more.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut out = Out(io::stdout());
        if out.0.is_terminal() {
            return Err(Failure::new("a disk on a terminal is of no use and could steer it")
                .hint(format!("glovebox image cat {} | hexdump -C | less", self.file)));
        }
        let opened = stored::open(&self.file, &self.keys)?;
        let size_bytes = opened.source.size_bytes();
        if self.offset > size_bytes {
            let text = format!("the disk has {size_bytes} bytes, none at {}", self.offset);
            return Err(Failure::new(text));
        }
        let length = self.length.unwrap_or(size_bytes);
        let part = Arc::new(Window::new(Arc::clone(&opened.source), self.offset, length));
        let cancel = stored::cancelled()?;
        let plan = Plan { retries: 0, ..Plan::default() };
        let done = acquire(&Reading(part), &mut out, &plan, &mut |_| {}, &cancel)?;
        self.keys.still_there()?;
        for bad in done.bad.iter() {
            let at = self.offset.saturating_add(bad.offset_bytes);
            say(&format!(
                "problem: {} bytes at {at} are zeros here: {}",
                bad.length_bytes,
                stored::why(&*opened.source, at)
            ));
        }
        Ok(match done.ending {
            Ending::Complete if done.bad.is_empty() => Exit::Clean,
            Ending::Complete => Exit::Partial,
            _ => Exit::NotDone,
        })
    }
}
