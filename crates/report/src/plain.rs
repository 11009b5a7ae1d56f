//! The report as plain text of 78 columns: for a terminal, a printer, a mail.

use std::io::{self, Write};

use crate::people::Entries;
use crate::spans::Spans;
use crate::words::{self, bytes, count, disk_verdict, number, size_of};
use crate::{Error, Level, Report, Text};

const WIDTH: usize = 78;
/// Entries of a list written out; text has no folding.
const LISTED: usize = 200;
/// Characters of one text written out.
const SHOWN_CHARS: usize = 600;

/// Writes the report as text.
///
/// # Errors
/// When `out` fails.
pub fn text(report: &Report, out: &mut dyn Write) -> Result<(), Error> {
    let mut page = Plain { out };
    let case = &report.case;
    page.line("REPORT OF AN EXAMINATION")?;
    page.fold(0, &shown(&case.name))?;
    page.line("")?;
    page.fold(
        2,
        &format!(
            "case {}, examiner {}, created {}",
            shown(&case.id),
            shown(&case.examiner),
            shown(&case.created)
        ),
    )?;
    page.fold(2, &format!("sealed: {}", words::sealing(&report.custody)))?;
    page.fold(2, &format!("public key {}", case.public_key))?;
    page.fold(2, &format!("head {}", case.head))?;
    page.line("")?;
    for one in words::statements(report) {
        let mark = match one.level {
            Level::Good => "[ok]  ",
            Level::Doubtful => "[look]",
            Level::Bad => "[BAD] ",
        };
        page.fold(0, &format!("{mark} {}: {}", one.about, one.headline))?;
        page.fold(7, &one.detail)?;
    }
    if !report.verdict.problems.is_empty() {
        page.heading("WHAT DOES NOT HOLD")?;
        page.items(&report.verdict.problems, report.verdict.problems_in_all)?;
    }
    examined(&mut page, report)?;
    machines(&mut page, report)?;
    findings(&mut page, report)?;
    times(&mut page, report)?;
    exhibits(&mut page, report)?;
    disks(&mut page, report)?;
    custody(&mut page, report)?;
    calls(&mut page, report)?;
    let people = &report.people;
    for (heading, list) in [("9. NOTES", &people.notes), ("   ATTACHMENTS", &people.attachments)] {
        page.heading(heading)?;
        entries(&mut page, list)?;
    }
    acts(&mut page, report)?;
    page.heading("10. LESSONS LEARNED")?;
    entries(&mut page, &people.lessons)?;
    page.heading("11. COST")?;
    entries(&mut page, &people.costs)?;
    page.heading("12. PROGRAMS USED")?;
    spans(&mut page, &report.tools)?;
    page.heading("13. LIMITS OF THIS REPORT, AND HOW TO CHECK IT")?;
    for limit in report.limits.iter().map(String::as_str).chain(words::BY_HAND) {
        page.fold(2, &format!("- {limit}"))?;
    }
    page.items(&report.verdict.interruptions, report.verdict.interruptions.len())?;
    Ok(())
}

fn shown(text: &Text) -> String {
    let plain = text.plain();
    match plain.char_indices().nth(SHOWN_CHARS) {
        None => plain,
        Some((at, _)) => {
            let (kept, rest) = plain.split_at_checked(at).unwrap_or((&plain, ""));
            let more = rest.chars().count().saturating_add(text.cut_chars());
            format!("{kept} […{} more characters]", number(size_of(more)))
        }
    }
}

fn pairs(pairs: &[(Text, Text)]) -> String {
    let said = pairs.iter().map(|(name, value)| words::field(name, value));
    said.map(|(name, value)| format!("{}: {}", shown(&name), shown(&value)))
        .collect::<Vec<_>>()
        .join("; ")
}

struct Plain<'a> {
    out: &'a mut dyn Write,
}

