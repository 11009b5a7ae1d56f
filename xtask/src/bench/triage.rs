//! `bench triage`: examining a compromised server's disk, and a disk of a million files.
//!
//! Ours gives verdicts; Dissect's records of what starts by itself, chkrootkit's tests and debsums' comparison each do a part of
//! that. Those that need it get the disk mounted by the kernel, without its journal, each time.

use std::path::Path;

use anyhow::{Result, anyhow};
use xshell::{Shell, cmd};

use super::contest::{Contest, Rival};
use super::{Args, Page, evidence, released};
use crate::host::{self, Tool};
use crate::{cache, files, published};

/// Where the root of the sample disk begins.
const ROOT_START: u64 = machine::sample::ROOT_START;
/// What Dissect is asked: where things start, who may log in, and every name with its times.
const RECORDS: &str = "users,shadow,cronjobs,services,environment_variables,commandhistory,walkfs";

pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&[Tool::Oracles, Tool::Benchmarks, Tool::E2fsprogs])?;
    host::need(&crate::sample::TOOLS)?;
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    cmd!(sh, "cargo build --release --package glovebox").run()?;
    let ours = released(&root, "glovebox");
    let sample = machine::sample::disk().map_err(|error| anyhow!(error.chain()))?;
    let query = published::fetch()?.python.with_file_name("target-query");
    let folder = cache::folder("bench")?;
    let _alone = cache::lock("bench")?;
    let mount_point = tempfile::tempdir()?;
    let contests = [
        server(&ours, &sample, &query, mount_point.path()),
        million(&ours, &evidence::many_names(&sh, &folder, args.percent)?, args.percent),
    ];
    let mut text = String::new();
    for contest in contests.iter().filter(|contest| contest.what.contains(&args.only)) {
        text.push_str(&contest.table(&contest.hold(args.turns)?));
    }
    let about = "Contestants took turns, the disks lay in\nthe page cache. They do not do the same: only ours judges all of it. UAC is not in any registry and was not run.";
    args.tell(&root, &Page { name: "triage-speed", title: "Triage", about }, &text)
}

fn server(ours: &Path, sample: &Path, query: &Path, at: &Path) -> Contest {
    let (ours, sample, query) = (ours.display(), sample.display(), query.display());
    let at = at.display();
    let mounted = |line: &str| {
        format!(
            "mount -t ext4 -o loop,ro,noload,offset={ROOT_START} {sample} {at} && \
             {{ {line}; umount {at}; }}"
        )
    };
    let rival = |name, line| Rival { name, line };
    Contest {
        what: "the sample disk: a small compromised server".to_owned(),
        aim: "under 5 s of processor time",
        rivals: vec![
            // There are findings: exit code 1.
            rival("glovebox triage", format!("{ours} triage {sample} >/dev/null; [ $? -eq 1 ]")),
            rival(
                "target-query (Dissect)",
                format!("{query} -q -j -f {RECORDS} {sample} >/dev/null"),
            ),
            rival("mount + debsums -a", mounted(&format!("debsums -a -s --root={at}"))),
            rival("mount + chkrootkit -r", mounted(&format!("chkrootkit -q -r {at}"))),
            rival(
                "mount + sha256sum of every file",
                mounted(&format!(
                    "find {at} -xdev -type f -print0 | xargs -0 sha256sum >/dev/null"
                )),
            ),
        ],
    }
}

fn million(ours: &Path, image: &Path, percent: u64) -> Contest {
    let (ours, image) = (ours.display(), image.display());
    Contest {
        what: format!("{} names in deep directories", 10_000 * percent),
        aim: "under 10 minutes and 500 MiB",
        rivals: vec![
            Rival {
                name: "glovebox triage",
                line: format!("{ours} triage {image}:0; [ $? -le 3 ]"),
            },
            Rival { name: "fls -r -m /", line: format!("fls -r -m / {image}") },
        ],
    }
}
