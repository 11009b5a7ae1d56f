//! The binary form of XML in event records: tokens, names by their place in the chunk, and templates with values put in.
//!
//! What comes out is flat: the path of elements (attributes behind `@`), and the text. Everything is bounded, and what
//! makes no sense ends the record with what was read so far.

use super::super::bytes::{le16, le32, le64, size};

/// Tokens read of one record.
const MAX_TOKENS: usize = 1 << 14;
/// Fragments inside fragments.
const MAX_DEPTH: usize = 8;
/// Elements inside elements.
const MAX_ELEMENTS: usize = 64;
/// Longest text kept of one value, in bytes.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// Paths and texts, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Such as `Event/System/EventID` and `Event/System/Provider@Name`; data with a name is `Event/EventData/Name`.
    pub all: Vec<(String, String)>,
    /// Whether everything was understood.
    pub is_whole: bool,
}

impl Fields {
    /// The first text whose path ends so.
    #[must_use]
    pub fn text(&self, end: &str) -> Option<&str> {
        self.all.iter().find(|(path, _)| path.ends_with(end)).map(|(_, text)| text.as_str())
    }

    /// The number of the event.
    #[must_use]
    pub fn event(&self) -> Option<u32> {
        self.text("System/EventID")?.parse().ok()
    }
}

/// A value to be put into a template: its type and where it lies in the chunk.
#[derive(Clone, Copy)]
struct Value {
    kind: u8,
    from: usize,
    to: usize,
}

/// Whether elements are preceded by a dependency, as in templates and records but not in values that are fragments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Elements {
    WithDependency,
    Plain,
}

struct Reader<'a> {
    chunk: &'a [u8],
    fields: Fields,
    stack: Vec<String>,
    /// The attribute whose value comes next.
    attribute: Option<String>,
    tokens: usize,
}

/// Reads the fragment between two places of a chunk.
#[must_use]
pub fn read(chunk: &[u8], from: usize, to: usize) -> Fields {
    let mut reader =
        Reader { chunk, fields: Fields::default(), stack: Vec::new(), attribute: None, tokens: 0 };
    let is_whole = reader.fragment(from, to, &[], Elements::WithDependency, 0).is_some();
    reader.fields.is_whole = is_whole;
    reader.fields
}

