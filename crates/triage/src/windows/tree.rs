//! The inventory with names as Windows compares them: without regard to case.

use crate::root::{Item, Root};
use evidence::fs::glob;
use std::collections::BTreeMap;

pub(crate) struct Tree<'a> {
    folded: BTreeMap<Vec<u8>, Item<'a>>,
}

/// A name in lower case, as far as it is text.
pub(crate) fn folded(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    String::from_utf8_lossy(name).to_lowercase().into_bytes()
}

impl<'a> Tree<'a> {
    pub(crate) fn new(root: &'a Root<'a>) -> Self {
        Self { folded: root.items().map(|item| (folded(item.path), item)).collect() }
    }

    /// The object at a path written in lower case.
    pub(crate) fn item(&self, path: &[u8]) -> Option<Item<'a>> {
        self.folded.get(path).copied()
    }

    /// Files matching a pattern written in lower case, in order of path.
    pub(crate) fn files(&self, pattern: &str) -> Vec<Item<'a>> {
        let pattern = pattern.as_bytes();
        let prefix = glob::literal_prefix(pattern);
        let range = self.folded.range(prefix.to_vec()..);
        let inside = range.take_while(|(path, _)| path.starts_with(prefix));
        inside
            .filter(|(path, item)| item.is_file() && glob::matches(pattern, path))
            .map(|(_, item)| *item)
            .collect()
    }

    /// Every file, with its path in lower case.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&[u8], Item<'a>)> {
        self.folded.iter().map(|(path, item)| (path.as_slice(), *item))
    }
}
