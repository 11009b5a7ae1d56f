//! Keeps what is slow to make (trees, disks) under the cache folder, keyed by its recipe.
//!
//! The key is the text of the recipe, so a changed recipe makes a new thing and an unchanged one
//! costs nothing. A half-made thing never gets its final name.

use crate::digest;
use crate::error::{Doing, Error, Result};
use std::path::{Path, PathBuf};

/// `$GLOVEBOX_CACHE`, else `$XDG_CACHE_HOME/glovebox`, else `~/.cache/glovebox`.
///
/// # Errors
/// [`Error::Machine`] when none of the three is set.
pub fn root() -> Result<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    of("GLOVEBOX_CACHE")
        .or_else(|| of("XDG_CACHE_HOME").map(|p| p.join("glovebox")))
        .or_else(|| of("HOME").map(|p| p.join(".cache/glovebox")))
        .ok_or_else(|| Error::Machine("neither GLOVEBOX_CACHE nor HOME is set".into()))
}

/// Gives the folder made by `make` for `key`, making it now when it is not there.
///
/// # Errors
/// What `make` gives, and [`Error::File`] when the cache folder cannot be used.
pub fn folder(name: &str, key: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = root()?.join("machine");
    std::fs::create_dir_all(&root).doing("creating", &root)?;
    let label = format!("{name}-{}", &digest::of_bytes(key.as_bytes())[..16]);
    let finished = root.join(&label);
    // One maker at a time: the second waits here and then finds it finished.
    let lock_path = root.join(format!("{label}.lock"));
    let lock = std::fs::File::create(&lock_path).doing("creating", &lock_path)?;
    lock.lock().doing("locking", &lock_path)?;
    if finished.is_dir() {
        return Ok(finished);
    }
    let partial = root.join(format!("{label}.partial"));
    if partial.exists() {
        std::fs::remove_dir_all(&partial).doing("removing", &partial)?;
    }
    std::fs::create_dir(&partial).doing("creating", &partial)?;
    eprintln!("making {label} (once; kept in the cache)");
    make(&partial)?;
    std::fs::rename(&partial, &finished).doing("naming", &finished)?;
    Ok(finished)
}
