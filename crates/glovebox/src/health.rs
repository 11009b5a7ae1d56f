//! Asking drives about themselves, and how that is told: on the terminal, in the answer, in the act.

use casebook::Item;
use guard::{Disk, Guard, Reply};
use imaging::health::{Change, Examination, Health, Weight, changes, examine};
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::{Colour, paint, say, size};

/// Asks the drive everything it can be asked; one that cannot be asked gives an examination that says so.
pub(crate) fn ask(guard: &Guard, disk: &Disk) -> Examination {
    examine(disk, &mut |question| {
        guard.ask(&disk.name, question).unwrap_or_else(|problem| Reply::none(question, &problem))
    })
}

/// A drive before and after it was read.
#[derive(Debug)]
pub(crate) struct Watched {
    disk: Disk,
    before: Examination,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Compared {
    before: Examination,
    after: Examination,
    changes: Vec<Change>,
}

impl Watched {
    /// Asks before reading; what the examiner must know is said at once.
    pub(crate) fn begin(guard: &Guard, disk: &Disk) -> Self {
        let before = ask(guard, disk);
        for warning in before.health.warnings() {
            say(&paint(&format!("WARNING: {}: {warning}", disk.name), Colour::Red));
        }
        Self { disk: disk.clone(), before }
    }

    /// Adds to the source of an act what the drive said before.
    pub(crate) fn note(&self, input: &mut Item) {
        put(input, "health_before", json!(self.before.health));
    }

    /// Asks again.
    pub(crate) fn end(self, guard: &Guard) -> Compared {
        let after = ask(guard, &self.disk);
        let changes = changes(&self.before.health, &after.health);
        Compared { before: self.before, after, changes }
    }
}

impl Compared {
    /// Adds to the source of an act what the drive said after, and what is different.
    pub(crate) fn note(&self, input: &mut Item) {
        put(input, "health_after", json!(self.after.health));
        put(input, "health_changes", json!(self.changes));
    }

    /// What an examiner must be told, of both times.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut all = self.before.health.warnings();
        for warning in self.after.health.warnings() {
            if !all.contains(&warning) {
                all.push(warning);
            }
        }
        let alarming = self.changes.iter().filter(|change| change.weight == Weight::Alarming);
        all.extend(alarming.map(|change| {
            let Change { what, before, after, .. } = change;
            format!("while it was read the drive's {what} changed from {before} to {after}")
        }));
        all
    }

    /// Bytes of the drive that nobody read because they are hidden.
    pub(crate) fn hidden_bytes(&self) -> u64 {
        self.before.health.hidden.iter().map(|one| one.bytes).fold(0, u64::saturating_add)
    }

    /// All of it with the answers as they came, for a file of the exhibit; `None` if nothing was asked.
    pub(crate) fn file(&self) -> Option<String> {
        if self.before.replies.is_empty() && self.after.replies.is_empty() {
            return None;
        }
        let all = json!({ "before": self.before, "after": self.after, "changes": self.changes });
        serde_json::to_string_pretty(&all).ok().map(|text| text + "\n")
    }

    /// For the answer in JSON.
    pub(crate) fn shown(&self) -> Value {
        json!({
            "before": self.before.health,
            "after": self.after.health,
            "changes": self.changes,
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        lines(&self.after.health).join("\n  ")
    }
}

fn put(input: &mut Item, name: &str, value: Value) {
    if let Value::Object(facts) = &mut input.facts {
        facts.insert(name.to_owned(), value);
    }
}

/// One drive, for the answer of a status.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    disk: &'a str,
    #[serde(flatten)]
    health: &'a Health,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(disk: &'a Disk, found: &'a Examination) -> Self {
        Self { disk: disk.name.as_str(), health: &found.health }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = self.disk.to_owned();
        for line in lines(self.health) {
            text.push_str(&format!("\n  {line}"));
        }
        for warning in self.health.warnings() {
            text.push_str(&paint(&format!("\n  WARNING: {warning}"), Colour::Red));
        }
        text
    }
}

/// What a drive says, one thing a line.
fn lines(health: &Health) -> Vec<String> {
    if !health.is_known() {
        let why = health.unanswered.first().map_or_else(
            || "nothing can be asked of it on its bus".to_owned(),
            |one| format!("it cannot be asked: {}", one.why),
        );
        return vec![why];
    }
    let mut all = Vec::new();
    let identity = &health.identity;
    let names = [
        ("", &identity.vendor),
        ("", &identity.model),
        ("serial ", &identity.serial),
        ("firmware ", &identity.firmware),
        ("", &identity.wwn),
    ];
    let known = names.iter().filter_map(|(word, name)| Some(format!("{word}{}", name.as_ref()?)));
    all.push(format!("says it is {}", known.collect::<Vec<_>>().join(", ")));
    let capacity = &health.capacity;
    if let (Some(sectors), Some(bytes)) = (capacity.drive_sectors, capacity.sector_bytes) {
        let total = size(sectors.saturating_mul(u64::from(bytes)));
        let native = match capacity.native_sectors {
            Some(native) if native == sectors => ", which is all it has".to_owned(),
            Some(native) => format!(", natively {native}"),
            None => String::new(),
        };
        all.push(format!("{sectors} sectors of {bytes} bytes ({total}){native}"));
    }
    let smart = &health.smart;
    let verdict = match (smart.is_passed, smart.is_enabled) {
        (Some(true), _) => "SMART: passed",
        (Some(false), _) => "SMART: FAILED",
        (None, Some(false)) => "SMART: not there or switched off",
        (None, _) => "SMART: no verdict",
    };
    let mut told = vec![verdict.to_owned()];
    for (value, words) in [
        (smart.power_on_hours, "hours on"),
        (smart.power_cycles, "times switched on"),
        (smart.reallocated_sectors, "sectors reallocated"),
        (smart.pending_sectors, "pending"),
        (smart.offline_uncorrectable, "uncorrectable"),
        (smart.reported_uncorrectable, "errors reported"),
        (smart.wear.map(|wear| wear.percent_used), "% of its life used"),
    ] {
        told.extend(value.map(|value| format!("{value} {words}")));
    }
    told.extend(smart.temperature_celsius.map(|degrees| format!("{degrees} °C")));
    all.push(told.join(", "));
    all
}
