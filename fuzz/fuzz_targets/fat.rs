//! A whole walk of a FAT made of arbitrary bytes: list, read, map, deleted objects, free space.
#![no_main]

use evidence::{MemSource, View, fat};
use glovebox_fuzz::exercise;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(fs) = fat::open(Arc::new(MemSource::new(data.to_vec())), View::Recovered) else { return };
    exercise(&*fs);
});
