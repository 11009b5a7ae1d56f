//! An act as the report shows it, read tolerantly: a verb or field of another version is shown, never dropped.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use casebook::SignedAct;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Moment, Text};

/// Acts kept from the beginning and from the end of the list; those between are counted by verb.
const KEPT_AT_EACH_END: usize = 1000;
/// Verbs counted apart.
const VERBS_AT_MOST: usize = 200;
/// Values shown of one act, and problems spelled out.
const VALUES_AT_MOST: usize = 40;
const PROBLEMS_AT_MOST: usize = 5;

/// An act taken apart.
pub(crate) struct ActView {
    /// Its line in the list, from 1.
    pub(crate) line: u64,
    pub(crate) hash: String,
    /// Bytes of the act.
    pub(crate) size_bytes: usize,
    /// What it says, by field; `None` where it cannot be read as JSON (nested too deeply, say): still
    /// an act with a number and a hash.
    values: Option<BTreeMap<String, Rc<Value>>>,
}

/// Fields shorter than this are parsed anew each time, longer ones than that are not kept.
const REMEMBERED_BYTES: std::ops::Range<usize> = 48..65_536;
const REMEMBERED_FIELDS: usize = 32;

/// Takes acts apart. What an act says in the very words of the one before (its program, its machine,
/// its disks' counters) is not parsed again.
#[derive(Default)]
pub(crate) struct ActReader {
    last: BTreeMap<String, (String, Rc<Value>)>,
    /// The fields that are read; all of them if there are none.
    wanted: &'static [&'static str],
}

impl ActReader {
    /// Reads these fields and leaves the others alone.
    pub(crate) fn only(wanted: &'static [&'static str]) -> Self {
        Self { last: BTreeMap::new(), wanted }
    }

    pub(crate) fn view(&mut self, line: u64, signed: &SignedAct) -> ActView {
        let values = serde_json::from_slice::<BTreeMap<String, &RawValue>>(signed.act_bytes());
        let values = values.ok().and_then(|fields| {
            fields
                .into_iter()
                .filter(|(name, _)| self.wanted.is_empty() || self.wanted.contains(&name.as_str()))
                .map(|(name, raw)| self.value(&name, raw.get()).map(|value| (name, value)))
                .collect()
        });
        let size_bytes = signed.act_bytes().len();
        ActView { line, hash: signed.hash().to_owned(), size_bytes, values }
    }

    fn value(&mut self, name: &str, text: &str) -> Option<Rc<Value>> {
        let parsed = || serde_json::from_str(text).ok().map(Rc::new);
        if !REMEMBERED_BYTES.contains(&text.len()) {
            return parsed();
        }
        // What the kernel counted is often the same after an act as before it.
        let name = if name.starts_with("counters_") { "counters" } else { name };
        match self.last.get_mut(name) {
            Some((before, value)) if before == text => Some(Rc::clone(value)),
            Some((before, value)) => {
                *value = parsed()?;
                text.clone_into(before);
                Some(Rc::clone(value))
            }
            None => {
                let value = parsed()?;
                if self.last.len() < REMEMBERED_FIELDS {
                    self.last.insert(name.to_owned(), (text.to_owned(), Rc::clone(&value)));
                }
                Some(value)
            }
        }
    }
}

impl ActView {
    pub(crate) fn get(&self, field: &str) -> &Value {
        self.values.as_ref().and_then(|values| values.get(field)).map_or(&Value::Null, |one| one)
    }

    /// All of it, as an object of its own.
    pub(crate) fn values(&self) -> Option<serde_json::Map<String, Value>> {
        let values = self.values.as_ref()?;
        Some(values.iter().map(|(name, value)| (name.clone(), Value::clone(value))).collect())
    }

    pub(crate) fn str(&self, field: &str) -> &str {
        self.get(field).as_str().unwrap_or_default()
    }

    pub(crate) fn text(&self, field: &str) -> Text {
        shown(self.get(field))
    }

    pub(crate) fn list(&self, field: &str) -> &[Value] {
        self.get(field).as_array().map_or(&[], Vec::as_slice)
    }

    pub(crate) fn moment(&self, field: &str) -> Option<Moment> {
        Moment::parse(self.str(field))
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.values.is_some()
    }
}

/// A JSON value as one text; a string without its quotes.
pub(crate) fn shown(value: &Value) -> Text {
    match value {
        Value::Null => Text::default(),
        Value::String(text) => Text::new(text),
        other => Text::new(&other.to_string()),
    }
}

/// The fields of an object as name and text, bounded, without those that say nothing.
pub(crate) fn fields(value: &Value) -> Vec<(Text, Text)> {
    let Some(object) = value.as_object() else {
        let text = shown(value);
        return if text.is_empty() { Vec::new() } else { vec![(Text::new("value"), text)] };
    };
    let mut all = Vec::new();
    let mut more = 0_usize;
    for (name, value) in object.iter().filter(|(_, value)| !is_empty(value)) {
        // One level of nesting is spelled out; what lies deeper stays JSON.
        match value {
            Value::Object(inner) => {
                for (part, value) in inner.iter().filter(|(_, value)| !is_empty(value)) {
                    put(&mut all, &mut more, &format!("{name} {part}"), value);
                }
            }
            other => put(&mut all, &mut more, name, other),
        }
    }
    if more > 0 {
        all.push((Text::new("further fields"), Text::new(&more.to_string())));
    }
    all
}

