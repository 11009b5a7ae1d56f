//! What differs between an expected manifest and a found one.

use std::collections::BTreeMap;

use crate::{Content, Digest, Manifest};

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
    /// Only the found list has it, and a path that is missing had the same content.
    Moved {
        /// The path that is missing.
        from: Vec<u8>,
        /// What was moved.
        content: Content,
    },
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

impl Comparison {
    /// Joins a missing file and an added one of the same content to one that was moved.
    ///
    /// As in hashdeep's audit, but each file that is missing accounts for one move only. Empty files
    /// are never said to have moved: all of them look alike.
    #[must_use]
    pub fn with_moves(self) -> Self {
        let mut gone: BTreeMap<Digest, Vec<(Vec<u8>, Content)>> = BTreeMap::new();
        let mut rest = Vec::new();
        for (path, change) in self.changes {
            match (&change, change.digest()) {
                (Change::Missing(content), Some(digest)) => {
                    gone.entry(digest).or_default().push((path, content.clone()));
                }
                _ => rest.push((path, change)),
            }
        }
        // The last of the list is taken first; so the first path goes to the first place.
        gone.values_mut().for_each(|paths| paths.reverse());
        let mut changes = Vec::new();
        for (path, change) in rest {
            let from = match &change {
                Change::Added(content @ Content::File { size_bytes, digests })
                    if *size_bytes != Some(0) =>
                {
                    digests.iter().find_map(|digest| {
                        let known = gone.get_mut(digest)?;
                        let (_, expected) = known.last()?;
                        same(expected, content).then(|| known.pop())?
                    })
                }
                _ => None,
            };
            changes.push((
                path,
                match (from, change) {
                    (Some((from, _)), Change::Added(content)) => Change::Moved { from, content },
                    (_, change) => change,
                },
            ));
        }
        let missing = gone.into_values().flatten();
        changes.extend(missing.map(|(path, content)| (path, Change::Missing(content))));
        changes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { changes, unchanged: self.unchanged }
    }
}

impl Change {
    /// A digest by which a missing file is looked for: the strongest it has.
    fn digest(&self) -> Option<Digest> {
        let Self::Missing(Content::File { size_bytes, digests }) = self else { return None };
        digests.strongest().filter(|_| *size_bytes != Some(0)).cloned()
    }
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
                Change::Moved { .. } => (path[0], "moved"),
            })
            .collect();
        assert_eq!(kinds, [(b'b', "missing"), (b'c', "added"), (b'd', "changed")]);
    }

    #[test]
    fn a_missing_file_that_turns_up_elsewhere_has_moved() {
        let result = compare(
            &manifest(&[("a", "same"), ("b", "same"), ("c", "other"), ("e", "")]),
            &manifest(&[("x", "same"), ("c", "other"), ("y", "new"), ("z", "")]),
        )
        .with_moves();
        let shown: Vec<String> = result
            .changes
            .iter()
            .map(|(path, change)| {
                let path = String::from_utf8_lossy(path);
                match change {
                    Change::Moved { from, .. } => {
                        format!("{path}<{}", String::from_utf8_lossy(from))
                    }
                    Change::Missing(_) => format!("-{path}"),
                    Change::Added(_) => format!("+{path}"),
                    Change::Changed { .. } => format!("!{path}"),
                }
            })
            .collect();
        assert_eq!(shown, ["-b", "-e", "x<a", "+y", "+z"]);
        assert_eq!(result.unchanged, 1);
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