impl Plain<'_> {
    fn line(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.write_all(b"\n")
    }

    fn heading(&mut self, text: &str) -> io::Result<()> {
        self.line("")?;
        self.line(text)?;
        self.line(&"-".repeat(text.chars().count()))
    }

    /// Words of `text` in lines; what is longer than a line is broken, so that no line is wider than the page.
    fn fold(&mut self, indent: usize, text: &str) -> io::Result<()> {
        let blank = " ".repeat(indent);
        let room = WIDTH.saturating_sub(indent).max(20);
        let (mut line, mut used) = (String::new(), 0_usize);
        for word in text.split(' ') {
            let mut left = word;
            loop {
                let length = left.chars().count();
                let gap = usize::from(!line.is_empty());
                if used.saturating_add(gap).saturating_add(length) <= room {
                    if gap == 1 {
                        line.push(' ');
                    }
                    line.push_str(left);
                    used = used.saturating_add(gap).saturating_add(length);
                    break;
                }
                if !line.is_empty() {
                    self.line(&format!("{blank}{line}"))?;
                    line.clear();
                    used = 0;
                    continue;
                }
                let at = left.char_indices().nth(room).map_or(left.len(), |(at, _)| at);
                let (piece, rest) = left.split_at_checked(at).unwrap_or((left, ""));
                self.line(&format!("{blank}{piece}"))?;
                left = rest;
            }
        }
        if line.is_empty() { Ok(()) } else { self.line(&format!("{blank}{line}")) }
    }

    fn items(&mut self, items: &[Text], in_all: usize) -> io::Result<()> {
        for item in items.iter().take(LISTED) {
            self.fold(2, &format!("- {}", shown(item)))?;
        }
        self.more(size_of(in_all.saturating_sub(items.len().min(LISTED))))
    }

    fn more(&mut self, more: u64) -> io::Result<()> {
        if more == 0 {
            Ok(())
        } else {
            self.fold(2, &format!("… {} more; the JSON report holds all.", number(more)))
        }
    }
}

fn examined(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("1. WHAT WAS EXAMINED")?;
    let coverage = &report.coverage;
    for one in coverage.examined.iter().take(LISTED) {
        let findings =
            one.findings.map_or(String::new(), |many| format!(", {}", count(many, "finding")));
        page.fold(
            2,
            &format!("- {} ({}, act {}{findings})", shown(&one.what), shown(&one.how), one.act),
        )?;
        page.fold(4, &pairs(&one.facts))?;
    }
    let listed = size_of(coverage.examined.len().min(LISTED));
    page.more(
        size_of(coverage.examined.len())
            .saturating_add(coverage.examined_left_out)
            .saturating_sub(listed),
    )?;
    page.line("")?;
    page.line("  Not reached:")?;
    if coverage.not_reached_in_all == 0 {
        return page.line("  nothing is recorded as left out");
    }
    for one in coverage.not_reached.iter().take(LISTED) {
        let act = if one.act > 0 { format!(" (act {})", one.act) } else { String::new() };
        page.fold(2, &format!("- {}{act}", shown(&one.what)))?;
    }
    page.more(
        coverage.not_reached_in_all.saturating_sub(size_of(coverage.not_reached.len().min(LISTED))),
    )
}

fn machines(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("2. MACHINES AND CLOCKS")?;
    spans(page, &report.hosts)?;
    spans(page, &report.clocks)?;
    for span in &report.clocks.list {
        page.fold(2, &crate::html::clock_sentence(span))?;
    }
    for step in &report.clock_steps.list {
        let (before, after) = (shown(&step.before), shown(&step.after));
        page.fold(
            2,
            &format!("the clock went back before act {}: from {before} to {after}", step.act),
        )?;
    }
    Ok(())
}

fn spans(page: &mut Plain<'_>, spans: &Spans) -> io::Result<()> {
    for span in &spans.list {
        let acts = format!("acts {} to {} ({})", span.first_act, span.last_act, number(span.acts));
        page.fold(2, &format!("- {acts}: {}", pairs(&span.fields)))?;
    }
    page.more(spans.acts_left_out)
}

