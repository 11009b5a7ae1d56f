//! Signatures in arbitrary bytes.
#![no_main]

use evidence::{MemSource, probe};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let found = probe::probe(&MemSource::new(data.to_vec()));
    for content in found.contents {
        assert!(content.label.unwrap_or_default().chars().all(|letter| !letter.is_control()), "labels are escaped");
    }
});
