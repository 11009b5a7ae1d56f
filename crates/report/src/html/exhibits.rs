//! Exhibits with their digests, and the proof that no locked disk was written to.

use std::io;

use super::page::Page;
use crate::disks::Counts;
use crate::words::{bytes, count, disk_verdict, number, size_of};
use crate::{DiskVerdict, Exhibit, Report};

/// Exhibits written out before the rest folds.
const OPEN_UP_TO: usize = 30;

pub(super) fn exhibits(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    if report.exhibits.is_empty() {
        return page.paragraph("This case holds no exhibits.");
    }
    let (open, folded) =
        report.exhibits.split_at_checked(OPEN_UP_TO).unwrap_or((&report.exhibits, &[]));
    table(page, open)?;
    if !folded.is_empty() {
        let more = count(size_of(folded.len()), "more exhibit");
        page.raw(&format!("<details><summary>{more}</summary><div class=\"inside\">\n"))?;
        table(page, folded)?;
        page.raw("</div></details>\n")?;
    }
    if report.exhibit_files_left_out > 0 {
        page.paragraph(&format!(
            "{} are not listed; each stands in the act that wrote it.",
            count(report.exhibit_files_left_out, "further file")
        ))?;
    }
    Ok(())
}

fn table(page: &mut Page<'_>, exhibits: &[Exhibit]) -> io::Result<()> {
    let mut table =
        page.table("Files of the exhibits", &["File", "Size", "Act", "Digests", "What is known"])?;
    for file in exhibits.iter().flat_map(|exhibit| &exhibit.files) {
        table.cell(page, |page| {
            page.code(&file.name)?;
            if file.does_not_hold {
                page.raw(" <span class=\"tag bad\">DOES NOT HOLD</span>")
            } else {
                Ok(())
            }
        })?;
        table.cell(page, |page| page.raw(&file.size_bytes.map_or("–".to_owned(), bytes)))?;
        table.cell(page, |page| page.raw(&file.act.to_string()))?;
        table.cell(page, |page| {
            for (algorithm, value) in &file.digests {
                page.raw("<div>")?;
                page.shown(algorithm)?;
                page.raw(" ")?;
                page.code(value)?;
                page.raw("</div>")?;
            }
            Ok(())
        })?;
        table.cell(page, |page| page.pairs(&file.facts))?;
    }
    page.end_table()
}

pub(super) fn disks(page: &mut Page<'_>, report: &Report) -> io::Result<()> {
    let disks = &report.disks;
    page.paragraph(
        "The kernel counts every write, discard and flush of each disk. Every act records these counters before and \
         after; what is told here is their growth from the first act to the last, also between acts. A write of equal \
         bytes, which no digest shows, is counted too. A flush changes no data.",
    )?;
    if disks.list.is_empty() {
        return page.paragraph("No act of this case recorded counters of a disk.");
    }
    let heads = [
        "Disk",
        "Verdict",
        "Acts",
        "Written while locked",
        "Written otherwise",
        "Counters, first and last",
    ];
    let mut table = page.table("Disks", &heads)?;
    for disk in &disks.list {
        table.cell(page, |page| {
            page.code(&disk.name)?;
            page.raw("<br>")?;
            page.shown(&disk.model)?;
            page.raw("<br>serial ")?;
            page.code(&disk.serial)
        })?;
        let class = match disk.verdict {
            DiskVerdict::Untouched => "good",
            DiskVerdict::Unlocked | DiskVerdict::Unguarded => "look",
            DiskVerdict::Written | DiskVerdict::LockFailed => "bad",
        };
        table.cell(page, |page| {
            page.raw(&format!("<strong class=\"{class}\">{}</strong>", disk_verdict(disk)))
        })?;
        table.cell(page, |page| {
            page.raw(&format!(
                "{} to {}, {} times",
                disk.first_act,
                disk.last_act,
                number(disk.snapshots)
            ))
        })?;
        table.cell(page, |page| page.raw(&growth(&disk.grown_locked)))?;
        table.cell(page, |page| page.raw(&growth(&disk.grown_unlocked)))?;
        table.cell(page, |page| {
            page.raw(&format!("{}<br>{}", counters(&disk.first), counters(&disk.last)))
        })?;
    }
    page.end_table()?;
    for disk in disks.list.iter().filter(|disk| disk.changes_in_all > 0 || disk.restarts > 0) {
        page.raw("<details><summary>When the counters of ")?;
        page.code(&disk.name)?;
        page.raw(&format!(
            " grew <span class=\"count\">({}; counted anew {} times)</span></summary><div class=\"inside\"><ul>",
            number(disk.changes_in_all),
            number(disk.restarts)
        ))?;
        for change in &disk.changes {
            let when = if change.between { "before" } else { "during" };
            page.raw(&format!(
                "<li>{when} act {}: {}, lock state ",
                change.act,
                growth(&change.by)
            ))?;
            page.shown(&change.lock)?;
            page.raw("</li>")?;
        }
        page.raw("</ul></div></details>\n")?;
    }
    if disks.acts_without_counters > 0 {
        page.paragraph(&format!(
            "{} record no counters.",
            count(disks.acts_without_counters, "act")
        ))?;
    }
    if disks.left_out > 0 {
        page.paragraph(&format!(
            "{} of further disks are not listed.",
            count(disks.left_out, "record")
        ))?;
    }
    Ok(())
}

fn growth(by: &Counts) -> String {
    if by.changed_nothing() {
        return "nothing".to_owned();
    }
    format!(
        "{} writes ({} sectors), {} discards ({} sectors)",
        number(by.writes),
        number(by.sectors_written),
        number(by.discards),
        number(by.sectors_discarded)
    )
}

fn counters(counts: &Counts) -> String {
    format!(
        "{} writes, {} discards, {} flushes",
        number(counts.writes),
        number(counts.discards),
        number(counts.flushes)
    )
}
