//! Real Debian packages for guests, from the mirror the host itself uses.
//!
//! No mirror is named here: `apt-get indextargets` prints what the host's own apt configuration
//! says, whatever form that configuration has. The packages' signatures are checked by apt.

use crate::error::{Error, Result, machine};
use crate::process::run;
use std::path::Path;

/// Keyring of Debian's archive keys, on every Debian host.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt sources (one-line form) for another or the same `suite`, from the host's own mirrors.
///
/// # Errors
/// [`Error::Machine`] when the host's apt knows no Debian archive.
pub fn sources(suite: &str) -> Result<String> {
    let format = "$(REPO_URI)|$(CODENAME)|$(ORIGIN)|$(COMPONENT)";
    let listing = run("apt-get", &["indextargets", "--format", format, "Created-By: Packages"])?;
    let lines = sources_from(&listing, suite);
    if lines.is_empty() {
        return machine("the host's apt configuration names no Debian archive (apt-get update?)");
    }
    Ok(lines)
}

fn sources_from(listing: &str, suite: &str) -> String {
    let targets = listing.lines().filter_map(|line| {
        let mut fields = line.split('|');
        let (uri, codename, origin) = (fields.next()?, fields.next()?, fields.next()?);
        (origin == "Debian").then_some((uri, codename, fields.next()?))
    });
    let mut lines: Vec<String> = targets
        .map(|(uri, codename, component)| {
            let tail = codename.find('-').map_or("", |at| &codename[at..]);
            format!("deb [signed-by={KEYRING}] {uri} {suite}{tail} {component}\n")
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.concat()
}

/// How much `mmdebstrap` does with the packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Unpack only; no package script runs. For a tree that is only a heap of tools.
    Unpacked,
    /// A working minimal system.
    Installed,
}

/// Makes `tree` from `packages` of `suite`.
///
/// # Errors
/// [`Error::Machine`] when `mmdebstrap` is missing or fails.
pub fn install(tree: &Path, suite: &str, depth: Depth, packages: &[&str]) -> Result<()> {
    let file = tempfile::Builder::new()
        .suffix(".list")
        .tempfile()
        .map_err(|e| Error::Machine(format!("making a temporary file: {e}")))?;
    std::fs::write(file.path(), sources(suite)?)
        .map_err(|e| Error::Machine(format!("writing apt sources: {e}")))?;
    let variant = match depth {
        Depth::Unpacked => "--variant=extract",
        Depth::Installed => "--variant=minbase",
    };
    let include = format!("--include={}", packages.join(","));
    let (tree, list) = (tree.to_string_lossy(), file.path().to_string_lossy());
    run("mmdebstrap", &["--quiet", "--format=directory", variant, &include, suite, &tree, &list])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_archives_are_left_out_and_the_suite_is_changed() {
        let listing = "http://m/debian/|bookworm|Debian|main\n\
                       http://m/debian/|bookworm-updates|Debian|main\n\
                       http://other/apt/|x|Vendor|main\n";
        let text = sources_from(listing, "trixie");
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains(" http://m/debian/ trixie main"), "{text}");
        assert!(text.contains(" http://m/debian/ trixie-updates main"), "{text}");
    }
}
