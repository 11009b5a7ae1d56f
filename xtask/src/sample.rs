//! `cargo xtask sample`: the sample compromised disk, from the cache or made now.

use std::path::PathBuf;

use anyhow::{Result, anyhow};

use crate::files;
use crate::host::{self, Tool};

/// What making guests and disks takes on the build machine.
pub(crate) const TOOLS: [Tool; 9] = [
    Tool::StaticCLibrary,
    Tool::Qemu,
    Tool::Ovmf,
    Tool::Mmdebstrap,
    Tool::E2fsprogs,
    Tool::Xfsprogs,
    Tool::BtrfsProgs,
    Tool::Kmod,
    Tool::Mdadm,
];

/// Options of the sample disk
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// File to write [default: `out/sample.img`]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Makes the disk and copies it to its place.
pub(crate) fn run(args: &Args) -> Result<()> {
    host::need(&TOOLS)?;
    let disk = machine::sample::disk().map_err(|e| anyhow!(e.chain()))?;
    let out = match &args.out {
        Some(path) => path.clone(),
        None => files::project_root()?.join("out/sample.img"),
    };
    if let Some(parent) = out.parent() {
        files::make_folder(parent)?;
    }
    machine::digest::copy(&disk, &out).map_err(|e| anyhow!(e.chain()))?;
    println!("{}", out.display());
    Ok(())
}
