//! The elements of long JSON arrays, one at a time, in bounded memory.
//!
//! `triage.jsonl` holds one line for each system examined, and in it an array of findings that may be a million long.
//! No line is held: the bytes pass by, and what stands in a named array is handed out element by element, the rest of
//! the line at its end with these arrays left empty.

use std::io::{self, BufRead};

/// Longest element handed out.
const ELEMENT_BYTES_AT_MOST: usize = 16 << 20;
/// Most of a line beside its elements.
const REST_BYTES_AT_MOST: usize = 32 << 20;
const KEY_BYTES_AT_MOST: usize = 64;

/// What passed by.
pub(crate) enum Passed<'a> {
    /// An element of the array with this index among those asked for.
    Element(usize, &'a [u8]),
    /// A line without the elements of those arrays.
    Line(&'a [u8]),
    /// Something that could not be handed out.
    Trouble(String),
}

/// Reads lines of JSON objects; arrays at `(outer key, inner key)` of each line are taken apart.
///
/// # Errors
/// When the reader fails or `each` does. What is no JSON is trouble, not an error.
pub(crate) fn scan(
    mut reader: impl BufRead,
    arrays: &[(&str, &str)],
    each: &mut dyn FnMut(Passed<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut scanner = Scanner { arrays, ..Scanner::default() };
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return scanner.end_of_line(each);
        }
        let taken = chunk.len();
        scanner.chunk(chunk, each)?;
        reader.consume(taken);
    }
}

#[derive(Default)]
struct Scanner<'a> {
    arrays: &'a [(&'a str, &'a str)],
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The last string seen outside of an array, and the keys that lead here.
    string: Vec<u8>,
    keys: [Vec<u8>; 2],
    /// The array we are in.
    array: Option<usize>,
    element: Vec<u8>,
    element_lost: bool,
    rest: Vec<u8>,
    rest_lost: bool,
    lines: u64,
}

/// What has a meaning outside of strings, by byte: a look instead of eight comparisons.
const MATTERS: [bool; 256] = {
    let mut all = [false; 256];
    let mut marks: &[u8] = b"\"{}[],\n";
    while let [mark, rest @ ..] = marks {
        #[expect(
            clippy::indexing_slicing,
            clippy::as_conversions,
            reason = "a byte is below 256; const"
        )]
        {
            all[*mark as usize] = true;
        }
        marks = rest;
    }
    all
};

fn matters(byte: u8) -> bool {
    MATTERS.get(usize::from(byte)).copied().unwrap_or(true)
}

/// Depth inside the array of a line: line object, outer object, array.
const IN_ARRAY: u32 = 3;

