//! The system as it is: one walk, kept sorted.

use std::cell::RefCell;
use std::collections::BTreeMap;

use evidence::fs::tree::{self, Limits};
use evidence::fs::{FileKind, Metadata};
use evidence::{FileSystem, Place, Problem, RawPath};

/// Largest file of the package database or of accounts that is read.
const MAX_TEXT_BYTES: usize = 256 << 20;
/// Directories that Debian merges into `/usr`.
const MERGED: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

pub(crate) struct Inventory<'a> {
    pub(crate) fs: &'a dyn FileSystem,
    pub(crate) entries: BTreeMap<Vec<u8>, Metadata>,
    /// Directories of the root that are links into `/usr`.
    merged: Vec<&'static str>,
    pub(crate) problems: RefCell<Vec<Problem>>,
}

impl<'a> Inventory<'a> {
    pub(crate) fn read(fs: &'a dyn FileSystem, limits: Limits) -> Self {
        let mut entries = BTreeMap::new();
        let mut problems = fs.problems().to_vec();
        problems.extend(tree::walk(fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
            entries.insert(visit.path.0, visit.metadata);
        }));
        entries.remove(&b"/"[..]);
        let mut inventory =
            Self { fs, entries, merged: Vec::new(), problems: RefCell::new(problems) };
        inventory.merged =
            MERGED.into_iter().filter(|name| inventory.is_merged_link(name.as_bytes())).collect();
        inventory
    }

    /// Whether the object is one of the links that merge a directory into `/usr`, leading where it must.
    pub(crate) fn is_merged_link(&self, path: &[u8]) -> bool {
        let Some(name) = MERGED.iter().find(|name| name.as_bytes() == path) else { return false };
        let own = name.trim_start_matches('/');
        self.link(path).is_some_and(|to| {
            to == format!("usr/{own}").as_bytes() || to == format!("/usr/{own}").as_bytes()
        })
    }

    /// A path with a merged directory in front replaced by its place in `/usr`.
    pub(crate) fn canonical(&self, path: &[u8]) -> Vec<u8> {
        for name in &self.merged {
            if let Some(rest) = path.strip_prefix(name.as_bytes())
                && rest.first() == Some(&b'/')
            {
                return [b"/usr", path].concat();
            }
        }
        path.to_vec()
    }

    pub(crate) fn get(&self, path: &[u8]) -> Option<&Metadata> {
        self.entries.get(&self.canonical(path))
    }

    /// Target of a symbolic link, raw.
    pub(crate) fn link(&self, path: &[u8]) -> Option<Vec<u8>> {
        let metadata = self.entries.get(path)?;
        if metadata.kind != FileKind::Symlink {
            return None;
        }
        match self.fs.read_link(metadata.node) {
            Ok(target) => Some(target.0),
            Err(error) => {
                self.problem(error.to_problem(Place::Path(path.into())));
                None
            }
        }
    }

    /// The content of a file of the system's own records; a problem says when it is cut.
    pub(crate) fn text(&self, path: &[u8]) -> Option<Vec<u8>> {
        let metadata = self.get(path).filter(|metadata| metadata.kind == FileKind::File)?;
        match self.fs.read_head(metadata.node, MAX_TEXT_BYTES) {
            Ok((text, is_whole)) => {
                if !is_whole {
                    let said = format!("read only to {MAX_TEXT_BYTES} bytes");
                    let kind = evidence::ProblemKind::Refused;
                    self.problem(Problem::new(kind, Place::Path(path.into()), said));
                }
                Some(text)
            }
            Err(error) => {
                self.problem(error.to_problem(Place::Path(path.into())));
                None
            }
        }
    }

    pub(crate) fn problem(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }
}

/// Where a link leads, told from its text alone: absolute, without `.` and `..`.
pub(crate) fn leads_to(link: &[u8], target: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    if !target.starts_with(b"/") {
        parts.extend(link.split(|byte| *byte == b'/').filter(|part| !part.is_empty()));
        parts.pop();
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut out = Vec::new();
    for part in parts {
        out.push(b'/');
        out.extend_from_slice(part);
    }
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_links_lead() {
        for (link, target, want) in [
            ("/etc/a/b", "../c", "/etc/c"),
            ("/etc/a", "/x/./y", "/x/y"),
            ("/a", "../../..", "/"),
            ("/etc/a", "b", "/etc/b"),
        ] {
            assert_eq!(leads_to(link.as_bytes(), target.as_bytes()), want.as_bytes());
        }
    }
}
