//! mtree(5): a line for each object with `keyword=value` pairs.
//!
//! Two layouts are in use: whole paths (libarchive), and a tree that is walked with names and `..` (NetBSD, FreeBSD).
//! We write the first and read both. Names are encoded as strvis(3) does; FreeBSD's and NetBSD's mtree(5) name the
//! keywords. Names that walk down a tree can make a short list grow, so the paths are held to a budget.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Written, lines};
use crate::manifest::keep_problem;
use crate::{Algorithm, Algorithms, Content, Digest, Digests, Entry, Error, Manifest, SpecialKind};

/// Longest path taken, in bytes: that of the kernel.
const LONGEST_PATH_BYTES: usize = 4096;

/// Keywords of digests; the first of an algorithm is the one we write.
const KEYWORDS: [(&str, Algorithm); 8] = [
    ("md5digest", Algorithm::Md5),
    ("md5", Algorithm::Md5),
    ("sha1digest", Algorithm::Sha1),
    ("sha1", Algorithm::Sha1),
    ("sha256digest", Algorithm::Sha256),
    ("sha256", Algorithm::Sha256),
    ("sha512digest", Algorithm::Sha512),
    ("sha512", Algorithm::Sha512),
];

pub(super) fn write(manifest: &Manifest, algorithms: &Algorithms) -> Written {
    let mut written = Written::default();
    written.text.extend_from_slice(b"#mtree\n. type=dir\n");
    let keyword = |algorithm| KEYWORDS.iter().find(|(_, one)| *one == algorithm);
    for algorithm in algorithms.iter().filter(|algorithm| keyword(*algorithm).is_none()) {
        written.leave_out(b"", &format!("mtree has no keyword for {algorithm}"));
    }
    for (path, content) in manifest.iter() {
        let mut line = format!("./{}", encode(path));
        // Writing to a String cannot fail.
        let _ = match content {
            Content::File { size_bytes, digests } => {
                line.push_str(" type=file");
                if let Some(size_bytes) = size_bytes {
                    let _ = write!(line, " size={size_bytes}");
                }
                for digest in algorithms.iter().filter_map(|one| digests.of(one)) {
                    if let Some((name, _)) = keyword(digest.algorithm()) {
                        let _ = write!(line, " {name}={}", digest.to_hex());
                    }
                }
                Ok(())
            }
            Content::Directory => write!(line, " type=dir"),
            Content::Symlink { target } => write!(line, " type=link link={}", encode(target)),
            Content::Special(SpecialKind::BlockDevice) => write!(line, " type=block"),
            Content::Special(SpecialKind::CharacterDevice) => write!(line, " type=char"),
            Content::Special(SpecialKind::Fifo) => write!(line, " type=fifo"),
            Content::Special(SpecialKind::Socket) => write!(line, " type=socket"),
            Content::Special(SpecialKind::Other) => {
                written.leave_out(path, "mtree has no type for it");
                continue;
            }
        };
        written.text.extend_from_slice(line.as_bytes());
        written.text.push(b'\n');
    }
    written
}

/// Everything but letters, digits and a few marks as three octal digits: also what a program could take for a pattern.
fn encode(name: &[u8]) -> String {
    name.iter().fold(String::with_capacity(name.len()), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'+' | b',' => {
                text.push(char::from(*byte));
            }
            // Writing to a String cannot fail.
            other => drop(write!(text, "\\{other:03o}")),
        }
        text
    })
}

pub(super) fn read(text: &[u8]) -> (Manifest, Vec<Error>) {
    let mut tree = Tree::new(text.len());
    let mut problems = Vec::new();
    let mut begun: Option<Vec<u8>> = None;
    for (line, number) in lines(text).zip(1usize..) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A backslash at the end goes on in the next line.
        if let Some(part) = line.strip_suffix(b"\\") {
            let whole = begun.get_or_insert_default();
            whole.extend_from_slice(part);
            whole.push(b' ');
            continue;
        }
        let mut whole = begun.take().unwrap_or_default();
        whole.extend_from_slice(line);
        keep_problem(&mut problems, number, tree.line(&whole));
    }
    if let Some(whole) = begun {
        keep_problem(&mut problems, lines(text).count(), tree.line(&whole));
    }
    (tree.manifest, problems)
}

struct Tree {
    manifest: Manifest,
    /// What `/set` gave to all that follows.
    defaults: Pairs,
    /// The directory that names without a slash are in; `None` before the first.
    current: Option<Vec<u8>>,
    budget_bytes: usize,
}

impl Tree {
    fn new(text_bytes: usize) -> Self {
        let budget_bytes = text_bytes.saturating_mul(64).saturating_add(1 << 20);
        Self { manifest: Manifest::new(), defaults: BTreeMap::new(), current: None, budget_bytes }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(first) = words.next() else { return Ok(()) };
        match first {
            comment if comment.starts_with(b"#") => Ok(()),
            b"/set" => {
                self.defaults.extend(words.map(pair));
                Ok(())
            }
            b"/unset" => {
                for word in words {
                    match word {
                        b"all" => self.defaults.clear(),
                        other => drop(self.defaults.remove(other)),
                    }
                }
                Ok(())
            }
            b".." => self.up(),
            name => self.object(name, &words.map(pair).collect()),
        }
    }

