//! The report as one JSON object: the same summary as the page, and behind it every finding and every act in full.
//!
//! Findings and acts are read from the case again, one at a time, and written as they stand there, so nothing is cut and
//! nothing grows. Characters that could act on a terminal are written as `\uXXXX`, which means the same to a reader of JSON.

use std::io::{self, BufReader, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::examinations::LONG_ARRAYS;
use crate::inert::JsonGate;
use crate::scan::{Passed, scan};
use crate::words::{Statement, statements};
use crate::{Error, Report, source};

/// Version of the form. A field may be added without raising it, never removed or changed.
const VERSION: u32 = 1;
/// Problems of one examination that are held until its findings have been written.
const PROBLEM_BYTES_AT_MOST: usize = 4 << 20;
/// How much is handed on at once, and how many such blocks wait.
const BLOCK_BYTES: usize = 64 << 10;
const WAITING_AT_MOST: usize = 8;

#[derive(Serialize)]
struct Head<'a> {
    glovebox_report: u32,
    statements: Vec<Statement>,
    summary: &'a Report,
}

/// Writes the report as JSON.
///
/// # Errors
/// When `out` fails or the case can no longer be read.
pub fn json(report: &Report, out: &mut dyn Write) -> Result<(), Error> {
    let mut gate = JsonGate::new(out);
    let head = Head { glovebox_report: VERSION, statements: statements(report), summary: report };
    let mut text = serde_json::to_vec(&head)?;
    // Its closing brace comes after the lists.
    text.pop();
    gate.write_all(&text)?;
    // Reading the lists again takes as long as looking whether each element is JSON, or as writing them out.
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(WAITING_AT_MOST);
        let reading = scope.spawn(|| lists(report, Sender { block: Block::default(), send }));
        let (send, checked) = sync_channel(WAITING_AT_MOST);
        scope.spawn(move || {
            // A writer that failed takes no more, and neither does this then.
            receive.iter().map(Block::checked).try_for_each(|block| send.send(block))
        });
        let mut framing = Framing::default();
        checked.iter().try_for_each(|block| framing.write(&block, &mut gate))?;
        drop(checked);
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    gate.flush()?;
    Ok(())
}

/// What a stretch of a block is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Written as it stands.
    Text,
    /// A file of findings begins: what each of its systems begins with.
    File,
    /// A finding.
    Finding,
    /// A finding that is not JSON.
    NoFinding,
    /// A problem of an examination.
    Problem,
    /// A problem that is not JSON.
    NoProblem,
    /// The rest of a line, which ends an examination.
    Line,
    /// A line that is not JSON.
    NoLine,
    /// Trouble with a line, as a JSON string.
    Trouble,
}

/// A stretch of the case on its way from the thread that reads it over the one that checks it to the one that writes it.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    /// What stands there, and how long each is.
    parts: Vec<(Kind, usize)>,
}

impl Block {
    fn push(&mut self, kind: Kind, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.parts.push((kind, bytes.len()));
    }

