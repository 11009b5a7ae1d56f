//! What `triage` and `verify` look at: every installed system on a disk, or the one tree that was addressed; what of the
//! disk nobody could look at; and what both make of it: the record of the act and the exit code.

use std::sync::Arc;

use casebook::{Outcome, OutcomeKind};
use evidence::Problem;
use evidence::address::Address;
use evidence::fs::{FileSystem, MountTree};
use evidence::probe::ContentClass;
use evidence::system::{System, Unreached};
use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Opened;
use crate::output::{Colour, paint, say};
use crate::recording::Recording;

/// The report on one tree.
pub(crate) struct Examined<Report> {
    /// Where the tree is addressed.
    pub(crate) address: String,
    /// What was found in it.
    pub(crate) report: Report,
}

/// The reports on everything that was to be looked at, and what is missing from them.
pub(crate) struct Examination<Report> {
    /// The source, as addresses begin.
    name: String,
    /// Tree by tree.
    pub(crate) trees: Vec<Examined<Report>>,
    /// What nobody could look at, and why.
    pub(crate) skipped: Vec<String>,
    /// What is wrong with the disk below the trees.
    below: Vec<String>,
}

/// What act and exit code must know of a report.
pub(crate) trait Judged: Serialize {
    /// Number of findings.
    fn findings(&self) -> usize;
    /// Whether something adverse is among them.
    fn is_adverse(&self) -> bool;
    /// What could not be read.
    fn problems(&self) -> &[Problem];
}

/// What came of looking at a tree.
pub(crate) enum Looked<Report> {
    /// A report.
    Done(Report),
    /// It is nothing that can be examined in this way; others may be.
    Not(Failure),
}

/// Looks at a tree. It also gets the system it was put together for (`None` where a tree was addressed and nobody put a
/// system together), and the address.
pub(crate) type Examiner<'a, Report> =
    dyn FnMut(&dyn FileSystem, Option<&System>, &str) -> Result<Looked<Report>, Failure> + 'a;

/// What the files of a system put into its tree and could not be reached.
pub(crate) fn missing(system: Option<&System>) -> &[Unreached] {
    system.map_or(&[], |system| &system.unreached)
}

/// Has `examine` look at each tree.
///
/// # Errors
/// If there is no installed system, the address leads nowhere, `examine` fails or can examine none of them.
pub(crate) fn examine<Report>(
    opened: &Opened,
    address: &Address,
    examine: &mut Examiner<'_, Report>,
) -> Result<Examination<Report>, Failure> {
    let below = opened.stack.problems().map(|(place, problem)| format!("{place}: {problem}"));
    let mut all = Examination {
        name: opened.name.clone(),
        trees: Vec::new(),
        skipped: unread(opened, address),
        below: below.collect(),
    };
    if address.label.is_some() || address.object.is_some() {
        let found = opened.tree(address)?.find(address.object.as_ref())?;
        // The tree below a directory is a root of its own.
        let tree = MountTree::new(Arc::clone(&found.tree.fs), found.node);
        return match examine(&tree, None, &found.tree.address)? {
            Looked::Done(report) => {
                all.trees.push(Examined { address: found.tree.address, report });
                Ok(all)
            }
            Looked::Not(why) => Err(why),
        };
    }
    let mut refused = None;
    for system in opened.systems() {
        let address = format!("{}:{}", opened.name, system.name);
        match examine(&*system.tree, Some(&system), &address)? {
            Looked::Done(report) => all.trees.push(Examined { address, report }),
            Looked::Not(why) => {
                // What is not there explains why: a package database on a locked volume.
                let mut text = format!("{address} ({}): {}", system.identity.name, why.text());
                for one in &system.unreached {
                    text.push_str(&format!("; not reached: {}", unreached(one)));
                }
                all.skipped.push(text.clone());
                refused.get_or_insert(why.hint(text));
            }
        }
    }
    if !all.trees.is_empty() {
        return Ok(all);
    }
    let none =
        || Failure::new(format!("no installed system that can be read was found on {}", all.name));
    let mut failure = refused.unwrap_or_else(none);
    for text in &all.below {
        failure = failure.hint(format!("problem on {text}"));
    }
    Err(failure.hint(format!("glovebox ls {}", all.name)))
}

/// A place of the system that is not in its tree, and why.
pub(crate) fn unreached(one: &Unreached) -> String {
    format!("{} ({})", one.path, one.why)
}

/// Volumes that hold something this version cannot read files from: said, never passed over. Empty where a
/// tree was addressed, since then nothing else was asked for.
fn unread(opened: &Opened, address: &Address) -> Vec<String> {
    if address.label.is_some() {
        return Vec::new();
    }
    let stack = &opened.stack;
    let closed = stack.closed.iter().map(|one| format!("{} ({})", one.address, one.description));
    let unread = stack.volumes().filter(|id| !stack.is_readable(*id)).filter_map(|id| {
        let deciding = stack.volume(id)?.contents.first()?;
        let whole = matches!(deciding.kind.class(), ContentClass::FileSystem | ContentClass::Swap);
        whole.then(|| format!("{} ({:?})", stack.address(id), deciding.kind))
    });
    closed.chain(unread).collect()
}

impl<Report: Judged> Examination<Report> {
    /// Puts the reports into an exhibit of the act; `word` is what its findings are called.
    ///
    /// # Errors
    /// If the case does not take it.
    pub(crate) fn record(&self, act: &Recording, verb: &str, word: &str) -> Result<(), Failure> {
        if !act.is_on() {
            return Ok(());
        }
        let exhibit = act.new_exhibit(&format!("{verb}-{}", self.name))?;
        let mut lines = Vec::new();
        for one in &self.trees {
            let line = json!({ "address": one.address, "report": one.report });
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
        }
        act.output(exhibit.add_file(&format!("{verb}.jsonl"), &lines)?);
        self.skipped.iter().for_each(|text| act.problem(format!("not examined: {text}")));
        self.below.iter().for_each(|text| act.problem(text));
        let problems = self.trees.iter().flat_map(|one| one.report.problems());
        problems.for_each(|problem| act.problem(problem));
        let findings: usize = self.trees.iter().map(|one| one.report.findings()).sum();
        let kind = if self.is_whole() { OutcomeKind::Done } else { OutcomeKind::Partial };
        act.concludes(Outcome::new(kind, format!("{findings} {word}")));
        Ok(())
    }

    /// Whether everything was looked at.
    fn is_whole(&self) -> bool {
        self.skipped.is_empty()
            && self.below.is_empty()
            && self.trees.iter().all(|one| one.report.problems().is_empty())
    }

    /// Tells the person what was not looked at, and answers with the exit code.
    pub(crate) fn end(&self) -> Exit {
        for text in &self.skipped {
            say(&paint(&format!("not examined: {text}"), Colour::Yellow));
        }
        for text in &self.below {
            say(&paint(&format!("problem on {text}"), Colour::Yellow));
        }
        if self.trees.iter().any(|one| one.report.is_adverse()) {
            Exit::Findings
        } else if self.is_whole() {
            Exit::Clean
        } else {
            Exit::Partial
        }
    }
}
