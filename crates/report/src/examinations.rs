//! What examinations found: the files of findings that acts name, read one after the other.

use std::collections::BTreeSet;
use std::io::{self, BufReader};
use std::path::Path;

use serde_json::Value;

use crate::act::shown;
use crate::scan::{Passed, scan};
use crate::timeline::Mark;
use crate::{Coverage, Findings, Text, source};

/// Arrays of a line of `triage.jsonl` that are read element by element.
pub(crate) const LONG_ARRAYS: [(&str, &str); 2] = [("report", "findings"), ("report", "problems")];

/// All of them, on their way into the report.
#[derive(Default)]
pub(crate) struct Examinations {
    pub(crate) findings: Findings,
    /// Times of all findings.
    pub(crate) marks: Vec<Mark>,
    /// What they say they examined and did not.
    pub(crate) coverage: Coverage,
    /// Names of the machines examined.
    pub(crate) host_names: BTreeSet<String>,
}

impl Examinations {
    /// Reads one file, which this act wrote.
    pub(crate) fn read(&mut self, folder: &Path, act: u64, name: &str) {
        let Self { findings, marks, coverage, host_names } = self;
        let file = match source::exhibit_file(folder, name) {
            Ok(file) => file,
            Err(reason) => return coverage.missed(act, &format!("{name} was not read: {reason}")),
        };
        let exhibit = Text::new(name);
        // The address of a system stands before its findings; it is known when its line ends.
        let mut before = findings.total;
        let read = scan(BufReader::with_capacity(1 << 18, file), &LONG_ARRAYS, &mut |passed| {
            match passed {
                Passed::Element(0, json) => findings.take(json, &exhibit, marks),
                Passed::Element(..) => {}
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
            coverage.missed(act, &format!("{name} was not read to its end: {error}"));
        }
    }

    /// When all were read.
    pub(crate) fn finish(mut self) -> Self {
        let unreadable = self.findings.unreadable;
        if unreadable > 0 {
            let text = format!("{unreadable} entries are no findings this version can read");
            self.coverage.missed(0, &text);
        }
        self.findings.finish();
        self
    }
}
