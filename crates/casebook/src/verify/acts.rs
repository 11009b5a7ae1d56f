//! The list of acts, line by line: form, hash and signatures on several threads, the chain in order.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::num::NonZeroUsize;
use std::path::Path;

use hashing::escape_name;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Place, Recorded, Verification};
use crate::files::{LineEnd, next_line};
use crate::key::Checker;
use crate::line::{Parts, SignedAct};
use crate::{
    Clock, Error, Item, Mode, Outcome, OutcomeKind, PublicKey, SetAside, Timestamp, Tool, sealed,
};

/// Lines and bytes held at a time, so that a case of any length takes the same memory.
const BATCH_LINES: usize = 1024;
const BATCH_BYTES: usize = 8 << 20;

/// An act as [`crate::Act`] has it; what is not followed up is looked at for its form and not kept.
/// Reading all of it into memory takes longer than checking its signatures.
#[derive(Deserialize)]
struct Entry {
    number: u64,
    previous: String,
    begun: String,
    verb: String,
    outcome: Outcome,
    #[serde(default)]
    exhibits: Vec<String>,
    #[serde(default)]
    continued: Vec<String>,
    #[serde(default)]
    outputs: Vec<Item>,
    #[serde(default)]
    set_aside: Vec<SetAside>,
    #[serde(rename = "who")]
    _who: String,
    #[serde(rename = "mode")]
    _mode: Mode,
    #[serde(rename = "started")]
    _started: Timestamp,
    #[serde(rename = "clock")]
    _clock: Clock,
    #[serde(rename = "host")]
    _host: IgnoredAny,
    #[serde(rename = "tool")]
    _tool: Tool,
    #[serde(rename = "arguments")]
    _arguments: IgnoredAny,
    #[serde(rename = "ended")]
    _ended: Timestamp,
}

/// What one line holds, as far as that can be told from the line alone.
#[derive(Default)]
struct Checked {
    hash: Option<String>,
    /// The line itself, where it is read and not only checked.
    signed: Option<SignedAct>,
    act: Option<Entry>,
    faults: Vec<String>,
}

/// Takes acts in order, as they were checked. None comes after one that is not whole.
pub type Reader<'a> = &'a mut dyn FnMut(Vec<SignedAct>);

/// Who hears of acts while they are checked.
pub(super) struct Watchers<'a, 'b> {
    /// Takes what was checked.
    pub(super) reading: Option<Reader<'a>>,
    /// Is told what is recorded so far, each time that more is to come.
    pub(super) early: &'b mut dyn FnMut(&Recorded),
}

/// Reads the file of this name, which is the list or its copy.
pub(super) fn check(
    (dir, name): (&Path, &str),
    (key, threads): (&PublicKey, NonZeroUsize),
    case_hash: String,
    Watchers { mut reading, early }: Watchers<'_, '_>,
    recorded: &mut Recorded,
    result: &mut Verification,
) -> Result<(), Error> {
    let path = dir.join(name);
    let file = File::open(&path).map_err(Error::io("opening", &path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    result.head = case_hash;
    let mut offset_bytes = 0u64;
    let mut checker = None;
    loop {
        let batch = Batch::read(&mut reader).map_err(Error::io("reading", &path))?;
        // Making it ready costs as much as checking a thousand acts the plain way.
        if checker.is_none() && result.acts > 0 && batch.lines.len() == BATCH_LINES {
            checker = Some(Checker::new(key));
        }
        let mut whole = Vec::new();
        let keep = if reading.is_some() { Keep::Line } else { Keep::Facts };
        for mut checked in in_parallel(&batch.lines, (key, checker.as_ref()), (threads, keep)) {
            result.acts = result.acts.saturating_add(1);
            if checked.hash.is_none() {
                // Handed on is what stands before it, and then nothing.
                hand_on(&mut reading, &mut whole);
                reading = None;
            }
            whole.extend(checked.signed.take());
            take(checked, recorded, result);
        }
        hand_on(&mut reading, &mut whole);
        if batch.end == LineEnd::Whole {
            // More is to come.
            early(recorded);
        }
        offset_bytes = offset_bytes.saturating_add(batch.whole_bytes);
        match batch.end {
            LineEnd::Whole => {}
            LineEnd::End => return Ok(()),
            LineEnd::TooLong => {
                result.acts = result.acts.saturating_add(1);
                result.problem(Place::Act(result.acts), "line is too long");
                reading = None;
                offset_bytes = offset_bytes.saturating_add(batch.end_bytes);
            }
            LineEnd::Torn => {
                let bytes = batch.end_bytes;
                let reason =
                    format!("{bytes} bytes after byte {offset_bytes} are a torn, unfinished line");
                result.interruption(Place::File(name.to_owned()), reason);
                result.torn_bytes = result.torn_bytes.saturating_add(bytes);
                return Ok(());
            }
        }
    }
}

fn hand_on(reading: &mut Option<Reader<'_>>, whole: &mut Vec<SignedAct>) {
    if let Some(reader) = reading
        && !whole.is_empty()
    {
        reader(std::mem::take(whole));
    }
}

/// Lines read together, and what came after them.
struct Batch {
    lines: Vec<Vec<u8>>,
    whole_bytes: u64,
    /// `Whole` when the batch is full.
    end: LineEnd,
    end_bytes: u64,
}

impl Batch {
    fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let mut batch =
            Self { lines: Vec::new(), whole_bytes: 0, end: LineEnd::Whole, end_bytes: 0 };
        let mut held_bytes = 0usize;
        while batch.lines.len() < BATCH_LINES && held_bytes < BATCH_BYTES {
            let mut line = Vec::new();
            let (end, bytes) = next_line(reader, &mut line)?;
            if end != LineEnd::Whole {
                (batch.end, batch.end_bytes) = (end, bytes);
                break;
            }
            held_bytes = held_bytes.saturating_add(line.len());
            batch.whole_bytes = batch.whole_bytes.saturating_add(bytes);
            batch.lines.push(line);
        }
        Ok(batch)
    }
}

/// The key, and the same made ready for many acts.
type Keys<'a> = (&'a PublicKey, Option<&'a Checker>);

/// What is kept of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// What verification follows up.
    Facts,
    /// All of it.
    Line,
}

