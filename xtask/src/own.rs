//! How Rust programs for the image are compiled: the flags shared by our own and the registry's, and
//! the building of our own.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::config::Image;
use crate::{elf, files};

/// Target of everything shipped.
pub(crate) const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Between two flags in `CARGO_ENCODED_RUSTFLAGS`, so that paths may contain spaces.
pub(crate) const FLAG_SEPARATOR: &str = "\x1f";

/// Where cargo keeps what it downloads.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    if let Some(path) = env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(path));
    }
    let home = env::var_os("HOME").context("looking for cargo's folder: HOME is not set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}

/// Prefixes of this machine and what stands for them inside a program.
pub(crate) struct Remap(Vec<(PathBuf, &'static str)>);

impl Remap {
    /// Cargo's folder and `others`.
    pub(crate) fn new(others: &[(&Path, &'static str)]) -> Result<Self> {
        let mut pairs = vec![(cargo_home()?, "/cargo")];
        pairs.extend(others.iter().map(|(path, name)| (path.to_path_buf(), *name)));
        Ok(Self(pairs))
    }

    /// Compiler flags: static, stripped, and without the prefixes.
    pub(crate) fn flags(&self) -> String {
        let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), "-Cstrip=symbols".into()];
        for (path, name) in &self.0 {
            flags.push(format!("--remap-path-prefix={}={name}", path.display()));
        }
        flags.join(FLAG_SEPARATOR)
    }

    /// The prefixes that must not occur in a program. One component alone (`/root`) proves nothing.
    pub(crate) fn foreign(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(path, _)| path.components().count() > 2)
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

/// The toolchain the project pins (`rust-toolchain.toml`).
fn pinned_toolchain() -> Result<String> {
    let path = files::project_root()?.join("rust-toolchain.toml");
    let table: toml::Table = toml::from_str(&files::read_text(&path)?)
        .with_context(|| format!("understanding {}", path.display()))?;
    let channel = table.get("toolchain").and_then(|part| part.get("channel"));
    let channel = channel.and_then(toml::Value::as_str);
    Ok(channel.with_context(|| format!("looking for a channel in {}", path.display()))?.to_owned())
}

/// A shell whose `cargo` builds for the image.
pub(crate) fn shell(remap: &Remap, epoch_s: u32, target_folder: &Path) -> Result<Shell> {
    let sh = Shell::new()?;
    // Outside the project's folder rustup would take the user's default instead.
    sh.set_var("RUSTUP_TOOLCHAIN", pinned_toolchain()?);
    sh.set_var("CARGO_ENCODED_RUSTFLAGS", remap.flags());
    sh.set_var("CARGO_TARGET_DIR", target_folder);
    sh.set_var("CARGO_INCREMENTAL", "0");
    sh.set_var("SOURCE_DATE_EPOCH", epoch_s.to_string());
    sh.set_var("TZ", "UTC");
    sh.set_var("LC_ALL", "C");
    Ok(sh)
}

/// What every shipped program also contains, as lines `name vVERSION|licence`: the C library of the
/// build machine and Rust's own.
pub(crate) fn runtime_libraries() -> Result<Vec<String>> {
    let sh = Shell::new()?;
    sh.set_var("RUSTUP_TOOLCHAIN", pinned_toolchain()?);
    let libc = cmd!(sh, "getconf GNU_LIBC_VERSION").quiet().read()?;
    let rustc = cmd!(sh, "rustc --version").quiet().read()?;
    let libc = libc.split_whitespace().nth(1).context("reading the C library's version")?;
    let rustc = rustc.split_whitespace().nth(1).context("reading the compiler's version")?;
    Ok(vec![
        format!("glibc v{libc}|LGPL-2.1-or-later"),
        format!("rust-std v{rustc}|MIT OR Apache-2.0"),
    ])
}

/// Everything outside the sources that decides a program's bytes: compiler, linker, C library.
pub(crate) fn toolchain() -> Result<String> {
    let sh = Shell::new()?;
    sh.set_var("RUSTUP_TOOLCHAIN", pinned_toolchain()?);
    let rustc = cmd!(sh, "rustc -vV").quiet().read()?;
    let cc = cmd!(sh, "cc --version").quiet().read().context("looking for a C linker")?;
    let libc = cmd!(sh, "cc -print-file-name=libc.a").quiet().read()?;
    let libc = files::sha256_file(Path::new(&libc))
        .context("looking for the static C library (package libc6-dev)")?;
    Ok(format!("{rustc}\n{}\nlibc.a {libc}", cc.lines().next().unwrap_or_default()))
}

/// Our programs, by package and binary name.
pub(crate) struct Programs {
    pub(crate) init: Vec<u8>,
    /// Path in the sealed root and content.
    pub(crate) sealed: BTreeMap<String, Vec<u8>>,
}

/// Builds the programs that the description names.
pub(crate) fn build(root: &Path, image: &Image) -> Result<Programs> {
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(path) => root.join(path).join("image"),
        None => root.join("target/image"),
    };
    let remap = Remap::new(&[(root, "/glovebox"), (&target, "/build")])?;
    let sh = shell(&remap, image.epoch_s, &target)?;
    sh.change_dir(root);
    let one = |package: &str, binary: &str, features: &[String]| -> Result<Vec<u8>> {
        // What is on by default is for the desk.
        let mut args = vec![
            format!("--package={package}"),
            format!("--bin={binary}"),
            "--no-default-features".to_owned(),
        ];
        if !features.is_empty() {
            args.push(format!("--features={}", features.join(",")));
        }
        cmd!(sh, "cargo build --release --target {TARGET} {args...}").run()?;
        let bytes = files::read(&target.join(TARGET).join("release").join(binary))?;
        elf::check(binary, &bytes, &remap.foreign())?;
        Ok(bytes)
    };
    let mut sealed = BTreeMap::new();
    for program in &image.binary {
        let bytes = one(&program.package, &program.binary, &program.features)?;
        sealed.insert(program.path.clone(), bytes);
    }
    // Last, so that an image with another set of features never takes a left-over of this one.
    let init = one(&image.init.package, &image.init.binary, &image.init.features)?;
    Ok(Programs { init, sealed })
}
