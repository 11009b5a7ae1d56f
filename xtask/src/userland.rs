//! Programs of the sealed root built from the Rust registry, once per version, features and toolchain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::config::{Program, Userland};
use crate::own::{self, FLAG_SEPARATOR, Remap, TARGET};
use crate::{cache, elf, files};

/// What `cargo tree` prints of a crate: package and licence.
const TREE_LINE: &str = "{p}|{l}";

/// Their own profiles spend minutes on whole-program optimisation, which a shell does not repay.
const PROFILE: [(&str, &str); 2] =
    [("CARGO_PROFILE_RELEASE_LTO", "off"), ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")];

/// One built program.
pub(crate) struct Built {
    pub(crate) binary: String,
    pub(crate) links: Vec<String>,
    pub(crate) bytes: Vec<u8>,
    /// `name vVERSION|licence` of every crate compiled into it.
    pub(crate) crates: Vec<String>,
}

/// Whether what the cache holds may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reuse {
    /// Take a program built before from the same sources by the same toolchain.
    Cached,
    /// Build again.
    Fresh,
}

/// Builds, or takes from the cache, all programs.
pub(crate) fn build(userland: &Userland, epoch_s: u32, reuse: Reuse) -> Result<Vec<Built>> {
    let toolchain = own::toolchain()?;
    let _alone = cache::lock("userland")?;
    userland
        .program
        .iter()
        .map(|program| {
            build_one(program, epoch_s, &toolchain, reuse)
                .with_context(|| format!("building {} {}", program.krate, program.version))
        })
        .collect()
}

fn build_one(program: &Program, epoch_s: u32, toolchain: &str, reuse: Reuse) -> Result<Built> {
    let key = files::sha256(
        format!(
            "{} {} {} {} {:?} {:?} {PROFILE:?} {epoch_s}\n{toolchain}",
            program.krate,
            program.version,
            program.sha256,
            program.default_features,
            program.features,
            program.cfg
        )
        .as_bytes(),
    );
    let cache = cache::folder("userland")?;
    let kept = cache.join(format!("{}-{}-{}", program.krate, program.version, &key[..16]));
    if reuse == Reuse::Fresh {
        files::remove_folder(&kept)?;
    }
    if !kept.is_dir() {
        let partial = cache.join(format!("{}.partial", program.krate));
        files::remove_folder(&partial)?;
        install(program, epoch_s, &cache, &partial)?;
        fs::rename(&partial, &kept).with_context(|| format!("keeping {}", kept.display()))?;
    }
    let list = files::read_text(&kept.join("crates"))?;
    Ok(Built {
        binary: program.binary.clone(),
        links: program.all_links(),
        bytes: files::read(&kept.join(&program.binary))?,
        crates: list.lines().map(str::to_owned).collect(),
    })
}

fn install(program: &Program, epoch_s: u32, cache: &Path, result: &Path) -> Result<()> {
    let work = tempfile::Builder::new().prefix("build-").tempdir_in(cache)?;
    let remap = Remap::new(&[(work.path(), "/build")])?;
    let sh = own::shell(&remap, epoch_s, &work.path().join("target"))?;
    let mut flags = remap.flags();
    for condition in &program.cfg {
        flags.push_str(&format!("{FLAG_SEPARATOR}--cfg={condition}"));
    }
    sh.set_var("CARGO_ENCODED_RUSTFLAGS", flags);
    for (name, value) in PROFILE {
        sh.set_var(name, value);
    }
    // Away from any project, whose cargo settings would otherwise apply.
    sh.change_dir(work.path());
    let Program { krate, version, binary, .. } = program;
    let mut features: Vec<String> = Vec::new();
    if !program.default_features {
        features.push("--no-default-features".to_owned());
    }
    if !program.features.is_empty() {
        features.push(format!("--features={}", program.features.join(",")));
    }
    let root = work.path().join("root");
    let chosen = &features;
    cmd!(
        sh,
        "cargo install --quiet --locked --version {version} {krate} --bin {binary}
         --target {TARGET} --root {root} {chosen...}"
    )
    .run()?;

    let archive = downloaded("cache", &format!("{krate}-{version}.crate"))?;
    let found = files::sha256_file(&archive)?;
    ensure!(
        found == program.sha256,
        "{krate}-{version}.crate has SHA-256 {found}, expected {}",
        program.sha256
    );
    let bytes = files::read(&root.join("bin").join(binary))?;
    elf::check(binary, &bytes, &remap.foreign())?;
    files::write(&result.join(binary), &bytes, 0o755)?;
    let crates = crates(&sh, &downloaded("src", &format!("{krate}-{version}"))?, &features)?;
    files::write(&result.join("crates"), crates.join("\n").as_bytes(), 0o644)
}

/// A file that cargo keeps of the registry.
fn downloaded(part: &str, name: &str) -> Result<PathBuf> {
    let folder = own::cargo_home()?.join("registry").join(part);
    let entries = fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path().join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    anyhow::bail!("{name} is not below {}", folder.display())
}

fn crates(sh: &Shell, source: &Path, features: &[String]) -> Result<Vec<String>> {
    let manifest = source.join("Cargo.toml");
    let tree = cmd!(
        sh,
        "cargo tree --quiet --locked --manifest-path {manifest} --target {TARGET}
         --edges normal,no-proc-macro --prefix none --format {TREE_LINE} {features...}"
    )
    .read()?;
    Ok(tidy_tree(&tree))
}

/// Crates shipped with packages of the workspace, in the same form.
pub(crate) fn workspace_crates(root: &Path, packages: &[String]) -> Result<Vec<String>> {
    let sh = Shell::new()?;
    sh.change_dir(root);
    let mut selection: BTreeMap<String, ()> = BTreeMap::new();
    for package in packages {
        selection.insert(format!("--package={package}"), ());
    }
    let selection: Vec<String> = selection.into_keys().collect();
    let tree = cmd!(
        sh,
        "cargo tree --quiet --target {TARGET} --edges normal,no-proc-macro --prefix none
         --no-default-features --format {TREE_LINE} {selection...}"
    )
    .read()?;
    Ok(tidy_tree(&tree))
}

/// Sorted lines `name vVERSION|licence`, without repetition marks and local paths.
fn tidy_tree(tree: &str) -> Vec<String> {
    let mut lines: Vec<String> = tree
        .lines()
        .filter_map(|line| line.trim().split_once('|'))
        .map(|(package, licence)| {
            let package: Vec<&str> = package.split_whitespace().take(2).collect();
            format!("{}|{}", package.join(" "), licence.trim_end_matches(" (*)"))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::tidy_tree;

    #[test]
    fn tree_lines_lose_paths_and_marks() {
        let tree = "glovebox v0.1.0 (/some/where)|MIT OR Apache-2.0\n\
                    serde v1.0.0|MIT\n\nserde v1.0.0|MIT (*)\n";
        assert_eq!(tidy_tree(tree), ["glovebox v0.1.0|MIT OR Apache-2.0", "serde v1.0.0|MIT"]);
    }
}
