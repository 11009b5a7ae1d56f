//! LVM metadata texts, wrapped in a physical volume with right checksums, and the volumes they describe read.
#![no_main]

use evidence::volume::{Member, lvm};
use evidence::MemSource;
use std::sync::Arc;

/// CRC-32 as LVM begins it.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut sum = 0xf597_a6cf_u32;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    sum.to_le_bytes()
}

/// A physical volume `aaaa…` that holds this text.
fn physical(text: &[u8]) -> Vec<u8> {
    let mut disk = vec![0x5a_u8; 256 << 10];
    disk[..8192].fill(0);
    let mut put = |at: usize, bytes: &[u8]| disk[at..at + bytes.len()].copy_from_slice(bytes);
    put(512, b"LABELONE");
    put(532, &32_u32.to_le_bytes());
    put(536, b"LVM2 001");
    put(544, &[b'a'; 32]);
    put(584, &(128_u64 << 10).to_le_bytes());
    put(616, &4096_u64.to_le_bytes());
    put(624, &(100_u64 << 10).to_le_bytes());
    put(4100, b" LVM2 x[5A%r0N*>\x01");
    put(4120, &4096_u64.to_le_bytes());
    put(4128, &(100_u64 << 10).to_le_bytes());
    put(4136, &512_u64.to_le_bytes());
    put(4144, &(text.len() as u64).to_le_bytes());
    put(4152, &crc(text));
    put(4608, text);
    let label = crc(&disk[532..1024]);
    disk[528..532].copy_from_slice(&label);
    let area = crc(&disk[4100..4608]);
    disk[4096..4100].copy_from_slice(&area);
    disk
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = data.get(..90 << 10).unwrap_or(data);
    let source = Arc::new(MemSource::new(physical(text)));
    let members = [Member { name: "m".into(), source }];
    let _ = lvm::groups(&members);
    for volume in lvm::assemble(&members) {
        let Some(source) = volume.source else { continue };
        for at in [0, 70_000, source.size_bytes() / 2, u64::MAX - 9] {
            let _ = source.read_at(at, &mut [0; 4096]);
        }
    }
});
