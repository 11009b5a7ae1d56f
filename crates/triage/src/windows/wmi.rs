//! Consumers of WMI events, by their text in `OBJECTS.DATA`: what they are bound to, and what they would run.
//!
//! The repository's index and page map are not followed, so a binding that was deleted and not yet written over is found
//! too, and one whose texts are torn by a page's end may be missed.

use super::Windows;
use super::command;
use crate::Severity;
use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::parse::bytes::Bytes;
use std::collections::BTreeMap;

const PLACES: &[&str] =
    &["/system32/wbem/repository/objects.data", "/system32/wbem/repository/fs/objects.data"];
/// Bytes of the repository that are looked through; real ones have some tens of megabytes.
const MAX_BYTES: u64 = 1 << 30;
const PIECE_BYTES: usize = 4 << 20;
/// Bytes around a place that are looked at, and by which pieces overlap.
const AROUND_BYTES: usize = 8 << 10;
/// Bindings every Windows has.
const DELIVERED: &[&str] = &["SCM Event Log Consumer", "BVTConsumer"];
/// Kinds of consumers that run something.
const RUNNING: &[&str] = &["CommandLineEventConsumer", "ActiveScriptEventConsumer"];
const MARK: &[u8] = b"EventConsumer.Name=\"";
/// Bindings told.
const MAX_TOLD: usize = 64;

/// A consumer that is bound to a filter.
#[derive(Default)]
struct Consumer {
    offset_bytes: u64,
    filter: Option<String>,
    /// What it would run, as far as it was found near its name.
    texts: Vec<String>,
}

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    for place in PLACES {
        let path = [windows.folder.as_slice(), place.as_bytes()].concat();
        let Some(item) = windows.tree.item(&path).filter(|item| item.is_file()) else { continue };
        let file = context.root.open(item);
        let mut found: BTreeMap<(String, String), Consumer> = BTreeMap::new();
        pieces(&file, &mut |at, raw| bindings(at, raw, &mut found));
        if found.is_empty() {
            continue;
        }
        pieces(&file, &mut |_, raw| {
            for ((kind, name), consumer) in &mut found {
                texts(raw, kind, name, consumer);
            }
        });
        for ((kind, name), consumer) in found {
            if DELIVERED.contains(&name.as_str()) {
                continue;
            }
            let runs = RUNNING.contains(&kind.as_str());
            let shown = consumer.texts.join(" | ");
            let sign = consumer.texts.iter().find_map(|text| command::sign(text));
            let severity = match sign {
                Some(sign) => sign.severity.min(Severity::High),
                None if runs => Severity::High,
                None => Severity::Low,
            };
            let filter = consumer
                .filter
                .map_or(String::new(), |name| format!(", bound to the filter \"{name}\""));
            let text = format!("{kind} \"{name}\"{filter}");
            let mut spot = Spot::file(item.path)
                .detail(evidence::escape_bytes(text.as_bytes()))
                .severity(severity)
                .run(
                    Run::active("the system", "when the event of its filter happens")
                        .what(shown.as_bytes()),
                );
            spot.excerpt = if shown.is_empty() { text.into_bytes() } else { shown.into_bytes() };
            spot.offset_bytes = usize::try_from(consumer.offset_bytes).ok();
            spot.subject = format!("{kind}\0{name}");
            context.report("GBX-WIN-0601", spot);
        }
    }
}

/// Gives the file in pieces that overlap.
fn pieces(file: &dyn Bytes, visit: &mut dyn FnMut(u64, &[u8])) {
    let end = file.size_bytes().min(MAX_BYTES);
    let mut buf = vec![0; PIECE_BYTES];
    let mut at = 0_u64;
    while at < end {
        let got = file.read_at(at, &mut buf);
        if got == 0 {
            break;
        }
        visit(at, buf.get(..got).unwrap_or(&[]));
        let step = if got == PIECE_BYTES { got.saturating_sub(AROUND_BYTES) } else { got };
        at = at.saturating_add(u64::try_from(step).unwrap_or(u64::MAX));
    }
}

