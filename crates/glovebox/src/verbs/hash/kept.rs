//! What the act of `hash` holds: every digest that was computed, under the full name of what it is of.
//!
//! A few stand in the act itself, as its inputs; many go into the case as a list, so that an act stays readable. Files are
//! kept as they come: whoever stops the verb has what was computed until then.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use casebook::{Item, Outcome, OutcomeKind};
use hashing::{Algorithms, Content, Digests, Entry, Manifest};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::recording::Recording;

/// More files than these make a list of their own.
const IN_THE_ACT: usize = 20;
/// Name of that list in its exhibit; in our own form, which says everything of a digest.
const LIST: &str = "digests.jsonl";

/// Digests on their way into the act.
pub(super) struct Kept<'a> {
    act: &'a Recording,
    is_on: bool,
    files: Arc<Mutex<Manifest>>,
}

impl<'a> Kept<'a> {
    pub(super) fn new(act: &'a Recording) -> Self {
        let files = Arc::<Mutex<Manifest>>::default();
        let so_far = Arc::clone(&files);
        act.if_stopped(move |act| {
            let count = record(act, &so_far)?;
            if count > 0 {
                act.problem(format!("stopped after {count} files; their digests are recorded"));
            }
            Ok(())
        });
        Self { act, is_on: act.is_on(), files }
    }

    /// Something that was read, other than single files: a disk, a folder, a list.
    pub(super) fn input(&self, item: Item) {
        self.act.inputs(vec![item]);
    }

    /// What was opened to reach a file inside a disk.
    pub(super) fn inputs(&self, items: Vec<Item>) {
        self.act.inputs(items);
    }

    /// Whether there is an act that holds anything.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// What came of a comparison, and the first things that did not come out well.
    pub(super) fn concludes(&self, exit: Exit, sentence: String, named: &[String]) {
        let kind = if exit == Exit::Partial { OutcomeKind::Partial } else { OutcomeKind::Done };
        let mut text = sentence;
        for one in named.iter().take(IN_THE_ACT) {
            text.push_str(&format!("; {one}"));
        }
        if named.len() > IN_THE_ACT {
            text.push_str(&format!("; and {} more", named.len().saturating_sub(IN_THE_ACT)));
        }
        self.act.concludes(Outcome::new(kind, text));
    }

    /// A file that was read, by a name that tells it from every other.
    pub(super) fn file(&self, name: Vec<u8>, content: Content) {
        if self.is_on {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.insert(Entry { path: name, content });
        }
    }

    /// Something that could not be read.
    pub(super) fn problem(&self, path: &[u8], reason: &str) {
        self.act.problem(format!("{}: {reason}", hashing::escape_name(path)));
    }

    /// A list or a set the digests are compared with: another one gives another answer.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn compared_with(&self, path: &Path) -> Result<(), Failure> {
        if self.is_on {
            let (digests, size_bytes) = hashing::digest_file(path, &Algorithms::sha256())?;
            self.input(item(full_name(path), Some(size_bytes), digests, json!({ "is": "list" })));
        }
        Ok(())
    }

    /// Puts what was computed so far into the act.
    ///
    /// # Errors
    /// If the case does not take the list.
    pub(super) fn record(&self) -> Result<(), Failure> {
        record(self.act, &self.files).map(drop)
    }
}

/// Puts these files into the act, and takes them; gives their number.
fn record(act: &Recording, files: &Mutex<Manifest>) -> Result<usize, Failure> {
    // Held to the end: who stops the verb in the midst of this waits for it.
    let mut held = files.lock().unwrap_or_else(PoisonError::into_inner);
    let files = std::mem::take(&mut *held);
    let regular = || {
        files.iter().filter_map(|(path, content)| match content {
            Content::File { size_bytes, digests } => Some((path, *size_bytes, digests)),
            _ => None,
        })
    };
    let count = regular().count();
    if count <= IN_THE_ACT {
        let items = regular().map(|(path, size_bytes, digests)| {
            let name = hashing::escape_name(path);
            item(name, size_bytes, digests.clone(), Value::Null)
        });
        act.inputs(items.collect());
        return Ok(count);
    }
    let exhibit = act.new_exhibit("digests")?;
    let mut listed = exhibit.add_file(LIST, files.to_json_lines().as_bytes())?;
    listed.facts = json!({ "files": count });
    act.output(listed);
    Ok(count)
}

/// An input of the act.
pub(super) fn item(name: String, size_bytes: Option<u64>, digests: Digests, facts: Value) -> Item {
    Item { name, size_bytes, digests, facts }
}

/// The path from the root, escaped: what was typed means nothing in another folder.
pub(super) fn full_name(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    hashing::escape_name(whole.as_os_str().as_encoded_bytes())
}
