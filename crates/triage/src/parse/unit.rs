//! systemd unit files (systemd.syntax(7)): sections, keys, values, lines continued by a backslash.

use super::lines;

/// One setting of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The section it stands in.
    pub section: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
    /// The value, continued lines joined by a blank.
    pub value: Vec<u8>,
    /// Line number of the key, from 1.
    pub line: usize,
    /// Byte offset of that line.
    pub offset_bytes: usize,
}

/// The settings of a unit in order.
#[must_use]
pub fn parse(raw: &[u8]) -> Vec<Setting> {
    let mut out: Vec<Setting> = Vec::new();
    let mut section = Vec::new();
    let mut is_continued = false;
    for (line, offset_bytes, text) in lines(raw) {
        let text = text.trim_ascii();
        if matches!(text.first(), Some(b'#' | b';')) || (text.is_empty() && !is_continued) {
            continue;
        }
        let (body, goes_on) = match text.strip_suffix(b"\\") {
            Some(body) => (body.trim_ascii_end(), true),
            None => (text, false),
        };
        if is_continued {
            if let Some(last) = out.last_mut() {
                last.value.push(b' ');
                last.value.extend_from_slice(body);
            }
        } else if let Some(name) = text.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"))
        {
            section = name.to_vec();
        } else if let Some(at) = body.iter().position(|byte| *byte == b'=') {
            let key = body.get(..at).unwrap_or(&[]).trim_ascii().to_vec();
            let value = body.get(at.saturating_add(1)..).unwrap_or(&[]).trim_ascii().to_vec();
            out.push(Setting { section: section.clone(), key, value, line, offset_bytes });
        } else {
            is_continued = false;
            continue;
        }
        is_continued = goes_on;
    }
    out
}

/// Whether a key names a command that is run.
#[must_use]
pub fn is_command(key: &[u8]) -> bool {
    key.starts_with(b"Exec") && key != b"ExecSearchPath" && key != b"ExecPaths"
}
