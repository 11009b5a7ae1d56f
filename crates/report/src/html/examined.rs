//! What was examined, on which machines, by which clocks and programs, and what cannot be said.

use std::io;

use super::page::Page;
use crate::Report;
use crate::spans::{Span, Spans};
use crate::words::{BY_HAND, count, number, size_of};

pub(super) fn coverage(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    let coverage = &report.coverage;
    if coverage.examined.is_empty() {
        page.paragraph("No act of this case read a disk, an image or a system.")?;
    } else {
        let mut table =
            page.table("Sources read", &["What", "How", "Act", "Findings", "What is known"])?;
        for one in &coverage.examined {
            table.cell(page, |page| page.code(&one.what))?;
            table.cell(page, |page| page.shown(&one.how))?;
            table.cell(page, |page| page.raw(&one.act.to_string()))?;
            table.cell(page, |page| page.raw(&one.findings.map_or("–".to_owned(), number)))?;
            table.cell(page, |page| page.pairs(&one.facts))?;
        }
        page.end_table()?;
    }
    if coverage.examined_left_out > 0 {
        page.paragraph(&format!(
            "{} more; they stand in the acts.",
            count(coverage.examined_left_out, "source")
        ))?;
    }
    page.raw("<h3>Not reached</h3>\n")?;
    if coverage.not_reached_in_all == 0 {
        return page.paragraph("No act reports anything it could not reach or read.");
    }
    let folded = coverage.not_reached.len() > 40;
    if folded {
        let all = number(coverage.not_reached_in_all);
        page.raw(&format!(
            "<details><summary>{all} parts were not reached</summary><div class=\"inside\">"
        ))?;
    }
    page.raw("<ul>\n")?;
    for one in &coverage.not_reached {
        page.raw("<li>")?;
        page.shown(&one.what)?;
        if one.act > 0 {
            page.raw(&format!(" <span class=\"small\">(act {})</span>", one.act))?;
        }
        page.raw("</li>\n")?;
    }
    page.raw("</ul>\n")?;
    let more = coverage.not_reached_in_all.saturating_sub(size_of(coverage.not_reached.len()));
    if more > 0 {
        page.paragraph(&format!(
            "{} more; all stand in the acts, which the JSON report holds in full.",
            number(more)
        ))?;
    }
    if folded { page.raw("</div></details>\n") } else { Ok(()) }
}

pub(super) fn machines(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    page.paragraph(
        "Each act names the machine it ran on. Times are in UTC, by the clock the act names; \
        a clock's error is recorded and never corrected.",
    )?;
    spans(page, "Machines the acts ran on", &report.hosts)?;
    spans(page, "Clocks", &report.clocks)?;
    for span in &report.clocks.list {
        page.paragraph(&clock_sentence(span))?;
    }
    if report.clock_steps.total > 0 {
        page.raw("<h3>Steps backwards</h3>\n<ul>")?;
        for step in &report.clock_steps.list {
            page.raw(&format!("<li>act {}: ", step.act))?;
            page.shown(&step.after)?;
            page.raw(", the act before it ended ")?;
            page.shown(&step.before)?;
            page.raw("</li>")?;
        }
        page.raw("</ul>\n")?;
    }
    Ok(())
}

/// What the offset of a clock means.
pub(crate) fn clock_sentence(span: &Span) -> String {
    let acts = acts(span);
    match span.field("offset_ms").and_then(serde_json::Value::as_i64) {
        None => {
            format!("{acts}: this clock was never compared with another; its error is not known.")
        }
        Some(offset) => {
            let way = if offset >= 0 { "behind" } else { "ahead of" };
            let by = seconds(offset.unsigned_abs());
            let error = span.field("error_ms").and_then(serde_json::Value::as_u64);
            let error = error.map_or(" (uncertainty not stated)".to_owned(), |ms| {
                format!(" (give or take {})", seconds(ms))
            });
            format!(
                "{acts}: this clock was {by} {way} true time{error}; add {} to its times.",
                signed_seconds(offset)
            )
        }
    }
}

fn seconds(ms: u64) -> String {
    let (whole, part) = (ms.checked_div(1000).unwrap_or(0), ms.checked_rem(1000).unwrap_or(0));
    format!("{}.{part:03} s", number(whole))
}

fn signed_seconds(ms: i64) -> String {
    format!("{}{}", if ms < 0 { "-" } else { "" }, seconds(ms.unsigned_abs()))
}

fn acts(span: &Span) -> String {
    if span.first_act == span.last_act {
        format!("Act {}", span.first_act)
    } else {
        format!("Acts {} to {}", span.first_act, span.last_act)
    }
}

pub(super) fn tools(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    page.paragraph("Each act names the program and the SHA-256 of its own file.")?;
    spans(page, "Programs that acted", &report.tools)
}

fn spans(page: &mut Page<'_>, caption: &str, spans: &Spans) -> io::Result<()> {
    if spans.list.is_empty() {
        return page.paragraph("None is recorded.");
    }
    let mut table = page.table(caption, &["Acts", "Number", "What is recorded"])?;
    for span in &spans.list {
        table.cell(page, |page| page.raw(&acts(span)))?;
        table.cell(page, |page| page.raw(&number(span.acts)))?;
        table.cell(page, |page| page.pairs(&span.fields))?;
    }
    page.end_table()?;
    if spans.acts_left_out > 0 {
        page.paragraph(&format!(
            "{} state others; they stand in the acts.",
            count(spans.acts_left_out, "act")
        ))?;
    }
    Ok(())
}

pub(super) fn limits(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    page.raw("<ul>\n")?;
    for limit in &report.limits {
        page.raw("<li>")?;
        page.escaped(limit)?;
        page.raw("</li>\n")?;
    }
    page.raw("</ul>\n<h3>Checking this case without Glovebox</h3>\n<ul>\n")?;
    for way in BY_HAND {
        page.raw("<li>")?;
        page.escaped(way)?;
        page.raw("</li>\n")?;
    }
    page.raw("</ul>\n")?;
    if !report.verdict.interruptions.is_empty() {
        page.raw("<h3>Interrupted sessions</h3>\n<p>They take nothing away from what is recorded.</p>\n<ul>")?;
        for one in &report.verdict.interruptions {
            page.raw("<li>")?;
            page.shown(one)?;
            page.raw("</li>")?;
        }
        page.raw("</ul>\n")?;
    }
    Ok(())
}
