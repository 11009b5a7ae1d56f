//! Where downloads and built tools are kept between builds.
//!
//! The cache only saves time and may be deleted at any moment. Packages in it are checked against
//! `image/inputs.lock` whenever they are used; what was unpacked or built from them is trusted, as the
//! compiler's own cache is.

use std::env;
use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::files::make_folder;

/// Folder `part` of the cache, made when absent.
pub(crate) fn folder(part: &str) -> Result<PathBuf> {
    // Set to nothing means not set (XDG base directory specification); it must not mean "here".
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let root = if let Some(path) = variable("GLOVEBOX_CACHE") {
        PathBuf::from(path)
    } else if let Some(path) = variable("XDG_CACHE_HOME") {
        PathBuf::from(path).join("glovebox")
    } else {
        let home = variable("HOME").context("looking for a cache folder: HOME is not set")?;
        PathBuf::from(home).join(".cache/glovebox")
    };
    let path = root.join(part);
    make_folder(&path)?;
    path.canonicalize().with_context(|| format!("resolving {}", path.display()))
}

/// Waits until no other build works in this part of the cache; holds it until dropped.
///
/// The second of two builds then finds what the first one made, instead of making it again.
pub(crate) fn lock(part: &str) -> Result<File> {
    let path = folder(part)?.join("lock");
    let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    if file.try_lock().is_err() {
        eprintln!("waiting for another build that works in {}", path.display());
        file.lock().with_context(|| format!("locking {}", path.display()))?;
    }
    Ok(file)
}
