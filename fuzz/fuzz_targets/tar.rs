//! A whole walk of a tar or gzip collection made of arbitrary bytes, and the systems found inside.
#![no_main]

use evidence::fs::tree::{self, Limits};
use evidence::{FileSystem, MemSource, RawPath, collection, os};
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let source = Arc::new(MemSource::new(data.to_vec()));
    let Ok(collection) = collection::open(source) else { return };
    let fs: &dyn FileSystem = &*collection.files;
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
    for system in collection.systems() {
        let _ = os::find(&*system.files);
    }
});
