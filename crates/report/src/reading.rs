//! A report on its way: acts come in while the case is verified, then findings are read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;

use casebook::{SignedAct, Verification, VerifyOptions};
use serde_json::Value;

use crate::act::{ActList, ActReader, ActView, fields};
use crate::custody::CustodyActs;
use crate::examinations::Examinations;
use crate::model::{Exhibit, ExhibitFile};
use crate::{DiskVerdict, Error, Moment, Report, Text, Timeline};

const EXHIBITS_AT_MOST: usize = 2000;
const FILES_AT_MOST: usize = 5000;
const ACT_TIMES_AT_MOST: usize = 200_000;
/// Batches of acts that wait to be read.
const WAITING_AT_MOST: usize = 2;

/// Everything but the verdict, made from acts in order.
pub(crate) struct Reading {
    report: Report,
    begun: Vec<Moment>,
    exhibits: ExhibitList,
    acts: ActList,
    custody: CustodyActs,
    reader: ActReader,
    lines: u64,
}

impl Reading {
    pub(crate) fn new(folder: &Path, options: &VerifyOptions) -> Result<Self, Error> {
        Ok(Self {
            report: Report::empty(folder, options, &casebook::CaseInfo::of(folder)?),
            begun: Vec::new(),
            exhibits: ExhibitList::default(),
            acts: ActList::default(),
            custody: CustodyActs::default(),
            reader: ActReader::default(),
            lines: 0,
        })
    }

    pub(crate) fn take(&mut self, acts: &[SignedAct]) {
        for signed in acts {
            self.lines = self.lines.saturating_add(1);
            let act = self.reader.view(self.lines, signed);
            self.report.take(&act);
            self.custody.take(&act);
            self.exhibits.take(&act, &mut self.report.finding_files);
            if self.begun.len() < ACT_TIMES_AT_MOST {
                self.begun.extend(act.moment("started"));
            }
            self.acts.take(act);
        }
    }

    /// The files of findings that acts have named so far, with these acts.
    pub(crate) fn finding_files(&self) -> &[(u64, String)] {
        &self.report.finding_files
    }

    /// Puts all together.
    pub(crate) fn finish(self, examinations: Examinations) -> Report {
        let mut report = self.report;
        report.acts = self.acts.finish();
        report.custody = self.custody.finish();
        (report.exhibits, report.exhibit_files_left_out) = self.exhibits.finish();
        report.disks.finish();
        let Examinations { findings, marks, coverage, host_names } = examinations.finish();
        report.findings = findings;
        report.host_names.extend(host_names);
        report.coverage.append(coverage);
        report.coverage.take_disks(&report.disks);
        report.timeline = Timeline::new(&report.findings, &marks, &self.begun);
        report.limits = limits(&report);
        report
    }
}

/// Verifies on other threads while this one reads what was verified, and another the findings it speaks of. `None` if
/// one of them died: that proves nothing, neither way.
pub(crate) fn side_by_side(
    folder: &Path,
    options: &VerifyOptions,
) -> Result<Option<(Verification, Report)>, Error> {
    let mut reading = Reading::new(folder, options)?;
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<Vec<SignedAct>>(WAITING_AT_MOST);
        let verifying = scope.spawn(move || {
            // A reader that is gone has died itself, and nobody waits for this any more.
            casebook::verify_reading(folder, options, &mut |acts| drop(send.send(acts)))
        });
        let (files, named) = mpsc::channel::<(u64, String)>();
        let examining = scope.spawn(move || {
            let mut examinations = Examinations::default();
            named.iter().for_each(|(act, name)| examinations.read(folder, act, &name));
            examinations
        });
        for acts in receive {
            let known = reading.finding_files().len();
            reading.take(&acts);
            for file in reading.finding_files().iter().skip(known) {
                // Where nobody reads them any more, the other end has died, and that is asked for below.
                let _ = files.send(file.clone());
            }
        }
        drop(files);
        let (Ok(examinations), Ok(verified)) = (examining.join(), verifying.join()) else {
            return Ok(None);
        };
        Ok(Some((verified?, reading.finish(examinations))))
    })
}

