//! A raw disk in Zstandard frames, read back by its seek table.
#![no_main]

use std::io::Write as _;

use imaging::{ReadAt, zst::ZstSource};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(mut file) = tempfile::tempfile() else { return };
    if file.write_all(data).is_err() {
        return;
    }
    let Ok(source) = ZstSource::open(file, 512) else { return };
    let size = source.size_bytes();
    let mut buffer = vec![0; 70_000];
    for part in 0..8 {
        let _ = source.read_at(size / 8 * part, &mut buffer);
    }
    let _ = source.read_at(size.saturating_sub(1), &mut buffer);
    let _ = source.read_at(u64::MAX, &mut buffer);
});
