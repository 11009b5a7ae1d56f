//! Paragraphs of `Name: value` fields, as Debian's control files, indices and databases have them.
//!
//! Follows Debian Policy 5.1: a line that begins with a blank continues the field above it, an empty line ends the paragraph.
//! Field names are compared without regard to case. A line that is neither is an error with its number: an index is read only
//! after its digest was found right, so disorder there means that it is no index.

use std::io::BufRead;
use std::ops::Range;

use crate::{Error, Result};

/// Longest paragraph, in bytes; the longest in Debian has about 200 KiB.
const MAX_PARAGRAPH_BYTES: usize = 8 << 20;

/// One paragraph: fields in the order of the file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Paragraph {
    text: String,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Paragraph {
    /// The value of a field, without blanks around it; lines that continue it follow after a line feed.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All fields in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().filter_map(|(name, value)| {
            Some((self.text.get(name.clone())?, self.text.get(value.clone())?.trim()))
        })
    }

    fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }
}

/// Reads paragraphs one after the other into the same memory.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    what: String,
    line: u64,
    raw: Vec<u8>,
    paragraph: Paragraph,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `input`; `what` names it in errors.
    pub fn new(input: R, what: &str) -> Self {
        let (raw, paragraph) = (Vec::new(), Paragraph::default());
        Self { input, what: what.to_owned(), line: 0, raw, paragraph }
    }

    /// The next paragraph, or `None` at the end.
    ///
    /// # Errors
    /// When reading fails, a line is no field, a name stands twice, or a paragraph is longer than 8 MiB.
    pub fn next_paragraph(&mut self) -> Result<Option<&Paragraph>> {
        self.paragraph.clear();
        loop {
            self.raw.clear();
            let room = MAX_PARAGRAPH_BYTES.saturating_sub(self.paragraph.text.len());
            let count =
                read_line(&mut self.input, &mut self.raw, room).map_err(Error::io(&self.what))?;
            self.line = self.line.saturating_add(1);
            if count > room {
                let limit_bytes = u64::try_from(MAX_PARAGRAPH_BYTES).unwrap_or(u64::MAX);
                let what = format!("paragraph of {}, line {}", self.what, self.line);
                return Err(Error::TooLarge { what, limit_bytes });
            }
            let line = String::from_utf8_lossy(&self.raw);
            let line = line.trim_end_matches(['\n', '\r']);
            if count == 0 || line.trim().is_empty() {
                if !self.paragraph.fields.is_empty() {
                    return Ok(Some(&self.paragraph));
                }
                if count == 0 {
                    return Ok(None);
                }
                continue;
            }
            add(&mut self.paragraph, line).map_err(|reason| {
                Error::malformed(&self.what, format!("line {}", self.line), reason)
            })?;
        }
    }
}

/// Reads one line with its line feed; stops with more than `room` bytes when it is longer.
fn read_line(input: &mut impl BufRead, raw: &mut Vec<u8>, room: usize) -> std::io::Result<usize> {
    let limit = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
    std::io::Read::take(input, limit).read_until(b'\n', raw)
}

fn add(paragraph: &mut Paragraph, line: &str) -> std::result::Result<(), String> {
    let Paragraph { text, fields } = paragraph;
    if line.starts_with([' ', '\t']) {
        let (_, value) = fields.last_mut().ok_or("begins with a continued line")?;
        text.push('\n');
        text.push_str(line);
        value.end = text.len();
        return Ok(());
    }
    if line.starts_with('#') {
        return Ok(());
    }
    let (name, value) = line.split_once(':').ok_or("is neither a field nor a continued line")?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has no field name".to_owned());
    }
    let is_double = fields
        .iter()
        .any(|(own, _)| text.get(own.clone()).is_some_and(|own| own.eq_ignore_ascii_case(name)));
    if is_double {
        return Err(format!("gives {name} a second time"));
    }
    let start = text.len();
    text.push_str(name);
    let middle = text.len();
    text.push_str(value);
    fields.push((start..middle, middle..text.len()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<Paragraph>> {
        let mut reader = Reader::new(text, "sample");
        let mut found = Vec::new();
        while let Some(paragraph) = reader.next_paragraph()? {
            found.push(paragraph.clone());
        }
        Ok(found)
    }

    #[test]
    fn paragraphs_fields_and_continued_lines() {
        let found = all(b"\n\nA: 1\nb:2\n c\n\td\n# x\n\n\nC:\n").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get("a"), Some("1"));
        assert_eq!(found[0].get("B"), Some("2\n c\n\td"));
        assert_eq!(found[0].get("D"), None);
        assert_eq!(found[1].get("c"), Some(""));
    }

    #[test]
    fn disorder_is_named_with_its_line() {
        for (text, line) in
            [(&b" x\n"[..], "1"), (b"A: 1\nnothing\n", "2"), (b"A: 1\nB: 2\na: 3\n", "3")]
        {
            let told = all(text).unwrap_err().to_string();
            assert!(told.contains(&format!("line {line}")), "{told}");
        }
    }

    #[test]
    fn endless_paragraphs_end() {
        let mut text = b"A: ".to_vec();
        text.resize(MAX_PARAGRAPH_BYTES + 10, b'x');
        assert!(matches!(all(&text), Err(Error::TooLarge { .. })));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = all(&bytes);
        }
    }
}
