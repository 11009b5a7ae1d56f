//! The one value a report is made from, and how it is read from a case.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use casebook::{Verification, VerifyOptions};
use serde::Serialize;
use serde_json::Value;

use crate::act::{ActList, ActReader, ActView, Acts, fields, shown};
use crate::custody::{Custody, CustodyActs};
use crate::disks::Disks;
use crate::scan::{Passed, scan};
use crate::spans::{ClockSteps, Spans};
use crate::timeline::Mark;
use crate::{Coverage, DiskVerdict, Error, Findings, People, Text, Timeline, source};

const PROBLEMS_AT_MOST: usize = 500;
const EXHIBITS_AT_MOST: usize = 2000;
const FILES_AT_MOST: usize = 5000;
const ACT_TIMES_AT_MOST: usize = 200_000;
/// Arrays of a line of `triage.jsonl` that are read element by element.
pub(crate) const LONG_ARRAYS: [(&str, &str); 2] = [("report", "findings"), ("report", "problems")];

/// What `case.toml` says, and where the list of acts ends.
#[derive(Debug, Clone, Serialize)]
pub struct CaseFacts {
    /// Short identifier.
    pub id: Text,
    /// What the case is about.
    pub name: Text,
    /// Who is responsible.
    pub examiner: Text,
    /// When it was created.
    pub created: Text,
    /// The key its acts are signed with (minisign).
    pub public_key: String,
    /// Hash of the last act.
    pub head: String,
}

/// Whether what stands in the case can be relied on.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Every act, signature and exhibit holds.
    pub holds: bool,
    /// Acts checked.
    pub acts: u64,
    /// Exhibit files read again.
    pub exhibit_files: u64,
    /// What does not hold; the first ones.
    pub problems: Vec<Text>,
    /// All that does not hold.
    pub problems_in_all: usize,
    /// Signs of interrupted sessions, which take nothing away from what is recorded.
    pub interruptions: Vec<Text>,
    /// The key was compared with one known from elsewhere.
    pub key_compared: bool,
    /// The head was compared with one written down earlier.
    pub head_compared: bool,
}

/// One exhibit.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Exhibit {
    /// Number and label: the name of its folder.
    pub name: Text,
    /// Its files.
    pub files: Vec<ExhibitFile>,
}

/// One file of an exhibit, as the act that wrote it states it.
#[derive(Debug, Clone, Serialize)]
pub struct ExhibitFile {
    /// Its name in the case.
    pub name: Text,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// Digests: algorithm and value.
    pub digests: Vec<(Text, Text)>,
    /// Further facts: name and text.
    pub facts: Vec<(Text, Text)>,
    /// The act that wrote it.
    pub act: u64,
    /// Verification found that it is not what the act says.
    pub does_not_hold: bool,
    /// The act did not finish it.
    pub is_unfinished: bool,
    /// Its name as verification states it.
    #[serde(skip)]
    pub(crate) place: String,
}

/// Everything a report shows.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The case.
    pub case: CaseFacts,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was examined and what was not.
    pub coverage: Coverage,
    /// Machines the acts ran on.
    pub hosts: Spans,
    /// Clocks the acts were timed with.
    pub clocks: Spans,
    /// Steps backwards of these clocks.
    pub clock_steps: ClockSteps,
    /// Findings.
    pub findings: Findings,
    /// Their times in order.
    pub timeline: Timeline,
    /// Exhibits, in order.
    pub exhibits: Vec<Exhibit>,
    /// Exhibit files beyond the number listed.
    pub exhibit_files_left_out: u64,
    /// What the kernel counted on each disk.
    pub disks: Disks,
    /// Who held the exhibits, whom to call, who sealed the case.
    pub custody: Custody,
    /// What people wrote.
    pub people: People,
    /// The acts.
    pub acts: Acts,
    /// Programs that acted.
    pub tools: Spans,
    /// What this report cannot say.
    pub limits: Vec<String>,
    /// Names of the machines examined: what a notice must not tell.
    #[serde(skip)]
    pub(crate) host_names: BTreeSet<String>,
    /// The files findings were read from, with the acts that wrote them.
    #[serde(skip)]
    pub(crate) finding_files: Vec<(u64, String)>,
    /// The folder of the case.
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

