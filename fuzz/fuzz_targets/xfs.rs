//! A whole walk of an XFS made of arbitrary bytes, in both views: list, read, attributes, extents, deleted, free space.
//!
//! An XFS is never smaller than 16 MiB, nearly all of it empty, so the input is a list of sectors: two bytes for the
//! number (little endian), then 512 bytes. The checksums of log records are put right first, since a reader that never
//! gets behind them is not tested; those of metadata are only told and stop nothing.
#![no_main]

use evidence::{Source, SourceError, View, xfs};
use glovebox_fuzz::exercise;
use std::collections::BTreeMap;
use std::sync::Arc;

const SIZE_BYTES: u64 = 24 << 20;

struct Sectors(BTreeMap<u64, [u8; 512]>);

impl Sectors {
    fn new(data: &[u8]) -> Self {
        let mut sectors = BTreeMap::new();
        for piece in data.chunks_exact(514) {
            let number = u16::from_le_bytes([piece[0], piece[1]]);
            sectors.insert(u64::from(number), piece[2..].try_into().unwrap());
        }
        let mut out = Self(sectors);
        out.fix_log();
        out
    }

    fn fix_log(&mut self) {
        let word = |sector: &[u8; 512], at: usize| u32::from_be_bytes(sector[at..at + 4].try_into().unwrap());
        let headers: Vec<u64> =
            self.0.iter().filter(|(_, sector)| word(sector, 0) == 0xfeed_babe).map(|(number, _)| *number).collect();
        for number in headers {
            let mut header = self.0[&number];
            let length = word(&header, 12).min(1 << 18);
            let mut data = vec![0; length as usize];
            let _ = self.read_at((number + 1) * 512, &mut data);
            header[32..36].fill(0);
            let crc = !crc32c(crc32c(u32::MAX, &header[..328]), &data);
            header[32..36].copy_from_slice(&crc.to_le_bytes());
            self.0.insert(number, header);
        }
    }
}

fn crc32c(seed: u32, data: &[u8]) -> u32 {
    data.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

impl Source for Sectors {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let count = buf.len().min(SIZE_BYTES.saturating_sub(offset_bytes) as usize);
        buf[..count].fill(0);
        let end = offset_bytes.saturating_add(count as u64);
        for (number, sector) in self.0.range(offset_bytes / 512..end.div_ceil(512)) {
            let start = number * 512;
            let (from, to) = (start.max(offset_bytes), (start + 512).min(end));
            let place = &mut buf[(from - offset_bytes) as usize..(to - offset_bytes) as usize];
            place.copy_from_slice(&sector[(from - start) as usize..(to - start) as usize]);
        }
        Ok(count)
    }

    fn size_bytes(&self) -> u64 {
        SIZE_BYTES
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let source: Arc<dyn Source> = Arc::new(Sectors::new(data));
    for view in [View::Recovered, View::Raw] {
        if let Ok(fs) = xfs::open(Arc::clone(&source), view) {
            exercise(&*fs);
        }
    }
});
