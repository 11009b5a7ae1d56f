//! A whole walk of an ext file system made of arbitrary bytes, in both views, with every call of the reader.
#![no_main]

use evidence::{MemSource, View, ext, os};
use glovebox_fuzz::exercise;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for view in [View::Recovered, View::Raw] {
        let Ok(fs) = ext::open(Arc::new(MemSource::new(data.to_vec())), view) else { return };
        exercise(&*fs);
        let _ = os::find(&*fs);
    }
});