/// Each line checked by itself, in order.
fn in_parallel(
    lines: &[Vec<u8>],
    keys: Keys<'_>,
    (threads, keep): (NonZeroUsize, Keep),
) -> Vec<Checked> {
    let line_alone = |line: &Vec<u8>| line_alone(line, keys, keep);
    let share = lines.len().div_ceil(threads.get()).max(1);
    if threads.get() == 1 || lines.len() < 2 {
        return lines.iter().map(line_alone).collect();
    }
    std::thread::scope(|scope| {
        let work: Vec<_> = lines
            .chunks(share)
            .map(|lines| {
                let check = move || lines.iter().map(line_alone).collect::<Vec<_>>();
                (lines, scope.spawn(check))
            })
            .collect();
        work.into_iter()
            .flat_map(|(lines, thread)| {
                // A thread that died is no proof of anything: its lines are done again here.
                let again = |_| lines.iter().map(line_alone).collect();
                thread.join().unwrap_or_else(again)
            })
            .collect()
    })
}

fn line_alone(line: &[u8], (key, checker): Keys<'_>, keep: Keep) -> Checked {
    if let Some(parts) = Parts::of(line)
        && checker.is_some_and(|checker| parts.accepted_by(checker))
        && let Ok(act) = serde_json::from_str::<Entry>(parts.act)
    {
        let signed = (keep == Keep::Line).then(|| parts.to_signed());
        let hash = Some(parts.hash.to_owned());
        return Checked { hash, signed, act: Some(act), faults: Vec::new() };
    }
    let signed = match SignedAct::parse(line) {
        Ok(signed) => signed,
        Err(fault) => return Checked { faults: vec![fault.into_reason()], ..Checked::default() },
    };
    let mut faults = Vec::new();
    if let Err(reason) = signed.check(key) {
        faults.push(escape_name(reason.as_bytes()));
    }
    let act = serde_json::from_slice::<Entry>(signed.act_bytes());
    let told = |error| escape_name(format!("act is not readable: {error}").as_bytes());
    let act = act.map_err(|error| faults.push(told(error))).ok();
    let hash = Some(signed.hash().to_owned());
    Checked { hash, signed: (keep == Keep::Line).then_some(signed), act, faults }
}

fn take(checked: Checked, recorded: &mut Recorded, result: &mut Verification) {
    let number = result.acts;
    for fault in checked.faults {
        result.problem(Place::Act(number), fault);
    }
    if let Some(act) = checked.act {
        check_order(&act, number, result);
        check_seal(&act, number, recorded, result);
        collect(act, number, recorded);
    }
    if let Some(hash) = checked.hash {
        result.head = hash;
    }
}

fn check_order(act: &Entry, number: u64, result: &mut Verification) {
    if act.number != number {
        let reason = format!("it calls itself act {}, line {number} was expected", act.number);
        result.problem(Place::Act(number), reason);
    }
    if act.previous != result.head {
        let previous = escape_name(act.previous.as_bytes());
        let reason = format!("it follows {previous}, before it stands {}", result.head);
        result.problem(Place::Act(number), reason);
    }
}

fn check_seal(act: &Entry, number: u64, recorded: &mut Recorded, result: &mut Verification) {
    if let Err(refusal) = sealed::permit(recorded.sealed_by, &act.verb) {
        result.problem(Place::Act(number), format!("{refusal}, and no act opened it again"));
    }
    let done = act.outcome.result == OutcomeKind::Done;
    recorded.sealed_by = sealed::after(recorded.sealed_by, number, &act.verb, done);
}

