//! `bench report`: reporting on a case of 100,000 acts and a million findings.
//!
//! The case is made in memory, once. Every report begins with verifying the case, so what that costs alone stands beside
//! it, as do programs of others that read the same bytes.

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::contest::{Contest, Rival};
use super::{Args, Page, released};
use crate::files;
use crate::host::{self, Tool};

const ACTS: u64 = 100_000;
const FINDINGS: u64 = 1_000_000;
/// In memory, so that waiting for a medium 200,000 times does not take hours.
const MEMORY: &str = "/dev/shm";
/// A page larger than this is not pleasant to open; what it leaves out stands in the JSON report.
const PAGE_BYTES_AT_MOST: u64 = 8 << 20;

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[Tool::Benchmarks, Tool::Oracles])?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package report --example large_case").run()?;
    let ours = released(&root, "examples/large_case");
    let folder = tempfile::tempdir_in(MEMORY).context("making a folder in memory")?;
    let case = folder.path().join("case");
    let of = |whole: u64| (whole * args.percent).div_ceil(100).to_string();
    let (acts, findings) = (of(ACTS), of(FINDINGS));
    cmd!(sh, "{ours} make {case} {acts} {findings}").run()?;
    let out = folder.path().join("out");
    let (ours, case) = (ours.display(), case.display());
    let rival = |name, line| Rival { name, line };
    let mut text = String::new();
    for form in ["html", "text", "json", "case-uco"] {
        let contest = Contest {
            what: format!("{form} of {acts} acts and {findings} findings"),
            aim: "under 10 s and 500 MiB",
            rivals: vec![
                rival(
                    "report, verifying included",
                    format!("{ours} {form} {case} {}", out.display()),
                ),
                rival("verifying alone", format!("{ours} verify {case}")),
                rival("jq, one field of each act", format!("jq .act.number {case}/acts.jsonl")),
                rival(
                    "sha256sum of list and findings",
                    format!("sha256sum {case}/acts.jsonl {case}/exhibits/001-triage/triage.jsonl"),
                ),
            ],
        };
        if contest.what.contains(&args.only) {
            let table = contest.table(&contest.hold(args.turns)?);
            let bytes = std::fs::metadata(&out)?.len();
            ensure!(form != "html" || bytes < PAGE_BYTES_AT_MOST, "the page has {bytes} bytes");
            text.push_str(&format!("{table}\nThe report has {} KiB.\n", bytes >> 10));
        }
    }
    let about = "The case lay in memory. A report verifies the case while it\nreads it; both are timed together.";
    args.tell(&root, &Page { name: "report", title: "Reports of a large case", about }, &text)
}
