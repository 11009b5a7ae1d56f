//! What people wrote into the case: notes, custody, contacts, attachments, lessons and cost.
//!
//! Told by the verb and by the fields a note carries; everything an act says is shown by its own name, so that a
//! field added later shows without a change here.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::Text;
use crate::act::{ActView, fields};

const ENTRIES_AT_MOST: usize = 2000;

/// One entry.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// The act that holds it.
    pub act: u64,
    /// The verb.
    pub verb: Text,
    /// When it was recorded.
    pub recorded: Text,
    /// Who recorded it.
    pub who: Text,
    /// What it says: name and text.
    pub fields: Vec<(Text, Text)>,
}

impl Entry {
    /// The field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Text> {
        self.fields.iter().find(|(one, _)| one.raw() == name).map(|(_, value)| value)
    }
}

/// Entries of one kind.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Entries {
    /// The first ones.
    pub list: Vec<Entry>,
    /// All of them.
    pub total: u64,
}

impl Entries {
    fn push(&mut self, entry: Entry) {
        self.total = self.total.saturating_add(1);
        if self.list.len() < ENTRIES_AT_MOST {
            self.list.push(entry);
        }
    }

    /// Those that are not told elsewhere.
    pub(crate) fn without(&self, told: &BTreeSet<u64>) -> Self {
        let list: Vec<Entry> =
            self.list.iter().filter(|entry| !told.contains(&entry.act)).cloned().collect();
        let gone = self.list.len().saturating_sub(list.len());
        let total = self.total.saturating_sub(u64::try_from(gone).unwrap_or(u64::MAX));
        Self { list, total }
    }

    /// How many are not listed.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.total.saturating_sub(u64::try_from(self.list.len()).unwrap_or(u64::MAX))
    }
}

/// All that people wrote.
#[derive(Debug, Clone, Default, Serialize)]
pub struct People {
    /// Notes that are neither lessons nor cost.
    pub notes: Entries,
    /// Hand-overs of exhibits.
    pub custody: Entries,
    /// Contacts, and who was told what.
    pub contacts: Entries,
    /// Photographs and other files added by hand.
    pub attachments: Entries,
    /// Lessons learned.
    pub lessons: Entries,
    /// What the incident cost.
    pub costs: Entries,
}

impl People {
    pub(crate) fn take(&mut self, act: &ActView) {
        let verb = act.str("verb");
        let arguments = act.get("arguments");
        let kind = arguments.get("kind").and_then(Value::as_str).unwrap_or_default();
        let says = |name: &str| kind == name || arguments.get(name).is_some_and(says_something);
        let to = if verb.starts_with("case custody") {
            &mut self.custody
        } else if verb.starts_with("case contact") {
            &mut self.contacts
        } else if verb.starts_with("case attach") {
            &mut self.attachments
        } else if !verb.starts_with("case note") {
            return;
        } else if says("lesson") {
            &mut self.lessons
        } else if says("cost") {
            &mut self.costs
        } else {
            &mut self.notes
        };
        to.push(Entry {
            act: act.line,
            verb: Text::new(verb),
            recorded: act.text("started"),
            who: act.text("who"),
            fields: fields(arguments),
        });
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}
