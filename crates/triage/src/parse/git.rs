//! git's configuration (git-config(1), "Syntax"): sections with subsections, keys, values that may be quoted and continued.

use super::{lines, words};

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `section.subsection.key`, section and key in lower case.
    pub key: Vec<u8>,
    /// The value without outer quotes.
    pub value: Vec<u8>,
    /// Line number from 1.
    pub line: usize,
    /// Byte offset of the line.
    pub offset_bytes: usize,
}

/// The settings of a file in order.
#[must_use]
pub fn parse(raw: &[u8]) -> Vec<Setting> {
    let mut out: Vec<Setting> = Vec::new();
    let mut section = Vec::new();
    let mut is_continued = false;
    for (line, offset_bytes, text) in lines(raw) {
        let text = text.trim_ascii();
        let (body, goes_on) = match text.strip_suffix(b"\\") {
            Some(body) => (body, true),
            None => (text, false),
        };
        if is_continued {
            if let Some(last) = out.last_mut() {
                last.value.extend_from_slice(body);
            }
            is_continued = goes_on;
            continue;
        }
        let mut rest = body;
        if let Some(inner) = rest.strip_prefix(b"[") {
            let end = inner.iter().position(|byte| *byte == b']').unwrap_or(inner.len());
            section = section_name(inner.get(..end).unwrap_or(&[]));
            rest = inner.get(end.saturating_add(1)..).unwrap_or(&[]).trim_ascii();
        }
        if matches!(rest.first(), None | Some(b'#' | b';')) {
            continue;
        }
        let at = rest.iter().position(|byte| *byte == b'=').unwrap_or(rest.len());
        let name = rest.get(..at).unwrap_or(&[]).trim_ascii().to_ascii_lowercase();
        let value = rest.get(at.saturating_add(1)..).unwrap_or(&[]).trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        let key = [section.as_slice(), b".", &name].concat();
        out.push(Setting { key, value: value.to_vec(), line, offset_bytes });
        is_continued = goes_on;
    }
    out
}

fn section_name(inner: &[u8]) -> Vec<u8> {
    match inner.iter().position(|byte| *byte == b'"') {
        Some(at) => {
            let name = inner.get(..at).unwrap_or(&[]).trim_ascii().to_ascii_lowercase();
            let sub = inner.get(at.saturating_add(1)..).unwrap_or(&[]);
            [name.as_slice(), b".", sub.strip_suffix(b"\"").unwrap_or(sub)].concat()
        }
        None => inner.trim_ascii().to_ascii_lowercase(),
    }
}

/// Whether a setting makes git run a program that is more than a plain name with options.
#[must_use]
pub fn runs_program(setting: &Setting) -> bool {
    let key = setting.key.as_slice();
    let value = setting.value.as_slice();
    let (section, name) = (
        key.split(|byte| *byte == b'.').next().unwrap_or(&[]),
        key.rsplit(|byte| *byte == b'.').next().unwrap_or(&[]),
    );
    let is_command = match section {
        b"core" => matches!(
            name,
            b"hookspath"
                | b"pager"
                | b"fsmonitor"
                | b"sshcommand"
                | b"editor"
                | b"askpass"
                | b"gitproxy"
        ),
        b"alias" => return value.first() == Some(&b'!'),
        b"filter" => matches!(name, b"clean" | b"smudge" | b"process"),
        b"credential" => name == b"helper",
        b"diff" => matches!(name, b"external" | b"command" | b"textconv"),
        b"merge" => name == b"driver",
        b"sequence" => name == b"editor",
        b"gpg" => name == b"program",
        b"pager" => true,
        b"init" => name == b"templatedir",
        b"uploadpack" => name == b"packobjectshook",
        b"remote" => matches!(name, b"uploadpack" | b"receivepack"),
        _ => false,
    };
    let first = words(value).first().copied().unwrap_or(&[]);
    let is_plain = value.iter().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'_' | b'%' | b'=' | b'.')
    }) && !first.starts_with(b".");
    is_command && !is_plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_settings_pass() {
        let run = |text: &str| parse(text.as_bytes()).iter().any(runs_program);
        assert!(!run("[core]\n\teditor = vim\n\tpager = less -FRX\n[alias]\n st = status\n"));
        assert!(!run("[filter \"lfs\"]\n clean = git-lfs clean -- %f\n"));
        assert!(!run("[remote \"origin\"]\n\turl = /srv/x.git\n"));
        assert!(run("[core] pager = nohup /opt/x & less\n"));
        assert!(run("[core]\n\thooksPath = /tmp/h\n"));
        assert!(run("[filter \"x\"]\n\tsmudge = sh -c 'x'\n"));
        assert!(run("[alias]\n\tst = !/opt/x\n"));
        let keys: Vec<Vec<u8>> =
            parse(b"[Filter \"Ab\"]\nCLEAN=x\n").into_iter().map(|one| one.key).collect();
        assert_eq!(keys, [b"filter.Ab.clean"]);
    }
}
