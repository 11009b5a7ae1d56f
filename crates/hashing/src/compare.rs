//! What differs between an expected manifest and a found one.

use crate::{Content, Manifest};

/// How one path differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Both lists have it, with different content, type or link target.
    Changed {
        /// What was expected.
        expected: Content,
        /// What was found.
        found: Content,
    },
    /// Only the expected list has it.
    Missing(Content),
    /// Only the found list has it.
    Added(Content),
}

/// The result of comparing two manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Paths that differ, in byte order.
    pub changes: Vec<(Vec<u8>, Change)>,
    /// How many paths agree.
    pub unchanged: usize,
}

impl Comparison {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.changes.is_empty()
    }
}

/// Compares `found` with `expected`.
///
/// Files agree when every digest algorithm that both lists carry agrees and at least one is shared;
/// sizes are compared where both tell one. Two files without a shared algorithm count as changed,
/// because nothing shows that they are equal.
#[must_use]
pub fn compare(expected: &Manifest, found: &Manifest) -> Comparison {
    let mut result = Comparison::default();
    for (path, wanted) in expected.iter() {
        let change = match found.at(path) {
            Some(content) if same(wanted, content) => {
                result.unchanged = result.unchanged.saturating_add(1);
                continue;
            }
            Some(content) => Change::Changed { expected: wanted.clone(), found: content.clone() },
            None => Change::Missing(wanted.clone()),
        };
        result.changes.push((path.to_vec(), change));
    }
    let added = found.iter().filter(|(path, _)| expected.at(path).is_none());
    result.changes.extend(added.map(|(path, c)| (path.to_vec(), Change::Added(c.clone()))));
    result.changes.sort_by(|(a, _), (b, _)| a.cmp(b));
    result
}

fn same(expected: &Content, found: &Content) -> bool {
    match (expected, found) {
        (
            Content::File { size_bytes: wanted_size, digests: wanted },
            Content::File { size_bytes: found_size, digests: found },
        ) => {
            wanted.agrees_with(found)
                && wanted_size.zip(*found_size).is_none_or(|(wanted, found)| wanted == found)
        }
        (expected, found) => expected == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Algorithms, Digest, Digests, Entry, digest_bytes};

    fn manifest(files: &[(&str, &str)]) -> Manifest {
        let mut manifest = Manifest::new();
        for (path, bytes) in files {
            let digests = digest_bytes(bytes.as_bytes(), &Algorithms::sha256());
            let content = Content::File { size_bytes: Some(bytes.len() as u64), digests };
            manifest.insert(Entry { path: path.as_bytes().to_vec(), content });
        }
        manifest
    }

    #[test]
    fn changed_missing_and_added_are_told_apart() {
        let result = compare(
            &manifest(&[("a", "1"), ("b", "2"), ("d", "4")]),
            &manifest(&[("a", "1"), ("c", "3"), ("d", "x")]),
        );
        assert_eq!(result.unchanged, 1);
        let kinds: Vec<_> = result
            .changes
            .iter()
            .map(|(path, change)| match change {
                Change::Changed { .. } => (path[0], "changed"),
                Change::Missing(_) => (path[0], "missing"),
                Change::Added(_) => (path[0], "added"),
            })
            .collect();
        assert_eq!(kinds, [(b'b', "missing"), (b'c', "added"), (b'd', "changed")]);
    }

    #[test]
    fn no_shared_algorithm_is_not_equality() {
        let md5 = Digests::from_iter([Digest::new(Algorithm::Md5, &[0; 16]).unwrap()]);
        let mut other = Manifest::new();
        let content = Content::File { size_bytes: None, digests: md5 };
        other.insert(Entry { path: b"a".to_vec(), content });
        assert!(!compare(&manifest(&[("a", "1")]), &other).is_clean());
    }
}
