//! SHA-256 of disk files on the host, and sparse copies of them.

use crate::error::{Doing, Result};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// SHA-256 of a file in lower-case hexadecimal.
///
/// # Errors
/// [`crate::Error::File`] when it cannot be read.
pub fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).doing("opening", path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let got = file.read(&mut buffer).doing("reading", path)?;
        if got == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..got]);
    }
}

/// SHA-256 of a part of a file in lower-case hexadecimal.
///
/// # Errors
/// [`crate::Error::File`] when it cannot be read.
pub fn part_of_file(path: &Path, offset: u64, bytes: u64) -> Result<String> {
    let mut file = File::open(path).doing("opening", path)?;
    file.seek(SeekFrom::Start(offset)).doing("seeking in", path)?;
    let mut part = Vec::new();
    file.take(bytes).read_to_end(&mut part).doing("reading", path)?;
    Ok(of_bytes(&part))
}

/// SHA-256 of bytes in lower-case hexadecimal.
#[must_use]
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Copies a disk file, keeping its holes.
///
/// # Errors
/// [`crate::Error::Machine`] when `cp` fails.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    crate::process::run("cp", &["--sparse=always", "--reflink=auto", "--", &from, &to]).map(drop)
}

/// Makes an empty sparse file of `bytes`.
///
/// # Errors
/// [`crate::Error::File`] when it cannot be made.
pub fn sparse(path: &Path, bytes: u64) -> Result<()> {
    let file = File::create(path).doing("creating", path)?;
    file.set_len(bytes).doing("sizing", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by an independent tool: `sha256sum`.
    #[test]
    fn agrees_with_sha256sum() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("f");
        std::fs::write(&path, b"glovebox".repeat(300_000)).expect("write");
        let line = crate::process::run("sha256sum", &[&path.to_string_lossy()]).expect("tool");
        assert!(line.starts_with(&of_file(&path).expect("digest")), "{line}");
    }
}
