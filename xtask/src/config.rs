//! The image's description: TOML files read strictly and resolved through single inheritance.
//!
//! Raw tables are merged before they are given a type: a key that no version of the tool knows is
//! therefore refused wherever in the chain it stands.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::files::read_text;

/// A resolved image description (`image/NAME.toml`).
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) epoch_s: u32,
    pub(crate) size_limit_mib: u64,
    pub(crate) kernel_line: Vec<String>,
    pub(crate) debian: Debian,
    pub(crate) init: Init,
    #[serde(default)]
    pub(crate) binary: Vec<Binary>,
    #[serde(default)]
    pub(crate) link: Vec<Link>,
    #[serde(default)]
    pub(crate) directory: Vec<Directory>,
    #[serde(default)]
    pub(crate) file: Vec<File>,
}

/// What is taken from Debian.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Debian {
    pub(crate) suite: String,
    pub(crate) architecture: String,
    pub(crate) kernel: String,
    pub(crate) boot: Vec<String>,
    pub(crate) tool: Vec<String>,
}

/// The workspace program that becomes `/init` of the initrd.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Init {
    pub(crate) package: String,
    pub(crate) binary: String,
    pub(crate) features: Vec<String>,
}

/// A workspace program in the sealed root.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Binary {
    pub(crate) package: String,
    pub(crate) binary: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) features: Vec<String>,
}

/// A symbolic link in the sealed root.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) path: String,
    pub(crate) target: String,
}

/// An empty folder in the sealed root: a mount point.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    pub(crate) path: String,
}

/// A literal file in the sealed root; `source` is relative to `image/`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) source: String,
}

/// Kernel modules to ship (`image/modules.toml`).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModuleRules {
    pub(crate) early: Vec<String>,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) forbid: Vec<String>,
}

/// Programs built from the Rust registry (`image/userland.toml`).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Userland {
    pub(crate) program: Vec<Program>,
}

/// One program from the Rust registry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    #[serde(rename = "crate")]
    pub(crate) krate: String,
    pub(crate) version: String,
    pub(crate) sha256: String,
    pub(crate) binary: String,
    #[serde(default = "yes")]
    pub(crate) default_features: bool,
    #[serde(default)]
    pub(crate) features: Vec<String>,
    /// Conditions (`--cfg`) that its build needs beside the features.
    #[serde(default)]
    pub(crate) cfg: Vec<String>,
    pub(crate) links: Vec<String>,
    /// A multi-call program whose features are its command names.
    #[serde(default)]
    pub(crate) link_each_feature: bool,
}

fn yes() -> bool {
    true
}

impl Program {
    /// The names this program is also called by.
    pub(crate) fn all_links(&self) -> Vec<String> {
        let mut links = self.links.clone();
        if self.link_each_feature {
            links.extend(self.features.iter().cloned());
        }
        links.sort();
        links
    }
}

/// Reads and resolves `image/NAME.toml`.
pub(crate) fn image(folder: &Path, name: &str) -> Result<Image> {
    let table = resolve(folder, name, &mut Vec::new())?;
    let image: Image =
        table.try_into().with_context(|| format!("understanding image description {name}"))?;
    for path in image
        .binary
        .iter()
        .map(|b| &b.path)
        .chain(image.link.iter().map(|l| &l.path))
        .chain(image.directory.iter().map(|d| &d.path))
        .chain(image.file.iter().map(|f| &f.path))
    {
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            bail!("{path:?} in image description {name} is not an absolute path");
        }
    }
    Ok(image)
}

/// Reads `image/modules.toml`.
pub(crate) fn modules(folder: &Path) -> Result<ModuleRules> {
    parse(&folder.join("modules.toml"))
}

/// Reads `image/userland.toml`.
pub(crate) fn userland(folder: &Path) -> Result<Userland> {
    parse(&folder.join("userland.toml"))
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    toml::from_str(&read_text(path)?).with_context(|| format!("understanding {}", path.display()))
}

fn resolve(folder: &Path, name: &str, seen: &mut Vec<String>) -> Result<toml::Table> {
    if seen.iter().any(|one| one == name) {
        bail!("image description {name} extends itself");
    }
    seen.push(name.to_owned());
    let path: PathBuf = folder.join(format!("{name}.toml"));
    let mut own: toml::Table = parse(&path)?;
    match own.remove("extends") {
        None => Ok(own),
        Some(toml::Value::String(parent)) => Ok(merge(resolve(folder, &parent, seen)?, own)),
        Some(other) => bail!("`extends` in {} is {other}, not a name", path.display()),
    }
}

/// Tables are merged key by key, lists appended, everything else replaced.
fn merge(mut base: toml::Table, over: toml::Table) -> toml::Table {
    for (key, value) in over {
        let merged = match (base.remove(&key), value) {
            (Some(toml::Value::Table(a)), toml::Value::Table(b)) => toml::Value::Table(merge(a, b)),
            (Some(toml::Value::Array(mut a)), toml::Value::Array(b)) => {
                a.extend(b);
                toml::Value::Array(a)
            }
            (_, value) => value,
        };
        base.insert(key, merged);
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::project_root;

    #[test]
    fn lists_are_appended_and_scalars_replaced() {
        let base = toml::from_str("a = 1\nl = [1]\n[t]\nx = 1\ny = [1]").unwrap();
        let over = toml::from_str("a = 2\nl = [2]\n[t]\ny = [2]\nz = 3").unwrap();
        let expected: toml::Table =
            toml::from_str("a = 2\nl = [1, 2]\n[t]\nx = 1\ny = [1, 2]\nz = 3").unwrap();
        assert_eq!(merge(base, over), expected);
    }

    #[test]
    fn unknown_keys_and_loops_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let source = project_root().unwrap().join("image/glovebox.toml");
        std::fs::copy(source, folder.path().join("glovebox.toml")).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        assert_eq!(image(folder.path(), "glovebox").unwrap().name, "glovebox");

        write("odd.toml", "extends = \"glovebox\"\nnaem = \"x\"\n");
        assert!(format!("{:#}", image(folder.path(), "odd").unwrap_err()).contains("naem"));
        write("a.toml", "extends = \"b\"\n");
        write("b.toml", "extends = \"a\"\n");
        assert!(image(folder.path(), "a").unwrap_err().to_string().contains("extends itself"));
        write("up.toml", "extends = \"glovebox\"\n[[link]]\npath = \"/a/../b\"\ntarget = \"x\"\n");
        assert!(image(folder.path(), "up").is_err());
    }
}
