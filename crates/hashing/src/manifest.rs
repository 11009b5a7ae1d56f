//! A list of paths with what each is and its digests.
//!
//! Written in two forms: the text that `sha256sum -c` checks, so that nobody needs this program to
//! verify our lists, and JSON lines (`record.rs`), which also carry sizes, directories and links.

use std::collections::BTreeMap;

use crate::digest::encode_hex;
use crate::{Algorithm, Digest, Digests, Error, escape_name};

/// Problems kept for one list; a hostile list must not turn into unbounded memory.
pub(crate) const MAX_PROBLEMS: usize = 1000;

/// A kind of file that has no content to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpecialKind {
    /// A block device node.
    BlockDevice,
    /// A character device node.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Something else the kernel reports.
    Other,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file.
    File {
        /// Size in bytes, where the list tells it.
        size_bytes: Option<u64>,
        /// Its digests.
        digests: Digests,
    },
    /// A directory.
    Directory,
    /// A symbolic link, which was not followed.
    Symlink {
        /// The bytes it points to.
        target: Vec<u8>,
    },
    /// A special file, which was not opened.
    Special(SpecialKind),
}

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the root of the list, as raw bytes.
    pub path: Vec<u8>,
    /// What stands there.
    pub content: Content,
}

/// A list of paths, sorted by their bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    entries: BTreeMap<Vec<u8>, Content>,
}

impl Manifest {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry; gives back what stood at this path before, if anything.
    pub fn insert(&mut self, entry: Entry) -> Option<Content> {
        self.entries.insert(entry.path, entry.content)
    }

    /// What stands at `path`.
    #[must_use]
    pub fn at(&self, path: &[u8]) -> Option<&Content> {
        self.entries.get(path)
    }

    /// Paths and contents, in byte order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Content)> {
        self.entries.iter().map(|(path, content)| (path.as_slice(), content))
    }

    /// The list with paths as they are below `root`: without a leading `./`, and without `root` where
    /// it stands before them. Lists of other programs name files from where those were started.
    #[must_use]
    pub fn below(self, root: &[u8]) -> Self {
        let root = root.strip_suffix(b"/").unwrap_or(root);
        let shorten = |path: Vec<u8>| {
            let mut rest = path.as_slice();
            if let Some(inside) = rest.strip_prefix(root).and_then(|rest| rest.strip_prefix(b"/")) {
                rest = inside;
            }
            while let Some(inside) = rest.strip_prefix(b"./") {
                rest = inside;
            }
            rest.to_vec()
        };
        let entries = self.entries.into_iter().map(|(path, content)| (shorten(path), content));
        Self { entries: entries.collect() }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The files as text for `sha256sum -c` (or `md5sum`, `sha1sum`, `sha512sum`, `b3sum`).
    ///
    /// Files without a digest of `algorithm`, and everything that is not a file, are left out,
    /// because the format has no place for them. Names with a backslash or a line break are escaped
    /// as GNU coreutils does it (manual, "md5sum invocation").
    #[must_use]
    pub fn to_sum_text(&self, algorithm: Algorithm) -> Vec<u8> {
        let mut text = Vec::new();
        for (path, content) in self.iter() {
            let Content::File { digests, .. } = content else { continue };
            let Some(digest) = digests.of(algorithm) else { continue };
            let (name, escaped) = escape_sum_name(path);
            if escaped {
                text.push(b'\\');
            }
            text.extend_from_slice(encode_hex(digest.as_bytes()).as_bytes());
            text.extend_from_slice(b"  ");
            text.extend_from_slice(&name);
            text.push(b'\n');
        }
        text
    }

    /// Reads such text; lines that do not follow the format become problems, the rest is kept.
    #[must_use]
    pub fn from_sum_text(text: &[u8], algorithm: Algorithm) -> (Self, Vec<Error>) {
        let mut manifest = Self::new();
        let mut problems = Vec::new();
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1usize..) {
            if line.is_empty() {
                continue;
            }
            let result = parse_sum_line(line, algorithm).and_then(|entry| manifest.accept(entry));
            keep_problem(&mut problems, number, result);
        }
        (manifest, problems)
    }

    /// Adds an entry unless the path is already listed with other content.
    pub(crate) fn accept(&mut self, entry: Entry) -> Result<(), String> {
        match self.at(&entry.path) {
            Some(known) if *known != entry.content => {
                Err(format!("{} is listed twice with different content", escape_name(&entry.path)))
            }
            _ => {
                self.insert(entry);
                Ok(())
            }
        }
    }
}