fn put(all: &mut Vec<(Text, Text)>, more: &mut usize, name: &str, value: &Value) {
    if all.len() >= VALUES_AT_MOST {
        *more = more.saturating_add(1);
        return;
    }
    let plain = |list: &[Value]| list.iter().all(|one| one.is_string() || one.is_number());
    let text = match value {
        Value::Array(list) if plain(list) => {
            let words: Vec<String> =
                list.iter().take(VALUES_AT_MOST).map(|one| shown(one).raw().to_owned()).collect();
            let left = list.len().saturating_sub(words.len());
            let ending = if left > 0 { format!(", and {left} more") } else { String::new() };
            Text::new(&format!("{}{ending}", words.join(", ")))
        }
        other => shown(other),
    };
    all.push((Text::new(name), text));
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// One act in the report's list.
#[derive(Debug, Clone, Serialize)]
pub struct ActLine {
    /// Its place in the list, from 1.
    pub number: u64,
    /// SHA-256 of the act.
    pub hash: String,
    /// The verb of the command line.
    pub verb: Text,
    /// Who acted.
    pub who: Text,
    /// `boot`, `live` or `desk`.
    pub mode: Text,
    /// When it began, as recorded.
    pub started: Text,
    /// When it ended, as recorded.
    pub ended: Text,
    /// `done`, `partial`, `failed`, `interrupted`.
    pub result: Text,
    /// The outcome's sentence.
    pub outcome: Text,
    /// Its arguments: name and value.
    pub arguments: Vec<(Text, Text)>,
    /// What was read.
    pub inputs: Vec<Text>,
    /// What was written.
    pub outputs: Vec<Text>,
    /// The first problems.
    pub problems: Vec<Text>,
    /// All problems.
    pub problems_in_all: usize,
}

impl ActLine {
    fn new(act: &ActView) -> Self {
        let names = |field: &str| {
            act.list(field)
                .iter()
                .take(VALUES_AT_MOST)
                .map(|item| shown(item.get("name").unwrap_or(item)))
                .collect()
        };
        let outcome = act.get("outcome");
        let part = |name: &str| shown(outcome.get(name).unwrap_or(&Value::Null));
        let unreadable = Text::new("this act cannot be taken apart; it stands in acts.jsonl");
        Self {
            number: act.line,
            hash: act.hash.clone(),
            verb: act.text("verb"),
            who: act.text("who"),
            mode: act.text("mode"),
            started: act.text("started"),
            ended: act.text("ended"),
            result: part("result"),
            outcome: if act.is_readable() { part("text") } else { unreadable },
            arguments: fields(act.get("arguments")),
            inputs: names("inputs"),
            outputs: names("outputs"),
            problems: act.list("problems").iter().take(PROBLEMS_AT_MOST).map(shown).collect(),
            problems_in_all: act.list("problems").len(),
        }
    }
}

/// The acts: those of both ends, and what stands between by verb.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Acts {
    /// How many there are.
    pub total: u64,
    /// How many of each verb, and of each verb and outcome.
    pub by_verb: BTreeMap<String, BTreeMap<String, u64>>,
    /// The first ones.
    #[serde(skip)]
    pub first: Vec<ActLine>,
    /// The last ones, after those that are only counted.
    #[serde(skip)]
    pub last: Vec<ActLine>,
}

const OUTCOMES: [&str; 4] = ["done", "partial", "failed", "interrupted"];
/// Larger acts are shortened at once instead of being kept as they are.
const KEPT_WHOLE_BYTES: usize = 64 << 10;

/// An act of the list's end, as long as it is not known whether it is among the last.
enum Waiting {
    View(ActView),
    Line(Box<ActLine>),
}

/// The acts on their way into [`Acts`].
#[derive(Default)]
pub(crate) struct ActList {
    acts: Acts,
    last: VecDeque<Waiting>,
}

impl ActList {
    pub(crate) fn take(&mut self, act: ActView) {
        let acts = &mut self.acts;
        acts.total = acts.total.saturating_add(1);
        let word = act.get("outcome").get("result").and_then(Value::as_str).unwrap_or_default();
        let result = if OUTCOMES.contains(&word) { word } else { "unknown" };
        acts.count(act.str("verb"), result);
        if acts.first.len() < KEPT_AT_EACH_END {
            acts.first.push(ActLine::new(&act));
            return;
        }
        if self.last.len() >= KEPT_AT_EACH_END {
            self.last.pop_front();
        }
        let is_large = act.size_bytes > KEPT_WHOLE_BYTES;
        self.last.push_back(if is_large {
            Waiting::Line(Box::new(ActLine::new(&act)))
        } else {
            Waiting::View(act)
        });
    }

    pub(crate) fn finish(mut self) -> Acts {
        let lines = self.last.into_iter().map(|one| match one {
            Waiting::View(act) => ActLine::new(&act),
            Waiting::Line(line) => *line,
        });
        self.acts.last = lines.collect();
        self.acts
    }
}

impl Acts {
    fn count(&mut self, verb: &str, result: &str) {
        let known = self.by_verb.get_mut(verb).and_then(|outcomes| outcomes.get_mut(result));
        if let Some(count) = known {
            *count = count.saturating_add(1);
            return;
        }
        let verb = Text::new(verb).plain();
        let verb = if self.by_verb.len() < VERBS_AT_MOST || self.by_verb.contains_key(&verb) {
            verb
        } else {
            "(other verbs)".to_owned()
        };
        let count = self.by_verb.entry(verb).or_default().entry(result.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Acts that are counted and not listed.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        let listed = self.first.len().saturating_add(self.last.len());
        self.total.saturating_sub(u64::try_from(listed).unwrap_or(u64::MAX))
    }
}
