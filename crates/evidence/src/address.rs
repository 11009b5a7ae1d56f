//! How a person names something on evidence: `disk0:2:/etc/passwd`.
//!
//! Form: `SOURCE[:LABEL][:PATH]`. `SOURCE` is a disk, an image file, a folder or a collection; `LABEL` names a volume as
//! [`crate::stack`] does, or an installed system (`os1`); `PATH` begins with `/`, or is `#` and a node number. A path without
//! a label is looked up in the tree of the only installed system. Names shown escaped are typed escaped.

use crate::fs::{Node, RawPath};

/// What an address says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The disk, file or folder, as typed.
    pub source: Vec<u8>,
    /// The volume or system.
    pub label: Option<String>,
    /// The object on it.
    pub object: Option<Object>,
}

/// How an address names an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// By path.
    Path(RawPath),
    /// By node.
    Node(Node),
}

impl Address {
    /// Takes an address apart. A source may hold colons itself: of the ways to cut, the longest source for which `exists`
    /// says yes is taken, else the one before the first colon.
    #[must_use]
    pub fn parse(word: &[u8], exists: &dyn Fn(&[u8]) -> bool) -> Self {
        let cuts = word.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
        let mut ends: Vec<usize> = cuts.collect();
        ends.push(word.len());
        let first = ends.first().copied().unwrap_or(word.len());
        let end = ends
            .iter()
            .rev()
            .copied()
            .find(|end| word.get(..*end).is_some_and(exists))
            .unwrap_or(first);
        let source = word.get(..end).unwrap_or(word).to_vec();
        let rest = word.get(end.saturating_add(1)..).unwrap_or(&[]);
        let (label, object) = if let Some(object) = object(rest) {
            (None, Some(object))
        } else if let Some(at) = rest.iter().position(|byte| *byte == b':') {
            let after = rest.get(at.saturating_add(1)..).unwrap_or(&[]);
            (rest.get(..at), object(after))
        } else {
            (Some(rest), None)
        };
        let label = label.filter(|label| !label.is_empty());
        // `sda::/x` names the disk itself, as `sda:0:/x` does.
        let whole = rest.first() == Some(&b':');
        let label = label
            .map(|label| String::from_utf8_lossy(label).into_owned())
            .or_else(|| whole.then(|| "0".to_owned()));
        Self { source, label, object }
    }
}

fn object(text: &[u8]) -> Option<Object> {
    match text.first()? {
        b'/' => {
            let path = match std::str::from_utf8(text) {
                Ok(text) => crate::unescape(text),
                Err(_) => text.to_vec(),
            };
            Some(Object::Path(RawPath(path)))
        }
        b'#' => {
            let digits = std::str::from_utf8(text.get(1..)?).ok()?;
            digits.parse().ok().map(Object::Node)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(word: &str) -> (String, Option<String>, Option<Object>) {
        let files = ["/cases/a:b.img", "disk.img", "/cases"];
        let exists = |name: &[u8]| files.iter().any(|file| file.as_bytes() == name);
        let Address { source, label, object } = Address::parse(word.as_bytes(), &exists);
        (String::from_utf8(source).unwrap(), label, object)
    }

    #[test]
    fn every_form() {
        let path = |text: &str| Some(Object::Path(RawPath::from(text)));
        let label = |text: &str| Some(text.to_owned());
        assert_eq!(parsed("sda"), ("sda".into(), None, None));
        assert_eq!(parsed("sda:2"), ("sda".into(), label("2"), None));
        assert_eq!(parsed("sda:2:/etc/passwd"), ("sda".into(), label("2"), path("/etc/passwd")));
        assert_eq!(parsed("sda:/etc/a:b"), ("sda".into(), None, path("/etc/a:b")));
        assert_eq!(parsed("sda::/etc"), ("sda".into(), label("0"), path("/etc")));
        assert_eq!(parsed("sda:vg/root:/x"), ("sda".into(), label("vg/root"), path("/x")));
        assert_eq!(
            parsed("/cases/a:b.img:1:/x"),
            ("/cases/a:b.img".into(), label("1"), path("/x"))
        );
        assert_eq!(
            parsed("disk.img:1:#77"),
            ("disk.img".into(), label("1"), Some(Object::Node(77)))
        );
        assert_eq!(parsed("serial=A-1:os1:/"), ("serial=A-1".into(), label("os1"), path("/")));
        assert_eq!(parsed("sda:1:/a\\x0ab"), ("sda".into(), label("1"), path("/a\nb")));
    }
}
