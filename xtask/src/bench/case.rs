//! `bench case`: verifying and continuing a case of 100,000 acts.
//!
//! The case is made in memory, once: what is timed is our work, not the medium's. Beside it stand programs of others on
//! the same bytes: hashing them, parsing them, and checking signatures of the same kind one by one.

use std::path::Path;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::contest::{Contest, Rival};
use super::{Args, Page, released};
use crate::files;
use crate::host::{self, Tool};

const ACTS: u64 = 100_000;
/// Acts that `minisign` checks: it is started for each.
const SINGLE_ACTS: u64 = 1000;
/// In memory, so that waiting for a medium 200,000 times does not take hours.
const MEMORY: &str = "/dev/shm";

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[Tool::Benchmarks, Tool::Oracles])?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package casebook --example many_acts").run()?;
    let ours = released(&root, "examples/many_acts");
    let folder = tempfile::tempdir_in(MEMORY).context("making a folder in memory")?;
    let (case, small) = (folder.path().join("case"), folder.path().join("small"));
    let acts = (ACTS * args.percent).div_ceil(100).to_string();
    let single = SINGLE_ACTS.to_string();
    cmd!(sh, "{ours} make {case} {acts}").run()?;
    cmd!(sh, "{ours} make {small} {single}").run()?;
    let apart = folder.path().join("apart");
    cmd!(sh, "{ours} apart {small} {apart}").run()?;
    let mut text = String::new();
    for contest in contests(&ours, [&case, &small, &apart], &acts)? {
        if contest.what.contains(&args.only) {
            text.push_str(&contest.table(&contest.hold(args.turns)?));
        }
    }
    let about = "The case lay in memory. Adding to a case follows the hashes and\nnumbers of all acts before it; the signatures are left to `case verify`.";
    args.tell(&root, &Page { name: "case", title: "A case of many acts", about }, &text)
}

fn contests(ours: &Path, folders: [&Path; 3], acts: &str) -> Result<Vec<Contest>> {
    let [case, small, apart] = folders.map(Path::display);
    let ours = ours.display();
    let mebibytes = std::fs::metadata(format!("{case}/acts.jsonl"))?.len() >> 20;
    let rival = |name, line| Rival { name, line };
    let one_by_one = format!(
        "for act in $(seq {SINGLE_ACTS}); do \
         minisign -Vqm {apart}/$act -x {apart}/$act.minisig -p {small}/case.pub || exit 1; done"
    );
    Ok(vec![
        Contest {
            what: format!("verifying {acts} acts ({mebibytes} MiB)"),
            aim: "under 10 s and 500 MiB; no more than jq takes to read one field of each act",
            rivals: vec![
                rival("casebook::verify", format!("{ours} verify {case}")),
                rival("jq, one field of each act", format!("jq .act.number {case}/acts.jsonl")),
                rival("sha256sum of the list", format!("sha256sum {case}/acts.jsonl")),
            ],
        },
        Contest {
            what: format!("verifying {SINGLE_ACTS} acts"),
            aim: "a tenth of minisign, which is started for each act and checks its signatures alone",
            rivals: vec![
                rival("casebook::verify", format!("{ours} verify {small}")),
                rival("minisign -V of each act", one_by_one),
            ],
        },
        Contest {
            what: format!("opening a case of {acts} acts and adding a note"),
            aim: "under 3 s; no more than jq",
            rivals: vec![
                rival("Case::open and note", format!("{ours} note {case}")),
                rival("jq, one field of each act", format!("jq .act.number {case}/acts.jsonl")),
            ],
        },
    ])
}
