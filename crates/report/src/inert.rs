//! Text from a case made inert: it cannot steer a terminal, a browser or the reader's eye.
//!
//! Triage escapes what it takes from evidence, but a note, a label or a tampered file can hold anything, so
//! everything is looked at again on its way out. A backslash stays as it is, since escapes made earlier must
//! stay readable; what is made visible here is marked by the writer, where its format can mark.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::{Serialize, Serializer};

/// Characters kept of one text. Longer ones are cut with their length said; the whole stands in the case.
const KEPT_CHARS: usize = 2000;
/// Marks that pile up over a letter; more than this many in a row are shown by their numbers.
const MARKS_IN_A_ROW: usize = 2;

/// A text of the case, bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text {
    kept: String,
    cut_chars: usize,
}

impl Text {
    /// Keeps the beginning of `text`, and how much more there was.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.char_indices().nth(KEPT_CHARS) {
            None => Self { kept: text.to_owned(), cut_chars: 0 },
            Some((end, _)) => {
                let (kept, rest) = text.split_at_checked(end).unwrap_or((text, ""));
                Self { kept: kept.to_owned(), cut_chars: rest.chars().count() }
            }
        }
    }

    /// The beginning that was kept; not yet safe to show.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.kept
    }

    /// How many characters are not kept.
    #[must_use]
    pub fn cut_chars(&self) -> usize {
        self.cut_chars
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Safe to show anywhere, on one line.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut out = plain(&self.kept);
        if self.cut_chars > 0 {
            let _ = write!(out, " […{} more characters]", self.cut_chars);
        }
        out
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.cut_chars == 0 {
            return serializer.serialize_str(&self.kept);
        }
        serializer.collect_str(&format_args!("{} […{} more characters]", self.kept, self.cut_chars))
    }
}

/// A stretch of text, as it may be shown.
pub(crate) enum Piece<'a> {
    /// Characters that show as what they are.
    Plain(&'a str),
    /// One that does not.
    Odd(char),
}

/// Takes a text apart into what shows as it is and what must be named.
pub(crate) fn pieces<'a>(
    text: &'a str,
    each: &mut dyn FnMut(Piece<'a>) -> io::Result<()>,
) -> io::Result<()> {
    let (mut start, mut marks) = (0, 0_usize);
    for (at, letter) in text.char_indices() {
        if letter.is_ascii() && !letter.is_ascii_control() {
            marks = 0;
            continue;
        }
        marks = if is_mark(letter) { marks.saturating_add(1) } else { 0 };
        if is_deceptive(letter) || marks > MARKS_IN_A_ROW {
            if let Some(before) = text.get(start..at).filter(|before| !before.is_empty()) {
                each(Piece::Plain(before))?;
            }
            each(Piece::Odd(letter))?;
            start = at.saturating_add(letter.len_utf8());
        }
    }
    match text.get(start..).filter(|rest| !rest.is_empty()) {
        Some(rest) => each(Piece::Plain(rest)),
        None => Ok(()),
    }
}

/// How a character that does not show is named.
pub(crate) fn named(letter: char) -> String {
    match letter {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        other => format!("\\u{{{:x}}}", u32::from(other)),
    }
}

/// The text with everything named that does not show.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Writing to a String cannot fail.
    let _ = pieces(text, &mut |piece| {
        match piece {
            Piece::Plain(part) => out.push_str(part),
            Piece::Odd(letter) => out.push_str(&named(letter)),
        }
        Ok(())
    });
    out
}

/// Control, format, reordering, invisible and blank characters; lone parts of other scripts are left alone.
pub(crate) fn is_deceptive(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
                | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}'
                | '\u{3000}' | '\u{3164}' | '\u{a0}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{110bd}' | '\u{110cd}'
                | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}')
}

fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// A writer of JSON whose strings cannot act on a terminal: JSON lets any character of a string stand as `\uXXXX`,
/// and outside of strings there is none of these.
pub(crate) struct JsonGate<W> {
    out: W,
    /// Bytes of a character whose rest has not come yet.
    held: Vec<u8>,
}

impl<W: Write> JsonGate<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, held: Vec::new() }
    }

    fn pass(&mut self, text: &str) -> io::Result<()> {
        let mut start = 0;
        for (at, letter) in
            text.char_indices().filter(|(_, letter)| !letter.is_ascii() || *letter == '\u{7f}')
        {
            if is_deceptive(letter) {
                self.out.write_all(text.get(start..at).unwrap_or_default().as_bytes())?;
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    write!(self.out, "\\u{unit:04x}")?;
                }
                start = at.saturating_add(letter.len_utf8());
            }
        }
        self.out.write_all(text.get(start..).unwrap_or_default().as_bytes())
    }
}

impl<W: Write> Write for JsonGate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.is_empty() && bytes.is_ascii() && !bytes.contains(&0x7f) {
            self.out.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.pass(chunk.valid())?;
            if chunks.peek().is_none() && chunk.invalid().len() < 4 {
                // Either the beginning of a character, or what the next call shows to be none.
                self.held = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                self.pass("\u{fffd}")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_show_is_named() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(plain("x\u{202e}fdp.exe"), "x\\u{202e}fdp.exe");
        assert_eq!(plain("Zürich \\x1b"), "Zürich \\x1b");
        let pile = format!("o{}", "\u{301}".repeat(30));
        assert_eq!(plain(&pile).matches("\\u{301}").count(), 28);
    }

    #[test]
    fn long_texts_are_cut_and_say_so() {
        let text = Text::new(&"ü".repeat(1 << 20));
        assert_eq!(text.raw().chars().count(), KEPT_CHARS);
        assert!(text.plain().ends_with(" […1046576 more characters]"));
    }

    proptest::proptest! {
        /// The text of a JSON string may be written in pieces cut anywhere; its meaning stays.
        #[test]
        fn json_keeps_its_meaning(text: String, cut in 0_usize..64) {
            let json = serde_json::to_vec(&text).unwrap();
            let mut out = Vec::new();
            let mut gate = JsonGate::new(&mut out);
            let (first, second) = json.split_at(cut.min(json.len()));
            gate.write_all(first).unwrap();
            gate.write_all(second).unwrap();
            let safe = String::from_utf8(out).unwrap();
            proptest::prop_assert!(!safe.chars().any(is_deceptive));
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        }

        #[test]
        fn nothing_deceptive_is_left(text: String) {
            proptest::prop_assert!(!plain(&text).chars().any(is_deceptive));
        }
    }
}
