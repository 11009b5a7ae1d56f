//! A whole walk of an ISO 9660 made of arbitrary bytes: list, read, map, deleted objects, free space.
#![no_main]

use evidence::fs::tree::{self, Limits};
use evidence::{MemSource, RawPath, View, iso9660};
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(fs) = iso9660::open(Arc::new(MemSource::new(data.to_vec())), View::Recovered) else { return };
    let fs = &*fs;
    tree::walk(fs, fs.root(), &RawPath::from("/"), Limits { depth: 16, entries: 200 }, &mut |visit| {
        let node = visit.metadata.node;
        let _ = fs.read_head(node, 1 << 16);
        let _ = fs.read_link(node);
        let _ = fs.xattrs(node);
        let _ = fs.extents(node);
        let _ = fs.details(node);
    });
    for deleted in fs.deleted(100).entries {
        if let Some(node) = deleted.node {
            let _ = fs.read_at(node, 0, &mut [0; 4096]);
        }
    }
    let _ = fs.details(fs.root());
    let _ = fs.free_ranges();
});
