//! Times that findings rest on, in order: the nearest thing to what the intruder did and when.
//!
//! A file's times can be forged; the change of its inode is the hardest of them to forge and stands for the finding in
//! the picture. The list names every time of the findings that are shown.

use serde::Serialize;

use crate::findings::{Finding, Findings};
use crate::{Moment, Severity, Text};

/// Columns of the picture.
pub(crate) const COLUMNS: usize = 60;
const EVENTS_AT_MOST: usize = 1000;
/// The picture reaches this far back from the last time; older ones are counted.
const PICTURE_DAYS: i64 = 400;

/// One time of one finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// `created`, `content changed`, `changed`, joined where they fall together.
    pub what: String,
    /// Severity of the finding.
    pub severity: Severity,
    /// Its rule.
    pub rule: Text,
    /// The rule's title.
    pub title: Text,
    /// The system examined.
    pub address: Text,
    /// The file.
    pub path: Text,
}

/// A time, and the severity of its finding: all that is kept of every finding.
pub(crate) type Mark = (Moment, Severity);

/// All times in order.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Timeline {
    /// The first ones of the findings shown, in order of time.
    pub events: Vec<Event>,
    /// How many there are of the findings shown.
    pub events_in_all: usize,
    /// Findings with a time that can be placed.
    pub placed: u64,
    /// Findings without one.
    pub without_time: u64,
    /// The picture, unless there is nothing to draw.
    pub picture: Option<Picture>,
}

/// Counts for equal stretches of time, by severity.
#[derive(Debug, Clone, Serialize)]
pub struct Picture {
    /// Where it begins.
    pub from: Moment,
    /// How long each column is, in seconds.
    pub column_seconds: i64,
    /// For each severity, worst first, findings in each column.
    pub rows: [Vec<u64>; 5],
    /// Findings that lie before the picture begins.
    pub earlier: u64,
    /// Columns in which acts of this case began.
    pub acts: Vec<u64>,
}

impl Timeline {
    pub(crate) fn new(findings: &Findings, marks: &[Mark], acts: &[Moment]) -> Self {
        let mut events: Vec<Event> = findings
            .groups
            .iter()
            .filter(|group| group.severity < Severity::Info)
            .flat_map(|group| {
                group
                    .kept
                    .iter()
                    .flat_map(|finding| events_of(group.severity, &group.title, finding))
            })
            .collect();
        events.sort_by(|a, b| {
            (a.at, a.severity, &a.path, &a.rule).cmp(&(b.at, b.severity, &b.path, &b.rule))
        });
        let events_in_all = events.len();
        events.truncate(EVENTS_AT_MOST);
        let placed = u64::try_from(marks.len()).unwrap_or(u64::MAX);
        Self {
            events,
            events_in_all,
            placed,
            without_time: findings.total.saturating_sub(placed),
            picture: picture(marks, acts),
        }
    }
}

fn events_of(severity: Severity, title: &Text, finding: &Finding) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let stated = [
        ("created", finding.born),
        ("content changed", finding.modified),
        ("changed", finding.changed),
    ];
    for (word, at) in stated.into_iter().filter_map(|(word, at)| Some((word, at?))) {
        if let Some(same) = events.iter_mut().find(|event| event.at == at) {
            same.what.push_str(", ");
            same.what.push_str(word);
            continue;
        }
        events.push(Event {
            at,
            what: word.to_owned(),
            severity,
            rule: finding.rule.clone(),
            title: title.clone(),
            address: finding.address.clone(),
            path: finding.path.clone(),
        });
    }
    events
}

/// Lengths of a column a reader can name.
const STEPS_SECONDS: [i64; 14] = [
    60, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 345_600, 604_800,
    1_209_600,
];

fn picture(marks: &[Mark], acts: &[Moment]) -> Option<Picture> {
    let worse = || marks.iter().filter(|(_, severity)| *severity < Severity::Info);
    let last = worse().map(|(at, _)| *at).chain(acts.iter().copied()).max()?;
    worse().next()?;
    let bound =
        last.seconds().saturating_sub(PICTURE_DAYS.saturating_mul(crate::moment::DAY_SECONDS));
    // What needs a look decides where the picture begins: one old fact of little weight would make it all one column.
    let begins = |least: Severity| {
        let inside = worse().filter(|(at, severity)| at.seconds() >= bound && *severity <= least);
        inside.map(|(at, _)| at.seconds()).min()
    };
    let first =
        begins(Severity::Medium).or_else(|| begins(Severity::Low)).unwrap_or(last.seconds());
    let columns = i64::try_from(COLUMNS).unwrap_or(i64::MAX);
    let span = last.seconds().saturating_sub(first).saturating_add(1);
    let fits = |step: &&i64| {
        let from = first.div_euclid(**step).saturating_mul(**step);
        let whole = step.saturating_mul(columns);
        last.seconds().saturating_sub(from) < whole
    };
    let step = *STEPS_SECONDS.iter().find(fits).unwrap_or(&span.max(60));
    let from = first.div_euclid(step).saturating_mul(step);
    let column = |at: Moment| {
        let index = at.seconds().saturating_sub(from).checked_div_euclid(step)?;
        usize::try_from(index).ok().filter(|index| *index < COLUMNS)
    };
    let mut rows: [Vec<u64>; 5] = std::array::from_fn(|_| vec![0; COLUMNS]);
    let mut earlier = 0_u64;
    for (at, severity) in worse() {
        let row = rows.get_mut(severity.rank());
        match column(*at).and_then(|index| row?.get_mut(index)) {
            Some(count) => *count = count.saturating_add(1),
            None => earlier = earlier.saturating_add(1),
        }
    }
    let mut act_columns = vec![0; COLUMNS];
    for act in acts {
        if let Some(count) = column(*act).and_then(|index| act_columns.get_mut(index)) {
            *count = u64::saturating_add(*count, 1);
        }
    }
    Some(Picture {
        from: Moment::from_seconds(from),
        column_seconds: step,
        rows,
        earlier,
        acts: act_columns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        Moment::parse(text).unwrap()
    }

    #[test]
    fn every_time_is_drawn_or_counted() {
        let marks = [
            (at("1999-01-01T00:00:00Z"), Severity::High),
            (at("2026-03-01T10:00:00Z"), Severity::Critical),
            (at("2026-03-01T10:00:59Z"), Severity::Critical),
            (at("2026-03-04T00:00:00Z"), Severity::Low),
            (at("2026-02-01T00:00:00Z"), Severity::Low),
            (at("2030-03-04T00:00:00Z"), Severity::Info),
        ];
        let drawn = picture(&marks, &[at("2026-03-05T12:00:00Z")]).unwrap();
        assert_eq!(drawn.from, at("2026-03-01T10:00:00Z"));
        assert_eq!(drawn.column_seconds, 7200);
        assert_eq!(drawn.rows[0][0], 2);
        assert_eq!(drawn.rows[3][31], 1);
        assert_eq!(drawn.earlier, 2);
        assert_eq!(drawn.acts.iter().sum::<u64>(), 1);
        assert!(picture(&[(at("2026-03-01T10:00:00Z"), Severity::Info)], &[]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_time_is_lost(times in proptest::collection::vec(-70_000_000_000_i64..250_000_000_000, 1..50)) {
            let marks: Vec<Mark> = times.iter().map(|at| (Moment::from_seconds(*at), Severity::High)).collect();
            let drawn = picture(&marks, &[]).unwrap();
            let inside: u64 = drawn.rows.iter().flatten().sum();
            proptest::prop_assert_eq!(inside + drawn.earlier, times.len() as u64);
            proptest::prop_assert!(inside > 0);
        }
    }
}
