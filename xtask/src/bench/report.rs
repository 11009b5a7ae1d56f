//! `bench report`: reporting on a case of 100,000 acts and a million findings.
//!
//! The case is made in memory, once. Beside each form stands what verifying the same case alone costs, since every report
//! begins with it.

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::Args;
use super::contest::{Contest, Rival};
use crate::files;
use crate::host::{self, Tool};

const ACTS: u64 = 100_000;
const FINDINGS: u64 = 1_000_000;
/// In memory, so that waiting for a medium 200,000 times does not take hours.
const MEMORY: &str = "/dev/shm";

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[Tool::Benchmarks])?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package report --example large_case").run()?;
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let ours = root.join(target).join("release/examples/large_case");
    let folder = tempfile::tempdir_in(MEMORY).context("making a folder in memory")?;
    let case = folder.path().join("case");
    let of = |whole: u64| (whole.saturating_mul(args.percent) / 100).to_string();
    let (acts, findings) = (of(ACTS), of(FINDINGS));
    cmd!(sh, "{ours} make {case} {acts} {findings}").run()?;
    let (ours, case, out) = (ours.display(), case.display(), folder.path().join("out"));
    let mut text = String::new();
    for form in ["html", "text", "json", "case-uco"] {
        let contest = Contest {
            what: format!("{form} of {acts} acts and {findings} findings"),
            aim: "under 10 s and 500 MiB",
            rivals: vec![
                Rival { name: "report", line: format!("{ours} {form} {case} {}", out.display()) },
                Rival { name: "verifying alone", line: format!("{ours} verify {case}") },
            ],
        };
        if contest.what.contains(&args.only) {
            let table = contest.table(&contest.hold(args.turns)?);
            let mebibytes = std::fs::metadata(&out)?.len() >> 20;
            text.push_str(&format!("{table}\nThe report has {mebibytes} MiB.\n"));
        }
    }
    println!("{text}");
    if args.record {
        let cores = std::thread::available_parallelism()?;
        let head = format!(
            "# Reports of a large case\n\nMade by `cargo xtask bench report --turns {} --record` on {cores} cores; the case lay in memory. A report verifies\nthe case before it reads it.\n",
            args.turns
        );
        let path = root.join("docs/benchmarks/report.md");
        std::fs::create_dir_all(root.join("docs/benchmarks"))?;
        std::fs::write(&path, head + &text)
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
