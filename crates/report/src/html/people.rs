//! Custody, contacts, notes, acts, lessons and cost.

use std::io;

use casebook::custody::Chain;

use super::page::Page;
use crate::act::ActLine;
use crate::people::Entries;
use crate::words::{count, number, size_of};
use crate::{Report, Text};

pub(super) fn custody(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    page.paragraph("Every hand-over of an exhibit: from whom to whom, where, when.")?;
    let chains = &report.custody.chains;
    if !chains.is_empty() {
        let heads = ["Exhibit", "Made", "Hand-overs", "Held now by", "What does not fit"];
        let mut table = page.table("Chains of custody", &heads)?;
        for chain in chains.iter().take(CHAINS_AT_MOST) {
            table.cell(page, |page| page.code(&Text::new(&chain.exhibit)))?;
            table.cell(page, |page| made(page, chain))?;
            table.cell(page, |page| hand_overs(page, chain))?;
            let holder = Text::new(chain.holder().unwrap_or("not recorded"));
            table.cell(page, |page| page.shown(&holder))?;
            table.cell(page, |page| gaps(page, chain))?;
        }
        page.end_table()?;
        more(page, chains.len().saturating_sub(CHAINS_AT_MOST), "further exhibit")?;
    }
    more(page, usize::try_from(report.custody.left_out).unwrap_or(usize::MAX), "further act")?;
    // What the casebook cannot follow is shown as it stands.
    let none = if chains.iter().all(|chain| chain.links.is_empty()) {
        "No hand-over is recorded: the exhibits have stayed with the examiner."
    } else {
        ""
    };
    let rest = report.people.custody.without(&report.custody.told);
    entries(page, "Further records of custody", &rest, none)
}

const CHAINS_AT_MOST: usize = 2000;

fn made(page: &mut Page<'_>, chain: &Chain) -> io::Result<()> {
    let Some(act) = chain.made_by_act else { return page.raw("no act made it") };
    page.raw(&format!("act {act}<br>"))?;
    page.shown(&Text::new(chain.made.as_ref().map_or("", |time| time.as_str())))?;
    page.raw("<br>")?;
    page.shown(&Text::new(chain.made_by.as_deref().unwrap_or_default()))
}

