//! Published test images and the independent reader that judges ours on them, fetched when tests run.
//!
//! They are under a licence we neither ship nor link (AGPL-3.0), so they live in the cache only. All of them are known by
//! their digests: what answers under a name tomorrow must be what was looked at today.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use xshell::{Shell, cmd};

use crate::host::{self, Tool};
use crate::{cache, files};

/// Where the images, the judge's program and its interpreter are.
pub(crate) struct Published {
    /// Unpacked source distributions: `NAME-VERSION/tests/…`.
    pub(crate) folder: PathBuf,
    /// Packages of the RPM family.
    pub(crate) rpms: PathBuf,
    /// The interpreter that has the judge installed.
    pub(crate) python: PathBuf,
    /// The interpreter that has pyaff4 installed.
    pub(crate) aff4_python: PathBuf,
    /// The interpreter that has an object store of others.
    pub(crate) store_python: PathBuf,
    /// The program that judges CASE/UCO.
    pub(crate) case_validate: PathBuf,
}

/// Fetches what is not there yet.
pub(crate) fn fetch() -> Result<Published> {
    let root = files::project_root()?;
    let lists = root.join("tests/fixtures");
    let (images, judge) = (lists.join("published.txt"), lists.join("judge.txt"));
    let judge_of_cases = lists.join("judge-case.txt");
    let aff4 = lists.join("judge_aff4.txt");
    let store = lists.join("judge-store.txt");
    let mut key = Sha256::new();
    for list in [&images, &judge, &aff4, &judge_of_cases, &store] {
        key.update(std::fs::read(list).with_context(|| format!("reading {}", list.display()))?);
    }
    let name: String = key.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let parent = cache::folder("published")?;
    let _lock = cache::lock("published")?;
    let folder = parent.join(&name);
    if !folder.is_dir() {
        host::need(&[Tool::Python])?;
        let partial = parent.join(format!("{name}.partial"));
        let _absent = std::fs::remove_dir_all(&partial);
        std::fs::create_dir(&partial)?;
        fill(&partial, &images)?;
        std::fs::rename(&partial, &folder)?;
    }
    let rpms = rpms(&parent, &lists.join("published-rpms.txt"))?;
    // An interpreter's folder knows its own path, so it is made where it stays.
    let python = interpreter(&parent.join(format!("{name}.venv")), &judge, &[])?;
    // pyaff4 names versions of its needs that no longer build: the list has those that work.
    let aff4_python =
        interpreter(&parent.join(format!("{name}.aff4.venv")), &aff4, &["--no-deps"])?;
    let case_python = interpreter(&parent.join(format!("{name}.case.venv")), &judge_of_cases, &[])?;
    let store_python = interpreter(&parent.join(format!("{name}.store.venv")), &store, &[])?;
    let case_validate = case_python.with_file_name("case_validate");
    Ok(Published { folder, rpms, python, aff4_python, store_python, case_validate })
}

/// The packages of the RPM family, in a folder of their own: a change of their list leaves the rest as it is.
fn rpms(parent: &Path, list: &Path) -> Result<PathBuf> {
    let text = std::fs::read(list).with_context(|| format!("reading {}", list.display()))?;
    let name: String = Sha256::digest(&text).iter().take(8).map(|b| format!("{b:02x}")).collect();
    let folder = parent.join(format!("rpms-{name}"));
    if !folder.is_dir() {
        host::need(&[Tool::Python])?;
        let partial = parent.join(format!("rpms-{name}.partial"));
        let _absent = std::fs::remove_dir_all(&partial);
        std::fs::create_dir(&partial)?;
        fill(&partial, list)?;
        std::fs::rename(&partial, &folder)?;
    }
    Ok(folder)
}

/// An interpreter with the packages of a list, made if it is not there yet.
fn interpreter(venv: &Path, list: &Path, options: &[&str]) -> Result<PathBuf> {
    let done = venv.join("complete");
    if !done.is_file() {
        host::need(&[Tool::Python])?;
        let sh = Shell::new()?;
        let _absent = std::fs::remove_dir_all(venv);
        cmd!(sh, "python3 -m venv {venv}").run()?;
        let pip = venv.join("bin/pip");
        cmd!(sh, "{pip} install --quiet --require-hashes {options...} --requirement {list}")
            .run()?;
        std::fs::write(&done, "")?;
    }
    Ok(venv.join("bin/python"))
}

fn fill(partial: &Path, images: &Path) -> Result<()> {
    let sh = Shell::new()?;
    let work = tempfile::tempdir()?;
    let venv = work.path().join("venv");
    let packed = work.path().join("packed");
    cmd!(sh, "python3 -m venv {venv}").run()?;
    let pip = venv.join("bin/pip");
    cmd!(
        sh,
        "{pip} download --quiet --no-deps --no-binary :all: --require-hashes --dest {packed} --requirement {images}"
    )
    .run()?;
    for archive in sh.read_dir(&packed)? {
        cmd!(sh, "tar -C {partial} -xzf {archive}").run()?;
    }
    Ok(())
}

impl Published {
    /// A variable for each place, as the tests of `evidence` look for them.
    pub(crate) fn environment(&self, root: &Path) -> Vec<(&'static str, PathBuf)> {
        let data = |package: &str| {
            let found = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
            let mut found = found.map(|entry| entry.path()).filter(|path| {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                name.is_some_and(|name| name.starts_with(package))
            });
            found.next().unwrap_or_default().join("tests/_data")
        };
        vec![
            ("GLOVEBOX_RPMS", self.rpms.clone()),
            ("GLOVEBOX_PUBLISHED", self.folder.clone()),
            ("GLOVEBOX_JUDGE_PYTHON", self.python.clone()),
            ("GLOVEBOX_CASE_VALIDATE", self.case_validate.clone()),
            ("GLOVEBOX_AFF4_PYTHON", self.aff4_python.clone()),
            ("GLOVEBOX_STORE_PYTHON", self.store_python.clone()),
            ("GLOVEBOX_JUDGE_WALK", root.join("tests/fixtures/dissect_walk.py")),
            ("DISSECT_VOLUME_DATA", data("dissect_volume-")),
            ("DISSECT_FVE_DATA", data("dissect_fve-")),
        ]
    }
}
