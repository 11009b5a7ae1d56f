//! What must be true of a case on a medium whose power was cut.

use casebook::{
    ActDraft, Case, Clock, Completion, KeyText, Mode, Outcome, SignedAct, Signer, Timestamp, Tool,
    VerifyOptions, read_acts, verify,
};
use machine::error::{Result, test};
use serde_json::Value;
use std::path::Path;

/// An act the guest said was recorded.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    /// Its number.
    pub(super) number: usize,
    /// Its hash, where the verb tells it.
    pub(super) head: Option<String>,
    /// How long the log of writes was when it was said.
    pub(super) at: usize,
}

/// What a cut left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing: the case was not yet there.
    NoCase,
    /// All acts begun have ended.
    Whole,
    /// An act in progress, shown as such.
    Interrupted,
}

/// Everything acknowledged is there, at most one act more, all of it holds, and the case goes on.
pub(super) fn judge(case: Option<&Path>, acknowledged: &[Acknowledged]) -> Result<Left> {
    let known = acknowledged.last().map_or(0, |last| last.number);
    let Some(dir) = case else {
        return if known == 0 {
            Ok(Left::NoCase)
        } else {
            test(format!("the case is gone with {known} acts"))
        };
    };
    // Being made when the power went, and nobody was told of it.
    if known == 0 && verify(dir, &VerifyOptions::default()).is_err() {
        return Ok(Left::NoCase);
    }
    let acts = read_acts(dir).or_else(|e| test(format!("the acts cannot be read: {e}")))?;
    for one in acknowledged {
        let found = acts.get(one.number - 1).map(SignedAct::hash);
        match (found, &one.head) {
            (None, _) => {
                return test(format!("act {} was acknowledged and is missing", one.number));
            }
            (Some(hash), Some(head)) if hash != head => {
                return test(format!("act {} is {hash}, acknowledged was {head}", one.number));
            }
            _ => {}
        }
    }
    // The same commands run in every session, so one verb was under way when the power went.
    if acts.len() > known + 1 {
        return test(format!("{} acts, of which {known} were acknowledged", acts.len()));
    }
    let before = holds(dir, "after the cut")?;
    // The case was being made: without its key nobody can go on with it, and nobody was told of it.
    if known == 0 && acts.is_empty() {
        return Ok(Left::Interrupted);
    }
    let next = go_on(dir)?;
    if next != acts.len() + 1 {
        return test(format!("{} acts, and the next is {next}", acts.len()));
    }
    holds(dir, "after the next act")?;
    Ok(before)
}

/// The acts of a case after the first `known`, as known from the start.
pub(super) fn acts_after(dir: &Path, known: usize) -> Result<Vec<Acknowledged>> {
    let acts = read_acts(dir).or_else(|e| test(format!("the acts cannot be read: {e}")))?;
    let further = acts.iter().enumerate().skip(known);
    Ok(further
        .map(|(place, act)| Acknowledged {
            number: place + 1,
            head: Some(act.hash().to_owned()),
            at: 0,
        })
        .collect())
}

fn holds(dir: &Path, when: &str) -> Result<Left> {
    let found = verify(dir, &VerifyOptions::default())
        .or_else(|e| test(format!("{when} the case cannot be verified: {e}")))?;
    if let Some(problem) = found.problems.first().or(found.strangers.first()) {
        return test(format!("{when} the case does not hold: {problem}"));
    }
    Ok(if found.interruptions.is_empty() { Left::Whole } else { Left::Interrupted })
}

/// The next session writes a note; gives its number.
fn go_on(dir: &Path) -> Result<usize> {
    let problem = |e: casebook::Error| machine::Error::Test(format!("the next session: {e}"));
    let text = std::fs::read_to_string(dir.join("case.key")).unwrap_or_default();
    let signer = Signer::from_unprotected(&KeyText::new(text)).map_err(problem)?;
    let case = Case::open(dir).map_err(problem)?;
    let now = Timestamp::from_unix(4_000_000_000, 0).map_or_else(|| test("no time"), Ok)?;
    let draft = ActDraft {
        who: "the next session".to_owned(),
        mode: Mode::Desk,
        started: now.clone(),
        clock: Clock { source: "none".to_owned(), offset_ms: None, error_ms: None },
        host: Value::Null,
        tool: Tool {
            name: "the scenario".to_owned(),
            version: "1".to_owned(),
            sha256: "00".repeat(32),
        },
        verb: "case note".to_owned(),
        arguments: Value::Null,
        inputs: Vec::new(),
        counters_before: Value::Null,
    };
    let end = Completion::new(now, Outcome::done());
    let signed = case.record(draft, end, &signer).map_err(problem)?;
    let number = signed.act().map_err(problem)?.number;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}
