//! The sentences of a report, the same in every format.

use serde::Serialize;

use crate::{Custody, DiskProof, DiskVerdict, Report, Severity, Text};

/// How a statement is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Needs a look.
    Doubtful,
    /// Adverse.
    Bad,
}

impl Level {
    /// The word before the statement, so that nothing is told by colour alone.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Doubtful => "look",
            Self::Bad => "bad",
        }
    }
}

/// One of the sentences on top.
#[derive(Debug, Clone, Serialize)]
pub struct Statement {
    /// How it is to be taken.
    pub level: Level,
    /// What it is about.
    pub about: &'static str,
    /// The sentence that matters.
    pub headline: String,
    /// What it rests on.
    pub detail: String,
}

/// The sentences that stand on top of every report.
pub(crate) fn statements(report: &Report) -> Vec<Statement> {
    vec![record(report), findings(report), coverage(report), disks(report)]
}

fn record(report: &Report) -> Statement {
    let verdict = &report.verdict;
    let about = "The record";
    let checked = format!(
        "{} and {} were checked against their digests and signatures.",
        count(verdict.acts, "act"),
        count(verdict.exhibit_files, "exhibit file")
    );
    if !verdict.holds {
        let first = verdict.problems.first().map(Text::plain).unwrap_or_default();
        return Statement {
            level: Level::Bad,
            about,
            headline: "THIS CASE DOES NOT HOLD.".to_owned(),
            detail: format!(
                "{checked} {}; the first: {first}",
                count(size_of(verdict.problems_in_all), "fault")
            ),
        };
    }
    let headline = "Everything recorded in this case holds.".to_owned();
    Statement { level: Level::Good, about, headline, detail: checked }
}

fn findings(report: &Report) -> Statement {
    let found = &report.findings;
    let worst = Severity::ALL.into_iter().find(|severity| found.count(*severity) > 0);
    let (level, headline) = match worst {
        Some(Severity::Critical | Severity::High) => {
            (Level::Bad, "The examined system carries signs of an intrusion.".to_owned())
        }
        Some(Severity::Medium | Severity::Low) => {
            (Level::Doubtful, "There are findings a person must judge.".to_owned())
        }
        Some(Severity::Info) => (Level::Good, "Nothing adverse was found.".to_owned()),
        None if report.finding_files.is_empty() => {
            (Level::Doubtful, "No examination is recorded in this case.".to_owned())
        }
        None => (Level::Good, "Nothing was found.".to_owned()),
    };
    let by: Vec<String> = Severity::ALL
        .into_iter()
        .map(|severity| format!("{} {}", number(found.count(severity)), severity.word()))
        .collect();
    Statement { level, about: "Findings", headline, detail: format!("{}.", by.join(", ")) }
}

fn coverage(report: &Report) -> Statement {
    let coverage = &report.coverage;
    let sources = size_of(coverage.examined.len()).saturating_add(coverage.examined_left_out);
    let detail = format!("{} recorded as read.", count(sources, "source"));
    let (level, headline) = match coverage.not_reached_in_all {
        0 => (Level::Good, "Nothing is recorded as left out.".to_owned()),
        missed => {
            (Level::Doubtful, format!("{} not reached or not read in whole.", parts_were(missed)))
        }
    };
    Statement { level, about: "Coverage", headline, detail }
}

fn disks(report: &Report) -> Statement {
    let disks = &report.disks;
    let of = |verdict| size_of(disks.count(verdict));
    let (written, failed) = (of(DiskVerdict::Written), of(DiskVerdict::LockFailed));
    let (untouched, unguarded, unlocked) =
        (of(DiskVerdict::Untouched), of(DiskVerdict::Unguarded), of(DiskVerdict::Unlocked));
    let (level, headline) = if written > 0 {
        (Level::Bad, format!("{} written to while locked.", disks_were(written)))
    } else if failed > 0 {
        (Level::Bad, format!("{} not locked: the lock failed.", disks_were(failed)))
    } else if untouched > 0 {
        (Level::Good, "No write or discard reached a locked disk.".to_owned())
    } else {
        (Level::Doubtful, "No locked disk stands in this case.".to_owned())
    };
    let mut parts = vec![format!("{untouched} locked and untouched")];
    parts.extend((unlocked > 0).then(|| format!("{unlocked} unlocked by the examiner")));
    parts.extend((unguarded > 0).then(|| format!("{unguarded} not guarded")));
    parts.extend((written > 0).then(|| format!("{written} written to")));
    parts.extend((failed > 0).then(|| format!("{failed} with a failed lock")));
    let detail = format!("Counted by the kernel, before and after each act: {}.", parts.join(", "));
    Statement { level, about: "Evidence disks", headline, detail }
}

