//! `cargo xtask demo`: the main job in QEMU, from nothing to the proof table.

use std::time::Instant;

use anyhow::{Result, anyhow};

use crate::host;
use crate::{build, files, sample};

/// Builds image and sample disk, boots the one beside the other, and does the whole job.
pub(crate) fn run() -> Result<()> {
    let begun = Instant::now();
    host::need(&sample::TOOLS)?;
    let args = build::Args::of("glovebox");
    build::run(&args)?;
    let root = files::project_root()?;
    let failed = |error: machine::Error| anyhow!(error.chain());
    let disk = machine::sample::disk().map_err(failed)?;
    let outputs = machine::guest::Outputs::open(&args.out_folder(&root)).map_err(failed)?;
    let folder = root.join("target/demo");
    let mut tell = |line: &str| println!("{line}");
    let story = machine::demo::run(&outputs, &disk, &folder, &mut tell).map_err(failed)?;
    println!("What the host saw reach the evidence disk, attached writable:\n\n{}", story.proof);
    println!(
        "ready after {:.1} s, powered off after {:.1} s, everything {:.1} s; transcript: {}",
        story.ready.as_secs_f64(),
        story.whole.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        folder.join("serial.log").display()
    );
    Ok(())
}
