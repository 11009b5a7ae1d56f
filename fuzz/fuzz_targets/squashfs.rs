//! A whole walk of a squashfs made of arbitrary bytes.
#![no_main]

use evidence::{MemSource, View, squashfs};
use glovebox_fuzz::exercise;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(fs) = squashfs::open(Arc::new(MemSource::new(data.to_vec())), View::Recovered) else { return };
    exercise(&*fs);
});
