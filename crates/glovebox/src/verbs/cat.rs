//! `glovebox cat`: the content of a file on evidence, byte for byte.

use std::io::{self, IsTerminal, Write};

use evidence::EvidenceError;
use evidence::fs::content::{self, Piece, Which};
use guard::Guard;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::say;
use crate::recording::{Recording, recorded};
use crate::session::Chosen;

/// Write a file on evidence to standard output
///
/// Its bytes are written as they are; on a terminal, what could steer it is
/// shown escaped. What cannot be read is written as zeros and named.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The file, such as sda:2:/etc/passwd
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// A named stream of the file instead of its main content
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
}

/// Either side of the copy can fail.
enum Broken {
    Reading(EvidenceError),
    Writing(io::Error),
}

impl From<EvidenceError> for Broken {
    fn from(error: EvidenceError) -> Self {
        Self::Reading(error)
    }
}

impl Args {
    /// Writes it.
    ///
    /// # Errors
    /// If there is no such file or it cannot be read at all.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({
            "address": self.address,
            "stream": self.stream,
            "view": self.reading.view(),
        });
        recorded(&self.chosen, "cat", &arguments, |guard, act| self.write(guard, act))
    }

    fn write(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        let mut found = self.reading.find(&self.address, guard)?;
        act.inputs(std::mem::take(&mut found.inputs));
        let fs = &*found.tree.fs;
        // A link given by its own name is followed inside its tree, as cat does.
        let node =
            evidence::fs::tree::resolve(fs, &found.path.0, evidence::fs::tree::LastLink::Follow)
                .unwrap_or(found.node);
        let name = self.stream.as_deref().map(evidence::unescape);
        let (which, length) = match &name {
            None => (Which::Main, fs.metadata(node)?.size_bytes),
            Some(name) => {
                let streams = fs.streams(node)?;
                let stream = streams.iter().find(|one| one.name.0 == *name).ok_or_else(|| {
                    let names: Vec<String> =
                        streams.iter().map(|one| one.name.to_string()).collect();
                    Failure::new(format!("{} has no such stream", found.path))
                        .hint(format!("its streams: {}", names.join(", ")))
                })?;
                (Which::Named(name), stream.size_bytes)
            }
        };
        let mut out = io::stdout().lock();
        let on_terminal = out.is_terminal();
        let written = content::stream(fs, node, which, length, &mut |piece| {
            let done = match piece {
                Piece::Data(bytes) if on_terminal => out.write_all(shown(bytes).as_bytes()),
                Piece::Data(bytes) => out.write_all(bytes),
                Piece::Unreadable(length) => {
                    io::copy(&mut io::Read::take(io::repeat(0), length), &mut out).map(drop)
                }
            };
            done.map_err(Broken::Writing)
        });
        let holes = match written {
            Ok(holes) => holes,
            Err(Broken::Reading(error)) => return Err(error.into()),
            Err(Broken::Writing(error)) => return Err(error.into()),
        };
        out.flush()?;
        for hole in &holes {
            let text = format!(
                "{}: {} bytes at {} could not be read and are zeros here: {}",
                found.path, hole.length_bytes, hole.offset_bytes, hole.why
            );
            say(&format!("problem: {text}"));
            act.problem(text);
        }
        Ok(if holes.is_empty() { Exit::Clean } else { Exit::Partial })
    }
}

/// Text for a terminal: lines stay lines, the rest of what could steer it is escaped.
fn shown(bytes: &[u8]) -> String {
    let lines: Vec<String> =
        bytes.split(|byte| *byte == b'\n').map(evidence::escape_bytes).collect();
    lines.join("\n")
}