    fn parts(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.parts.iter().map(move |(kind, length)| {
            let (part, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
            rest = after;
            (*kind, part)
        })
    }

    /// Every element asked whether it is JSON.
    fn checked(self) -> Self {
        let is_json = |json: &[u8]| serde_json::from_slice::<&RawValue>(json).is_ok();
        let parts = self.parts().map(|(kind, bytes)| {
            let kind = match kind {
                Kind::Finding if !is_json(bytes) => Kind::NoFinding,
                Kind::Problem if !is_json(bytes) => Kind::NoProblem,
                Kind::Line if !is_json(bytes) => Kind::NoLine,
                kind => kind,
            };
            (kind, bytes.len())
        });
        let parts = parts.collect();
        Self { parts, bytes: self.bytes }
    }
}

/// Hands on blocks.
struct Sender {
    block: Block,
    send: SyncSender<Block>,
}

impl Sender {
    fn push(&mut self, kind: Kind, bytes: &[u8]) -> io::Result<()> {
        self.block.push(kind, bytes);
        if self.block.bytes.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        self.block.bytes.reserve(BLOCK_BYTES);
        self.send.send(block).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Examinations and acts in full, to the end of the report.
fn lists(report: &Report, mut out: Sender) -> Result<(), Error> {
    out.push(Kind::Text, b",\n\"examinations\":[")?;
    for (act, name) in &report.finding_files {
        if let Ok(file) = source::exhibit_file(&report.folder, name) {
            let exhibit = serde_json::to_string(name)?;
            let begin = format!("{{\"act\":{act},\"exhibit\":{exhibit},\"findings\":[");
            out.push(Kind::File, begin.as_bytes())?;
            let file = BufReader::with_capacity(1 << 18, file);
            scan(file, &LONG_ARRAYS, &mut |passed| match passed {
                Passed::Element(0, json) => out.push(Kind::Finding, trimmed(json)),
                Passed::Element(_, json) => out.push(Kind::Problem, trimmed(json)),
                Passed::Line(json) => out.push(Kind::Line, trimmed(json)),
                Passed::Trouble(text) => {
                    out.push(Kind::Trouble, serde_json::to_string(&text)?.as_bytes())
                }
            })?;
        }
    }
    out.push(Kind::Text, b"],\n\"acts\":[")?;
    for (number, signed) in (1_u64..).zip(casebook::acts(&report.folder)?) {
        let signed = signed?;
        let comma = if number > 1 { ",\n" } else { "\n" };
        let begin = format!("{comma}{{\"number\":{number},\"hash\":\"{}\",\"act\":", signed.hash());
        out.push(Kind::Text, begin.as_bytes())?;
        out.push(Kind::Text, signed.act_bytes())?;
        out.push(Kind::Text, b"}")?;
    }
    out.push(Kind::Text, b"]}\n")?;
    out.flush()?;
    Ok(())
}

/// Without the blanks of JSON (RFC 8259, 2) around it.
fn trimmed(json: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = json.iter().position(|byte| !is_blank(byte)).unwrap_or(json.len());
    let end =
        json.iter().rposition(|byte| !is_blank(byte)).map_or(start, |at| at.saturating_add(1));
    json.get(start..end).unwrap_or_default()
}

/// Puts what was read together: an object for each system, its findings before its name, since so they stand in the file.
#[derive(Default)]
struct Framing {
    /// What each system of this file begins with.
    begin: Vec<u8>,
    is_open: bool,
    /// Whether an object stands before.
    is_after: bool,
    findings: u64,
    unreadable: u64,
    problems: Problems,
}

impl Framing {
    fn write(&mut self, block: &Block, out: &mut impl Write) -> io::Result<()> {
        for (kind, bytes) in block.parts() {
            match kind {
                Kind::Text => {
                    out.write_all(bytes)?;
                    continue;
                }
                Kind::File => {
                    self.begin = bytes.to_vec();
                    continue;
                }
                _ => {}
            }
            if !self.is_open {
                out.write_all(if self.is_after { b",\n" } else { b"\n" })?;
                out.write_all(&self.begin)?;
                (self.is_open, self.is_after) = (true, true);
            }
            match kind {
                Kind::Finding => {
                    out.write_all(if self.findings > 0 { b",\n" } else { b"\n" })?;
                    out.write_all(bytes)?;
                    self.findings = self.findings.saturating_add(1);
                }
                Kind::NoFinding => self.unreadable = self.unreadable.saturating_add(1),
                Kind::Problem => self.problems.take(bytes),
                Kind::NoProblem => self.problems.pass(),
                Kind::Line => {
                    self.end(out)?;
                    out.write_all(b",\"examination\":")?;
                    out.write_all(bytes)?;
                    out.write_all(b"}")?;
                }
                Kind::NoLine => {
                    self.end(out)?;
                    out.write_all(b",\"trouble\":\"the line is not JSON\"}")?;
                }
                Kind::Trouble => {
                    self.end(out)?;
                    out.write_all(b",\"trouble\":")?;
                    out.write_all(bytes)?;
                    out.write_all(b"}")?;
                }
                Kind::Text | Kind::File => {}
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.problems.write(out, self.unreadable)?;
        (self.is_open, self.findings, self.unreadable) = (false, 0, 0);
        Ok(())
    }
}

/// Problems of the examination at hand.
#[derive(Default)]
struct Problems {
    json: Vec<u8>,
    total: u64,
}

impl Problems {
    fn pass(&mut self) {
        self.total = self.total.saturating_add(1);
    }

    fn take(&mut self, json: &[u8]) {
        self.pass();
        if self.json.len().saturating_add(json.len()) < PROBLEM_BYTES_AT_MOST {
            self.json.extend_from_slice(if self.json.is_empty() { b"" } else { b"," });
            self.json.extend_from_slice(json);
        }
    }

    fn write(&mut self, out: &mut impl Write, unreadable: u64) -> io::Result<()> {
        out.write_all(b"],\"problems\":[")?;
        out.write_all(&self.json)?;
        write!(out, "],\"problems_in_all\":{},\"unreadable\":{unreadable}", self.total)?;
        *self = Self::default();
        Ok(())
    }
}