fn parts_were(parts: u64) -> String {
    if parts == 1 { "1 part was".to_owned() } else { format!("{} parts were", number(parts)) }
}

fn disks_were(disks: u64) -> String {
    if disks == 1 { "1 disk was".to_owned() } else { format!("{} disks were", number(disks)) }
}

/// What is said of one disk.
pub(crate) fn disk_verdict(disk: &DiskProof) -> &'static str {
    match disk.verdict {
        DiskVerdict::Written => "WRITTEN TO while locked",
        DiskVerdict::LockFailed => "the lock failed",
        DiskVerdict::Unguarded if disk.grown_unlocked.changed_nothing() => {
            "not guarded; no write counted"
        }
        DiskVerdict::Unguarded => "not guarded; writes counted",
        DiskVerdict::Untouched => "locked; nothing written",
        DiskVerdict::Unlocked => "unlocked by the examiner",
    }
}

/// Whether the case is sealed: when, by whom, and which bag this was read from.
pub(crate) fn sealing(custody: &Custody) -> String {
    let mut text = match &custody.sealing {
        None => "not sealed: acts can still be added".to_owned(),
        Some(one) => format!("by act {}, {}, by {}", one.act, one.when.plain(), one.who.plain()),
    };
    if let Some(digest) = &custody.bag_sha256 {
        text.push_str(&format!("; read from a bag whose sha256 is {digest}"));
    }
    text
}

/// How a reader can check the case without this program.
pub(crate) const BY_HAND: [&str; 3] = [
    "Each line of acts.jsonl holds an act, its SHA-256 and its signature; the signature checks with minisign and the \
     public key above.",
    "In each act, \"previous\" is the SHA-256 of the act before it; in the first act, of case.toml.",
    "Digests of exhibits check with sha256sum against the values below.",
];

/// A number with its thousands set apart.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len().saturating_sub(index);
        if index > 0 && left.is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things, in words that agree.
pub(crate) fn count(value: u64, thing: &str) -> String {
    let ending = if value == 1 { "" } else { "s" };
    format!("{} {thing}{ending}", number(value))
}

/// A length as a number to print.
pub(crate) fn size_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A field as people read it: blanks for underscores, sizes with their unit.
pub(crate) fn field(name: &Text, value: &Text) -> (Text, Text) {
    let label = name.raw().replace('_', " ");
    let size = label.strip_suffix(" bytes").zip(value.raw().parse::<u64>().ok());
    match size {
        Some((label, size)) => (Text::new(label), Text::new(&bytes(size))),
        None if name.cut_chars() == 0 => (Text::new(&label), value.clone()),
        None => (name.clone(), value.clone()),
    }
}

/// A size for people and the exact one.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let exact = format!("{} bytes", number(value));
    let Some((unit, scale)) = UNITS.into_iter().find(|(_, scale)| value >= *scale) else {
        return exact;
    };
    let tenths = value.checked_div(scale.checked_div(10).unwrap_or(1)).unwrap_or(0);
    format!(
        "{}.{} {unit} ({exact})",
        tenths.checked_div(10).unwrap_or(0),
        tenths.checked_rem(10).unwrap_or(0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_people() {
        assert_eq!(number(0), "0");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "act"), "1 act");
        assert_eq!(count(1000, "act"), "1,000 acts");
        assert_eq!(bytes(1023), "1,023 bytes");
        assert_eq!(bytes(1_610_612_736), "1.5 GiB (1,610,612,736 bytes)");
        let _ = bytes(u64::MAX);
        let shown = field(&"source_size_bytes".into(), &"2048".into());
        assert_eq!((shown.0.raw(), shown.1.raw()), ("source size", "2.0 KiB (2,048 bytes)"));
    }
}