impl Report {
    /// Verifies and reads the case in `named` (its folder, or an opened bag that holds it).
    ///
    /// # Errors
    /// Only when there is no case or its list of acts cannot be opened. A case that does not hold gives a report.
    pub fn read(named: &Path, options: &VerifyOptions) -> Result<Self, Error> {
        let folder = source::case_folder(named);
        // Verifying and reading take nothing from each other but the verdict, which is put in at the end.
        let (verified, read) = if options.threads.get() == 1 {
            (casebook::verify(&folder, options), Self::of(&folder, options))
        } else {
            std::thread::scope(|scope| {
                let verifying = scope.spawn(|| casebook::verify(&folder, options));
                let read = Self::of(&folder, options);
                // A thread that died proves nothing: once more, here.
                let again = |_| casebook::verify(&folder, options);
                (verifying.join().unwrap_or_else(again), read)
            })
        };
        let (verified, mut report) = (verified?, read?);
        report.judge(&verified);
        report.custody.bag_sha256 = source::bag_sha256(named, &folder);
        Ok(report)
    }

    /// Everything but the verdict.
    fn of(folder: &Path, options: &VerifyOptions) -> Result<Self, Error> {
        let status = casebook::status(folder)?;
        let mut report = Self::empty(folder, options, &status.info);
        let (mut acts_begun, mut exhibits) = (Vec::new(), ExhibitList::default());
        let (mut acts, mut custody) = (ActList::default(), CustodyActs::default());
        let mut reader = ActReader::default();
        for (line, signed) in (1_u64..).zip(casebook::acts(folder)?) {
            let act = reader.view(line, &signed?);
            report.take(&act);
            custody.take(&act);
            exhibits.take(&act, &mut report.finding_files);
            if acts_begun.len() < ACT_TIMES_AT_MOST {
                acts_begun.extend(act.moment("started"));
            }
            acts.take(act);
        }
        report.acts = acts.finish();
        report.custody = custody.finish(status.sealed_by);
        (report.exhibits, report.exhibit_files_left_out) = exhibits.finish();
        for open in &status.open {
            report.coverage.missed(0, &format!("an act has begun and not ended: {open:?}"));
        }
        for left in &status.set_aside {
            report.coverage.missed(0, &format!("left by an interrupted session: {}", left.file));
        }
        if status.torn_bytes > 0 {
            report
                .coverage
                .missed(0, &format!("the list of acts ends in {} torn bytes", status.torn_bytes));
        }
        report.disks.finish();
        let mut marks = Vec::new();
        report.read_findings(&mut marks);
        report.coverage.take_disks(&report.disks);
        report.findings.finish();
        report.timeline = Timeline::new(&report.findings, &marks, &acts_begun);
        report.limits = limits(&report);
        Ok(report)
    }

