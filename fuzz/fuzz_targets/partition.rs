//! Partition tables from arbitrary bytes, with both sector sizes.
#![no_main]

use evidence::{MemSource, partition};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for sector_bytes in [512, 4096] {
        let table = partition::read_table(&MemSource { bytes: data.to_vec(), sector_bytes });
        assert!(table.partitions.len() <= 1024 + 128, "entries are bounded");
    }
});
