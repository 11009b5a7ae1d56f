//! `image/inputs.lock`: every Debian package of the image and its tools, with size and digest.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::files;

const HEADER: &str = "\
# Debian packages, written by `cargo xtask build`. Every byte taken from them is checked against this
# list; `--locked` refuses to change it.

";

/// What a package is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Use {
    /// Kernel and modules.
    Kernel,
    /// Boot loaders, copied into the image.
    Boot,
    /// Run while building; no byte of it is shipped.
    Tool,
}

/// One pinned package.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
    #[serde(rename = "use")]
    pub(crate) purpose: Use,
}

/// The whole lock file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    #[serde(default)]
    pub(crate) package: Vec<Package>,
}

impl Lock {
    /// Reads the lock file; an absent one is an empty one.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        toml::from_str(&files::read_text(path)?)
            .with_context(|| format!("understanding {}", path.display()))
    }

    /// Writes the lock file, sorted.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        files::write(path, self.to_text()?.as_bytes(), 0o644)
    }

    fn to_text(&self) -> Result<String> {
        let mut sorted = self.clone();
        sorted.package.sort_by(|a, b| (a.purpose, &a.name).cmp(&(b.purpose, &b.name)));
        Ok(format!("{HEADER}{}", toml::to_string(&sorted)?))
    }

    /// The pinned packages of one purpose.
    pub(crate) fn of(&self, purpose: Use) -> impl Iterator<Item = &Package> {
        self.package.iter().filter(move |package| package.purpose == purpose)
    }

    /// One line for every package that differs between `self` and a newer lock.
    pub(crate) fn differences(&self, newer: &Self) -> Vec<String> {
        let old = |name: &str| self.package.iter().find(|package| package.name == name);
        let mut lines = Vec::new();
        for package in &newer.package {
            match old(&package.name) {
                None => lines.push(format!("+ {} {}", package.name, package.version)),
                Some(was) if was.version != package.version => {
                    lines
                        .push(format!("~ {} {} -> {}", package.name, was.version, package.version));
                }
                Some(was) if was.sha256 != package.sha256 => lines.push(format!(
                    "! {} {}: same version, other bytes: {} -> {}",
                    package.name, package.version, was.sha256, package.sha256
                )),
                Some(_) => {}
            }
        }
        for package in &self.package {
            if !newer.package.iter().any(|other| other.name == package.name) {
                lines.push(format!("- {} {}", package.name, package.version));
            }
        }
        lines.sort();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            size_bytes: 7,
            sha256: "ab".repeat(32),
            purpose: Use::Tool,
        }
    }

    #[test]
    fn what_is_written_is_read_back_sorted() {
        let lock = Lock { package: vec![package("b", "1"), package("a", "1:2~x+y")] };
        let read: Lock = toml::from_str(&lock.to_text().unwrap()).unwrap();
        assert_eq!(read.package[0].name, "a");
        assert_eq!(read.package[1], lock.package[0]);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = Lock { package: vec![package("a", "1")] }.to_text().unwrap();
        assert!(toml::from_str::<Lock>(&format!("{text}md5 = \"x\"\n")).is_err());
    }

    #[test]
    fn every_kind_of_difference_is_told() {
        let old = Lock { package: vec![package("a", "1"), package("b", "1"), package("c", "1")] };
        let mut same_version = package("c", "1");
        same_version.sha256 = "cd".repeat(32);
        let new = Lock { package: vec![package("a", "2"), same_version, package("d", "1")] };
        let lines = old.differences(&new);
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("! c 1"));
        assert_eq!(lines[1..], ["+ d 1", "- b 1", "~ a 1 -> 2"]);
        assert!(old.differences(&old).is_empty());
    }
}