fn collect(act: Entry, number: u64, recorded: &mut Recorded) {
    for name in act.exhibits {
        recorded.exhibits.entry(name).or_insert(number);
    }
    for name in act.continued {
        recorded.gone_on.insert(name, number);
    }
    let mut left = Vec::new();
    for mut aside in act.set_aside {
        recorded.gone_on.extend(aside.exhibits.iter().map(|name| (name.clone(), number)));
        recorded.cut_off.extend(aside.exhibits.iter().cloned());
        left.append(&mut aside.files);
        recorded.set_aside.entry(aside.file.clone()).or_insert((number, aside));
    }
    for item in act.outputs.into_iter().chain(left) {
        let Some(rest) = item.name.strip_prefix("exhibits/") else { continue };
        // Acts written before acts named their exhibits name them by their files.
        if let Some((exhibit, _)) = rest.split_once('/')
            && !recorded.cut_off.contains(exhibit)
        {
            recorded.exhibits.entry(exhibit.to_owned()).or_insert(number);
        }
        recorded.files.entry(item.name.clone()).or_default().push((number, item));
    }
    recorded.begun.insert(act.begun);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signer;
    use serde_json::json;

    fn told(line: &[u8], keys: Keys<'_>) -> (Option<String>, Option<u64>, Vec<String>) {
        let checked = line_alone(line, keys, Keep::Line);
        let signed = checked.signed.map(|signed| signed.to_line().into_bytes());
        assert_eq!(signed, checked.hash.is_some().then(|| line.to_vec()));
        (checked.hash, checked.act.map(|act| act.number), checked.faults)
    }

    fn act() -> serde_json::Value {
        json!({
            "number": 7, "previous": "ab", "begun": "cd", "who": "x", "mode": "desk",
            "started": "2026-01-01T00:00:00Z", "verb": "v", "arguments": { "a": ["\u{fc}\"", 1] },
            "clock": { "source": "s", "offset_ms": null, "error_ms": null }, "host": null,
            "tool": { "name": "n", "version": "1", "sha256": "00" },
            "ended": "2026-01-01T00:00:00Z", "outcome": { "result": "done", "text": "" },
        })
    }

    /// An independent path: the long way and the short one answer the same to every flip of every
    /// byte, so the tamper suite's small cases speak for large ones.
    #[test]
    fn a_large_case_is_judged_as_a_small_one() {
        let (signer, _) = Signer::generate_unprotected().unwrap();
        let (other, _) = Signer::generate_unprotected().unwrap();
        let key = signer.public_key();
        let checker = Checker::new(key);
        let line = SignedAct::sign(&act(), &signer).unwrap().to_line().into_bytes();
        let parts = Parts::of(&line).unwrap();
        assert!(parts.accepted_by(&checker), "the short way is never taken");
        let mut lines = vec![line.clone()];
        for at in 0..line.len() {
            for mask in [0x01_u8, 0x20, 0x80] {
                let mut changed = line.clone();
                changed[at] ^= mask;
                lines.push(changed);
            }
            lines.push(line[..at].to_vec());
        }
        // Signed well and still no act: what the short way must not take on trust.
        let mut odd = act();
        odd["number"] = json!("seven");
        lines.push(SignedAct::sign(&odd, &signer).unwrap().to_line().into_bytes());
        lines.push(SignedAct::sign(&json!([1]), &signer).unwrap().to_line().into_bytes());
        lines.push(SignedAct::sign(&act(), &other).unwrap().to_line().into_bytes());
        let mut accepted = 0;
        for line in &lines {
            let quick = told(line, (key, Some(&checker)));
            assert_eq!(quick, told(line, (key, None)), "{}", String::from_utf8_lossy(line));
            accepted += usize::from(quick.2.is_empty());
        }
        assert_eq!(accepted, 1);
    }

    /// What stands between the frame of a line may look like two acts: it is no line of ours.
    #[test]
    fn an_act_that_leaves_its_frame_is_none() {
        let (signer, _) = Signer::generate_unprotected().unwrap();
        let text = format!("{},\"more\":{}", act(), json!({ "a": 1 }));
        let hash = crate::files::sha256(text.as_bytes());
        let (signature, comment) = signer.sign(text.as_bytes(), &hash).unwrap();
        let line = format!(
            "{{\"act\":{text},\"hash\":\"{hash}\",\"signature\":\"{signature}\",\
             \"comment_signature\":\"{comment}\"}}"
        );
        let checker = Checker::new(signer.public_key());
        assert!(Parts::of(line.as_bytes()).unwrap().accepted_by(&checker));
        for checker in [None, Some(&checker)] {
            let checked = told(line.as_bytes(), (signer.public_key(), checker));
            assert!(checked.2[0].starts_with("line is not a signed act"), "{checked:?}");
        }
    }
}
