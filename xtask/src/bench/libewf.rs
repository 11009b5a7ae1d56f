//! libewf's tools in a newer version than Debian's: their author publishes the sources with the Python bindings.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::cache;
use crate::host::{self, Tool};

/// Version, and the SHA-256 of the source distribution.
const REQUIREMENT: &str = "libewf-python==20260924 --hash=sha256:72f67b7bcb80987662b506d9a72825afe7ad07e87c0d7dfbdb0d187a32add671\n";

/// The folder with `ewfacquire` and `ewfverify`, built once; `None` where the sources cannot be had or do not build.
pub(super) fn tools(sh: &Shell) -> Result<Option<PathBuf>> {
    let folder = cache::folder("bench")?.join("libewf-20260924");
    if !folder.join("ewfverify").exists() && build(sh, &folder).is_err() {
        eprintln!("libewf 20260924 could not be built: the tables do without it");
        return Ok(None);
    }
    Ok(Some(folder))
}

fn build(sh: &Shell, folder: &PathBuf) -> Result<()> {
    host::need(&[Tool::Python, Tool::StaticCLibrary])?;
    let work = tempfile::tempdir()?;
    let at = work.path();
    let (list, venv) = (at.join("list"), at.join("venv"));
    std::fs::write(&list, REQUIREMENT)?;
    cmd!(sh, "python3 -m venv {venv}").run()?;
    let pip = venv.join("bin/pip");
    cmd!(
        sh,
        "{pip} download --quiet --no-deps --no-binary :all: --require-hashes --dest {at} --requirement {list}"
    )
    .run()?;
    let archive = sh.read_dir(at)?.into_iter().find(|path| path.to_string_lossy().ends_with(".gz"));
    let archive = archive.context("nothing was downloaded")?;
    cmd!(sh, "tar -C {at} -xzf {archive}").run()?;
    let sources = at.join("libewf_python-20260924");
    let build =
        "./configure --quiet --disable-shared --without-libfuse CFLAGS=-O2 >&2 && make -s -j2 >&2";
    let inside = Shell::new()?;
    inside.change_dir(&sources);
    cmd!(inside, "sh -c {build}").quiet().ignore_stdout().ignore_stderr().run()?;
    let partial = folder.with_extension("partial");
    let _absent = std::fs::remove_dir_all(&partial);
    std::fs::create_dir_all(&partial)?;
    for program in ["ewfacquire", "ewfverify"] {
        std::fs::copy(sources.join("ewftools").join(program), partial.join(program))?;
    }
    std::fs::rename(&partial, folder)?;
    Ok(())
}
