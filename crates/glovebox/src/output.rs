//! Two ways of saying the same: text for people, versioned JSON lines for programs.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Version of the JSON lines. A field may be added without raising it, never removed or changed.
const VERSION: u32 = 1;

/// How a verb answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub(crate) struct Format {
    /// Answer in JSON lines
    #[arg(long = "json")]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    glovebox: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

impl Format {
    /// True for JSON lines.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Writes one record: as a JSON line of this type, or as the text `human` makes of it.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub(crate) fn record<T: Serialize>(
        self,
        kind: &str,
        body: &T,
        human: impl FnOnce() -> String,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, &Line { glovebox: VERSION, kind, body })?;
            writeln!(out)?;
        } else {
            let text = human();
            if !text.is_empty() {
                writeln!(out, "{text}")?;
            }
        }
        out.flush()
    }
}

/// Talk for the person at the terminal.
pub(crate) fn say(text: &str) {
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// Paints text if a person reads it on a terminal that has not asked for none.
pub(crate) fn paint(text: &str, colour: Colour) -> String {
    if io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        let code = match colour {
            Colour::Red => "31;1",
            Colour::Yellow => "33",
            Colour::Green => "32",
            Colour::Bold => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// The few colours used.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Colour {
    /// Danger.
    Red,
    /// Doubt.
    Yellow,
    /// As it should be.
    Green,
    /// A heading.
    Bold,
}

/// A size for people, in binary units.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A table whose columns are as wide as they must be.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}", width = *width))
                .collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".into(), "b".into()], vec!["long".into(), "c".into()]];
        assert_eq!(table(&rows), "a     b\nlong  c");
    }
}
