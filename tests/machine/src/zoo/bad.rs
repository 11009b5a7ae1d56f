//! Bad disks: too small, cut short, unreadable in places, or with partition tables that lie.
//!
//! They are written here byte by byte because no ordinary tool makes them. What must happen is
//! the same for all: a clear message, a recorded problem, and the session goes on.

use super::MIB;
use crate::disk::{Bus, Disk};
use crate::error::{Doing, Error, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// The 512-byte sectors of `bad-sectors` that cannot be read: alone, in a run, and the last one.
pub const BAD_SECTORS: [u64; 5] = [2048, 4096, 4097, 4098, 16383];

/// Makes all bad disks in `folder`, for `bus`; the 4096-byte-sector disk needs another than AHCI.
///
/// # Errors
/// [`Error::File`] when a file cannot be written.
pub fn attach(folder: &Path, bus: Bus) -> Result<Vec<Disk>> {
    std::fs::create_dir_all(folder).doing("creating", folder)?;
    let images = [
        ("bad-smallest", vec![0u8; 512]),
        ("bad-truncated", truncated()?),
        ("bad-sectors", pattern(8 * MIB as usize)),
        ("bad-loop", looping()),
        ("bad-overlap", overlapping()),
        ("bad-huge", huge()),
        ("bad-noise", noise(MIB as usize)),
    ];
    let mut disks = Vec::new();
    for (name, bytes) in images {
        let file = folder.join(format!("{name}.img"));
        std::fs::write(&file, bytes).doing("writing", &file)?;
        let disk = Disk::new(name, file, bus);
        disks.push(if name == "bad-sectors" { disk.bad(&BAD_SECTORS) } else { disk });
    }
    let file = folder.join("bad-4kn.img");
    std::fs::write(&file, table(gpt::disk::LogicalBlockSize::Lb4096, 16 * MIB as usize)?)
        .doing("writing", &file)?;
    let bus = if bus == Bus::Ahci { Bus::VirtioScsi } else { bus };
    disks.push(Disk::new("bad-4kn", file, bus).sectors_of(4096));
    Ok(disks)
}

/// A healthy GPT disk with two partitions, made by the `gpt` crate.
fn table(block: gpt::disk::LogicalBlockSize, bytes: usize) -> Result<Vec<u8>> {
    let refused = |e: String| Error::Machine(format!("making a partition table: {e}"));
    let mut memory = std::io::Cursor::new(vec![0u8; bytes]);
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(block)
        .create_from_device(&mut memory, None)
        .map_err(|e| refused(e.to_string()))?;
    disk.update_partitions(BTreeMap::new()).map_err(|e| refused(e.to_string()))?;
    for name in ["first", "second"] {
        disk.add_partition(name, 2 * MIB, gpt::partition_types::LINUX_FS, 0, None)
            .map_err(|e| refused(e.to_string()))?;
    }
    disk.write().map_err(|e| refused(e.to_string()))?;
    Ok(memory.into_inner())
}

/// The first MiB of a 64 MiB disk: the backup table and both partitions' ends are missing.
fn truncated() -> Result<Vec<u8>> {
    let mut bytes = table(gpt::disk::LogicalBlockSize::Lb512, 64 * MIB as usize)?;
    bytes.truncate(MIB as usize);
    Ok(bytes)
}

/// Every sector begins with its own number, so a shifted or repeated sector shows.
fn pattern(bytes: usize) -> Vec<u8> {
    let mut all = vec![0xa5u8; bytes];
    for (number, sector) in all.chunks_exact_mut(512).enumerate() {
        sector[..8].copy_from_slice(&(number as u64).to_le_bytes());
    }
    all
}

/// Extended partitions that point at each other for ever.
fn looping() -> Vec<u8> {
    let mut all = vec![0u8; MIB as usize];
    entry(&mut all, 0, 0, 0x05, 64, 1024);
    for (at, next) in [(64usize, 64u32), (128, 0)] {
        entry(&mut all, at, 0, 0x83, 1, 16);
        entry(&mut all, at, 1, 0x05, next, 64);
    }
    all
}

/// Four partitions on the same sectors, one of them past the end, one from sector 0.
fn overlapping() -> Vec<u8> {
    let mut all = vec![0u8; MIB as usize];
    entry(&mut all, 0, 0, 0x83, 0, 2048);
    entry(&mut all, 0, 1, 0x83, 100, 1000);
    entry(&mut all, 0, 2, 0x07, 500, u32::MAX);
    entry(&mut all, 0, 3, 0x0c, u32::MAX, u32::MAX);
    all
}

/// A GPT header, its checksum right, that claims four thousand million entries of 2 GiB each.
fn huge() -> Vec<u8> {
    let mut all = vec![0u8; MIB as usize];
    entry(&mut all, 0, 0, 0xee, 1, u32::MAX);
    let header = &mut all[512..604];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..12].copy_from_slice(&[0, 0, 1, 0]);
    header[12..16].copy_from_slice(&92u32.to_le_bytes());
    header[24..32].copy_from_slice(&1u64.to_le_bytes());
    header[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    header[40..48].copy_from_slice(&0u64.to_le_bytes());
    header[48..56].copy_from_slice(&u64::MAX.to_le_bytes());
    header[72..80].copy_from_slice(&2u64.to_le_bytes());
    header[80..84].copy_from_slice(&u32::MAX.to_le_bytes());
    header[84..88].copy_from_slice(&(1u32 << 31).to_le_bytes());
    let sum = crc32(header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    all
}

/// Noise from a fixed seed (xorshift), ending its first sector like a boot record.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut all = Vec::with_capacity(bytes);
    while all.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend(state.to_le_bytes());
    }
    all[510..512].copy_from_slice(&[0x55, 0xaa]);
    all
}

/// One entry of a DOS partition table in `sector`.
fn entry(all: &mut [u8], sector: usize, number: usize, kind: u8, start: u32, length: u32) {
    let base = sector * 512;
    let at = base + 446 + number * 16;
    all[at + 4] = kind;
    all[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
    all[at + 12..at + 16].copy_from_slice(&length.to_le_bytes());
    all[base + 510..base + 512].copy_from_slice(&[0x55, 0xaa]);
}

/// CRC-32 as GPT uses it (reflected, polynomial 0x04C11DB7).
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_of_the_check_string() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn tables_are_where_they_belong() {
        let bytes = table(gpt::disk::LogicalBlockSize::Lb4096, 16 << 20).expect("table");
        assert_eq!(&bytes[4096..4104], b"EFI PART");
        let short = truncated().expect("table");
        assert_eq!((short.len(), &short[512..520]), (1 << 20, &b"EFI PART"[..]));
    }

    #[test]
    fn every_disk_has_a_boot_signature_where_it_claims_one() {
        for bytes in [looping(), overlapping(), huge(), noise(4096)] {
            assert_eq!(bytes[510..512], [0x55, 0xaa]);
        }
    }
}
