//! What every target of a file system does with it: each call of the trait on everything a bounded walk meets.

use evidence::fs::tree::{self, Limits};
use evidence::{FileSystem, RawPath};

/// Uses every call of the reader.
pub fn exercise(fs: &dyn FileSystem) {
    let limits = Limits { depth: 16, entries: 200 };
    tree::walk(fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
        let node = visit.metadata.node;
        let _ = fs.read_head(node, 1 << 16);
        let _ = fs.read_at(node, visit.metadata.size_bytes / 2, &mut [0; 512]);
        let _ = fs.read_link(node);
        let _ = fs.xattrs(node);
        let _ = fs.extents(node);
        let _ = fs.details(node);
        for stream in fs.streams(node).unwrap_or_default() {
            let _ = fs.read_stream_at(node, &stream.name.0, 0, &mut [0; 4096]);
        }
    });
    for deleted in fs.deleted(100).entries {
        if let Some(node) = deleted.node {
            let _ = fs.read_at(node, 0, &mut [0; 4096]);
        }
    }
    let _ = fs.details(fs.root());
    let _ = fs.free_ranges();
}
