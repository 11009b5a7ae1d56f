//! The initrd: `init`, the modules it needs to mount the sealed root, and the sealed root itself.
//!
//! Uncompressed: the sealed root is compressed already, and the boot loader only copies it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::config::Image;
use crate::cpio::Archive;
use crate::debs::Debs;
use crate::files;
use crate::modules::{self, Selection};

/// Page size, so that a mapped or direct read of the sealed root starts on a page.
const ALIGNMENT_BYTES: usize = 4096;

/// One member, as the contents list shows it.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

/// The members in the order they are written: small ones first, the sealed root last.
pub(crate) fn members(
    debs: &Debs,
    selection: &Selection,
    init: &[u8],
    identity: &[u8],
    root: &[u8],
) -> Result<Vec<Member>> {
    let source = modules::source_folder(debs)?;
    let mut members = Vec::new();
    let mut add = |name: &str, mode: u32, bytes: Vec<u8>| {
        members.push(Member { name: name.to_owned(), mode, bytes });
    };
    let mut list = String::new();
    let mut early = Vec::new();
    for module in &selection.early {
        let name = Path::new(module)
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| format!("understanding module path {module}"))?;
        list.push_str(name);
        list.push('\n');
        early.push((format!("early/{name}"), files::read(&source.join(module))?));
    }
    add("early-modules", 0o644, list.into_bytes());
    add("identity.json", 0o644, identity.to_vec());
    add("init", 0o755, init.to_vec());
    early.sort();
    for (name, bytes) in early {
        add(&name, 0o644, bytes);
    }
    add("root.erofs", 0o444, root.to_vec());
    Ok(members)
}

/// Writes the archive.
pub(crate) fn write(image: &Image, members: &[Member]) -> Result<Vec<u8>> {
    let mut archive = Archive::new(image.epoch_s);
    for folder in ["dev", "early", "proc", "run", "sealed", "sys"] {
        archive.folder(folder)?;
    }
    // Without it the kernel starts init with no standard output at all.
    archive.device("dev/console", 0o600, (5, 1))?;
    for member in members {
        if member.name == "root.erofs" {
            archive.aligned_file(&member.name, member.mode, &member.bytes, ALIGNMENT_BYTES)?;
        } else {
            archive.file(&member.name, member.mode, &member.bytes)?;
        }
    }
    archive.finish()
}