/// Places of a text.
fn places<'r>(raw: &'r [u8], text: &'r [u8]) -> impl Iterator<Item = usize> + 'r {
    let first = text.first().copied().unwrap_or(0);
    let starts = raw.iter().enumerate().filter(move |(_, byte)| **byte == first).map(|(at, _)| at);
    starts.filter(move |at| raw.get(*at..).is_some_and(|rest| rest.starts_with(text)))
}

fn quoted(raw: &[u8]) -> Option<String> {
    let end = raw.iter().take(512).position(|byte| *byte == b'"')?;
    let name = raw.get(..end)?;
    let is_text = name.iter().all(|byte| *byte >= 0x20);
    is_text.then(|| String::from_utf8_lossy(name).into_owned())
}

/// References to consumers, as bindings hold them: the class, and the name in quotation marks.
fn bindings(at: u64, raw: &[u8], found: &mut BTreeMap<(String, String), Consumer>) {
    for start in places(raw, MARK) {
        let before = raw.get(..start).unwrap_or(&[]);
        let letters =
            before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
        let from = start.saturating_sub(letters.count());
        let kind = String::from_utf8_lossy(raw.get(from..start).unwrap_or(&[])).into_owned();
        let kind = format!("{kind}EventConsumer");
        let name_at = start.saturating_add(MARK.len());
        let Some(name) = raw.get(name_at..).and_then(quoted) else { continue };
        if found.len() >= MAX_TOLD && !found.contains_key(&(kind.clone(), name.clone())) {
            return;
        }
        let near = raw.get(start.saturating_sub(1024)..start.saturating_add(1024).min(raw.len()));
        let near = near.unwrap_or(&[]);
        let mark = b"__EventFilter.Name=\"";
        let filter = places(near, mark)
            .next()
            .and_then(|at| quoted(near.get(at.saturating_add(mark.len())..)?));
        let consumer = found.entry((kind, name)).or_default();
        if consumer.filter.is_none() {
            consumer.filter = filter;
            consumer.offset_bytes = at.saturating_add(u64::try_from(start).unwrap_or(0));
        }
    }
}

/// Texts of the consumer itself: an instance has its strings together, one behind the other, its name among them.
fn texts(raw: &[u8], kind: &str, name: &str, consumer: &mut Consumer) {
    if !RUNNING.contains(&kind) || consumer.texts.len() >= 8 {
        return;
    }
    let wanted = [b"\0".as_slice(), name.as_bytes(), b"\0"].concat();
    for at in places(raw, &wanted) {
        let near =
            raw.get(at.saturating_sub(4096)..at.saturating_add(4096).min(raw.len())).unwrap_or(&[]);
        for text in near.split(|byte| *byte == 0) {
            let is_text = text.len() >= 8
                && text.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\r' | b'\n' | b'\t'));
            if !is_text {
                continue;
            }
            let text = String::from_utf8_lossy(text).into_owned();
            let folded = text.to_lowercase();
            let is_command = [
                ".exe",
                "powershell",
                "cmd",
                "script",
                ".vbs",
                ".js",
                "createobject",
                "http",
                "\\",
            ]
            .iter()
            .any(|word| folded.contains(word));
            let is_reference =
                folded.contains("eventconsumer.name=") || folded.contains("__eventfilter");
            if is_command
                && !is_reference
                && !consumer.texts.contains(&text)
                && consumer.texts.len() < 8
            {
                consumer.texts.push(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only we vouch: the shape is that of published samples of such repositories.
    #[test]
    fn a_binding_is_found_with_what_it_runs() {
        let mut raw = vec![7; 300];
        raw.extend(b"\0CommandLineEventConsumer\0\0C:\\Users\\Public\\x.exe -k\0evil\0\x01\x02");
        raw.extend([9; 100]);
        raw.extend(b"\0CommandLineEventConsumer.Name=\"evil\"\0\0__EventFilter.Name=\"tick\"\0");
        let mut found = BTreeMap::new();
        bindings(0, &raw, &mut found);
        let key = ("CommandLineEventConsumer".to_owned(), "evil".to_owned());
        let mut consumer = found.remove(&key).unwrap();
        texts(&raw, &key.0, &key.1, &mut consumer);
        assert_eq!(consumer.filter.as_deref(), Some("tick"));
        assert_eq!(consumer.texts, ["C:\\Users\\Public\\x.exe -k"]);
        assert!(found.is_empty());
    }
}