    fn up(&mut self) -> Result<(), String> {
        let current = self.current.as_mut().ok_or("\"..\" above the root")?;
        match current.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => current.truncate(slash),
            None if current.is_empty() => self.current = None,
            None => current.clear(),
        }
        Ok(())
    }

    fn object(&mut self, name: &[u8], own: &Pairs) -> Result<(), String> {
        // A name with a slash is a path from the root, one without is in the current directory.
        let whole = name.contains(&b'/');
        let name = decode(name).ok_or("name has an unknown escape")?;
        let mut path = if whole {
            Vec::new()
        } else {
            self.current.clone().filter(|current| !current.is_empty()).unwrap_or_default()
        };
        let relative = name.strip_prefix(b"./").unwrap_or(&name);
        if relative != b"." {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(relative);
        }
        if path.len() > LONGEST_PATH_BYTES {
            return Err(format!("path is longer than {LONGEST_PATH_BYTES} bytes"));
        }
        let value = |key: &str| {
            own.get(key.as_bytes()).or_else(|| self.defaults.get(key.as_bytes())).map(Vec::as_slice)
        };
        let needed = path.len().saturating_add(value("link").map_or(0, <[u8]>::len));
        let left = self
            .budget_bytes
            .checked_sub(needed)
            .ok_or("paths are far longer than the list: the rest is left out")?;
        let is_directory = value("type") == Some(b"dir");
        // The root of the list is no entry of it.
        let content = if path.is_empty() { None } else { Some(content(&value)?) };
        self.budget_bytes = left;
        if is_directory && !whole {
            self.current = Some(path.clone());
        }
        match content {
            Some(content) => self.manifest.accept(Entry { path, content }),
            None => Ok(()),
        }
    }
}

/// Keywords with their values.
type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

fn content<'a>(value: &dyn Fn(&str) -> Option<&'a [u8]>) -> Result<Content, String> {
    let text = |key: &str| value(key).and_then(|it| std::str::from_utf8(it).ok());
    Ok(match text("type") {
        None | Some("file") => {
            let size_bytes = match text("size") {
                Some(size) => Some(size.parse().map_err(|_| "size is not a number")?),
                None => None,
            };
            let mut digests = Digests::default();
            for (keyword, algorithm) in KEYWORDS {
                if let Some(hex) = text(keyword) {
                    let digest = Digest::from_hex(algorithm, hex);
                    digests.insert(digest.map_err(|error| error.to_string())?);
                }
            }
            Content::File { size_bytes, digests }
        }
        Some("dir") => Content::Directory,
        Some("link") => {
            let target = value("link").unwrap_or_default();
            Content::Symlink { target: decode(target).ok_or("link has an unknown escape")? }
        }
        Some("block") => Content::Special(SpecialKind::BlockDevice),
        Some("char") => Content::Special(SpecialKind::CharacterDevice),
        Some("fifo") => Content::Special(SpecialKind::Fifo),
        Some("socket") => Content::Special(SpecialKind::Socket),
        Some(other) => {
            return Err(format!("type is \"{}\"", crate::escape_name(other.as_bytes())));
        }
    })
}

fn pair(word: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let (key, value) = word.split_at(at);
            (key.to_vec(), value.strip_prefix(b"=").unwrap_or(value).to_vec())
        }
        None => (word.to_vec(), Vec::new()),
    }
}

/// strvis(3) undone, as far as mtree programs use it: octal, the letters of C, `\^C`, `\M-C` and `\M^C`.
fn decode(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (letter, after) = rest.split_first()?;
        rest = after;
        bytes.push(match letter {
            b'0'..=b'7' if octal(rest).is_some() => {
                let digits = octal(rest)?;
                rest = rest.get(2..)?;
                let high = letter.checked_sub(b'0')?;
                high.checked_mul(64)?.checked_add(digits)?
            }
            b'0' => 0,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b's' => b' ',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            b'E' => 27,
            b'^' => {
                let (letter, after) = rest.split_first()?;
                rest = after;
                control(*letter)
            }
            b'M' => {
                let (kind, after) = rest.split_first()?;
                let (letter, after) = after.split_first()?;
                rest = after;
                match kind {
                    b'-' => letter | 0x80,
                    b'^' => control(*letter) | 0x80,
                    _ => return None,
                }
            }
            b'\\' | b'#' | b'=' | b'*' | b'?' | b'[' | b'"' | b'\'' | b'$' => *letter,
            _ => return None,
        });
    }
    Some(bytes)
}

fn octal(rest: &[u8]) -> Option<u8> {
    let digit = |at: usize| rest.get(at)?.checked_sub(b'0').filter(|digit| *digit < 8);
    digit(0)?.checked_mul(8)?.checked_add(digit(1)?)
}

fn control(letter: u8) -> u8 {
    if letter == b'?' { 127 } else { letter & 0x1f }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_walked_is_understood() {
        let text = b"#mtree\n/set type=file\n. type=dir\n    a size=1 \\\n  md5=0cc175b9c0f1b6a831c399e269772661\n\
            d type=dir\n  sp\\sace size=2\n  \\M^? size=1\n  e type=dir\n    f size=0\n  ..\n..\nl type=link link=a\\040b\n..\n";
        let (manifest, problems) = read(text);
        assert!(problems.is_empty(), "{problems:?}");
        let paths: Vec<&[u8]> = manifest.iter().map(|(path, _)| path).collect();
        let expected: [&[u8]; 7] = [b"a", b"d", b"d/e", b"d/e/f", b"d/sp ace", b"d/\xff", b"l"];
        assert_eq!(paths, expected);
        assert_eq!(manifest.at(b"l"), Some(&Content::Symlink { target: b"a b".to_vec() }));
    }

    #[test]
    fn a_list_cannot_grow_without_bound() {
        let mut text = b"#mtree\n. type=dir\n".to_vec();
        for _ in 0..4000 {
            text.extend_from_slice(b"x type=dir\n");
        }
        let (manifest, problems) = read(&text);
        assert!(manifest.len() < 4000 && !problems.is_empty());
    }
}