pub(crate) fn keep_problem(problems: &mut Vec<Error>, line: usize, result: Result<(), String>) {
    if let Err(reason) = result {
        if problems.len() < MAX_PROBLEMS {
            problems.push(Error::ManifestLine { line, reason });
        } else if problems.len() == MAX_PROBLEMS {
            let reason = "this and later problems are not listed".to_owned();
            problems.push(Error::ManifestLine { line, reason });
        }
    }
}

pub(crate) fn escape_sum_name(path: &[u8]) -> (Vec<u8>, bool) {
    let mut name = Vec::with_capacity(path.len());
    let mut escaped = false;
    for byte in path {
        let letter = match byte {
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            other => {
                name.push(*other);
                continue;
            }
        };
        name.extend_from_slice(&[b'\\', letter]);
        escaped = true;
    }
    (name, escaped)
}

pub(crate) fn unescape_sum_name(name: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        path.push(match byte {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            other => *other,
        });
    }
    Some(path)
}

pub(crate) fn parse_sum_line(line: &[u8], algorithm: Algorithm) -> Result<Entry, String> {
    let (line, escaped) = match line.strip_prefix(b"\\") {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let hex_length = algorithm.length_bytes().saturating_mul(2);
    let (hex, rest) = line
        .split_at_checked(hex_length)
        .ok_or_else(|| format!("{} bytes are too short for a {algorithm} digest", line.len()))?;
    let hex = std::str::from_utf8(hex).map_err(|_| "digest is not hexadecimal".to_owned())?;
    let digest = Digest::from_hex(algorithm, hex).map_err(|error| error.to_string())?;
    // Two spaces for text mode, a space and a star for binary mode: the same thing on Unix.
    let name = rest
        .strip_prefix(b"  ")
        .or_else(|| rest.strip_prefix(b" *"))
        .filter(|name| !name.is_empty())
        .ok_or_else(|| "no name follows the digest".to_owned())?;
    let path = if escaped {
        unescape_sum_name(name).ok_or_else(|| "name has an unknown escape".to_owned())?
    } else {
        name.to_vec()
    };
    let digests = Digests::from_iter([digest]);
    Ok(Entry { path, content: Content::File { size_bytes: None, digests } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithms, digest_bytes};
    use proptest::prelude::*;

    fn file(path: &[u8], bytes: &[u8]) -> Entry {
        let digests = digest_bytes(bytes, &Algorithms::sha256());
        Entry { path: path.to_vec(), content: Content::File { size_bytes: None, digests } }
    }

    #[test]
    fn bad_lines_are_named_and_good_ones_kept() {
        let good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad *a b\n";
        let text = format!("short\n{good}zz{good}");
        let (manifest, problems) = Manifest::from_sum_text(text.as_bytes(), Algorithm::Sha256);
        assert_eq!(manifest.len(), 1);
        assert!(manifest.at(b"a b").is_some());
        assert_eq!(problems.len(), 2);
        assert!(problems[1].to_string().starts_with("manifest line 3: "), "{}", problems[1]);
    }

    #[test]
    fn contradicting_lines_are_a_problem() {
        let mut text = Vec::new();
        for bytes in [b"1", b"2"] {
            let mut one = Manifest::new();
            one.insert(file(b"x", bytes));
            text.extend(one.to_sum_text(Algorithm::Sha256));
        }
        let (_, problems) = Manifest::from_sum_text(&text, Algorithm::Sha256);
        assert_eq!(problems.len(), 1);
    }

    proptest! {
        /// Vouched for by us only; `tests/coreutils.rs` asks `sha256sum`.
        #[test]
        fn any_name_survives(names in proptest::collection::vec("[^\0]{1,20}", 0..5)) {
            let mut manifest = Manifest::new();
            for name in &names {
                manifest.insert(file(name.as_bytes(), name.as_bytes()));
            }
            let text = manifest.to_sum_text(Algorithm::Sha256);
            let (back, problems) = Manifest::from_sum_text(&text, Algorithm::Sha256);
            prop_assert!(problems.is_empty());
            prop_assert_eq!(back, manifest);
        }

        #[test]
        fn any_text_is_survived(text: Vec<u8>) {
            let _ = Manifest::from_sum_text(&text, Algorithm::Sha256);
            let _ = Manifest::from_json_lines(&text);
        }
    }
}
