//! A whole walk of an NTFS volume made of arbitrary bytes: list, read, streams, details, deleted records, free space.
#![no_main]

use evidence::fs::tree::{self, Limits};
use evidence::ntfs::Ntfs;
use evidence::{FileSystem, MemSource, RawPath, os};
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(fs) = Ntfs::open(Arc::new(MemSource::new(data.to_vec()))) else { return };
    let fs: &dyn FileSystem = &fs;
    tree::walk(fs, fs.root(), &RawPath::from("/"), Limits { depth: 16, entries: 200 }, &mut |visit| {
        let node = visit.metadata.node;
        let _ = fs.read_head(node, 1 << 16);
        let _ = fs.read_link(node);
        let _ = fs.xattrs(node);
        let _ = fs.extents(node);
        let _ = fs.details(node);
        for stream in fs.streams(node).unwrap_or_default() {
            let _ = fs.read_stream_at(node, &stream.name.0, 0, &mut [0; 4096]);
        }
    });
    let _ = fs.deleted(100);
    let _ = fs.free_ranges();
    let _ = os::find(fs);
});
