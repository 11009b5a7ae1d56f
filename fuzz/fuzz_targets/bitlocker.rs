//! BitLocker metadata behind a right boot sector and checksum; only suspended protection opens without a key.
#![no_main]

use evidence::volume::bitlocker;
use evidence::{MemSource, Source};
use std::sync::Arc;

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

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut disk = vec![0_u8; 512];
    disk[3..11].copy_from_slice(b"-FVE-FS-");
    disk[11..14].copy_from_slice(&[0, 2, 8]);
    disk[160..176].copy_from_slice(&[
        0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01,
    ]);
    disk[176..184].copy_from_slice(&512_u64.to_le_bytes());
    disk.extend_from_slice(data);
    disk.resize(disk.len().max(1024), 0);
    disk[512..520].copy_from_slice(b"-FVE-FS-");
    let size = usize::from(u16::from_le_bytes([disk[520], disk[521]])) * 16;
    if let Some(sum) = disk.get(512..512 + size).map(crc32) {
        disk.resize(disk.len().max(512 + size + 8), 0);
        disk[512 + size + 4..512 + size + 8].copy_from_slice(&sum.to_le_bytes());
    }
    let source: Arc<dyn Source> = Arc::new(MemSource::new(disk));
    let _ = bitlocker::describe(&source);
    if let Ok(clear) = bitlocker::unlock(source, &[]) {
        for at in [0, 0x2000, clear.size_bytes() / 2, u64::MAX - 9] {
            let _ = clear.read_at(at, &mut [0; 4096]);
        }
    }
});
