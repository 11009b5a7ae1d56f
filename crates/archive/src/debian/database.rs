//! The package database of Debian and its kin: which package owns which path, and the MD5 it had when it was unpacked.
//!
//! It lies on the suspect disk and vouches for itself, so it can show a change but never prove that there was none. A line that
//! makes no sense is passed over, as `dpkg` does: this is not the strict reader of signed indices ([`crate::deb822`]).

use std::collections::HashMap;

/// One paragraph of the status file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Name, raw.
    pub name: Vec<u8>,
    /// Version, raw.
    pub version: Vec<u8>,
    /// Architecture, raw; `all` for packages that have none.
    pub architecture: Vec<u8>,
    /// The source package it was built from, raw; with its version in round brackets where that is another.
    pub source: Vec<u8>,
    /// Whether its files are on the disk.
    pub is_unpacked: bool,
    /// Configuration files with the MD5 they were delivered with, in hexadecimal.
    pub conffiles: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The packages of a status file.
#[must_use]
pub fn parse_status(raw: &[u8]) -> Vec<Package> {
    let mut out = Vec::new();
    let mut package = Package::default();
    let mut in_conffiles = false;
    for line in lines(raw).chain(std::iter::once(&b""[..])) {
        if line.is_empty() {
            let done = std::mem::take(&mut package);
            if !done.name.is_empty() {
                out.push(done);
            }
            in_conffiles = false;
        } else if line.first() == Some(&b' ') {
            if let (true, [path, md5, ..]) = (in_conffiles, words(line).as_slice()) {
                package.conffiles.push((path.to_vec(), md5.to_vec()));
            }
        } else if let Some(at) = line.iter().position(|byte| *byte == b':') {
            let (key, value) = (
                line.get(..at).unwrap_or(&[]),
                line.get(at.saturating_add(1)..).unwrap_or(&[]).trim_ascii(),
            );
            in_conffiles = key == b"Conffiles";
            match key {
                b"Package" => package.name = value.to_vec(),
                b"Version" => package.version = value.to_vec(),
                b"Source" => package.source = value.to_vec(),
                b"Architecture" => package.architecture = value.to_vec(),
                b"Status" => {
                    package.is_unpacked = !matches!(
                        value.rsplit(|b| *b == b' ').next(),
                        Some(b"not-installed" | b"config-files")
                    );
                }
                _ => {}
            }
        }
    }
    out
}

/// The lines of a `.md5sums` file: path (made absolute) and digest in hexadecimal.
#[must_use]
pub fn parse_md5sums(raw: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = lines(raw).filter_map(|line| {
        let digest = line.get(..32).filter(|digest| digest.iter().all(u8::is_ascii_hexdigit))?;
        let path = line.get(34..).filter(|path| !path.is_empty())?;
        Some(([b"/", path].concat(), digest.to_vec()))
    });
    pairs.collect()
}

/// Diverted path to the path it went to and the package that diverted it: three lines for each.
#[must_use]
pub fn parse_diversions(raw: &[u8]) -> HashMap<Vec<u8>, (Vec<u8>, Vec<u8>)> {
    let all: Vec<&[u8]> = lines(raw).filter(|line| !line.is_empty()).collect();
    all.as_chunks::<3>()
        .0
        .iter()
        .map(|[from, to, by]| (from.to_vec(), (to.to_vec(), by.to_vec())))
        .collect()
}

/// Lines without their end.
fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Words between blanks.
fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
}
