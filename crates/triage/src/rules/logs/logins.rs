//! `wtmp`, `btmp` and `lastlog`: records blanked, cut, out of order, or missing though another file knows of them.

use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::utmp::{self, Record, Records};
use crate::root::Item;
use evidence::Time;

/// A step back in time that the clocks of honest systems do not make by themselves, in seconds.
const STEP_SECONDS: i64 = 3600;
/// How far the two files' times of one login may lie apart, in seconds.
const SAME_LOGIN_SECONDS: i64 = 60;
/// A login, a start of the system, and the clock before and after it was set.
const LOGIN: i16 = 7;
const BOOT: i16 = 2;
const CLOCK: [i16; 2] = [3, 4];

pub(super) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    let mut logins = Vec::new();
    let mut has_log = false;
    for pattern in ["/var/log/wtmp", "/var/log/wtmp.1", "/var/log/wtmp-*", "/var/log/btmp*"] {
        for item in root.matching(pattern) {
            let is_packed = [&b".gz"[..], b".xz", b".zst", b".bz2"]
                .iter()
                .any(|end| item.name().ends_with(end));
            if !item.is_file() || item.metadata.size_bytes == 0 || is_packed {
                continue;
            }
            let found = utmp::parse(&root.open(item));
            blanks(context, item, &found);
            order(context, item, &found);
            if item.name().starts_with(b"wtmp") {
                has_log = true;
                logins.extend(found.records);
            }
        }
    }
    if has_log {
        forgotten(context, &logins);
    }
}

/// Where a record lies in its file.
fn place(found: &Records, record: &Record) -> Option<usize> {
    usize::try_from(record.index.checked_mul(found.layout.record_bytes())?).ok()
}

fn told(record: &Record) -> Vec<u8> {
    let time = Time { seconds: record.seconds, nanoseconds: 0 }.to_string();
    let parts: [&[u8]; 4] = [time.as_bytes(), &record.user, &record.line, &record.host];
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(&b' ')
}

/// Records of nothing but zeros, and bytes that are no record.
fn blanks(context: &mut Context<'_>, item: Item<'_>, found: &Records) {
    let blank: Vec<&Record> = found.records.iter().filter(|record| record.is_blank).collect();
    if let Some(first) = blank.first() {
        let at = usize::try_from(first.index).unwrap_or(0);
        let before = at.checked_sub(1).and_then(|at| found.records.get(at));
        let after = found.records.iter().skip(at).find(|record| !record.is_blank);
        let mut detail = format!("{} of {} records are blank", blank.len(), found.records.len());
        for (word, record) in [("before", before), ("after", after)] {
            if let Some(record) = record {
                let text = evidence::escape_bytes(&told(record));
                detail.push_str(&format!("; the one {word}: {text}"));
            }
        }
        let mut spot = Spot::file(item.path).detail(detail);
        spot.offset_bytes = place(found, first);
        context.report("GBX-1602", spot);
    }
    if found.left_bytes > 0 {
        let detail = format!(
            "{} bytes at its end are no whole record of {} bytes",
            found.left_bytes,
            found.layout.record_bytes()
        );
        let mut spot = Spot::file(item.path).detail(detail);
        spot.subject = "cut".to_owned();
        context.report("GBX-1603", spot);
    }
}

/// Steps back in time that no record explains.
fn order(context: &mut Context<'_>, item: Item<'_>, found: &Records) {
    let mut last: Option<&Record> = None;
    let mut is_explained = false;
    for record in found.records.iter().filter(|record| !record.is_blank && record.kind != 0) {
        is_explained |= CLOCK.contains(&record.kind) || record.kind == BOOT;
        let step = last.map_or(0, |last| last.seconds.saturating_sub(record.seconds));
        if let Some(before) = last.filter(|_| step > STEP_SECONDS && !is_explained) {
            let text = evidence::escape_bytes(&told(before));
            let mut spot = Spot { excerpt: told(record), ..Spot::file(item.path) };
            spot.offset_bytes = place(found, record);
            let detail = format!("{step} seconds before the record in front of it: {text}");
            context.report("GBX-1603", spot.detail(detail));
            return;
        }
        is_explained = false;
        last = Some(record);
    }
}

/// Logins that `lastlog` has and `wtmp` should have.
fn forgotten(context: &mut Context<'_>, logins: &[Record]) {
    let root = context.root;
    let times = logins.iter().filter(|record| !record.is_blank && record.seconds > 0);
    let Some(begin) = times.map(|record| record.seconds).min() else { return };
    let Some(item) = root.item(b"/var/log/lastlog").filter(|item| item.is_file()) else { return };
    let file = root.open(item);
    for account in &root.accounts {
        let Some((seconds, line, host)) = utmp::last_login(&file, account.uid) else { continue };
        let is_known = logins.iter().any(|record| {
            record.kind == LOGIN
                && record.seconds.abs_diff(seconds) <= SAME_LOGIN_SECONDS.unsigned_abs()
        });
        if seconds < begin || is_known {
            continue;
        }
        let time = Time { seconds, nanoseconds: 0 }.to_string();
        let parts: [&[u8]; 4] = [&account.name, time.as_bytes(), &line, &host];
        let mut spot = Spot { excerpt: parts.join(&b' '), ..Spot::file(item.path) };
        let at = u64::from(account.uid).saturating_mul(utmp::LASTLOG_BYTES);
        spot.offset_bytes = usize::try_from(at).ok();
        context.report("GBX-1604", spot.severity(Severity::High));
    }
}
