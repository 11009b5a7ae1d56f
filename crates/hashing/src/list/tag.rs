//! `SHA256 (name) = digest`: the tagged form of BSD, of coreutils' `--tag` and `cksum`, and of `openssl dgst`.
//!
//! coreutils escapes names with a backslash or a line break and marks the line with a leading backslash, as in its other
//! form. openssl leaves out the spaces and calls SHA-256 "SHA2-256".

use super::{Written, lines};
use crate::manifest::{escape_sum_name, keep_problem, unescape_sum_name};
use crate::{Algorithm, Algorithms, Content, Digest, Digests, Entry, Error, Manifest, escape_name};

const NAMES: [(&[u8], Algorithm); 7] = [
    (b"MD5", Algorithm::Md5),
    (b"SHA1", Algorithm::Sha1),
    (b"SHA256", Algorithm::Sha256),
    (b"SHA2-256", Algorithm::Sha256),
    (b"SHA512", Algorithm::Sha512),
    (b"SHA2-512", Algorithm::Sha512),
    (b"BLAKE3", Algorithm::Blake3),
];

pub(super) fn write(manifest: &Manifest, algorithms: &Algorithms) -> Written {
    let mut written = Written::default();
    for (path, content) in manifest.iter() {
        let Content::File { digests, .. } = content else { continue };
        for digest in algorithms.iter().filter_map(|one| digests.of(one)) {
            let (name, escaped) = escape_sum_name(path);
            if escaped {
                written.text.push(b'\\');
            }
            let tag = digest.algorithm().name().to_ascii_uppercase();
            written.text.extend_from_slice(tag.as_bytes());
            written.text.extend_from_slice(b" (");
            written.text.extend_from_slice(&name);
            written.text.extend_from_slice(b") = ");
            written.text.extend_from_slice(digest.to_hex().as_bytes());
            written.text.push(b'\n');
        }
    }
    written
}

pub(super) fn read(text: &[u8]) -> (Manifest, Vec<Error>) {
    let mut manifest = Manifest::new();
    let mut problems = Vec::new();
    for (line, number) in lines(text).zip(1usize..) {
        if line.is_empty() {
            continue;
        }
        let result = parse(line).and_then(|(path, digest)| add(&mut manifest, path, digest));
        keep_problem(&mut problems, number, result);
    }
    (manifest, problems)
}

/// Adds one digest to what the list has of this path: a tagged list may name several, line by line.
fn add(manifest: &mut Manifest, path: Vec<u8>, digest: Digest) -> Result<(), String> {
    let mut digests = match manifest.at(&path) {
        Some(Content::File { digests, .. }) => digests.clone(),
        _ => Digests::default(),
    };
    if digests.of(digest.algorithm()).is_some_and(|known| *known != digest) {
        return Err(format!("{} is listed twice with different digests", escape_name(&path)));
    }
    digests.insert(digest);
    manifest.insert(Entry { path, content: Content::File { size_bytes: None, digests } });
    Ok(())
}

/// Name and digest of one line.
pub(crate) fn parse(line: &[u8]) -> Result<(Vec<u8>, Digest), String> {
    let (line, escaped) = match line.strip_prefix(b"\\") {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let open = line.iter().position(|byte| *byte == b'(').ok_or("no name in brackets")?;
    let (tag, rest) = line.split_at(open);
    let tag = tag.trim_ascii_end();
    let (_, algorithm) = NAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(tag))
        .ok_or_else(|| format!("digest algorithm is \"{}\"", escape_name(tag)))?;
    let rest = rest.strip_prefix(b"(").unwrap_or(rest);
    // The name may hold brackets, the digest cannot.
    let close = rest.iter().rposition(|byte| *byte == b')').ok_or("no closing bracket")?;
    let (name, rest) = rest.split_at(close);
    let hex = rest
        .strip_prefix(b") = ")
        .or_else(|| rest.strip_prefix(b")= "))
        .and_then(|hex| std::str::from_utf8(hex).ok())
        .ok_or("no digest follows the name")?;
    let digest =
        Digest::from_hex(*algorithm, hex.trim_ascii_end()).map_err(|error| error.to_string())?;
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    let path = if escaped {
        unescape_sum_name(name).ok_or("name has an unknown escape")?
    } else {
        name.to_vec()
    };
    Ok((path, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_spellings_are_understood() {
        let digits = "900150983cd24fb0d6963f7d28e17f72";
        for line in ["MD5 (a (b)) = ", "MD5(a (b))= "] {
            let (path, digest) = parse(format!("{line}{digits}").as_bytes()).unwrap();
            assert_eq!(path, b"a (b)");
            assert_eq!(digest.algorithm(), Algorithm::Md5);
        }
        let error = parse(b"TIGER (a) = 00").unwrap_err();
        assert!(error.contains("TIGER"), "{error}");
    }

    #[test]
    fn several_digests_of_one_path_are_joined() {
        let text = b"MD5 (a) = 900150983cd24fb0d6963f7d28e17f72\n\
            SHA1 (a) = a9993e364706816aba3e25717850c26c9cd0d89d\n\
            MD5 (a) = 000150983cd24fb0d6963f7d28e17f72\n";
        let (manifest, problems) = read(text);
        assert_eq!(manifest.len(), 1);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}
