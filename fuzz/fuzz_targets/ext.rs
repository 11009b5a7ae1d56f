//! A whole walk of an ext file system made of arbitrary bytes, in both views, with every call of the reader.
#![no_main]

use evidence::fs::tree::{self, Limits};
use evidence::{MemSource, RawPath, View, ext, os};
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for view in [View::Recovered, View::Raw] {
        let Ok(fs) = ext::open(Arc::new(MemSource::new(data.to_vec())), view) else { return };
        let fs = &*fs;
        let limits = Limits { depth: 16, entries: 200 };
        tree::walk(fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
            let node = visit.metadata.node;
            let _ = fs.read_head(node, 1 << 16);
            let _ = fs.read_at(node, visit.metadata.size_bytes / 2, &mut [0; 512]);
            let _ = fs.read_link(node);
            let _ = fs.xattrs(node);
            let _ = fs.extents(node);
            let _ = fs.details(node);
        });
        for deleted in fs.deleted(100).entries {
            if let Some(node) = deleted.node {
                let _ = fs.read_at(node, 0, &mut [0; 512]);
            }
        }
        let _ = fs.free_ranges();
        let _ = os::find(fs);
    }
});
