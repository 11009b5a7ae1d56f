//! The inventory: one walk over the examined root, kept sorted, and the accounts that own homes in it.

use crate::parse::accounts::{self, Account};
use crate::parse::bytes::Bytes;
use evidence::fs::glob;
use evidence::fs::tree::{self, Limits};
use evidence::fs::{FileKind, Metadata};
use evidence::{FileSystem, Problem, RawPath};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Configuration files are read up to here; what is longer is cut and said so.
pub(crate) const MAX_TEXT_BYTES: usize = 1 << 20;

pub(crate) struct Root<'a> {
    pub(crate) fs: &'a dyn FileSystem,
    entries: BTreeMap<Vec<u8>, Metadata>,
    pub(crate) accounts: Vec<Account>,
    /// Directories of the root that are links into `/usr`, as (`/bin`, `/usr/bin`).
    aliases: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) problems: RefCell<Vec<Problem>>,
    pub(crate) files_parsed: Cell<usize>,
}

/// An object of the inventory.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) metadata: &'a Metadata,
}

/// A file of the examined root, read where it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct InRoot<'a> {
    pub(crate) fs: &'a dyn FileSystem,
    pub(crate) item: Item<'a>,
}

impl Bytes for InRoot<'_> {
    fn size_bytes(&self) -> u64 {
        self.item.metadata.size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize {
        self.fs.read_at(self.item.metadata.node, offset_bytes, buf).unwrap_or(0)
    }
}

impl Item<'_> {
    pub(crate) fn is_file(self) -> bool {
        self.metadata.kind == FileKind::File
    }

    pub(crate) fn is_link(self) -> bool {
        self.metadata.kind == FileKind::Symlink
    }

    pub(crate) fn is_executable(self) -> bool {
        self.metadata.mode & 0o111 != 0
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or(&[])
    }
}

impl<'a> Root<'a> {
    pub(crate) fn read(fs: &'a dyn FileSystem, limits: Limits) -> Self {
        let mut entries = BTreeMap::new();
        let mut problems = fs.problems().to_vec();
        problems.extend(tree::walk(fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
            entries.insert(visit.path.0, visit.metadata);
        }));
        let mut root = Self {
            fs,
            entries,
            accounts: Vec::new(),
            aliases: Vec::new(),
            problems: RefCell::new(problems),
            files_parsed: Cell::new(0),
        };
        for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
            let is_alias = root.item(name.as_bytes()).is_some_and(Item::is_link)
                && root.link_target(name.as_bytes()) == Some(format!("/usr{name}").into_bytes());
            if is_alias {
                root.aliases.push((name.as_bytes().to_vec(), format!("/usr{name}").into_bytes()));
            }
        }
        root.accounts = accounts::parse(&root.text(b"/etc/passwd").unwrap_or_default());
        root
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.entries.iter().map(|(path, metadata)| Item { path, metadata })
    }

    /// The object at exactly this path, `/bin` and the like taken for what they link to.
    pub(crate) fn item(&self, path: &[u8]) -> Option<Item<'_>> {
        let (path, metadata) = self.entries.get_key_value(&self.canonical(path))?;
        Some(Item { path, metadata })
    }

    /// A path with a merged directory in front replaced by its place in `/usr`.
    pub(crate) fn canonical(&self, path: &[u8]) -> Vec<u8> {
        for (from, to) in &self.aliases {
            if let Some(rest) = path.strip_prefix(from.as_slice())
                && rest.first() == Some(&b'/')
            {
                return [to.as_slice(), rest].concat();
            }
        }
        path.to_vec()
    }

    /// Objects matching a pattern; `~` stands for every home. In order of path, each once.
    pub(crate) fn matching(&self, pattern: &str) -> Vec<Item<'_>> {
        let patterns: Vec<Vec<u8>> = match pattern.strip_prefix('~') {
            Some(rest) => self
                .homes()
                .into_iter()
                .map(|home| [home.as_slice(), rest.as_bytes()].concat())
                .collect(),
            None => vec![pattern.as_bytes().to_vec()],
        };
        let mut found = BTreeMap::new();
        for pattern in patterns {
            let pattern = self.canonical(&pattern);
            let prefix = glob::literal_prefix(&pattern);
            let range = self
                .entries
                .range(prefix.to_vec()..)
                .take_while(|(path, _)| path.starts_with(prefix));
            found.extend(range.filter(|(path, _)| glob::matches(&pattern, path)));
        }
        found.into_iter().map(|(path, metadata)| Item { path, metadata }).collect()
    }

    /// Homes of accounts and what looks like a home, without the root directory itself.
    pub(crate) fn homes(&self) -> Vec<Vec<u8>> {
        let mut homes: Vec<Vec<u8>> = vec![b"/root".to_vec()];
        homes.extend(self.accounts.iter().map(|account| account.home.trim_ascii_end().to_vec()));
        homes.extend(self.children(b"/home").into_iter().map(|item| item.path.to_vec()));
        for home in &mut homes {
            while home.last() == Some(&b'/') {
                home.pop();
            }
        }
        homes.retain(|home| home.first() == Some(&b'/') && home.len() > 1);
        homes.sort();
        homes.dedup();
        homes
    }

    fn children(&self, directory: &[u8]) -> Vec<Item<'_>> {
        self.matching(&format!("{}/*", String::from_utf8_lossy(directory)))
    }

    /// The content of a file, read where it is asked for; what cannot be read is as if it were not there.
    pub(crate) fn open<'b>(&'b self, item: Item<'b>) -> InRoot<'b> {
        self.files_parsed.set(self.files_parsed.get().saturating_add(1));
        InRoot { fs: self.fs, item }
    }

    /// The file a path finally names, links followed inside the root.
    pub(crate) fn follow(&self, path: &[u8]) -> Option<Item<'_>> {
        let mut path = path.to_vec();
        for _ in 0..tree::MAX_HOPS {
            let item = match self.item(&path) {
                Some(item) => item,
                None => {
                    let node = tree::resolve(self.fs, &path, tree::LastLink::Follow).ok()?;
                    return self.items().find(|item| item.metadata.node == node);
                }
            };
            if !item.is_link() {
                return Some(item);
            }
            path = self.link_target(item.path)?;
        }
        None
    }

    /// The first megabyte of the regular file at `path`; a link is followed inside the root. `None` when there is none.
    pub(crate) fn text(&self, path: &[u8]) -> Option<Vec<u8>> {
        let node = match self.item(path) {
            Some(item) if item.is_file() => item.metadata.node,
            Some(item) if item.is_link() => {
                tree::resolve(self.fs, item.path, tree::LastLink::Follow).ok()?
            }
            _ => return None,
        };
        match self.fs.read_head(node, MAX_TEXT_BYTES) {
            Ok((raw, _)) => {
                self.files_parsed.set(self.files_parsed.get().saturating_add(1));
                Some(raw)
            }
            Err(error) => {
                self.problems
                    .borrow_mut()
                    .push(error.to_problem(evidence::Place::Path(path.into())));
                None
            }
        }
    }

    /// Where a link leads in one step, as an absolute path without `.` and `..`.
    pub(crate) fn link_target(&self, path: &[u8]) -> Option<Vec<u8>> {
        let target = self.fs.read_link(self.item(path)?.metadata.node).ok()?.0;
        let mut names: Vec<&[u8]> = Vec::new();
        if target.first() != Some(&b'/') {
            names.extend(path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()));
            names.pop();
        }
        for name in target.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => drop(names.pop()),
                name => names.push(name),
            }
        }
        Some(self.canonical(&[b"/", names.join(&b'/').as_slice()].concat()))
    }
}
