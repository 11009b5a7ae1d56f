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
    // Reading the lists again takes as long as writing them out.
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel(WAITING_AT_MOST);
        let reading = scope.spawn(|| lists(report, Blocks { block: Vec::new(), send }));
        for block in receive {
            gate.write_all(&block)?;
        }
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    gate.flush()?;
    Ok(())
}

/// What a thread writes, block by block for another one.
struct Blocks {
    block: Vec<u8>,
    send: SyncSender<Vec<u8>>,
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.block.extend_from_slice(bytes);
        if self.block.len() >= BLOCK_BYTES {
            self.flush()?;
            self.block.reserve(BLOCK_BYTES);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        self.send.send(block).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Examinations and acts in full, to the end of the report.
fn lists(report: &Report, mut out: Blocks) -> Result<(), Error> {
    out.write_all(b",\n\"examinations\":[")?;
    let mut is_first = true;
    for (act, name) in &report.finding_files {
        if let Ok(file) = source::exhibit_file(&report.folder, name) {
            let file = BufReader::with_capacity(1 << 18, file);
            examination(&mut out, file, (*act, name), &mut is_first)?;
        }
    }
    out.write_all(b"],\n\"acts\":[")?;
    for (number, signed) in (1_u64..).zip(casebook::acts(&report.folder)?) {
        let signed = signed?;
        let comma = if number > 1 { ",\n" } else { "\n" };
        write!(out, "{comma}{{\"number\":{number},\"hash\":\"{}\",\"act\":", signed.hash())?;
        out.write_all(signed.act_bytes())?;
        out.write_all(b"}")?;
    }
    out.write_all(b"]}\n")?;
    out.flush()?;
    Ok(())
}

/// One file of findings: an object for each system in it, its findings before its name, since so they stand in the file.
fn examination(
    out: &mut impl Write,
    file: impl io::BufRead,
    (act, name): (u64, &str),
    is_first: &mut bool,
) -> io::Result<()> {
    let mut problems = Problems::default();
    let (mut is_open, mut findings, mut unreadable) = (false, 0_u64, 0_u64);
    let exhibit = serde_json::to_string(name)?;
    scan(file, &LONG_ARRAYS, &mut |passed| {
        if !is_open {
            out.write_all(if *is_first { b"\n" } else { b",\n" })?;
            write!(out, "{{\"act\":{act},\"exhibit\":{exhibit},\"findings\":[")?;
            (is_open, *is_first) = (true, false);
        }
        match passed {
            Passed::Element(0, json) => match serde_json::from_slice::<&RawValue>(json) {
                Ok(finding) => {
                    out.write_all(if findings > 0 { b",\n" } else { b"\n" })?;
                    out.write_all(finding.get().as_bytes())?;
                    findings = findings.saturating_add(1);
                }
                Err(_) => unreadable = unreadable.saturating_add(1),
            },
            Passed::Element(_, json) => problems.take(json),
            Passed::Line(json) => {
                problems.write(out, unreadable)?;
                match serde_json::from_slice::<&RawValue>(json) {
                    Ok(line) => write!(out, ",\"examination\":{}}}", line.get())?,
                    Err(_) => out.write_all(b",\"trouble\":\"the line is not JSON\"}")?,
                }
                (is_open, findings, unreadable) = (false, 0, 0);
            }
            Passed::Trouble(text) => {
                problems.write(out, unreadable)?;
                write!(out, ",\"trouble\":{}}}", serde_json::to_string(&text)?)?;
                (is_open, findings, unreadable) = (false, 0, 0);
            }
        }
        Ok(())
    })?;
    Ok(())
}

#[derive(Default)]
struct Problems {
    json: Vec<u8>,
    total: u64,
}

impl Problems {
    fn take(&mut self, json: &[u8]) {
        self.total = self.total.saturating_add(1);
        let fits = self.json.len().saturating_add(json.len()) < PROBLEM_BYTES_AT_MOST;
        if fits && serde_json::from_slice::<&RawValue>(json).is_ok() {
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