fn findings(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("3. FINDINGS")?;
    let mut left = LISTED.saturating_mul(5);
    let mut listed = 0_u64;
    for group in &report.findings.groups {
        let word = group.severity.word().to_uppercase();
        page.fold(
            0,
            &format!(
                "{word} {} {} ({})",
                shown(&group.rule),
                shown(&group.title),
                number(group.total)
            ),
        )?;
        page.fold(4, &format!("why: {}", shown(&group.why)))?;
        if !group.innocent.is_empty() {
            let innocent: Vec<String> = group.innocent.iter().map(shown).collect();
            page.fold(4, &format!("what else may explain it: {}", innocent.join("; ")))?;
        }
        page.fold(4, &format!("check by hand: {}", shown(&group.verify_by_hand)))?;
        for one in group.kept.iter().take(left) {
            listed = listed.saturating_add(1);
            page.fold(4, &format!("* {} on {}", shown(&one.path), shown(&one.address)))?;
            let said = [
                ("", &one.detail),
                ("> ", &one.excerpt),
                ("runs ", &one.runs),
                ("sha256 ", &one.sha256),
            ];
            for (name, value) in said {
                if !value.is_empty() {
                    page.fold(6, &format!("{name}{}", shown(value)))?;
                }
            }
        }
        left = left.saturating_sub(group.kept.len());
    }
    if report.findings.total == 0 {
        page.line("  none")?;
    }
    page.more(report.findings.total.saturating_sub(listed))
}

fn times(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("4. WHAT HAPPENED, IN ORDER OF TIME")?;
    let timeline = &report.timeline;
    if timeline.events.is_empty() {
        return page.line("  no finding has a time");
    }
    page.fold(2, "Times of the files that findings rest on, in UTC, as their file systems record them; they can be forged.")?;
    for event in timeline.events.iter().take(LISTED) {
        let (rule, path) = (shown(&event.rule), shown(&event.path));
        page.fold(
            2,
            &format!("{}  {:<8} {rule} {path} ({})", event.at, event.severity.word(), event.what),
        )?;
    }
    page.more(size_of(timeline.events_in_all.saturating_sub(timeline.events.len().min(LISTED))))
}

fn exhibits(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("5. EXHIBITS AND DIGESTS")?;
    let files: Vec<_> = report.exhibits.iter().flat_map(|exhibit| &exhibit.files).collect();
    for file in files.iter().take(LISTED) {
        let size = file.size_bytes.map_or(String::new(), |size| format!(", {}", bytes(size)));
        let fault = if file.does_not_hold { "  DOES NOT HOLD" } else { "" };
        page.fold(2, &format!("{} (act {}{size}){fault}", shown(&file.name), file.act))?;
        for (algorithm, value) in &file.digests {
            page.fold(4, &format!("{} {}", shown(algorithm), shown(value)))?;
        }
        page.fold(4, &pairs(&file.facts))?;
    }
    let listed = size_of(files.len().min(LISTED));
    page.more(
        size_of(files.len()).saturating_add(report.exhibit_files_left_out).saturating_sub(listed),
    )
}

fn disks(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("6. PROOF THAT NOTHING WAS WRITTEN")?;
    for disk in &report.disks.list {
        let (name, model, serial) = (shown(&disk.name), shown(&disk.model), shown(&disk.serial));
        page.fold(2, &format!("- {name} ({model}, serial {serial}): {}", disk_verdict(disk)))?;
        let (first, last) = (&disk.first, &disk.last);
        page.fold(
            4,
            &format!(
                "acts {} to {}: writes {} then {}, discards {} then {}, flushes {} then {}; {} times recorded, counted \
                 anew {} times",
                disk.first_act, disk.last_act, first.writes, last.writes, first.discards, last.discards, first.flushes,
                last.flushes, disk.snapshots, disk.restarts
            ),
        )?;
        for change in disk.changes.iter().take(20) {
            let when = if change.between { "before" } else { "during" };
            let (writes, discards, lock) =
                (change.by.writes, change.by.discards, shown(&change.lock));
            page.fold(
                4,
                &format!(
                    "{when} act {}: {writes} writes, {discards} discards, lock state {lock}",
                    change.act
                ),
            )?;
        }
    }
    page.more(report.disks.left_out)
}

