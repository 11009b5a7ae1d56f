//! `bench case`: verifying and continuing a case of 100,000 acts.
//!
//! The case is made in memory, once: what is timed is our work, not the medium's. Beside it stands
//! what reading and hashing the same bytes once costs.

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::Args;
use super::contest::{Contest, Rival};
use crate::files;
use crate::host::{self, Tool};

const ACTS: &str = "100000";
/// In memory, so that waiting for a medium 200,000 times does not take hours.
const MEMORY: &str = "/dev/shm";

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[Tool::Benchmarks])?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package casebook --example many_acts").run()?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let ours = root.join(target).join("release/examples/many_acts");
    let folder = tempfile::tempdir_in(MEMORY).context("making a folder in memory")?;
    let case = folder.path().join("case");
    cmd!(sh, "{ours} make {case} {ACTS}").run()?;
    let bytes = std::fs::metadata(case.join("acts.jsonl"))?.len();
    let (ours, case) = (ours.display(), case.display());
    let contests = [
        Contest {
            what: format!("verifying {ACTS} acts ({} MiB)", bytes >> 20),
            aim: "under 10 s and 500 MiB",
            rivals: vec![
                Rival { name: "casebook::verify", line: format!("{ours} verify {case}") },
                Rival { name: "sha256sum", line: format!("sha256sum {case}/acts.jsonl") },
            ],
        },
        Contest {
            what: format!("opening a case of {ACTS} acts and adding a note"),
            aim: "under 3 s",
            rivals: vec![Rival {
                name: "Case::open and note",
                line: format!("{ours} note {case}"),
            }],
        },
    ];
    let mut text = String::new();
    for contest in &contests {
        text.push_str(&contest.table(&contest.hold(args.turns)?));
    }
    println!("{text}");
    if args.record {
        let cores = std::thread::available_parallelism()?;
        let head = format!(
            "# A case of many acts\n\nMade by `cargo xtask bench case --turns {} --record` on {cores} cores; the case lay in memory. Adding to a case follows\nthe hashes and numbers of all acts before it; the signatures are left to `case verify`.\n",
            args.turns
        );
        let path = root.join("docs/benchmarks/case.md");
        std::fs::create_dir_all(root.join("docs/benchmarks"))?;
        std::fs::write(&path, head + &text)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
