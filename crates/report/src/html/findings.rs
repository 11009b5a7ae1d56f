//! Findings by severity and rule, and their times.

use std::io;

use super::page::Page;
use super::picture;
use crate::words::{count, number, size_of};
use crate::{Finding, Moment, Report, RuleGroup, Severity, Text};

/// Findings written out on the page; a browser stays quick with these.
const SHOWN_AT_MOST: usize = 2000;
/// Groups of this many findings and fewer stand open.
const OPEN_UP_TO: usize = 10;

pub(super) fn findings(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    let found = &report.findings;
    if found.total == 0 {
        return page.paragraph(
            "There are none in this case. The list of what was examined says where it was looked.",
        );
    }
    let mut table = page.table("Findings by severity", &["Severity", "Findings", "Rules"])?;
    for severity in Severity::ALL {
        let rules = found.groups.iter().filter(|group| group.severity == severity).count();
        table.cell(page, |page| tag(page, severity))?;
        table.cell(page, |page| page.raw(&number(found.count(severity))))?;
        table.cell(page, |page| page.raw(&number(size_of(rules))))?;
    }
    page.end_table()?;
    let mut left = SHOWN_AT_MOST;
    let mut shown = 0_u64;
    for severity in Severity::ALL {
        let groups: Vec<&RuleGroup> =
            found.groups.iter().filter(|group| group.severity == severity).collect();
        if groups.is_empty() {
            continue;
        }
        page.raw(&format!("<h3>{}</h3>\n", heading(severity)))?;
        for one in groups {
            let count = one.kept.len().min(left);
            left = left.saturating_sub(count);
            shown = shown.saturating_add(size_of(count));
            group(page, one, count)?;
        }
    }
    let hidden = found.total.saturating_sub(shown);
    if hidden > 0 {
        page.raw("<p><strong>")?;
        page.escaped(&format!(
            "{} of {} findings are written out here. The JSON report (glovebox report --format json) and the exhibits \
             hold all of them.",
            number(shown),
            number(found.total)
        ))?;
        page.raw("</strong></p>\n")?;
    }
    if found.in_other_rules > 0 {
        page.paragraph(&format!(
            "{} belong to further rules that are not named here.",
            count(found.in_other_rules, "finding")
        ))?;
    }
    Ok(())
}

fn heading(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Critical: the machine is not its owner’s any more",
        Severity::High => "High: very probably planted or dangerous",
        Severity::Medium => "Medium: needs a look by a person",
        Severity::Low => "Low: worth knowing",
        Severity::Info => "Info: facts for the inventory",
    }
}

fn tag(page: &mut Page<'_>, severity: Severity) -> io::Result<()> {
    let word = severity.word();
    page.raw(&format!("<span class=\"tag {word}\">{}</span>", word.to_uppercase()))
}

fn group(page: &mut Page<'_>, group: &RuleGroup, shown: usize) -> io::Result<()> {
    let is_open = group.severity <= Severity::Medium && shown <= OPEN_UP_TO;
    page.raw(if is_open { "<details open><summary>" } else { "<details><summary>" })?;
    tag(page, group.severity)?;
    page.raw(" ")?;
    page.code(&group.rule)?;
    page.raw(" ")?;
    page.shown(&group.title)?;
    page.raw(&format!(
        " <span class=\"count\">({})</span></summary><div class=\"inside\">\n",
        number(group.total)
    ))?;
    let mut pairs = Vec::new();
    let mut pair = |name: &str, value: &Text| {
        if !value.is_empty() {
            pairs.push((Text::new(name), value.clone()));
        }
    };
    pair("Why it matters", &group.why);
    let joined =
        |texts: &[Text]| Text::new(&texts.iter().map(Text::raw).collect::<Vec<_>>().join("; "));
    pair("What else may explain it", &joined(&group.innocent));
    pair("MITRE ATT&CK", &joined(&group.mitre));
    page.pairs(&pairs)?;
    if !group.verify_by_hand.is_empty() {
        page.raw("<p><strong>Check by hand:</strong> ")?;
        page.code(&group.verify_by_hand)?;
        page.raw("</p>\n")?;
    }
    for one in group.kept.iter().take(shown) {
        finding(page, one)?;
    }
    let more = group.total.saturating_sub(size_of(shown));
    if more > 0 {
        page.paragraph(&format!(
            "{} more of this rule; the JSON report holds them.",
            number(more)
        ))?;
    }
    page.raw("</div></details>\n")
}

fn finding(page: &mut Page<'_>, finding: &Finding) -> io::Result<()> {
    page.raw("<div class=\"finding\"><p class=\"place\">")?;
    page.code(&finding.path)?;
    page.raw(" <span class=\"small\">on ")?;
    page.code(&finding.address)?;
    page.raw("</span></p>")?;
    if !finding.detail.is_empty() {
        page.raw("<p>")?;
        page.shown(&finding.detail)?;
        page.raw("</p>")?;
    }
    if !finding.excerpt.is_empty() {
        page.raw("<div class=\"evidence\">")?;
        page.code(&finding.excerpt)?;
        page.raw("</div>")?;
    }
    let time = |at: Option<Moment>| at.map(|at| Text::new(&at.to_string())).unwrap_or_default();
    let said = [
        ("created", time(finding.born)),
        ("content changed", time(finding.modified)),
        ("changed", time(finding.changed)),
        ("rights", finding.rights.clone()),
        ("package", finding.package.clone()),
        ("would it act", finding.activation.clone()),
        ("what it runs", finding.runs.clone()),
        ("confidence", finding.confidence.clone()),
        ("SHA-256", finding.sha256.clone()),
        ("finding", finding.id.clone()),
    ];
    let said: Vec<(Text, Text)> = said
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (Text::new(name), value))
        .collect();
    page.pairs(&said)?;
    page.raw("</div>\n")
}

pub(super) fn timeline(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    let timeline = &report.timeline;
    page.paragraph(
        "Times of the files that findings rest on, as their file systems record them, in UTC. An intruder can set them; \
         \"changed\" (of the inode) is the hardest of them to forge and stands for the finding in the picture.",
    )?;
    if let Some(drawn) = &timeline.picture {
        picture::draw(page, drawn)?;
    }
    if timeline.events.is_empty() {
        return page.paragraph("No finding has a time.");
    }
    let folded = timeline.events.len() > 60;
    if folded {
        let listed = count(size_of(timeline.events.len()), "time");
        page.raw(&format!(
            "<details><summary>The list: {listed}</summary><div class=\"inside\">\n"
        ))?;
    }
    let mut table =
        page.table("Times in order", &["Time (UTC)", "What", "Severity", "File", "Finding"])?;
    for event in &timeline.events {
        table.cell(page, |page| page.raw(&format!("<time>{}</time>", event.at)))?;
        table.cell(page, |page| page.raw(&event.what))?;
        table.cell(page, |page| tag(page, event.severity))?;
        table.cell(page, |page| page.code(&event.path))?;
        table.cell(page, |page| {
            page.shown(&event.rule)?;
            page.raw(" ")?;
            page.shown(&event.title)
        })?;
    }
    page.end_table()?;
    if folded {
        page.raw("</div></details>\n")?;
    }
    let more = timeline.events_in_all.saturating_sub(timeline.events.len());
    if more > 0 {
        page.paragraph(&format!("{} later ones are not listed.", number(size_of(more))))?;
    }
    if timeline.without_time > 0 {
        page.paragraph(&format!(
            "{} without a time that can be placed.",
            count(timeline.without_time, "finding")
        ))?;
    }
    Ok(())
}
