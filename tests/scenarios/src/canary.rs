//! T32: nothing that came from a disk runs. Every tool looks at the canaries, then a person tries
//! to start them; not one may be heard.

use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::error::{Doing, Result, test};
use machine::guest::Guest;
use machine::sample::CANARY;
use machine::{Builder, Bus, Disk, Ledger, digest, process, program, sample};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const SCRIPT: &str = "#!/bin/sh\nm=GBX-CANARY-$((40+2))\necho $m\n";
const NAMES: [&str; 4] = ["elf", "setuid", "library.so", "script"];

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![stage.trial("canary/nothing-from-a-disk-runs", silent)]
}

fn silent(stage: &'static Stage, folder: &Path) -> Result<()> {
    let evidence_file = folder.join("evidence.img");
    digest::copy(&sample::disk()?, &evidence_file)?;
    let evidence = Disk::new("evidence", evidence_file, Bus::Nvme);
    let ledger = Ledger::open(std::slice::from_ref(&evidence))?;
    let medium = folder.join("medium.img");
    medium_with_canaries(folder, &medium)?;
    let builder = Builder::new(stage.image()?.netboot()?).canary().disk(evidence).disk(Disk::new(
        "medium",
        medium,
        Bus::Usb,
    ));
    let mut guest = Guest::boot(builder, folder)?;
    let name = guest.name_of("EVIDENCE")?;
    guest.expect("glovebox survey", &[0, 1, 3])?;
    guest.expect(&format!("glovebox triage {name}"), &[1])?;
    let writable = guest.unlock("MEDIUM")?;
    let mounted = writable.split('/').take(3).collect::<Vec<_>>().join("/");
    for canary in NAMES {
        refused(&mut guest, &format!("{mounted}/{canary}"))?;
        for place in ["/tmp", "/run/session", writable.as_str()] {
            let copy = format!("{place}/{canary}");
            // A place that takes no file is as good as one that takes no program.
            guest.run(&format!("cp {mounted}/{canary} {copy} && chmod 4755 {copy}"))?;
            refused(&mut guest, &copy)?;
        }
    }
    for absent in [
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/ld-linux.so.2",
        "/bin/perl",
        "/bin/python3",
        "/bin/su",
    ] {
        guest.expect(&format!("test ! -e {absent}"), &[0])?;
    }
    let counters = guest.power_off()?;
    let heard = guest.shell.serial.text(0);
    guest.machine.cut()?;
    let port = folder.join("canary.txt");
    let port = std::fs::read_to_string(&port).doing("reading", &port)?;
    if heard.contains(CANARY) || port.contains(CANARY) {
        return test("a canary was heard: something from a disk was executed");
    }
    stage.prove("canary/nothing-from-a-disk-runs", ledger, &counters).map(drop)
}

fn refused(guest: &mut Guest, path: &str) -> Result<()> {
    let out = guest.run(path)?;
    if out.code != 0 && !out.text.contains(CANARY) {
        return Ok(());
    }
    test(format!("{path} was executed: {}", out.text))
}

fn medium_with_canaries(folder: &Path, medium: &Path) -> Result<()> {
    let tree = folder.join("medium");
    std::fs::create_dir_all(&tree).doing("creating", &tree)?;
    let canary = program::build_static("assault", "canary")?;
    for name in NAMES {
        let path = tree.join(name);
        if name == "script" {
            std::fs::write(&path, SCRIPT).doing("writing", &path)?;
        } else {
            std::fs::copy(&canary, &path).doing("copying to", &path)?;
        }
        let mode = if name == "setuid" { 0o4755 } else { 0o755 };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .doing("setting mode of", &path)?;
    }
    digest::sparse(medium, 64 << 20)?;
    let (tree, medium) = (tree.to_string_lossy(), medium.to_string_lossy());
    process::run("mke2fs", &["-q", "-F", "-t", "ext4", "-m", "0", "-d", &tree, &medium]).map(drop)
}
