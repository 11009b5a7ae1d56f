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
use crate::line::SignedAct;
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
struct Checked {
    hash: Option<String>,
    act: Option<Entry>,
    faults: Vec<String>,
}

pub(super) fn check(
    dir: &Path,
    key: &PublicKey,
    case_hash: String,
    threads: NonZeroUsize,
    recorded: &mut Recorded,
    result: &mut Verification,
) -> Result<(), Error> {
    let path = dir.join("acts.jsonl");
    let file = File::open(&path).map_err(Error::io("opening", &path))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    result.head = case_hash;
    let mut offset_bytes = 0u64;
    loop {
        let batch = Batch::read(&mut reader).map_err(Error::io("reading", &path))?;
        for checked in in_parallel(&batch.lines, key, threads) {
            result.acts = result.acts.saturating_add(1);
            take(checked, recorded, result);
        }
        offset_bytes = offset_bytes.saturating_add(batch.whole_bytes);
        match batch.end {
            LineEnd::Whole => {}
            LineEnd::End => return Ok(()),
            LineEnd::TooLong => {
                result.acts = result.acts.saturating_add(1);
                result.problem(Place::Act(result.acts), "line is too long");
                offset_bytes = offset_bytes.saturating_add(batch.end_bytes);
            }
            LineEnd::Torn => {
                let bytes = batch.end_bytes;
                let reason =
                    format!("{bytes} bytes after byte {offset_bytes} are a torn, unfinished line");
                result.interruption(Place::File("acts.jsonl".to_owned()), reason);
                return Ok(());
            }
        }
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

/// Each line checked by itself, in order.
fn in_parallel(lines: &[Vec<u8>], key: &PublicKey, threads: NonZeroUsize) -> Vec<Checked> {
    let share = lines.len().div_ceil(threads.get()).max(1);
    if threads.get() == 1 || lines.len() < 2 {
        return lines.iter().map(|line| line_alone(line, key)).collect();
    }
    std::thread::scope(|scope| {
        let work: Vec<_> = lines
            .chunks(share)
            .map(|lines| {
                let check = || lines.iter().map(|line| line_alone(line, key)).collect::<Vec<_>>();
                (lines, scope.spawn(check))
            })
            .collect();
        work.into_iter()
            .flat_map(|(lines, thread)| {
                // A thread that died is no proof of anything: its lines are done again here.
                let again = |_| lines.iter().map(|line| line_alone(line, key)).collect();
                thread.join().unwrap_or_else(again)
            })
            .collect()
    })
}

fn line_alone(line: &[u8], key: &PublicKey) -> Checked {
    let signed = match SignedAct::parse(line) {
        Ok(signed) => signed,
        Err(fault) => return Checked { hash: None, act: None, faults: vec![fault.into_reason()] },
    };
    let mut faults = Vec::new();
    if let Err(reason) = signed.check(key) {
        faults.push(escape_name(reason.as_bytes()));
    }
    let act = serde_json::from_slice::<Entry>(signed.act_bytes());
    let told = |error| escape_name(format!("act is not readable: {error}").as_bytes());
    let act = act.map_err(|error| faults.push(told(error))).ok();
    Checked { hash: Some(signed.hash().to_owned()), act, faults }
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
    let mut left = Vec::new();
    for mut aside in act.set_aside {
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
