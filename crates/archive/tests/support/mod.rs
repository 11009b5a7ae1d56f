//! Programs that judge, and the real archive as this machine's `apt` keeps it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a program; `None`, with a line that says so, when it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: no {program}");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

/// Now, in seconds since 1970.
pub(crate) fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// The keyring of Debian's archive, from the package `debian-archive-keyring`.
pub(crate) fn debian_keyring() -> Option<PathBuf> {
    let found = ["gpg", "pgp"].map(|ending| {
        PathBuf::from(format!("/usr/share/keyrings/debian-archive-keyring.{ending}"))
    });
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no debian-archive-keyring");
    }
    found
}

/// Release files that `apt` fetched, of this machine or of the project's own cache.
pub(crate) fn releases() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let folders = [PathBuf::from("/var/lib/apt/lists"), cache.join("glovebox/apt/state/lists")];
    let mut found: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with("_InRelease"))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.contains("\nOrigin: Debian\n")
        })
        .collect();
    found.sort();
    if found.is_empty() {
        eprintln!("skipped: apt has no Debian lists here");
    }
    found
}

/// The index that belongs to a release file of `apt`, unpacked by `apt` itself.
pub(crate) fn index_of(release: &Path) -> Option<Vec<u8>> {
    let stem =
        release.to_str()?.strip_suffix("InRelease")?.to_owned() + "main_binary-amd64_Packages";
    let packed = ["", ".lz4", ".xz", ".gz"].map(|ending| format!("{stem}{ending}"));
    let found = packed.into_iter().find(|path| Path::new(path).exists())?;
    let output = run("/usr/lib/apt/apt-helper", &["cat-file", &found])?;
    output.status.success().then_some(output.stdout)
}
