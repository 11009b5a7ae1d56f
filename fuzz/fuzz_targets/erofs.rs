//! A whole walk of an EROFS made of arbitrary bytes.
#![no_main]

use evidence::fs::tree::{self, Limits};
use evidence::{FileSystem, MemSource, RawPath, View, erofs};
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let source = Arc::new(MemSource::new(data.to_vec()));
    let Ok(fs) = erofs::open(source, View::Recovered) else { return };
    let fs: &dyn FileSystem = &*fs;
    tree::walk(fs, fs.root(), &RawPath::from("/"), Limits { depth: 16, entries: 200 }, &mut |visit| {
        let node = visit.metadata.node;
        let _ = fs.read_head(node, 1 << 16);
        let _ = fs.read_at(node, visit.metadata.size_bytes / 2, &mut [0; 512]);
        let _ = fs.read_link(node);
        let _ = fs.xattrs(node);
        let _ = fs.extents(node);
        let _ = fs.details(node);
    });
    let _ = fs.deleted(50);
});
