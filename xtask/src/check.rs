//! `cargo xtask check`: everything that can be judged without booting a machine.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::{files, tidy};

pub(crate) fn run() -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(files::project_root()?);
    cmd!(sh, "cargo fmt --all --check").run()?;
    cmd!(sh, "cargo clippy --workspace --all-targets -- --deny warnings").run()?;
    tidy::run()?;
    if cmd!(sh, "cargo deny --version").quiet().ignore_stdout().ignore_stderr().run().is_ok() {
        cmd!(sh, "cargo deny --workspace check").run()?;
    } else {
        eprintln!("cargo-deny is not installed: licences and sources of dependencies not checked");
    }
    cmd!(sh, "cargo doc --workspace --no-deps --document-private-items")
        .env("RUSTDOCFLAGS", "--deny warnings")
        .run()?;
    Ok(())
}
