//! A whole walk of an EROFS made of arbitrary bytes.
#![no_main]

use evidence::{MemSource, View, erofs};
use glovebox_fuzz::exercise;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(fs) = erofs::open(Arc::new(MemSource::new(data.to_vec())), View::Recovered) else { return };
    exercise(&*fs);
});
