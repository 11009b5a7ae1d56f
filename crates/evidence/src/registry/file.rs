//! A hive as it lies in a file system, with the logs beside it.

use super::hive::Hive;
use super::log::LogFile;
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::fs::{FileKind, FileSystem, Node};
use crate::kept::Kept;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Source, SourceError};
use std::sync::Arc;

/// Largest log read; those of Windows stay far below.
const MAX_LOG_BYTES: usize = 64 << 20;
/// Pieces of a hive that are kept: only a few of its cells are wanted, but each of them with its neighbours.
const PIECE_BYTES: usize = 64 << 10;
const KEPT_BYTES: usize = 32 << 20;

/// Opens the hive called `name` in a directory, names compared without regard to case, with its logs applied; `None` when
/// there is none.
///
/// # Errors
/// When it is not a regular file, or as [`Hive::open`].
pub fn open_in<'a>(
    fs: &'a dyn FileSystem,
    directory: Node,
    name: &str,
) -> Result<Option<Hive<'a>>, EvidenceError> {
    let entries = fs.read_dir(directory)?.entries;
    let named = |name: &str| {
        let found = entries.iter().find(|entry| entry.name.0.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|entry| entry.node)
    };
    let Some(node) = named(name) else { return Ok(None) };
    let metadata = fs.metadata(node)?;
    if metadata.kind != FileKind::File {
        return Err(EvidenceError::refused("the hive is not a regular file"));
    }
    let mut logs: Vec<LogFile> = Vec::new();
    let mut problems = Vec::new();
    for ending in ["LOG1", "LOG2", "LOG"] {
        let log = format!("{name}.{ending}");
        let Some(node) = named(&log) else { continue };
        let place = || Place::Path(log.as_str().into());
        match fs.read_head(node, MAX_LOG_BYTES) {
            Ok((raw, true)) => logs.push((log, raw)),
            Ok((_, false)) => {
                let text = format!("the log is larger than {MAX_LOG_BYTES} bytes and was not read");
                problems.push(Problem::new(ProblemKind::Refused, place(), text));
            }
            Err(error) => problems.push(error.to_problem(place())),
        }
    }
    let source =
        FileBytes { fs, node, size_bytes: metadata.size_bytes, pieces: Kept::new(KEPT_BYTES) };
    let mut hive = Hive::open_with_logs(source, &logs)?;
    hive.add_problems(problems);
    Ok(Some(hive))
}

/// A file as a source, in pieces.
struct FileBytes<'a> {
    fs: &'a dyn FileSystem,
    node: Node,
    size_bytes: u64,
    pieces: Kept<Arc<[u8]>>,
}

impl FileBytes<'_> {
    fn piece(&self, number: u64) -> Result<Arc<[u8]>, SourceError> {
        if let Some(found) = self.pieces.find(number) {
            return Ok(found);
        }
        let offset_bytes = number.saturating_mul(to_u64(PIECE_BYTES));
        let left = to_usize(self.size_bytes.saturating_sub(offset_bytes));
        let mut raw = vec![0; left.min(PIECE_BYTES)];
        let got = self.fs.read_at(self.node, offset_bytes, &mut raw).map_err(|error| {
            let source = std::io::Error::other(error.to_string());
            SourceError { offset_bytes, length_bytes: raw.len(), source }
        })?;
        raw.truncate(got);
        let piece: Arc<[u8]> = raw.into();
        self.pieces.keep(number, Arc::clone(&piece), piece.len());
        Ok(piece)
    }
}

impl Source for FileBytes<'_> {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let piece_bytes = to_u64(PIECE_BYTES);
            let piece = self.piece(at.checked_div(piece_bytes).unwrap_or(0))?;
            let within = to_usize(at.checked_rem(piece_bytes).unwrap_or(0));
            let there = piece.get(within..).unwrap_or(&[]);
            let count = there.len().min(rest.len());
            if count == 0 {
                break;
            }
            for (slot, byte) in rest.iter_mut().zip(there) {
                *slot = *byte;
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}
