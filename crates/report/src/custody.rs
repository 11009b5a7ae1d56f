//! Who held each exhibit, whom to call, and whether the case is sealed: as the casebook itself understands its acts.

use std::collections::BTreeSet;

use casebook::contact::{self, Contact};
use casebook::custody::{self, Chain, HandOver};
use casebook::{Act, sealed};
use serde::Serialize;
use serde_json::Value;

use crate::Text;
use crate::act::ActView;

/// Acts kept for this; the others still stand among the entries of their kind.
const ACTS_AT_MOST: usize = 20_000;
/// An act larger than this is none of ours: a hand-over is a few hundred bytes.
const ACT_BYTES_AT_MOST: usize = 256 << 10;

/// A contact with its place in the call tree.
#[derive(Debug, Clone, Serialize)]
pub struct Called {
    /// How far below those who are called first.
    pub depth: usize,
    /// The contact.
    #[serde(flatten)]
    pub contact: Contact,
}

/// The act that sealed the case.
#[derive(Debug, Clone, Serialize)]
pub struct Sealing {
    /// Its number.
    pub act: u64,
    /// When it ended, as recorded.
    pub when: Text,
    /// Who sealed.
    pub who: Text,
}

/// What the acts add up to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Custody {
    /// Every exhibit's way from hand to hand.
    pub chains: Vec<Chain>,
    /// The call tree, callers before those they call.
    pub calls: Vec<Called>,
    /// Who sealed the case and when, unless it is open.
    pub sealing: Option<Sealing>,
    /// SHA-256 of the manifest of tag files of the bag this was read from, if it was one.
    pub bag_sha256: Option<String>,
    /// Acts that are told here, and need not be told again one by one.
    #[serde(skip)]
    pub(crate) told: BTreeSet<u64>,
    /// Acts that would have been and are not, because there are too many.
    pub left_out: u64,
}

/// The acts on their way into [`Custody`].
#[derive(Default)]
pub(crate) struct CustodyActs {
    acts: Vec<Act>,
    sealing: Option<Sealing>,
    told: BTreeSet<u64>,
    left_out: u64,
}

impl CustodyActs {
    pub(crate) fn take(&mut self, view: &ActView) {
        let verb = view.str("verb");
        let done = view.get("outcome").get("result").and_then(Value::as_str) == Some("done");
        let sealed_by = self.sealing.as_ref().map(|sealing| sealing.act);
        let now = sealed::after(sealed_by, view.line, verb, done);
        if now != sealed_by {
            self.sealing =
                now.map(|act| Sealing { act, when: view.text("ended"), who: view.text("who") });
        }
        let says_who = matches!(verb, custody::HAND_OVER | contact::ADD);
        if !says_who && view.list("exhibits").is_empty() || view.size_bytes > ACT_BYTES_AT_MOST {
            return;
        }
        let Some(act) = view.act() else { return };
        if self.acts.len() >= ACTS_AT_MOST {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        if is_understood(&act) {
            self.told.insert(view.line);
        }
        self.acts.push(act);
    }

    pub(crate) fn finish(self) -> Custody {
        let book = contact::book(&self.acts);
        let calls = contact::tree(&book)
            .into_iter()
            .map(|(depth, contact)| Called { depth, contact: contact.clone() })
            .collect();
        Custody {
            chains: custody::chains(&self.acts),
            calls,
            sealing: self.sealing,
            bag_sha256: None,
            told: self.told,
            left_out: self.left_out,
        }
    }
}

/// Whether all that the act says comes out of the chains or the call tree.
fn is_understood(act: &Act) -> bool {
    let arguments = act.draft.arguments.clone();
    match act.draft.verb.as_str() {
        custody::HAND_OVER => serde_json::from_value::<HandOver>(arguments)
            .is_ok_and(|hand_over| !hand_over.exhibits.is_empty()),
        contact::ADD => arguments
            .get("contacts")
            .is_some_and(|list| serde_json::from_value::<Vec<Contact>>(list.clone()).is_ok()),
        _ => false,
    }
}

impl ActView {
    /// The act as the casebook has it, without what it read and wrote.
    fn act(&self) -> Option<Act> {
        let mut fields = self.values()?;
        for large in ["inputs", "outputs", "problems", "set_aside"] {
            fields.remove(large);
        }
        for large in ["counters_before", "counters_after"] {
            fields.insert(large.to_owned(), Value::Null);
        }
        serde_json::from_value(Value::Object(fields)).ok()
    }
}
