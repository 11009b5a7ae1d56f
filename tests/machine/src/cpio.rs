//! Writes a folder as an uncompressed "newc" cpio archive, the form the kernel unpacks.
//!
//! Entries are sorted, and times, inode numbers and owners are fixed, so equal trees give equal
//! archives.

use crate::error::{Doing, Result};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Writes every file below `tree` that `keep` accepts (relative path; folders too) to `archive`.
///
/// # Errors
/// [`crate::Error::File`] naming the file that could not be read or written.
pub fn write(tree: &Path, archive: &Path, keep: &dyn Fn(&Path) -> bool) -> Result<()> {
    let file = std::fs::File::create(archive).doing("creating", archive)?;
    let mut out = std::io::BufWriter::new(file);
    let mut folders = vec![PathBuf::new()];
    let mut number = 0u32;
    while let Some(folder) = folders.pop() {
        let full = tree.join(&folder);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&full).doing("listing", &full)? {
            names.push(entry.doing("listing", &full)?.file_name());
        }
        names.sort();
        for name in names {
            let path = folder.join(&name);
            if !keep(&path) {
                continue;
            }
            let full = tree.join(&path);
            let meta = std::fs::symlink_metadata(&full).doing("examining", &full)?;
            let kind = meta.file_type();
            let data = if kind.is_symlink() {
                std::fs::read_link(&full).doing("reading", &full)?.as_os_str().as_bytes().to_vec()
            } else if kind.is_file() {
                std::fs::read(&full).doing("reading", &full)?
            } else {
                Vec::new()
            };
            let device =
                if kind.is_block_device() || kind.is_char_device() { meta.rdev() } else { 0 };
            number += 1;
            member(&mut out, number, meta.mode(), device, path.as_os_str().as_bytes(), &data)
                .doing("writing", archive)?;
            if kind.is_dir() {
                folders.push(path);
            }
        }
    }
    member(&mut out, 0, 0, 0, b"TRAILER!!!", b"").doing("writing", archive)?;
    out.flush().doing("writing", archive)
}

fn member(
    out: &mut impl Write,
    number: u32,
    mode: u32,
    device: u64,
    name: &[u8],
    data: &[u8],
) -> std::io::Result<()> {
    // Linux encodes small device numbers as major << 8 | minor.
    let (major, minor) = ((device >> 8) & 0xfff, device & 0xff);
    let size = data.len();
    let name_size = name.len() + 1;
    write!(
        out,
        "070701{number:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{major:08x}\
         {minor:08x}{name_size:08x}{:08x}",
        0, 0, 1, 0, 0, 0, 0
    )?;
    out.write_all(name)?;
    // Header (110 bytes) with name, and data, each end on a multiple of four.
    out.write_all(&[0u8; 4][..1 + (110 + name_size).next_multiple_of(4) - 110 - name_size])?;
    out.write_all(data)?;
    out.write_all(&[0u8; 4][..size.next_multiple_of(4) - size])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by an independent tool: `cpio`.
    #[test]
    fn cpio_lists_what_was_written() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let tree = dir.path().join("t");
        std::fs::create_dir_all(tree.join("b/skip")).expect("folder");
        std::fs::write(tree.join("b/x"), b"12345").expect("file");
        std::os::unix::fs::symlink("b/x", tree.join("a")).expect("link");
        let archive = dir.path().join("t.cpio");
        write(&tree, &archive, &|p| !p.ends_with("skip")).expect("write");
        let script = format!("cpio -t < {}", archive.display());
        let Ok(listing) = crate::process::run("sh", &["-c", &script]) else {
            eprintln!("skipped: no cpio on this host");
            return;
        };
        assert_eq!(listing, "a\nb\nb/x\n");
    }
}
