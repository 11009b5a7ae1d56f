//! The package database of Arch (`/var/lib/pacman/local/NAME/{desc,files,mtree}`): sections under `%NAME%`, and an mtree(5)
//! list of what was unpacked.

use super::{lines, words};

/// Largest unpacked mtree read, in bytes; the largest packages have some ten megabytes.
const MAX_MTREE_BYTES: usize = 128 << 20;

/// One object of an mtree list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// Absolute path.
    pub path: Vec<u8>,
    /// Permissions.
    pub mode: u32,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// SHA-256 in hexadecimal.
    pub sha256: Option<Vec<u8>>,
}

/// The lines of one section (`NAME` for `%NAME%`).
#[must_use]
pub fn section(raw: &[u8], name: &str) -> Vec<Vec<u8>> {
    let wanted = format!("%{name}%");
    let all = lines(raw).map(|(_, _, line)| line).skip_while(|line| *line != wanted.as_bytes());
    all.skip(1).take_while(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// An mtree as it lies in the database, packed with gzip or not.
#[must_use]
pub fn unpack(raw: &[u8]) -> Vec<u8> {
    use std::io::Read;
    if !raw.starts_with(b"\x1f\x8b") {
        return raw.to_vec();
    }
    let mut out = Vec::new();
    let limit = u64::try_from(MAX_MTREE_BYTES).unwrap_or(u64::MAX);
    // What a damaged list still gives is used.
    drop(flate2::read::MultiGzDecoder::new(raw).take(limit).read_to_end(&mut out));
    out
}

/// The objects of an mtree list; the package's own records (`.PKGINFO` and the like) are left out.
#[must_use]
pub fn parse_mtree(raw: &[u8]) -> Vec<Object> {
    let mut out = Vec::new();
    let (mut mode, mut is_file) = (0o644, true);
    for (_, _, line) in lines(raw) {
        let all = words(line);
        let Some((first, rest)) = all.split_first() else { continue };
        let set = *first == b"/set";
        let mut object = Object { mode, is_file, ..Object::default() };
        for word in rest {
            let Some(at) = word.iter().position(|byte| *byte == b'=') else { continue };
            let value = word.get(at.saturating_add(1)..).unwrap_or(&[]);
            match word.get(..at).unwrap_or(&[]) {
                b"mode" => {
                    let text = std::str::from_utf8(value).ok();
                    object.mode = text.and_then(|t| u32::from_str_radix(t, 8).ok()).unwrap_or(mode);
                }
                b"type" => object.is_file = value == b"file",
                b"sha256digest" | b"sha256" => object.sha256 = Some(value.to_ascii_lowercase()),
                _ => {}
            }
        }
        if set {
            (mode, is_file) = (object.mode, object.is_file);
        } else if let Some(name) = first.strip_prefix(b"./").filter(|name| !name.starts_with(b"."))
        {
            object.path = [b"/", unescape(name).as_slice()].concat();
            out.push(object);
        }
    }
    out
}

/// `\040` and the like (vis(3)).
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *byte == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                rest = after.get(3..).unwrap_or(&[]);
            }
            None => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}
