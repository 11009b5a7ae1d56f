//! `hash --fuzzy`: digests that are near each other where files are (TLSH), and which files are near a given one.
//!
//! TLSH (Oliver, Cheng, Chen: "TLSH – A Locality Sensitive Hash", 2013; its form `T1…`) says nothing of a file that is too
//! short or too even. It proves nothing either: who knows it can keep files apart, or bring them together.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use evidence::fs::content::{self, Piece, Which};
use evidence::fs::tree::{self, Limits, Visit};
use evidence::fs::{FileKind, FileSystem};
use evidence::{EvidenceError, escape_bytes};
use guard::Guard;
use serde::Serialize;
use tlsh2::{TlshDefault, TlshDefaultBuilder};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Format, say};
use crate::recording::Recording;
use crate::target;

/// Larger files have none: its counters could run over, and what is near in them is a matter of their parts.
const LARGEST_BYTES: u64 = 256 << 20;
/// From here on two files have nothing to do with each other.
const FAR: i32 = 100;
/// The list in its exhibit.
const LIST: &str = "fuzzy.jsonl";

/// One file.
#[derive(Serialize)]
struct Found {
    target: String,
    size_bytes: u64,
    tlsh: String,
    /// To the digest of `--near`: 0 for nearly the same, below 30 for versions of one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<i32>,
}

/// What `--near` takes.
///
/// # Errors
/// If it is no such digest.
pub(super) fn parse(text: &str) -> Result<String, String> {
    let text = text.to_ascii_uppercase();
    let is_hex = text.len() == 72 && text.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || text.parse::<TlshDefault>().is_err() {
        return Err("it has T1 and 70 digits, as --fuzzy shows them".to_owned());
    }
    Ok(text)
}

/// Everything at the targets.
pub(super) struct Fuzzy<'a> {
    pub(super) guard: &'a Guard,
    pub(super) act: &'a Recording,
    pub(super) reading: &'a Reading,
    pub(super) near: Option<&'a str>,
    pub(super) format: Format,
}

impl Fuzzy<'_> {
    /// Shows them, the nearest first where one is asked for.
    ///
    /// # Errors
    /// If a target cannot be opened, or the case does not take the list.
    pub(super) fn run(&self, targets: &[String]) -> Result<Exit, Failure> {
        let mut found = Vec::new();
        let (mut without, mut problems) = (0_u64, 0_u64);
        for word in targets {
            let mut opened = self.reading.find(&address(word), self.guard)?;
            self.act.inputs(std::mem::take(&mut opened.inputs));
            let fs = &*opened.tree.fs;
            let mut problem = |text: String| {
                say(&format!("problem: {text}"));
                self.act.problem(text);
                problems = problems.saturating_add(1);
            };
            let mut take = |visit: Visit| {
                let metadata = &visit.metadata;
                if metadata.kind != FileKind::File {
                    return;
                }
                let target = format!("{}:{}", opened.tree.address, visit.path);
                if metadata.size_bytes > LARGEST_BYTES {
                    return problem(format!("{target}: larger than 256 MiB, no fuzzy digest"));
                }
                match digest(fs, &visit) {
                    Ok((Some(digest), 0)) => found.push(self.judged(target, &visit, &digest)),
                    Ok((None, 0)) => without = without.saturating_add(1),
                    Ok((_, unread)) => {
                        problem(format!("{target}: {unread} bytes could not be read"));
                    }
                    Err(error) => problem(format!("{target}: {error}")),
                }
            };
            let metadata = fs.metadata(opened.node)?;
            let met = if metadata.kind == FileKind::Directory {
                tree::walk(fs, opened.node, &opened.path, Limits::default(), &mut take)
            } else {
                take(Visit { path: opened.path.clone(), metadata });
                Vec::new()
            };
            for one in met {
                problem(format!("{word}: {one}"));
            }
        }
        if without > 0 {
            say(&format!("note: {without} files are too short or too even for a fuzzy digest"));
        }
        self.keep(&found)?;
        if self.near.is_some() {
            found.retain(|one| one.distance.is_some_and(|distance| distance < FAR));
            found.sort_by(|a, b| (a.distance, &a.target).cmp(&(b.distance, &b.target)));
        }
        for one in &found {
            self.format.record("fuzzy", one, || match one.distance {
                Some(distance) => format!("{distance:>3}  {}  {}", one.tlsh, one.target),
                None => format!("{}  {}", one.tlsh, one.target),
            })?;
        }
        Ok(if problems > 0 { Exit::Partial } else { Exit::Clean })
    }

    fn judged(&self, target: String, visit: &Visit, digest: &TlshDefault) -> Found {
        let near = self.near.and_then(|near| near.parse::<TlshDefault>().ok());
        Found {
            target,
            size_bytes: visit.metadata.size_bytes,
            tlsh: String::from_utf8_lossy(&digest.hash()).into_owned(),
            distance: near.map(|near| near.diff(digest, true)),
        }
    }

    /// Puts all of them into the case, if one is in use.
    fn keep(&self, found: &[Found]) -> Result<(), Failure> {
        if !self.act.is_on() || found.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for one in found {
            text.push_str(&serde_json::to_string(one)?);
            text.push('\n');
        }
        let item = self.act.new_exhibit("fuzzy")?.add_file(LIST, text.as_bytes())?;
        self.act.output(item);
        Ok(())
    }
}

/// A file of this machine is addressed below its folder, which is read as evidence is: without touching access times
/// where the kernel allows that.
fn address(word: &str) -> String {
    let parsed = target::address(word);
    let path = Path::new(OsStr::from_bytes(&parsed.source));
    let is_plain = parsed.label.is_none() && parsed.object.is_none() && path.is_file();
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if is_plain => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            format!("{}:0:/{}", folder.display(), escape_bytes(name.as_bytes()))
        }
        _ => word.to_owned(),
    }
}

/// The digest of a file, if it has one, and the bytes that could not be read.
fn digest(fs: &dyn FileSystem, visit: &Visit) -> Result<(Option<TlshDefault>, u64), EvidenceError> {
    let mut builder = TlshDefaultBuilder::new();
    let (node, size_bytes) = (visit.metadata.node, visit.metadata.size_bytes);
    let holes = content::stream(fs, node, Which::Main, size_bytes, &mut |piece| {
        if let Piece::Data(bytes) = piece {
            builder.update(bytes);
        }
        Ok::<(), EvidenceError>(())
    })?;
    Ok((builder.build(), holes.iter().map(|hole| hole.length_bytes).fold(0, u64::saturating_add)))
}