fn custody(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("7. CHAIN OF CUSTODY")?;
    let text = |text: &str| shown(&Text::new(text));
    let custody = &report.custody;
    for chain in custody.chains.iter().take(LISTED) {
        let holder = text(chain.holder().unwrap_or("not recorded"));
        page.fold(2, &format!("- {}, held now by {holder}", text(&chain.exhibit)))?;
        if let (Some(act), Some(who)) = (chain.made_by_act, &chain.made_by) {
            let when = chain.made.as_ref().map_or("", |time| time.as_str());
            page.fold(4, &format!("made {when} by {} (act {act})", text(who)))?;
        }
        for link in &chain.links {
            let one = &link.hand_over;
            let mut line = format!(
                "{}: {} to {} (act {})",
                one.when,
                text(&one.from),
                text(&one.to),
                link.act
            );
            let seals = one.seals.join(", ");
            for (name, value) in [
                ("where", one.place.as_str()),
                ("purpose", &one.purpose),
                ("condition", &one.condition),
                ("seals", &seals),
                ("witness", one.witness.as_deref().unwrap_or_default()),
            ] {
                if !value.is_empty() {
                    line.push_str(&format!("; {name}: {}", text(value)));
                }
            }
            page.fold(4, &line)?;
        }
        for gap in &chain.gaps {
            page.fold(4, &format!("DOES NOT FIT: {}", text(gap)))?;
        }
    }
    page.more(size_of(custody.chains.len().saturating_sub(LISTED)))?;
    page.more(custody.left_out)?;
    let rest = report.people.custody.without(&custody.told);
    if rest.total > 0 || custody.chains.is_empty() { entries(page, &rest) } else { Ok(()) }
}

fn calls(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("8. CONTACTS")?;
    let text = |text: &str| shown(&Text::new(text));
    let calls = &report.custody.calls;
    for call in calls.iter().take(LISTED) {
        let one = &call.contact;
        let mut line = format!("- {}", text(&one.name));
        for (name, value) in [
            ("role", one.role.clone().unwrap_or_default()),
            ("team", one.team.clone().unwrap_or_default()),
            ("of", one.organisation.clone().unwrap_or_default()),
            ("telephone", one.phones.join(", ")),
            ("mail", one.emails.join(", ")),
            ("keys", one.keys.join(", ")),
            ("note", one.note.clone().unwrap_or_default()),
        ] {
            if !value.is_empty() {
                line.push_str(&format!("; {name} {}", text(&value)));
            }
        }
        page.fold(call.depth.min(10).saturating_mul(2).saturating_add(2), &line)?;
    }
    page.more(size_of(calls.len().saturating_sub(LISTED)))?;
    let rest = report.people.contacts.without(&report.custody.told);
    if rest.total > 0 || calls.is_empty() { entries(page, &rest) } else { Ok(()) }
}

fn entries(page: &mut Plain<'_>, entries: &Entries) -> io::Result<()> {
    if entries.total == 0 {
        return page.line("  none recorded");
    }
    for entry in entries.list.iter().take(LISTED) {
        let (recorded, who) = (shown(&entry.recorded), shown(&entry.who));
        page.fold(2, &format!("- {recorded} {who} (act {}, {})", entry.act, shown(&entry.verb)))?;
        page.fold(4, &pairs(&entry.fields))?;
    }
    page.more(entries.total.saturating_sub(size_of(entries.list.len().min(LISTED))))
}

fn acts(page: &mut Plain<'_>, report: &Report) -> io::Result<()> {
    page.heading("   ACTS")?;
    let acts = &report.acts;
    for (verb, outcomes) in &acts.by_verb {
        let words: Vec<String> =
            outcomes.iter().map(|(word, many)| format!("{} {word}", number(*many))).collect();
        page.fold(2, &format!("{verb}: {}", words.join(", ")))?;
    }
    let both = || acts.first.iter().chain(&acts.last);
    for act in both().take(LISTED) {
        let (verb, result, outcome) = (shown(&act.verb), shown(&act.result), shown(&act.outcome));
        page.fold(
            2,
            &format!("{}. {} {verb}: {result} {outcome}", act.number, shown(&act.started)),
        )?;
        page.fold(5, &pairs(&act.arguments))?;
    }
    page.more(acts.total.saturating_sub(size_of(both().take(LISTED).count())))
}
