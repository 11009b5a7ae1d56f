//! How digests are shown: as they come, or as a list in a form that other programs read.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use evidence::fs::digest::Digested;
use hashing::{Algorithms, Content, Digests, Form, PieceDigests};
use serde::Serialize;

use super::gather::{Gathered, Gatherer, Kind, Naming, unread};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say};

/// Where and how.
pub(super) struct Output<'a> {
    pub(super) format: Format,
    pub(super) algorithms: &'a Algorithms,
}

#[derive(Serialize)]
struct Hashed<'a> {
    target: &'a str,
    size_bytes: u64,
    /// Counted as zeros in the digests.
    unreadable_bytes: u64,
    digests: &'a Digests,
}

#[derive(Serialize)]
struct Piece<'a> {
    target: String,
    offset_bytes: u64,
    length_bytes: u64,
    digests: &'a Digests,
}

impl Output<'_> {
    /// Digests as they come, `sha256sum`'s way; with `--json` our own records.
    ///
    /// # Errors
    /// If a target cannot be opened or the output not written.
    pub(super) fn one_by_one(
        &self,
        gatherer: &Gatherer<'_>,
        targets: &[String],
    ) -> Result<Exit, Failure> {
        let mut exit = Exit::Clean;
        for word in targets {
            let partial = match gatherer.kind(word)? {
                Kind::Inside => self.inside(gatherer, word)?,
                Kind::Disk { name, source } => {
                    let (content, _, unreadable_bytes) = gatherer.disk(&name, &*source)?;
                    self.disk(&name, &content, unreadable_bytes)?;
                    let said = unread(unreadable_bytes);
                    said.map(|text| say(&format!("problem: {name}: {text}"))).is_some()
                }
                Kind::Tree if targets.len() == 1 && self.format.is_json() => {
                    let report = gatherer.tree(Path::new(word))?;
                    self.write(report.manifest.to_json_lines().as_bytes())?;
                    for problem in &report.problems {
                        let path = hashing::escape_name(&problem.path);
                        say(&format!("problem: {path}: {}", problem.reason));
                    }
                    !report.problems.is_empty()
                }
                Kind::Tree => {
                    // All trees together: one list, with names that tell them apart.
                    let trees = self.trees(gatherer, targets)?;
                    if trees.first() != Some(word) {
                        continue;
                    }
                    let gathered = gatherer.all(&trees, naming(targets))?;
                    self.list(&gathered, self.form(Form::Sum))? == Exit::Partial
                }
            };
            if partial {
                exit = Exit::Partial;
            }
        }
        Ok(exit)
    }

    fn form(&self, form: Form) -> Form {
        if self.format.is_json() { Form::Manifest } else { form }
    }

    fn trees(&self, gatherer: &Gatherer<'_>, targets: &[String]) -> Result<Vec<String>, Failure> {
        let mut trees = Vec::new();
        for word in targets {
            if matches!(gatherer.kind(word)?, Kind::Tree) {
                trees.push(word.clone());
            }
        }
        Ok(trees)
    }

    /// A whole list in a form; says what the form has no place for.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn list(&self, gathered: &Gathered, form: Form) -> Result<Exit, Failure> {
        let written = gathered.manifest.to_form(self.form(form), self.algorithms);
        self.write(&written.text)?;
        for (path, pieces) in &gathered.pieces {
            for piece in pieces {
                self.piece(path, piece)?;
            }
        }
        gathered.say_problems();
        for left_out in &written.left_out {
            let path = hashing::escape_name(&left_out.path);
            say(&format!("problem: not in the list: {path}: {}", left_out.reason));
        }
        let whole = gathered.problems.is_empty() && written.left_out.is_empty();
        Ok(if whole { Exit::Clean } else { Exit::Partial })
    }

    fn piece(&self, path: &[u8], piece: &PieceDigests) -> io::Result<()> {
        let body = Piece {
            target: hashing::escape_name(path),
            offset_bytes: piece.offset_bytes,
            length_bytes: piece.length_bytes,
            digests: &piece.digests,
        };
        let last = piece.offset_bytes + piece.length_bytes.saturating_sub(1);
        self.format.record("piece", &body, || {
            // As md5deep writes pieces.
            let lines = piece.digests.iter().map(|digest| {
                let (hex, from) = (digest.to_hex(), piece.offset_bytes);
                format!("{hex}  {} offset {from}-{last}", body.target)
            });
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    /// Text as it is; on a terminal with everything escaped that could steer it.
    pub(super) fn write(&self, text: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            let lines: Vec<String> =
                text.split(|byte| *byte == b'\n').map(evidence::escape_bytes).collect();
            out.write_all(lines.join("\n").as_bytes())?;
        } else {
            out.write_all(text)?;
        }
        out.flush()
    }

    fn disk(&self, name: &str, content: &Content, unreadable_bytes: u64) -> io::Result<()> {
        let Content::File { size_bytes, digests } = content else { return Ok(()) };
        let body =
            Hashed { target: name, size_bytes: size_bytes.unwrap_or(0), unreadable_bytes, digests };
        self.format.record("hash", &body, || {
            let lines: Vec<String> = digests
                .iter()
                .map(|digest| {
                    format!("{}  {name}  ({})", digest.to_hex(), digest.algorithm().name())
                })
                .collect();
            lines.join("\n")
        })
    }

    /// A file or a tree inside a disk or image.
    fn inside(&self, gatherer: &Gatherer<'_>, word: &str) -> Result<bool, Failure> {
        let mut lines = BufWriter::new(io::stdout().lock());
        let mut failure = None;
        let (address, problems) = gatherer.walk(word, &mut |_, address, one| {
            if failure.is_none() {
                failure = self.line(&mut lines, address, &one).err();
            }
        })?;
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        lines.flush()?;
        for problem in &problems {
            say(&format!("problem: {address}: {problem}"));
        }
        Ok(!problems.is_empty())
    }

    fn line(&self, out: &mut impl Write, address: &str, one: &Digested) -> io::Result<()> {
        let Some(digests) = &one.digests else { return Ok(()) };
        let target = format!("{address}:{}", one.visit.path);
        if self.format.is_json() {
            let body = Hashed {
                target: &target,
                size_bytes: one.visit.metadata.size_bytes,
                unreadable_bytes: one.holes.iter().map(|hole| hole.length_bytes).sum(),
                digests,
            };
            return self.format.record("hash", &body, String::new);
        }
        let several = digests.iter().count() > 1;
        for digest in digests.iter() {
            let kind =
                if several { format!("  ({})", digest.algorithm().name()) } else { String::new() };
            writeln!(out, "{}  {target}{kind}", digest.to_hex())?;
        }
        Ok(())
    }
}

fn naming(targets: &[String]) -> Naming {
    if targets.len() > 1 { Naming::Whole } else { Naming::Below }
}
