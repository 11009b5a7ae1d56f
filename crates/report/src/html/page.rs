//! Writing HTML: every text of the case goes through one escaping function, everything else is a literal of this program.

use std::io::{self, Write};

use crate::Text;
use crate::inert::{Piece, named, pieces};

/// Characters of one text shown on the page.
const SHOWN_CHARS: usize = 600;

/// The page being written.
pub(crate) struct Page<'a> {
    out: &'a mut dyn Write,
}

impl<'a> Page<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out }
    }

    /// Markup of this program.
    pub(crate) fn raw(&mut self, markup: &str) -> io::Result<()> {
        self.out.write_all(markup.as_bytes())
    }

    /// Any text, escaped and inert.
    pub(crate) fn escaped(&mut self, text: &str) -> io::Result<()> {
        let out = &mut *self.out;
        pieces(text, &mut |piece| match piece {
            Piece::Plain(part) => escape(out, part),
            Piece::Odd(letter) => {
                out.write_all(b"<span class=\"odd\">")?;
                escape(out, &named(letter))?;
                out.write_all(b"</span>")
            }
        })
    }

    /// A text of the case: isolated, so that letters written from right to left do not move what stands around it.
    pub(crate) fn shown(&mut self, text: &Text) -> io::Result<()> {
        let raw = text.raw();
        let cut = raw.char_indices().nth(SHOWN_CHARS).map_or(raw.len(), |(at, _)| at);
        let (kept, rest) = raw.split_at_checked(cut).unwrap_or((raw, ""));
        self.raw("<bdi>")?;
        self.escaped(kept)?;
        self.raw("</bdi>")?;
        let more = rest.chars().count().saturating_add(text.cut_chars());
        if more > 0 {
            self.raw(&format!(
                " <span class=\"odd\">…{} more characters</span>",
                crate::words::number(crate::words::size_of(more))
            ))?;
        }
        Ok(())
    }

    /// The same in the face for names and digests.
    pub(crate) fn code(&mut self, text: &Text) -> io::Result<()> {
        self.raw("<code>")?;
        self.shown(text)?;
        self.raw("</code>")
    }

    /// A paragraph of this program's own words.
    pub(crate) fn paragraph(&mut self, text: &str) -> io::Result<()> {
        self.raw("<p>")?;
        self.escaped(text)?;
        self.raw("</p>\n")
    }

    /// A list of names and values; nothing when there are none.
    pub(crate) fn pairs(&mut self, pairs: &[(Text, Text)]) -> io::Result<()> {
        if pairs.is_empty() {
            return Ok(());
        }
        self.raw("<dl class=\"pairs\">")?;
        for (name, value) in pairs {
            let (name, value) = crate::words::field(name, value);
            self.raw("<div><dt>")?;
            self.shown(&name)?;
            self.raw("</dt><dd>")?;
            // Digests and keys in the face in which letters can be told apart.
            if is_digest(value.raw()) { self.code(&value) } else { self.shown(&value) }?;
            self.raw("</dd></div>")?;
        }
        self.raw("</dl>")
    }

    /// Begins a table; the head of each column is given to each cell too, for narrow screens.
    pub(crate) fn table<'h>(
        &mut self,
        caption: &str,
        heads: &'h [&'h str],
    ) -> io::Result<Table<'h>> {
        self.raw("<table>\n<caption>")?;
        self.escaped(caption)?;
        self.raw("</caption>\n<thead><tr>")?;
        for head in heads {
            self.raw("<th scope=\"col\">")?;
            self.escaped(head)?;
            self.raw("</th>")?;
        }
        self.raw("</tr></thead>\n<tbody>\n")?;
        Ok(Table { heads, next: 0 })
    }

    /// Ends a table.
    pub(crate) fn end_table(&mut self) -> io::Result<()> {
        self.raw("</tbody>\n</table>\n")
    }
}

/// A table being written; remembers which column comes next.
pub(crate) struct Table<'h> {
    heads: &'h [&'h str],
    next: usize,
}

impl Table<'_> {
    /// Writes the next cell; the first of a row names the row, the last ends it.
    pub(crate) fn cell(
        &mut self,
        page: &mut Page<'_>,
        content: impl FnOnce(&mut Page<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let head = self.heads.get(self.next).copied().unwrap_or_default();
        let is_first = self.next == 0;
        page.raw(if is_first { "<tr><th scope=\"row\" data-head=\"" } else { "<td data-head=\"" })?;
        page.escaped(head)?;
        page.raw("\">")?;
        content(page)?;
        page.raw(if is_first { "</th>" } else { "</td>" })?;
        self.next = self.next.saturating_add(1);
        if self.next >= self.heads.len() {
            self.next = 0;
            page.raw("</tr>\n")?;
        }
        Ok(())
    }
}

fn is_digest(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn escape(out: &mut dyn Write, text: &str) -> io::Result<()> {
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let entity: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            b'>' => b"&gt;",
            b'"' => b"&quot;",
            b'\'' => b"&#39;",
            _ => continue,
        };
        out.write_all(text.as_bytes().get(start..at).unwrap_or_default())?;
        out.write_all(entity)?;
        start = at.saturating_add(1);
    }
    out.write_all(text.as_bytes().get(start..).unwrap_or_default())
}
