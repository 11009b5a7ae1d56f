//! LUKS headers: the bytes as they are, and as the metadata of a LUKS2 header with a right checksum. Only described: to
//! try a key is as dear as the header says.
#![no_main]

use evidence::volume::luks;
use evidence::{MemSource, Source};
use sha2::Digest;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let plain: Arc<dyn Source> = Arc::new(MemSource::new(data.to_vec()));
    let _ = luks::describe(&plain);
    let json = data.get(..0x3000).unwrap_or(data);
    let mut header = vec![0_u8; 0x4000];
    header[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
    header[14] = 0x40;
    header[72..78].copy_from_slice(b"sha256");
    header[4096..4096 + json.len()].copy_from_slice(json);
    let sum = sha2::Sha256::digest(&header);
    header[448..480].copy_from_slice(&sum);
    let wrapped: Arc<dyn Source> = Arc::new(MemSource::new(header));
    let _ = luks::describe(&wrapped);
});