impl Scanner<'_> {
    fn chunk(
        &mut self,
        chunk: &[u8],
        each: &mut dyn FnMut(Passed<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left = chunk;
        while let Some((&byte, after)) = left.split_first() {
            if self.array.is_some() {
                let rest = self.element_part(left);
                if rest.len() < left.len() {
                    left = rest;
                    continue;
                }
            }
            if self.in_string {
                left = self.string_part(left, each)?;
                continue;
            }
            left = after;
            match byte {
                b'"' => {
                    self.in_string = true;
                    self.string.clear();
                    self.push(&[byte]);
                }
                b'{' | b'[' => self.opens(byte),
                b'}' | b']' => self.closes(byte, each)?,
                b',' if self.at_elements() => self.end_of_element(each)?,
                b':' => {
                    if self.array.is_none() && (1..IN_ARRAY).contains(&self.depth) {
                        let key = if self.depth == 1 { 0 } else { 1 };
                        if let Some(place) = self.keys.get_mut(key) {
                            std::mem::swap(place, &mut self.string);
                        }
                    }
                    self.push(&[byte]);
                }
                b'\n' => self.end_of_line(each)?,
                b' ' | b'\t' | b'\r' => {}
                _ => self.push(&[byte]),
            }
        }
        Ok(())
    }

    /// Takes as much of an element as there is, in one go; gives what is left. It stops before what ends the element,
    /// the array or the line, which is not for it to judge.
    fn element_part<'b>(&mut self, chunk: &'b [u8]) -> &'b [u8] {
        let (mut in_string, mut escaped, mut depth) = (self.in_string, self.escaped, self.depth);
        let mut end = 0_usize;
        while let Some(left @ [first, ..]) = chunk.get(end..) {
            if escaped && *first != b'\n' {
                escaped = false;
                end = end.saturating_add(1);
                continue;
            }
            // Most bytes stand in strings, and few of them matter.
            let found = if in_string {
                memchr::memchr3(b'"', b'\\', b'\n', left)
            } else {
                left.iter().position(|byte| matters(*byte))
            };
            let Some((found, byte)) = found.and_then(|at| Some((at, *left.get(at)?))) else {
                end = chunk.len();
                break;
            };
            end = end.saturating_add(found);
            match byte {
                b'\n' => break,
                b'\\' => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' => depth = depth.saturating_add(1),
                _ if depth == IN_ARRAY => break,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            end = end.saturating_add(1);
        }
        let (part, left) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
        (self.in_string, self.escaped, self.depth) = (in_string, escaped, depth);
        self.push(part);
        left
    }

    /// Takes the part of a string up to the next byte that matters; gives what is left.
    fn string_part<'b>(
        &mut self,
        chunk: &'b [u8],
        each: &mut dyn FnMut(Passed<'_>) -> io::Result<()>,
    ) -> io::Result<&'b [u8]> {
        if self.escaped {
            self.escaped = false;
            let (one, left) = chunk.split_at_checked(1).unwrap_or((chunk, &[]));
            // A line feed is never part of a string, even behind a backslash.
            if one != b"\n" {
                self.push(one);
                return Ok(left);
            }
        }
        let end = chunk
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | b'\n'))
            .unwrap_or(chunk.len());
        let (plain, left) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
        self.push(plain);
        if self.array.is_none() && self.string.len() < KEY_BYTES_AT_MOST {
            self.string.extend(plain.iter().take(KEY_BYTES_AT_MOST));
        }
        let Some((&byte, left)) = left.split_first() else { return Ok(left) };
        match byte {
            b'\n' => self.end_of_line(each)?,
            b'\\' => {
                self.escaped = true;
                self.push(b"\\");
            }
            _ => {
                self.in_string = false;
                self.push(b"\"");
            }
        }
        Ok(left)
    }

    fn at_elements(&self) -> bool {
        self.array.is_some() && self.depth == IN_ARRAY
    }

    fn opens(&mut self, byte: u8) {
        if self.array.is_none() && self.depth == 2 && byte == b'[' {
            let [outer, inner] = &self.keys;
            self.array = self.arrays.iter().position(|(one, two)| {
                one.as_bytes() == outer.as_slice() && two.as_bytes() == inner.as_slice()
            });
            if self.array.is_some() {
                self.rest.push(byte);
                self.depth = IN_ARRAY;
                return;
            }
        }
        self.depth = self.depth.saturating_add(1);
        self.push(&[byte]);
    }

    fn closes(
        &mut self,
        byte: u8,
        each: &mut dyn FnMut(Passed<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.at_elements() {
            self.end_of_element(each)?;
            self.array = None;
        }
        self.depth = self.depth.saturating_sub(1);
        self.push(&[byte]);
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) {
        let (to, lost, limit) = if self.array.is_some() {
            (&mut self.element, &mut self.element_lost, ELEMENT_BYTES_AT_MOST)
        } else {
            (&mut self.rest, &mut self.rest_lost, REST_BYTES_AT_MOST)
        };
        if *lost || to.len().saturating_add(bytes.len()) > limit {
            *lost = true;
        } else {
            to.extend_from_slice(bytes);
        }
    }

    fn end_of_element(
        &mut self,
        each: &mut dyn FnMut(Passed<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.element_lost {
            let line = self.lines.saturating_add(1);
            each(Passed::Trouble(format!(
                "line {line} holds an element longer than {ELEMENT_BYTES_AT_MOST} bytes"
            )))?;
        } else if let (Some(array), element @ [_, ..]) = (self.array, self.element.trim_ascii()) {
            each(Passed::Element(array, element))?;
        }
        self.element.clear();
        self.element_lost = false;
        Ok(())
    }

    fn end_of_line(
        &mut self,
        each: &mut dyn FnMut(Passed<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let whole = self.depth == 0 && !self.in_string && self.array.is_none();
        if self.rest.is_empty() && self.element.is_empty() {
            return Ok(());
        }
        self.lines = self.lines.saturating_add(1);
        if !whole || self.rest_lost {
            let why = if self.rest_lost { "is too long" } else { "ends in the middle" };
            each(Passed::Trouble(format!("line {} {why}", self.lines)))?;
        } else {
            each(Passed::Line(&self.rest))?;
        }
        let (arrays, lines) = (self.arrays, self.lines);
        *self = Scanner { arrays, lines, ..Scanner::default() };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn run(text: &[u8], chunk_bytes: usize) -> Vec<String> {
        let mut seen = Vec::new();
        let reader = BufReader::with_capacity(chunk_bytes, text);
        scan(reader, &[("report", "findings"), ("report", "problems")], &mut |passed| {
            seen.push(match passed {
                Passed::Element(array, json) => {
                    format!("{array} {}", String::from_utf8_lossy(json))
                }
                Passed::Line(json) => format!("line {}", String::from_utf8_lossy(json)),
                Passed::Trouble(text) => format!("trouble {text}"),
            });
            Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn elements_and_the_rest() {
        let text = br#"{"address":"a, [\"b\"]","report":{"coverage":{"findings":[1]},"findings":[{"x":[1,{"y":"]},\\"}]}, 2 ,"s\"]"],"problems":[],"system":null}}
{"report":{"findings":[]}}
"#;
        let wanted = [
            r#"0 {"x":[1,{"y":"]},\\"}]}"#,
            "0 2",
            r#"0 "s\"]""#,
            r#"line {"address":"a, [\"b\"]","report":{"coverage":{"findings":[1]},"findings":[],"problems":[],"system":null}}"#,
            r#"line {"report":{"findings":[]}}"#,
        ];
        for chunk_bytes in [1, 2, 7, 4096] {
            assert_eq!(run(text, chunk_bytes), wanted);
        }
    }

    #[test]
    fn half_lines_are_trouble_and_the_next_line_is_read() {
        let seen = run(b"{\"report\":{\"findings\":[{\"a\":\"b\n{\"a\":1}\n{\"b\":", 3);
        assert_eq!(
            seen,
            [
                "trouble line 1 ends in the middle",
                "line {\"a\":1}",
                "trouble line 3 ends in the middle"
            ]
        );
        assert_eq!(run(b"\n\n", 1), Vec::<String>::new());
    }

    proptest::proptest! {
        /// An independent path: serde_json reads the whole line.
        #[test]
        fn serde_agrees(findings in proptest::collection::vec(".*", 0..8), chunk_bytes in 1_usize..40) {
            let value = serde_json::json!({ "address": "x", "report": { "findings": findings, "z": [1, 2] } });
            let seen = run(format!("{value}\n").as_bytes(), chunk_bytes);
            let read: Vec<String> = seen
                .iter()
                .filter_map(|one| one.strip_prefix("0 "))
                .map(|json| serde_json::from_str(json).unwrap())
                .collect();
            proptest::prop_assert_eq!(read, findings);
            proptest::prop_assert!(seen.last().is_some_and(|line| line.starts_with("line ")));
        }

        #[test]
        fn any_bytes_pass(bytes: Vec<u8>, chunk_bytes in 1_usize..9) {
            run(&bytes, chunk_bytes);
        }
    }
}