impl Reader<'_> {
    fn u8(&self, at: usize) -> Option<u8> {
        self.chunk.get(at).copied()
    }

    /// Reads tokens until the end of the fragment; where it ended.
    fn fragment(
        &mut self,
        from: usize,
        to: usize,
        values: &[Value],
        elements: Elements,
        depth: usize,
    ) -> Option<usize> {
        if depth > MAX_DEPTH {
            return None;
        }
        let floor = self.stack.len();
        let mut at = from;
        while at < to {
            self.tokens = self.tokens.checked_add(1).filter(|count| *count < MAX_TOKENS)?;
            let token = self.u8(at)?;
            at = at.checked_add(1)?;
            match token & !0x40 {
                0x00 => return Some(at),
                0x01 => {
                    if elements == Elements::WithDependency {
                        at = at.checked_add(2)?;
                    }
                    let (name, next) = self.name(at.checked_add(4)?)?;
                    if self.stack.len() > MAX_ELEMENTS {
                        return None;
                    }
                    self.stack.push(name);
                    self.attribute = None;
                    // A list of attributes has its length in front.
                    at = if token & 0x40 == 0 { next } else { next.checked_add(4)? };
                }
                0x02 => self.attribute = None,
                0x03 | 0x04 => {
                    self.attribute = None;
                    if self.stack.len() > floor {
                        self.stack.pop();
                    }
                }
                0x05 => {
                    // Text of the type of strings: a count of letters, and the letters.
                    let count = usize::from(le16(self.chunk, at.checked_add(1)?)?);
                    let start = at.checked_add(3)?;
                    let end = start.checked_add(count.checked_mul(2)?)?;
                    self.emit(&utf16(self.chunk.get(start..end)?));
                    at = end;
                }
                0x06 => {
                    let (name, next) = self.name(at)?;
                    self.attribute = Some(name);
                    at = next;
                }
                0x07 | 0x0b => {
                    let count = usize::from(le16(self.chunk, at)?);
                    let start = at.checked_add(2)?;
                    let end = start.checked_add(count.checked_mul(2)?)?;
                    self.emit(&utf16(self.chunk.get(start..end)?));
                    at = end;
                }
                0x08 => at = at.checked_add(2)?,
                0x09 | 0x0a => at = self.name(at)?.1,
                0x0c => at = self.template(at, to, depth)?,
                0x0d | 0x0e => {
                    let index = usize::from(le16(self.chunk, at)?);
                    at = at.checked_add(3)?;
                    if let Some(value) = values.get(index).copied() {
                        self.substitute(value, depth)?;
                    }
                }
                0x0f => at = at.checked_add(3)?,
                _ => return None,
            }
        }
        Some(at)
    }

    /// A name at the place that stands at `at`, and where reading goes on: behind the name where it stands right there.
    fn name(&self, at: usize) -> Option<(String, usize)> {
        let place = size(le32(self.chunk, at)?);
        let next = at.checked_add(4)?;
        let count = usize::from(le16(self.chunk, place.checked_add(6)?)?);
        let start = place.checked_add(8)?;
        let end = start.checked_add(count.checked_mul(2)?)?;
        let name = utf16(self.chunk.get(start..end)?);
        Some((name, if place == next { end.checked_add(2)? } else { next }))
    }

    /// A template with its values.
    fn template(&mut self, at: usize, to: usize, depth: usize) -> Option<usize> {
        // One byte, the template's number, its place in the chunk.
        let place = size(le32(self.chunk, at.checked_add(5)?)?);
        let mut next = at.checked_add(9)?;
        let length = size(le32(self.chunk, place.checked_add(20)?)?);
        let body = place.checked_add(24)?;
        let body_end = body.checked_add(length).filter(|end| *end <= self.chunk.len())?;
        if place == next {
            next = body_end;
        }
        let count = size(le32(self.chunk, next)?);
        let table = next.checked_add(4)?;
        let mut data = table.checked_add(count.checked_mul(4)?).filter(|end| *end <= to)?;
        let mut values = Vec::new();
        for index in 0..count {
            let entry = table.checked_add(index.checked_mul(4)?)?;
            let end = data.checked_add(usize::from(le16(self.chunk, entry)?))?;
            if end > to {
                return None;
            }
            values.push(Value { kind: self.u8(entry.checked_add(2)?)?, from: data, to: end });
            data = end;
        }
        self.fragment(body, body_end, &values, Elements::WithDependency, depth.checked_add(1)?)?;
        Some(data)
    }

    fn substitute(&mut self, value: Value, depth: usize) -> Option<()> {
        let Value { kind, from, to } = value;
        if kind == 0x21 {
            // A fragment with a template of its own, or one without.
            let floor = self.stack.len();
            self.fragment(from, to, &[], Elements::Plain, depth.checked_add(1)?)?;
            self.stack.truncate(floor);
            return Some(());
        }
        if let Some(text) = text_of(kind, self.chunk.get(from..to)?) {
            self.emit(&text);
        }
        Some(())
    }

    fn emit(&mut self, text: &str) {
        let mut text = text;
        if text.len() > MAX_TEXT_BYTES {
            let end = (0..=MAX_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end));
            text = text.get(..end.unwrap_or(0)).unwrap_or("");
        }
        let last = self.stack.last().map_or("", String::as_str);
        // Data is told apart by its name.
        if last == "Data" && self.attribute.as_deref() == Some("Name") {
            if let Some(last) = self.stack.last_mut() {
                text.clone_into(last);
            }
            return;
        }
        let mut path = self.stack.join("/");
        if let Some(attribute) = &self.attribute {
            path.push('@');
            path.push_str(attribute);
        }
        self.fields.all.push((path, text.to_owned()));
    }
}

fn utf16(raw: &[u8]) -> String {
    let units = raw.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    let text: String = char::decode_utf16(units).map(|one| one.unwrap_or('\u{fffd}')).collect();
    text.trim_end_matches('\0').to_owned()
}

/// A value as text; `None` where there is none.
fn text_of(kind: u8, raw: &[u8]) -> Option<String> {
    let signed = |raw: &[u8]| -> Option<i64> {
        Some(match raw.len() {
            1 => i64::from(i8::from_le_bytes([*raw.first()?])),
            2 => i64::from(i16::from_le_bytes(*raw.first_chunk()?)),
            4 => i64::from(i32::from_le_bytes(*raw.first_chunk()?)),
            _ => i64::from_le_bytes(*raw.first_chunk()?),
        })
    };
    let unsigned = |raw: &[u8]| -> Option<u64> {
        Some(match raw.len() {
            1 => u64::from(*raw.first()?),
            2 => u64::from(le16(raw, 0)?),
            4 => u64::from(le32(raw, 0)?),
            _ => le64(raw, 0)?,
        })
    };
    if raw.is_empty() {
        return None;
    }
    let text = match kind {
        0x01 | 0x81 => utf16(raw).replace('\0', " "),
        0x02 => String::from_utf8_lossy(raw).trim_end_matches('\0').to_owned(),
        0x03 | 0x05 | 0x07 | 0x09 => signed(raw)?.to_string(),
        0x04 | 0x06 | 0x08 | 0x0a | 0x10 => unsigned(raw)?.to_string(),
        0x0d => (unsigned(raw)? != 0).to_string(),
        0x11 => unsigned(raw)?.to_string(),
        0x13 => super::super::windows::sid(raw)?,
        0x14 | 0x15 => format!("{:#x}", unsigned(raw)?),
        _ => raw.iter().take(256).map(|byte| format!("{byte:02x}")).collect(),
    };
    Some(text)
}
