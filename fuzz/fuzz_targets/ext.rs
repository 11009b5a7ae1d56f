//! A whole walk of an ext file system made of arbitrary bytes: list, read, attributes, links, installed system.
#![no_main]

use evidence::ext::Ext;
use evidence::fs::tree::{self, Limits};
use evidence::{FileSystem, MemSource, RawPath, os};
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(fs) = Ext::open(Arc::new(MemSource::new(data.to_vec()))) else { return };
    let fs: &dyn FileSystem = &fs;
    tree::walk(fs, fs.root(), &RawPath::from("/"), Limits { depth: 16, entries: 200 }, &mut |visit| {
        let _ = fs.read_head(visit.metadata.node, 1 << 16);
        let _ = fs.read_link(visit.metadata.node);
        let _ = fs.xattrs(visit.metadata.node);
    });
    let _ = os::find(fs);
});
