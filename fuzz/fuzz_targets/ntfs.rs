//! A whole walk of an NTFS volume made of arbitrary bytes: list, read, streams, details, deleted records, free space.
#![no_main]

use evidence::ntfs::Ntfs;
use evidence::{MemSource, os};
use glovebox_fuzz::exercise;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(fs) = Ntfs::open(Arc::new(MemSource::new(data.to_vec()))) else { return };
    exercise(&fs);
    let _ = os::find(&fs);
});