/// Exhibits gathered from what acts say they wrote.
#[derive(Default)]
struct ExhibitList {
    map: BTreeMap<String, Exhibit>,
    files: usize,
    left_out: u64,
}

impl ExhibitList {
    fn take(&mut self, act: &ActView, finding_files: &mut Vec<(u64, String)>) {
        // What was not finished then is told by the act that went on with it.
        for exhibit in act.list("continued").iter().filter_map(Value::as_str) {
            if let Some(exhibit) = self.map.get_mut(exhibit) {
                let before = exhibit.files.len();
                exhibit.files.retain(|file| !file.is_unfinished);
                let gone = before.saturating_sub(exhibit.files.len());
                self.files = self.files.saturating_sub(gone);
            }
        }
        // A copy that is no file of this case stands with the exhibit its act made.
        let own =
            act.list("outputs").iter().find_map(|item| name_of(item).strip_prefix("exhibits/"));
        for item in act.list("outputs") {
            let name = name_of(item);
            let in_case = name.strip_prefix("exhibits/");
            let is_elsewhere = item.pointer("/facts/elsewhere").is_some_and(Value::is_object);
            let Some(rest) = in_case.or_else(|| own.filter(|_| is_elsewhere)) else { continue };
            let are_findings = in_case.is_some() && name.ends_with("/triage.jsonl");
            if are_findings && finding_files.len() < EXHIBITS_AT_MOST {
                finding_files.push((act.line, name.to_owned()));
            }
            let exhibit = rest.split('/').next().unwrap_or_default();
            let full = self.files >= FILES_AT_MOST
                || self.map.len() >= EXHIBITS_AT_MOST && !self.map.contains_key(exhibit);
            if full {
                self.left_out = self.left_out.saturating_add(1);
                continue;
            }
            self.files = self.files.saturating_add(1);
            let entry = self.map.entry(exhibit.to_owned()).or_default();
            entry.name = Text::new(exhibit);
            entry.files.push(ExhibitFile {
                name: Text::new(name),
                size_bytes: item.get("size_bytes").and_then(Value::as_u64),
                digests: fields(item.get("digests").unwrap_or(&Value::Null)),
                facts: fields(item.get("facts").unwrap_or(&Value::Null)),
                act: act.line,
                does_not_hold: false,
                is_unfinished: item.pointer("/facts/unfinished") == Some(&Value::Bool(true)),
                place: hashing::escape_name(name.as_bytes()),
            });
        }
    }

    fn finish(self) -> (Vec<Exhibit>, u64) {
        (self.map.into_values().collect(), self.left_out)
    }
}

fn name_of(item: &Value) -> &str {
    item.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn limits(report: &Report) -> Vec<String> {
    let mut limits = vec![
        "Everything told of an examined machine (its name, its package database, its file times) is what its disk \
         claims; an intruder with its highest rights could have written it."
            .to_owned(),
        "Finding nothing proves that the rules named above found nothing where they looked, and no more.".to_owned(),
    ];
    if !report.verdict.key_compared {
        limits.push(
            "The key was taken from the case itself. A case made anew as a whole under another key would verify too: \
             compare the public key with the one written down when the case was created."
                .to_owned(),
        );
    }
    if !report.verdict.head_compared {
        limits.push(
            "The head was taken from the case itself. Acts cut off the end show only against a head written down \
             earlier: compare it, or give it with --head."
                .to_owned(),
        );
    }
    let unknown =
        report.clocks.list.iter().any(|span| span.field("offset_ms").is_none_or(Value::is_null));
    if unknown {
        limits.push(
            "The error of at least one clock is not known: times of those acts are only as good as that machine's clock."
                .to_owned(),
        );
    }
    if report.disks.list.iter().any(|disk| disk.verdict == DiskVerdict::Unguarded) {
        limits.push(
            "Disks marked \"not guarded\" were not locked by the stick's broker; their counters tell what happened, \
             nothing prevented it."
                .to_owned(),
        );
    }
    limits.push("Counters tell of writes the kernel made. Firmware and the disk's own controller are not counted.".to_owned());
    limits
}
