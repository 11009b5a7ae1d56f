//! Reading lists of known digests line by line, whatever their size.
//!
//! NSRL RDS 2: NIST's "NSRL Reference Data Set format", a comma-separated file with a heading and quoted texts. Other such
//! lists are understood by the names of their columns, also what `sqlite3` exports of RDS 3.

use std::io::{self, BufRead, Read as _};

use crate::digest::decode_hex;
use crate::list::{Columns, by_digits, parse_tag};
use crate::manifest::keep_problem;
use crate::{Algorithm, Content, Digests, Error, Manifest};

/// Longest line taken; a list without line breaks must not fill the memory.
const LONGEST_LINE_BYTES: u64 = 64 * 1024;

/// How the lines of a list are to be taken.
enum Lines {
    /// Not known before the first.
    First,
    Plain,
    Hashdeep(Columns),
    /// The column of the digest, and its algorithm.
    Columns(usize, Algorithm),
    Manifest,
}

/// Raw digests of each algorithm.
#[derive(Default)]
pub(super) struct Gathered {
    raw: [Vec<u8>; Algorithm::ALL.len()],
    problems: Vec<Error>,
}

impl Gathered {
    /// Reads all lines.
    pub(super) fn read(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        let mut lines = Lines::First;
        let mut line = Vec::new();
        let mut number = 0usize;
        loop {
            line.clear();
            number = number.saturating_add(1);
            let count = from.by_ref().take(LONGEST_LINE_BYTES).read_until(b'\n', &mut line)?;
            if count == 0 {
                return Ok(());
            }
            let whole = line.ends_with(b"\n");
            let text = line.trim_ascii();
            let result = if whole || count < usize::try_from(LONGEST_LINE_BYTES).unwrap_or(0) {
                self.line(&mut lines, text)
            } else {
                skip_line(from)?;
                Err(format!("the line is longer than {LONGEST_LINE_BYTES} bytes"))
            };
            keep_problem(&mut self.problems, number, result);
        }
    }

    fn line(&mut self, lines: &mut Lines, text: &[u8]) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        if matches!(lines, Lines::First) {
            if let Some(begun) = kind(text) {
                *lines = begun;
                return Ok(());
            }
            *lines = Lines::Plain;
        }
        match lines {
            Lines::Hashdeep(columns) => match text.strip_prefix(b"%%%% ") {
                Some(head) => {
                    columns.heading(head);
                    Ok(())
                }
                None if text.starts_with(b"##") => Ok(()),
                None => self.content(&columns.entry(text)?.content),
            },
            Lines::Columns(place, algorithm) => {
                let field = field(text, *place).ok_or("fewer columns than the heading names")?;
                self.hex(*algorithm, &field)
            }
            Lines::Manifest => {
                let entry = Manifest::entry_of_json(text)?;
                match &entry.content {
                    Content::File { .. } => self.content(&entry.content),
                    _ => Ok(()),
                }
            }
            Lines::First | Lines::Plain => self.plain(text),
        }
    }

    /// A digest at the beginning of the line, alone or with a name behind it, or a tagged line.
    fn plain(&mut self, text: &[u8]) -> Result<(), String> {
        if text.starts_with(b"#") {
            return Ok(());
        }
        let text = text.strip_prefix(b"\\").unwrap_or(text);
        let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (hex, rest) = text.split_at_checked(digits).unwrap_or((text, &[]));
        let ends = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b',' | b';'));
        match by_digits(digits, Algorithm::Sha256) {
            Some(algorithm) if ends => self.hex(algorithm, hex),
            _ => {
                let (_, digest) =
                    parse_tag(text).map_err(|_| "no digest begins the line".to_owned())?;
                self.add(digest.algorithm(), digest.as_bytes());
                Ok(())
            }
        }
    }

    fn hex(&mut self, algorithm: Algorithm, hex: &[u8]) -> Result<(), String> {
        let bytes = std::str::from_utf8(hex).ok().and_then(decode_hex);
        let bytes = bytes.filter(|bytes| bytes.len() == algorithm.length_bytes());
        let bytes = bytes
            .ok_or_else(|| format!("\"{}\" is no {algorithm} digest", crate::escape_name(hex)))?;
        self.add(algorithm, &bytes);
        Ok(())
    }

    fn content(&mut self, content: &Content) -> Result<(), String> {
        let Content::File { digests, .. } = content else { return Ok(()) };
        let digest = Digests::strongest(digests).ok_or("no digest")?;
        self.add(digest.algorithm(), digest.as_bytes());
        Ok(())
    }

    fn add(&mut self, algorithm: Algorithm, bytes: &[u8]) {
        let place = Algorithm::ALL.iter().position(|one| *one == algorithm);
        if let Some(raw) = place.and_then(|place| self.raw.get_mut(place)) {
            raw.extend_from_slice(bytes);
        }
    }

    /// The digests of each algorithm, and the lines that were none.
    pub(super) fn into_parts(self) -> (Vec<(Algorithm, Vec<u8>)>, Vec<Error>) {
        (Algorithm::ALL.into_iter().zip(self.raw).collect(), self.problems)
    }
}

/// What a first line that is a heading says of the others; `None` if it is none.
fn kind(text: &[u8]) -> Option<Lines> {
    if text.starts_with(b"%%%% HASHDEEP-") {
        return Some(Lines::Hashdeep(Columns::default()));
    }
    if text.starts_with(b"{") && text.windows(17).any(|part| part == b"glovebox-manifest") {
        return Some(Lines::Manifest);
    }
    // The strongest of the columns that name a digest.
    let names: Vec<Option<Algorithm>> = (0..64)
        .map_while(|place| field(text, place))
        .map(|name| std::str::from_utf8(name.trim_ascii()).ok()?.parse().ok())
        .collect();
    let place = |algorithm: Algorithm| names.iter().position(|name| *name == Some(algorithm));
    Algorithm::BY_STRENGTH
        .into_iter()
        .find_map(|algorithm| Some(Lines::Columns(place(algorithm)?, algorithm)))
}

/// One field of a comma-separated line (RFC 4180): quoted or not, a quote in quotes doubled.
fn field(text: &[u8], place: usize) -> Option<Vec<u8>> {
    let mut fields = 0usize;
    let mut quoted = false;
    let mut found = Vec::new();
    for byte in text {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                if fields == place {
                    return Some(found);
                }
                fields = fields.saturating_add(1);
            }
            other if fields == place => found.push(*other),
            _ => {}
        }
    }
    (fields == place).then_some(found)
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let some = from.fill_buf()?;
        let end = some.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(some.len(), |end| end.saturating_add(1));
        let done = end.is_some() || some.is_empty();
        from.consume(used);
        if done {
            return Ok(());
        }
    }
}