    /// Puts in what verification found.
    fn judge(&mut self, verified: &Verification) {
        let bounded = |problems: &[casebook::Problem]| {
            problems
                .iter()
                .take(PROBLEMS_AT_MOST)
                .map(|problem| Text::new(&problem.to_string()))
                .collect()
        };
        self.case.public_key.clone_from(&verified.public_key);
        self.case.head.clone_from(&verified.head);
        let verdict = &mut self.verdict;
        verdict.holds = verified.holds();
        (verdict.acts, verdict.exhibit_files) = (verified.acts, verified.exhibit_files);
        verdict.problems = bounded(&verified.problems);
        verdict.problems_in_all = verified.problems.len();
        verdict.interruptions = bounded(&verified.interruptions);
        let bad: BTreeSet<&str> = verified
            .problems
            .iter()
            .filter_map(|problem| match &problem.place {
                casebook::Place::Exhibit(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        for file in self.exhibits.iter_mut().flat_map(|exhibit| &mut exhibit.files) {
            file.does_not_hold = bad.contains(file.place.as_str());
        }
        if self.acts.total < verified.acts {
            let (read, all) = (self.acts.total, verified.acts);
            self.coverage.missed(
                0,
                &format!(
                    "{read} of {all} acts can be read; the others follow one that is not whole"
                ),
            );
        }
    }

    fn empty(folder: &Path, options: &VerifyOptions, info: &casebook::CaseInfo) -> Self {
        Self {
            case: CaseFacts {
                id: Text::new(&info.id),
                name: Text::new(&info.name),
                examiner: Text::new(&info.examiner),
                created: Text::new(info.created.as_str()),
                public_key: String::new(),
                head: String::new(),
            },
            verdict: Verdict {
                holds: false,
                acts: 0,
                exhibit_files: 0,
                problems: Vec::new(),
                problems_in_all: 0,
                interruptions: Vec::new(),
                key_compared: options.expected_key.is_some(),
                head_compared: options.expected_head.is_some(),
            },
            coverage: Coverage::default(),
            hosts: Spans::default(),
            clocks: Spans::default(),
            clock_steps: ClockSteps::default(),
            findings: Findings::default(),
            timeline: Timeline::default(),
            exhibits: Vec::new(),
            exhibit_files_left_out: 0,
            disks: Disks::default(),
            custody: Custody::default(),
            people: People::default(),
            acts: Acts::default(),
            tools: Spans::default(),
            limits: Vec::new(),
            host_names: BTreeSet::new(),
            finding_files: Vec::new(),
            folder: folder.to_owned(),
        }
    }

    fn take(&mut self, act: &ActView) {
        self.hosts.take(act, "host");
        self.clocks.take(act, "clock");
        self.clock_steps.take(act);
        self.tools.take(act, "tool");
        self.disks.take(act);
        self.people.take(act);
        self.coverage.take(act);
    }

    fn read_findings(&mut self, marks: &mut Vec<Mark>) {
        for (act, name) in self.finding_files.clone() {
            let file = match source::exhibit_file(&self.folder, &name) {
                Ok(file) => file,
                Err(reason) => {
                    self.coverage.missed(act, &format!("{name} was not read: {reason}"));
                    continue;
                }
            };
            let exhibit = Text::new(&name);
            // The address of a system stands before its findings; it is known when its line ends.
            let (mut before, mut problems) = (self.findings.total, 0_u64);
            let (findings, coverage, host_names) =
                (&mut self.findings, &mut self.coverage, &mut self.host_names);
            let read = scan(BufReader::with_capacity(1 << 18, file), &LONG_ARRAYS, &mut |passed| {
                match passed {
                    Passed::Element(0, json) => findings.take(json, &exhibit, marks),
                    Passed::Element(..) => problems = problems.saturating_add(1),
                    Passed::Line(json) => {
                        let line: Value = serde_json::from_slice(json).unwrap_or(Value::Null);
                        let count = findings.total.saturating_sub(before);
                        before = findings.total;
                        let address = shown(line.get("address").unwrap_or(&Value::Null));
                        findings.name_place(&exhibit, &address);
                        host_names.extend(coverage.take_triage(act, &exhibit, &line, count));
                    }
                    Passed::Trouble(text) => coverage.missed(act, &format!("{name}: {text}")),
                }
                io::Result::Ok(())
            });
            if let Err(error) = read {
                self.coverage.missed(act, &format!("{name} was not read to its end: {error}"));
            }
        }
        if self.findings.unreadable > 0 {
            let text = format!(
                "{} entries are no findings this version can read",
                self.findings.unreadable
            );
            self.coverage.missed(0, &text);
        }
    }

    /// Whether there are findings that are more than facts for the inventory.
    #[must_use]
    pub fn has_adverse_findings(&self) -> bool {
        let info = self.findings.count(crate::Severity::Info);
        self.findings.total > info
    }
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
        let name_of =
            |item: &Value| item.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        // A copy that is no file of this case stands with the exhibit its act made.
        let own = act
            .list("outputs")
            .iter()
            .find_map(|item| name_of(item).strip_prefix("exhibits/").map(str::to_owned));
        for item in act.list("outputs") {
            let name = &*name_of(item);
            let is_elsewhere = item.pointer("/facts/elsewhere").is_some_and(Value::is_object);
            let Some(rest) =
                name.strip_prefix("exhibits/").or_else(|| own.as_deref().filter(|_| is_elsewhere))
            else {
                continue;
            };
            if name.ends_with("/triage.jsonl") && finding_files.len() < EXHIBITS_AT_MOST {
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
