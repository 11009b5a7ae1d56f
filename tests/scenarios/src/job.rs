//! The whole job on the sample disk, as the demonstration does it, with the findings checked.

use crate::stage::Stage;
use libtest_mimic::Trial;
use machine::demo;
use machine::error::{Result, test};
use std::path::Path;

/// What triage must name: traces of the sample's README that today's rules find.
const TRACES: [&str; 10] = [
    "sysupd",
    "/root/.ssh/authorized_keys",
    "/usr/share/locale/.cache/sh",
    "/etc/ld.so.preload",
    "/etc/cron.d/sysstat-update",
    "dbus-helper.service",
    "/usr/sbin/sshd",
    "/var/www/html/uploads/thumb.php",
    "/etc/sudoers.d/90-web-maintenance",
    "/var/tmp/...",
];

/// The trials of this file.
pub(crate) fn trials(stage: &'static Stage) -> Vec<Trial> {
    vec![stage.trial("job/image-and-triage-the-sample", job)]
}

fn job(stage: &'static Stage, folder: &Path) -> Result<()> {
    let sample = machine::sample::disk()?;
    let mut said = String::new();
    let mut tell = |line: &str| {
        said.push_str(line);
        said.push('\n');
    };
    let ended = demo::run(stage.image()?, &sample, folder, &mut tell);
    stage.report("job/image-and-triage-the-sample", &said)?;
    let story = ended?;
    stage.report("job/image-and-triage-the-sample", &story.proof)?;
    let missed: Vec<&str> =
        TRACES.iter().copied().filter(|trace| !story.findings.contains(trace)).collect();
    if story.findings.contains('\u{1b}') {
        return test("a name from the evidence reached the terminal raw");
    }
    if missed.is_empty() { Ok(()) } else { test(format!("triage did not name {missed:?}")) }
}
