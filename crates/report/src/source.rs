//! Where a case lies, and its files opened without following what a tampered act says.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Longest name of an exhibit file looked at.
const NAME_BYTES_AT_MOST: usize = 1024;

/// The folder with `case.toml`: the one named, or `data` in it when that is a sealed bag (RFC 8493, 2.1.2).
pub(crate) fn case_folder(named: &Path) -> PathBuf {
    let in_bag = named.join("data");
    if !named.join("case.toml").is_file() && in_bag.join("case.toml").is_file() {
        in_bag
    } else {
        named.to_owned()
    }
}

/// SHA-256 of the manifest of tag files of the bag that holds the case: the bag's identity. `None` where the case
/// lies in no bag.
pub(crate) fn bag_sha256(named: &Path, case: &Path) -> Option<String> {
    if named == case {
        return None;
    }
    let manifest = named.join("tagmanifest-sha256.txt");
    let is_file = fs::symlink_metadata(&manifest).is_ok_and(|found| found.is_file());
    let digest = is_file.then(|| hashing::digest_file(&manifest, &hashing::Algorithms::sha256()));
    digest?.ok().map(|(digests, _)| digests.sha256_hex())
}

/// A regular file below `exhibits/`, by the name an act gives it.
pub(crate) fn exhibit_file(case: &Path, name: &str) -> Result<File, String> {
    let parts: Vec<&str> = name.split('/').collect();
    let plain =
        |part: &&str| !part.is_empty() && **part != *"." && **part != *".." && !part.contains('\0');
    if name.len() > NAME_BYTES_AT_MOST
        || parts.len() < 3
        || !parts.iter().all(plain)
        || !name.starts_with("exhibits/")
    {
        return Err("its name leads out of the exhibits".to_owned());
    }
    let mut path = case.to_owned();
    let last = parts.len().saturating_sub(1);
    for (index, part) in parts.iter().enumerate() {
        path.push(part);
        let found = fs::symlink_metadata(&path).map_err(|error| error.to_string())?;
        let fits = if index == last { found.is_file() } else { found.is_dir() };
        if !fits {
            return Err("it is not a regular file in a folder".to_owned());
        }
    }
    File::open(&path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_lead_out() {
        let case = tempfile::tempdir().unwrap();
        let exhibit = case.path().join("exhibits/001-x");
        fs::create_dir_all(&exhibit).unwrap();
        fs::write(exhibit.join("a"), "a").unwrap();
        fs::write(case.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../../secret", exhibit.join("link")).unwrap();
        assert!(exhibit_file(case.path(), "exhibits/001-x/a").is_ok());
        for bad in [
            "exhibits/../secret",
            "secret",
            "exhibits/001-x/link",
            "exhibits/001-x",
            "exhibits//a",
            "/etc/passwd",
            "exhibits/001-x/../../secret",
            "exhibits/001-x/b",
            "exhibits/001-x/a/b",
        ] {
            assert!(exhibit_file(case.path(), bad).is_err(), "{bad}");
        }
    }
}
