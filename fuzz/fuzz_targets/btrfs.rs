//! A whole walk of a Btrfs made of arbitrary blocks: list, read, attributes, links, extents, subvolumes, free space, log.
//!
//! An image of Btrfs is large and nearly empty, so the input is a list of its blocks: a little-endian number, then the 4096
//! bytes that stand there. Checksums are made right before reading, else nothing behind them would ever be reached.
#![no_main]

use evidence::btrfs::Btrfs;
use evidence::{Source, SourceError, View};
use glovebox_fuzz::exercise;
use std::collections::HashMap;
use std::sync::Arc;

const BLOCK: usize = 4096;

struct Sparse(HashMap<u64, Vec<u8>>);

impl Source for Sparse {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let count = (self.size_bytes().saturating_sub(offset_bytes) as usize).min(buf.len());
        for (index, byte) in buf[..count].iter_mut().enumerate() {
            let at = offset_bytes + index as u64;
            let block = self.0.get(&(at / BLOCK as u64));
            *byte = block.map_or(0, |block| block[at as usize % BLOCK]);
        }
        Ok(count)
    }

    fn size_bytes(&self) -> u64 {
        16 << 20
    }
}

fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut blocks: HashMap<u64, Vec<u8>> = HashMap::new();
    for record in data.chunks_exact(BLOCK + 4).take(1024) {
        let number = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
        blocks.insert(u64::from(number), record[4..].to_vec());
    }
    let Some(fsid) = blocks.get(&16).map(|block| block[0x20..0x30].to_vec()) else { return };
    for (number, block) in &mut blocks {
        if *number == 16 || block[0x20..0x30] == *fsid {
            let sum = crc32c(&block[32..]);
            block[..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let Ok(fs) = Btrfs::open(vec![Arc::new(Sparse(blocks))], View::Recovered) else { return };
    let _ = (fs.subvolumes(), fs.block_groups());
    exercise(&fs);
});
