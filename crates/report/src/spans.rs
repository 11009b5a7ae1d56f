//! What stays the same over many acts (host, clock, tool), told once with the acts it holds for.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use crate::Text;
use crate::act::{ActView, fields};

/// Different values kept; a tampered case could give each act another.
const SPANS_AT_MOST: usize = 100;

/// Time since start, which acts state beside the facts of their machine.
const CLOCK_READING: &str = "since_boot_ms";

/// One value and the acts that state it.
#[derive(Debug, Clone, Serialize)]
pub struct Span {
    /// Its fields, name and text.
    pub fields: Vec<(Text, Text)>,
    /// The first act that states it.
    pub first_act: u64,
    /// The last act that states it.
    pub last_act: u64,
    /// How many acts do.
    pub acts: u64,
    #[serde(skip)]
    value: Value,
}

impl Span {
    /// The field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.value.get(name)
    }
}

/// All values of one field.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Spans {
    /// In order of their first acts.
    pub list: Vec<Span>,
    /// Acts whose value is not kept because there are too many different ones.
    pub acts_left_out: u64,
}

impl Spans {
    pub(crate) fn take(&mut self, act: &ActView, field: &str) {
        let mut value = Cow::Borrowed(act.get(field));
        // A reading of a clock, other in each act: it tells nothing of the machine.
        if value.get(CLOCK_READING).is_some()
            && let Some(fields) = value.to_mut().as_object_mut()
        {
            fields.remove(CLOCK_READING);
        }
        // Looked for from the end: the next act nearly always states what the last one did.
        let has_room = self.list.len() < SPANS_AT_MOST;
        match self.list.iter_mut().rev().find(|span| span.value == *value) {
            Some(span) => {
                span.last_act = act.line;
                span.acts = span.acts.saturating_add(1);
            }
            None if has_room => self.list.push(Span {
                fields: fields(&value),
                first_act: act.line,
                last_act: act.line,
                acts: 1,
                value: value.into_owned(),
            }),
            None => self.acts_left_out = self.acts_left_out.saturating_add(1),
        }
    }
}

/// A place where the end of an act lies before the end of the act before it.
#[derive(Debug, Clone, Serialize)]
pub struct ClockStep {
    /// The act after the step.
    pub act: u64,
    /// End of the act before, as recorded.
    pub before: Text,
    /// End of this act, as recorded.
    pub after: Text,
}

/// Steps backwards of the clock that acts were timed with.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClockSteps {
    /// The first of them.
    pub list: Vec<ClockStep>,
    /// All of them.
    pub total: u64,
    #[serde(skip)]
    last: Option<(crate::Moment, Text)>,
}

impl ClockSteps {
    /// Acts stand in order of their ends, so by one steady clock ends never go back.
    pub(crate) fn take(&mut self, act: &ActView) {
        let Some(ended) = act.moment("ended") else { return };
        let text = act.text("ended");
        if let Some((before, before_text)) = self.last.replace((ended, text.clone()))
            && ended < before
        {
            self.total = self.total.saturating_add(1);
            if self.list.len() < SPANS_AT_MOST {
                self.list.push(ClockStep { act: act.line, before: before_text, after: text });
            }
        }
    }
}
