//! The one value a report is made from, and how it is read from a case.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use casebook::{Verification, VerifyOptions};
use serde::Serialize;

use crate::act::{ActView, Acts};
use crate::custody::Custody;
use crate::disks::Disks;
use crate::examinations::Examinations;
use crate::reading::{Reading, side_by_side};
use crate::spans::{ClockSteps, Spans};
use crate::{Coverage, Error, Findings, People, Text, Timeline, source};

const PROBLEMS_AT_MOST: usize = 500;

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
        let both = if options.threads.get() == 1 { None } else { side_by_side(&folder, options)? };
        let (verified, mut report) = match both {
            Some(both) => both,
            None => {
                let mut reading = Reading::new(&folder, options)?;
                let verified =
                    casebook::verify_reading(&folder, options, &mut |acts| reading.take(&acts))?;
                let mut examinations = Examinations::default();
                for (act, name) in reading.finding_files() {
                    examinations.read(&folder, *act, name);
                }
                (verified, reading.finish(examinations))
            }
        };
        report.judge(&verified);
        report.custody.bag_sha256 = source::bag_sha256(named, &folder);
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
        for name in &verified.open {
            self.coverage.missed(0, &format!("an act has begun and not ended: {name}"));
        }
        for name in &verified.unnamed {
            self.coverage.missed(0, &format!("left by an interrupted session: {name}"));
        }
        if verified.torn_bytes > 0 {
            let text = format!("the list of acts ends in {} torn bytes", verified.torn_bytes);
            self.coverage.missed(0, &text);
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

    pub(crate) fn empty(folder: &Path, options: &VerifyOptions, info: &casebook::CaseInfo) -> Self {
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

    pub(crate) fn take(&mut self, act: &ActView) {
        self.hosts.take(act, "host");
        self.clocks.take(act, "clock");
        self.clock_steps.take(act);
        self.tools.take(act, "tool");
        self.disks.take(act);
        self.people.take(act);
        self.coverage.take(act);
    }

    /// Whether there are findings that are more than facts for the inventory.
    #[must_use]
    pub fn has_adverse_findings(&self) -> bool {
        let info = self.findings.count(crate::Severity::Info);
        self.findings.total > info
    }
}
