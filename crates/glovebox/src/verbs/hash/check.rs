//! `hash --check`: what changed, is missing, was moved or is new, after a list in any form.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hashing::{Algorithm, Algorithms, Change, Content, Form, Manifest};
use serde::Serialize;

use super::gather::{Gathered, Gatherer, Naming, say_access_times};
use super::show::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::say;

/// Longest list taken; larger ones are no lists of files.
const LONGEST_LIST_BYTES: u64 = 2 << 30;

/// A list to compare with.
pub(super) struct List {
    manifest: Manifest,
    form: Form,
    bad_lines: usize,
}

#[derive(Serialize)]
struct Difference<'a> {
    path: String,
    change: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

#[derive(Serialize, Default)]
struct Summary {
    matched: usize,
    changed: usize,
    missing: usize,
    moved: usize,
    new: usize,
    unreadable: usize,
    bad_lines: usize,
}

impl List {
    /// Reads it; names the lines that are none.
    ///
    /// # Errors
    /// If it cannot be read, or nothing in it is a list.
    pub(super) fn open(path: &Path, sums: Algorithm) -> Result<Self, Failure> {
        let doing = |failure: Failure| failure.while_doing(format!("reading {}", path.display()));
        let file = File::open(path).map_err(|problem| doing(problem.into()))?;
        let mut text = Vec::new();
        let mut limited = file.take(LONGEST_LIST_BYTES);
        limited.read_to_end(&mut text).map_err(|problem| doing(problem.into()))?;
        if text.len() as u64 == LONGEST_LIST_BYTES {
            return Err(Failure::new(format!("{} is longer than 2 GiB", path.display())));
        }
        let listed = Manifest::from_any_form(&text, sums);
        for problem in &listed.problems {
            say(&format!("problem: {}: {problem}", path.display()));
        }
        if listed.manifest.is_empty() && !listed.problems.is_empty() {
            return Err(Failure::new(format!("{} is no list of digests", path.display())).hint(
                "lists of sha256sum, BSD, hashdeep and mtree programs and our own are read",
            ));
        }
        let bad_lines = listed.problems.len();
        Ok(Self { manifest: listed.manifest, form: listed.form, bad_lines })
    }

    /// The digests needed: those of the list, and no others where nobody asked for more.
    pub(super) fn algorithms(&self, asked: Algorithms, free: bool) -> Algorithms {
        let listed: BTreeSet<Algorithm> = self
            .manifest
            .iter()
            .filter_map(|(_, content)| match content {
                Content::File { digests, .. } => Some(digests),
                _ => None,
            })
            .flat_map(|digests| digests.iter().map(hashing::Digest::algorithm))
            .collect();
        match Algorithms::exactly(listed) {
            Some(listed) if free && asked == Algorithms::sha256() => listed,
            Some(listed) => listed.iter().fold(asked, Algorithms::with),
            None => asked,
        }
    }

    /// The list as it is below the target; lists that name only files say nothing of the rest.
    fn below(&self, target: Option<&str>) -> Manifest {
        let whole = target.and_then(|target| std::fs::canonicalize(target).ok());
        let root = whole.as_deref().map_or(&b""[..], |path| path.as_os_str().as_bytes());
        let typed = target.unwrap_or("").as_bytes();
        let list = self.manifest.clone();
        let list = if root.is_empty() { list } else { list.below(root) };
        if typed.is_empty() || typed == b"/" { list.below(b".") } else { list.below(typed) }
    }

    fn names_only_files(&self) -> bool {
        !matches!(self.form, Form::Manifest | Form::Mtree)
    }
}

/// Compares what the targets hold with the list and shows the differences.
///
/// # Errors
/// If a target cannot be opened or the output not written.
pub(super) fn run(
    list: &List,
    targets: &[String],
    gatherer: &Gatherer<'_>,
    out: &Output<'_>,
) -> Result<Exit, Failure> {
    let (expected, mut found) = match targets {
        [] => {
            let expected = list.below(None);
            let paths = expected.iter().map(|(path, _)| path);
            let here = Path::new(".");
            let report = hashing::digest_paths(here, paths, &gatherer.options())?;
            say_access_times(here, &report);
            gatherer.keep_tree(here, &report);
            let problems = report.problems.into_iter().map(|one| (one.path, one.reason)).collect();
            let found = Gathered { manifest: report.manifest, problems, ..Gathered::default() };
            (expected, found)
        }
        [target] => (list.below(Some(target)), gatherer.all(targets, Naming::Below)?),
        _ => (list.below(None), gatherer.all(targets, Naming::Whole)?),
    };
    if list.names_only_files() {
        found.manifest = found
            .manifest
            .iter()
            .filter(|(path, content)| {
                matches!(content, Content::File { .. }) || expected.at(path).is_some()
            })
            .map(|(path, content)| hashing::Entry { path: path.to_vec(), content: content.clone() })
            .fold(Manifest::new(), |mut manifest, entry| {
                manifest.insert(entry);
                manifest
            });
    }
    let unread: BTreeSet<&[u8]> = found.problems.iter().map(|(path, _)| path.as_slice()).collect();
    let compared = hashing::compare(&expected, &found.manifest).with_moves();
    let mut summary =
        Summary { matched: compared.unchanged, bad_lines: list.bad_lines, ..Summary::default() };
    let mut named = Vec::new();
    for (path, change) in &compared.changes {
        let (count, word, from) = match change {
            Change::Missing(_) if unread.contains(path.as_slice()) => {
                (&mut summary.unreadable, "unreadable", None)
            }
            Change::Changed { .. } => (&mut summary.changed, "changed", None),
            Change::Missing(_) => (&mut summary.missing, "missing", None),
            Change::Added(_) => (&mut summary.new, "new", None),
            Change::Moved { from, .. } => (&mut summary.moved, "moved", Some(from)),
        };
        *count += 1;
        let from = from.map(|from| hashing::escape_name(from));
        let body = Difference { path: hashing::escape_name(path), change: word, from };
        named.push(format!("{word} {}", body.path));
        out.format.record("difference", &body, || match &body.from {
            Some(from) => format!("{word:<10}  {}  from {from}", body.path),
            None => format!("{word:<10}  {}", body.path),
        })?;
    }
    found.say_problems();
    let Summary { matched, changed, missing, moved, new, unreadable, .. } = summary;
    let sentence = format!(
        "{matched} match, {changed} changed, {missing} missing, {moved} moved, {new} new, \
         {unreadable} unreadable"
    );
    if out.format.is_json() {
        out.format.record("check", &summary, String::new)?;
    } else {
        say(&sentence);
    }
    let exit = if changed + missing + moved + new > 0 {
        Exit::Findings
    } else if unreadable > 0 || list.bad_lines > 0 || !found.problems.is_empty() {
        Exit::Partial
    } else {
        Exit::Clean
    };
    gatherer.kept.concludes(exit, sentence, &named);
    Ok(exit)
}
