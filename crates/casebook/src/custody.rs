//! The chain of custody: every hand-over of an exhibit, as acts record them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Act, Timestamp};

/// The verb of the act that records a hand-over.
pub const HAND_OVER: &str = "case custody hand-over";

/// One hand-over: the arguments of its act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// Names of the exhibits that changed hands.
    pub exhibits: Vec<String>,
    /// Who gave.
    pub from: String,
    /// Who received.
    pub to: String,
    /// When.
    pub when: Timestamp,
    /// Where.
    #[serde(rename = "where")]
    pub place: String,
    /// What for.
    pub purpose: String,
    /// In what condition.
    pub condition: String,
    /// Numbers of the seals on it.
    #[serde(default)]
    pub seals: Vec<String>,
    /// Who saw it.
    #[serde(default)]
    pub witness: Option<String>,
}

/// One link of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Number of the act.
    pub act: u64,
    /// The hand-over.
    #[serde(flatten)]
    pub hand_over: HandOver,
}

/// Everything known about where one exhibit has been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The exhibit.
    pub exhibit: String,
    /// The act that made it.
    pub made_by_act: Option<u64>,
    /// Who made it, and so held it first.
    pub made_by: Option<String>,
    /// When it was made.
    pub made: Option<Timestamp>,
    /// Hand-overs in the order they were recorded.
    pub links: Vec<Link>,
    /// What does not fit together: somebody gave what another held, or a time runs backwards.
    pub gaps: Vec<String>,
}

impl Chain {
    fn new(exhibit: &str) -> Self {
        Self {
            exhibit: exhibit.to_owned(),
            made_by_act: None,
            made_by: None,
            made: None,
            links: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Who holds it now, as far as is recorded.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        let last = self.links.last().map(|link| link.hand_over.to.as_str());
        last.or(self.made_by.as_deref())
    }

    fn add(&mut self, act: u64, hand_over: HandOver) {
        let (from, holder) = (&hand_over.from, self.holder());
        if holder.is_some_and(|holder| holder != from) {
            let holder = holder.unwrap_or_default();
            self.gaps.push(format!("act {act}: {from} gave it, the record has it with {holder}"));
        }
        let before = self.links.last().map(|link| &link.hand_over.when).or(self.made.as_ref());
        // To the second: times of different precision do not compare as text.
        let second = |time: &Timestamp| time.as_str().get(..19).map(str::to_owned);
        if before.is_some_and(|before| second(before) > second(&hand_over.when)) {
            self.gaps.push(format!("act {act}: it is dated before what was recorded earlier"));
        }
        self.links.push(Link { act, hand_over });
    }
}

/// The chain of every exhibit the acts made or handed over, by name.
#[must_use]
pub fn chains(acts: &[Act]) -> Vec<Chain> {
    let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
    for act in acts {
        for exhibit in &act.exhibits {
            let chain = chains.entry(exhibit.clone()).or_insert_with(|| Chain::new(exhibit));
            chain.made_by_act = Some(act.number);
            chain.made_by = Some(act.draft.who.clone());
            chain.made = Some(act.draft.started.clone());
        }
        if act.draft.verb != HAND_OVER {
            continue;
        }
        let Ok(hand_over) = serde_json::from_value::<HandOver>(act.draft.arguments.clone()) else {
            continue;
        };
        for exhibit in &hand_over.exhibits {
            let chain = chains.entry(exhibit.clone()).or_insert_with(|| Chain::new(exhibit));
            chain.add(act.number, hand_over.clone());
        }
    }
    chains.into_values().collect()
}
