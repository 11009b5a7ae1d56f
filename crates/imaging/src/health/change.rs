//! What is different after a drive was read.

use serde::Serialize;
use serde_json::Value;

use super::Health;

/// What a change means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Time passes: hours, degrees.
    Ordinary,
    /// The drive got worse, is another one, or says that somebody wrote.
    Alarming,
}

/// One value that is different.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Which, by the names of the record.
    pub what: String,
    /// Before.
    pub before: Value,
    /// After.
    pub after: Value,
    /// What it means.
    pub weight: Weight,
}

/// What changes by itself while a drive is read.
const ORDINARY: [&str; 3] = ["power_on_hours", "temperature_celsius", "power_cycles"];

/// All values that are different, in the order of the record. What was not told one of the two times is no change.
#[must_use]
pub fn changes(before: &Health, after: &Health) -> Vec<Change> {
    let mut all = Vec::new();
    for part in ["identity", "capacity", "hidden", "security_locked", "smart"] {
        let of = |health: &Health| {
            let value = serde_json::to_value(health).unwrap_or_default();
            value.get(part).cloned().unwrap_or_default()
        };
        compare(part, &of(before), &of(after), &mut all);
    }
    all
}

fn compare(name: &str, before: &Value, after: &Value, all: &mut Vec<Change>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                if let Some(other) = after.get(key) {
                    compare(&format!("{name}.{key}"), value, other, all);
                }
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (before, after) if before == after => {}
        (before, after) => {
            let last = name.rsplit('.').next().unwrap_or(name);
            let weight = if ORDINARY.contains(&last) { Weight::Ordinary } else { Weight::Alarming };
            let (what, before, after) = (name.to_owned(), before.clone(), after.clone());
            all.push(Change { what, before, after, weight });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_ordinary_and_another_drive_is_not() {
        let mut before = Health::default();
        before.identity.serial = Some("A".into());
        before.smart.power_on_hours = Some(10);
        before.smart.pending_sectors = Some(0);
        before.smart.host_sectors_written = Some(7);
        let mut after = before.clone();
        assert!(changes(&before, &after).is_empty());
        after.smart.power_on_hours = Some(11);
        after.smart.host_sectors_written = None;
        after.smart.pending_sectors = Some(2);
        after.identity.serial = Some("B".into());
        let found = changes(&before, &after);
        let names: Vec<(&str, Weight)> =
            found.iter().map(|one| (one.what.as_str(), one.weight)).collect();
        assert_eq!(
            names,
            [
                ("identity.serial", Weight::Alarming),
                ("smart.pending_sectors", Weight::Alarming),
                ("smart.power_on_hours", Weight::Ordinary),
            ]
        );
    }
}
