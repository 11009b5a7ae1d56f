//! FAT volumes and GPT disks that carry one, written with the `fatfs` and `gpt` crates.

use crate::error::{Doing, Error, Result};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

const MIB: u64 = 1 << 20;

/// A FAT volume of `bytes` holding `files` (path with `/`, content); folders come along.
///
/// # Errors
/// [`Error::Machine`] when the files do not fit.
pub fn volume(bytes: u64, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let refused = |e: std::io::Error| Error::Machine(format!("making a FAT volume: {e}"));
    let size = usize::try_from(bytes).map_err(|e| Error::Machine(e.to_string()))?;
    let mut memory = Cursor::new(vec![0u8; size]);
    let options = fatfs::FormatVolumeOptions::new().volume_id(0x5341_4d50);
    fatfs::format_volume(&mut memory, options).map_err(refused)?;
    {
        let volume =
            fatfs::FileSystem::new(&mut memory, fatfs::FsOptions::new()).map_err(refused)?;
        for (path, content) in files {
            let mut folder = volume.root_dir();
            let mut parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
            let name = parts.pop().unwrap_or("file");
            for part in parts {
                folder = folder.create_dir(part).map_err(refused)?;
            }
            let mut file = folder.create_file(name).map_err(refused)?;
            file.truncate().map_err(refused)?;
            file.write_all(content).map_err(refused)?;
        }
    }
    Ok(memory.into_inner())
}

/// Writes `volume` into a new GPT disk as its only partition, an ESP.
///
/// # Errors
/// [`Error::File`] when the disk cannot be written.
pub fn esp_disk(disk: &Path, volume: &[u8]) -> Result<()> {
    let bytes = volume.len() as u64;
    crate::digest::sparse(disk, bytes + 2 * MIB)?;
    partition(disk, &[("EFI", MIB, bytes, gpt::partition_types::EFI)])?;
    write_at(disk, MIB, volume)
}

/// Puts a GPT with these partitions (name, start and size in bytes, type) on an existing file.
///
/// # Errors
/// [`Error::Machine`] when the table does not fit.
pub fn partition(
    disk: &Path,
    partitions: &[(&str, u64, u64, gpt::partition_types::Type)],
) -> Result<()> {
    let refused = |e: String| Error::Machine(format!("partitioning {}: {e}", disk.display()));
    let size = std::fs::metadata(disk).doing("examining", disk)?.len();
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(gpt::disk::LogicalBlockSize::Lb512)
        .create(disk)
        .map_err(|e| refused(e.to_string()))?;
    table.update_partitions(BTreeMap::new()).map_err(|e| refused(e.to_string()))?;
    for (number, (name, start, bytes, kind)) in (1..).zip(partitions) {
        table
            .add_partition_at(name, number, start / 512, bytes / 512, kind.clone(), 0)
            .map_err(|e| refused(e.to_string()))?;
    }
    let mut file = table.write().map_err(|e| refused(e.to_string()))?;
    let sectors = u32::try_from(size / 512 - 1).unwrap_or(u32::MAX);
    gpt::mbr::ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(&mut file)
        .map(drop)
        .map_err(|e| refused(e.to_string()))
}

/// Puts a GPT with one Linux partition on an existing file; place and size in bytes.
///
/// # Errors
/// As [`partition`].
pub fn linux_partition(disk: &Path, start: u64, bytes: u64) -> Result<()> {
    partition(disk, &[("data", start, bytes, gpt::partition_types::LINUX_FS)])
}

/// Writes bytes into a disk file.
///
/// # Errors
/// [`Error::File`] when that fails.
pub fn write_at(disk: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).open(disk).doing("opening", disk)?;
    file.seek(SeekFrom::Start(offset)).doing("seeking in", disk)?;
    file.write_all(bytes).doing("writing", disk)
}

/// Reads one file from the ESP of a GPT disk.
///
/// # Errors
/// [`Error::Machine`] when there is no ESP or no such file.
pub fn read_from_esp(disk: &Path, path: &str) -> Result<Vec<u8>> {
    let refused = |e: String| Error::Machine(format!("reading {path} of {}: {e}", disk.display()));
    let table =
        gpt::GptConfig::new().writable(false).open(disk).map_err(|e| refused(e.to_string()))?;
    let esp = table.partitions().values().find(|p| p.part_type_guid == gpt::partition_types::EFI);
    let esp = esp.ok_or_else(|| refused("no ESP".into()))?;
    let (first, count) = (esp.first_lba * 512, (esp.last_lba - esp.first_lba + 1) * 512);
    let mut file = std::fs::File::open(disk).doing("opening", disk)?;
    file.seek(SeekFrom::Start(first)).doing("seeking in", disk)?;
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes).doing("reading", disk)?;
    let volume = fatfs::FileSystem::new(Cursor::new(bytes), fatfs::FsOptions::new())
        .map_err(|e| refused(e.to_string()))?;
    let mut content = Vec::new();
    volume
        .root_dir()
        .open_file(path)
        .and_then(|mut f| f.read_to_end(&mut content))
        .map_err(|e| refused(e.to_string()))?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_back_from_the_esp() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let disk = dir.path().join("d.img");
        let volume = volume(40 * MIB, &[("EFI/BOOT/grub.cfg", b"echo"), ("/.disk/info", b"x")])
            .expect("volume");
        esp_disk(&disk, &volume).expect("disk");
        assert_eq!(read_from_esp(&disk, "EFI/BOOT/grub.cfg").expect("file"), b"echo");
        assert!(read_from_esp(&disk, "nothing").is_err());
    }

    /// Vouched for by an independent tool: `mmls`.
    #[test]
    fn mmls_sees_the_partition() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let disk = dir.path().join("d.img");
        esp_disk(&disk, &vec![0u8; 4 << 20]).expect("disk");
        match crate::process::run("mmls", &[&disk.to_string_lossy()]) {
            Ok(text) => assert!(text.contains("0000002048   0000010239"), "{text}"),
            Err(_) => eprintln!("skipped: no mmls on this host"),
        }
    }
}
