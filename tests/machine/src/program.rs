//! Builds the programs tests need, as static binaries, with cargo itself (`escargot`).

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The workspace this crate belongs to.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).unwrap_or(here).to_owned()
}

/// A program as it was built for the image: static, so that it runs here too. Built anew where no image was built here.
///
/// # Errors
/// As [`build_static`].
pub fn of_the_image(package: &str, binary: &str) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), PathBuf::from);
    let built = target.join("image").join(TARGET).join("release").join(binary);
    if built.is_file() { Ok(built) } else { build_static(package, binary) }
}

/// Builds one binary of one package without any dynamic loader and gives its path.
///
/// # Errors
/// [`Error::Machine`] when it does not build.
pub fn build_static(package: &str, binary: &str) -> Result<PathBuf> {
    let root = workspace();
    // A folder of its own: other flags in the same folder would rebuild everything each time.
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root.join("target"), PathBuf::from)
        .join("static");
    escargot::CargoBuild::new()
        .manifest_path(root.join("Cargo.toml"))
        .package(package)
        .bin(binary)
        .release()
        .target(TARGET)
        .target_dir(target)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .run()
        .map(|run| run.path().to_owned())
        .map_err(|e| Error::Machine(format!("building {binary} of {package}: {e}")))
}