fn hand_overs(page: &mut Page<'_>, chain: &Chain) -> io::Result<()> {
    if chain.links.is_empty() {
        return page.raw("none");
    }
    page.raw("<ol>")?;
    for link in &chain.links {
        let one = &link.hand_over;
        page.raw("<li>")?;
        page.shown(&Text::new(&one.from))?;
        page.raw(" to ")?;
        page.shown(&Text::new(&one.to))?;
        let mut said: Vec<(Text, Text)> = [
            ("when", one.when.as_str()),
            ("where", &one.place),
            ("purpose", &one.purpose),
            ("condition", &one.condition),
            ("seals", &one.seals.join(", ")),
            ("witness", one.witness.as_deref().unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (Text::new(name), Text::new(value)))
        .collect();
        said.push((Text::new("act"), Text::new(&link.act.to_string())));
        page.pairs(&said)?;
        page.raw("</li>")?;
    }
    page.raw("</ol>")
}

fn gaps(page: &mut Page<'_>, chain: &Chain) -> io::Result<()> {
    if chain.gaps.is_empty() {
        return page.raw("nothing");
    }
    for gap in &chain.gaps {
        page.raw("<strong class=\"bad\">")?;
        page.shown(&Text::new(gap))?;
        page.raw("</strong> ")?;
    }
    Ok(())
}

fn more(page: &mut Page<'_>, more: usize, thing: &str) -> io::Result<()> {
    match more {
        0 => Ok(()),
        more => page.paragraph(&format!(
            "{} not listed; they stand in the acts, which the JSON report holds in full.",
            count(size_of(more), thing)
        )),
    }
}

pub(super) fn contacts(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    let calls = &report.custody.calls;
    if !calls.is_empty() {
        let heads = ["Name", "Called by", "Role", "How to reach", "Keys", "Note"];
        let mut table = page.table("Whom to call, in order", &heads)?;
        for call in calls.iter().take(CHAINS_AT_MOST) {
            let one = &call.contact;
            table.cell(page, |page| {
                for _ in 0..call.depth.min(20) {
                    page.raw("<span aria-hidden=\"true\">– </span>")?;
                }
                page.shown(&Text::new(&one.name))?;
                let of = [&one.team, &one.organisation];
                for part in of.into_iter().flatten() {
                    page.raw("<br>")?;
                    page.shown(&Text::new(part))?;
                }
                Ok(())
            })?;
            let first = one.called_by.as_deref().unwrap_or("called first");
            table.cell(page, |page| page.shown(&Text::new(first)))?;
            let role = one.role.as_deref().unwrap_or_default();
            table.cell(page, |page| page.shown(&Text::new(role)))?;
            let reach = [one.phones.join(", "), one.emails.join(", ")];
            table.cell(page, |page| lines(page, &reach))?;
            table.cell(page, |page| lines(page, &one.keys))?;
            let note = one.note.as_deref().unwrap_or_default();
            table.cell(page, |page| page.shown(&Text::new(note)))?;
        }
        page.end_table()?;
        more(page, calls.len().saturating_sub(CHAINS_AT_MOST), "further contact")?;
    }
    let none = if calls.is_empty() { "No contact is recorded." } else { "" };
    let rest = report.people.contacts.without(&report.custody.told);
    entries(page, "Who was told what", &rest, none)
}

fn lines(page: &mut Page<'_>, lines: &[String]) -> io::Result<()> {
    for line in lines.iter().filter(|line| !line.is_empty()) {
        page.raw("<div>")?;
        page.shown(&Text::new(line))?;
        page.raw("</div>")?;
    }
    Ok(())
}

pub(super) fn lessons(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    entries(
        page,
        "Lessons",
        &report.people.lessons,
        "None is recorded yet: glovebox case note --lesson.",
    )
}

pub(super) fn costs(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    entries(page, "Cost", &report.people.costs, "None is recorded yet: glovebox case note --cost.")
}

fn entries(page: &mut Page<'_>, caption: &str, entries: &Entries, none: &str) -> io::Result<()> {
    if entries.list.is_empty() {
        return if none.is_empty() { Ok(()) } else { page.paragraph(none) };
    }
    let folded = entries.list.len() > 200;
    if folded {
        let all = number(size_of(entries.list.len()));
        page.raw(&format!("<details><summary>{caption} <span class=\"count\">({all})</span></summary><div class=\"inside\">\n"))?;
    }
    let mut table = page.table(caption, &["Recorded (UTC)", "By", "Act", "What it says"])?;
    for entry in &entries.list {
        table.cell(page, |page| page.shown(&entry.recorded))?;
        table.cell(page, |page| page.shown(&entry.who))?;
        table.cell(page, |page| page.raw(&entry.act.to_string()))?;
        table.cell(page, |page| {
            if !matches!(entry.verb.raw(), "case note") {
                page.raw("<strong>")?;
                page.shown(&entry.verb)?;
                page.raw("</strong> ")?;
            }
            page.pairs(&entry.fields)
        })?;
    }
    page.end_table()?;
    if folded {
        page.raw("</div></details>\n")?;
    }
    match entries.left_out() {
        0 => Ok(()),
        more => page.paragraph(&format!(
            "{} more; they stand in the acts, which the JSON report holds in full.",
            number(more)
        )),
    }
}

pub(super) fn notes_and_acts(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    page.raw("<h3>Notes</h3>\n")?;
    entries(page, "Notes", &report.people.notes, "There are no notes.")?;
    if !report.people.attachments.list.is_empty() {
        page.raw("<h3>Attachments</h3>\n")?;
        entries(page, "Photographs and other files added", &report.people.attachments, "")?;
    }
    page.raw("<h3>Acts</h3>\n")?;
    let acts = &report.acts;
    if acts.total == 0 {
        return page.paragraph("There are no acts.");
    }
    let mut table = page.table("Acts by verb", &["Verb", "Acts", "Outcomes"])?;
    for (verb, outcomes) in &acts.by_verb {
        let all = outcomes.values().fold(0_u64, |sum, one| sum.saturating_add(*one));
        let words: Vec<String> =
            outcomes.iter().map(|(word, many)| format!("{} {word}", number(*many))).collect();
        table.cell(page, |page| page.escaped(verb))?;
        table.cell(page, |page| page.raw(&number(all)))?;
        table.cell(page, |page| page.escaped(&words.join(", ")))?;
    }
    page.end_table()?;
    let listed = size_of(acts.first.len().saturating_add(acts.last.len()));
    page.raw(if listed > 40 { "<details>" } else { "<details open>" })?;
    page.raw(&format!("<summary>The list: {}", count(listed, "act")))?;
    if acts.left_out() > 0 {
        page.raw(&format!(" of {}", number(acts.total)))?;
    }
    page.raw("</summary><div class=\"inside\">\n")?;
    list(page, acts.first.iter())?;
    if acts.left_out() > 0 {
        page.raw("<p><strong>")?;
        page.escaped(&format!(
            "{} between these are not listed here; acts.jsonl and the JSON report hold all of them.",
            count(acts.left_out(), "act")
        ))?;
        page.raw("</strong></p>\n")?;
    }
    if !acts.last.is_empty() {
        list(page, acts.last.iter())?;
    }
    page.raw("</div></details>\n")
}

fn list<'a>(page: &mut Page<'_>, acts: impl Iterator<Item = &'a ActLine>) -> io::Result<()> {
    let mut table = page.table(
        "Acts in order",
        &["Act", "Began and ended (UTC)", "Who", "Verb", "Outcome", "With"],
    )?;
    for act in acts {
        table.cell(page, |page| page.raw(&act.number.to_string()))?;
        table.cell(page, |page| {
            page.shown(&act.started)?;
            if act.ended == act.started {
                return Ok(());
            }
            page.raw("<br>")?;
            page.shown(&act.ended)
        })?;
        table.cell(page, |page| {
            page.shown(&act.who)?;
            page.raw(" <span class=\"small\">")?;
            page.shown(&act.mode)?;
            page.raw("</span>")
        })?;
        table.cell(page, |page| page.shown(&act.verb))?;
        table.cell(page, |page| outcome(page, act))?;
        table.cell(page, |page| with(page, act))?;
    }
    page.end_table()
}

fn outcome(page: &mut Page<'_>, act: &ActLine) -> io::Result<()> {
    page.shown(&act.result)?;
    if !act.outcome.is_empty() {
        page.raw(": ")?;
        page.shown(&act.outcome)?;
    }
    for problem in &act.problems {
        page.raw("<br>")?;
        page.shown(problem)?;
    }
    let more = act.problems_in_all.saturating_sub(act.problems.len());
    if more > 0 {
        page.raw(&format!("<br>and {}", count(size_of(more), "further problem")))?;
    }
    Ok(())
}

fn with(page: &mut Page<'_>, act: &ActLine) -> io::Result<()> {
    page.pairs(&act.arguments)?;
    for (word, names) in [("read", &act.inputs), ("wrote", &act.outputs)] {
        if names.is_empty() {
            continue;
        }
        page.raw(&format!("<div>{word} "))?;
        for (index, name) in names.iter().enumerate() {
            page.raw(if index > 0 { ", " } else { "" })?;
            page.code(name)?;
        }
        page.raw("</div>")?;
    }
    page.raw("<div class=\"small\">")?;
    page.code(&Text::new(&act.hash))?;
    page.raw("</div>")
}
