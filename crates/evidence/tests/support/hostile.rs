//! Damaged images: whatever the bytes, a reader must neither panic, nor hang, nor grow without bound.

use super::Random;
use super::bounded::note;
use super::pages::Pages;
use evidence::fs::tree::{self, Limits};
use evidence::fs::{FileSystem, RawPath};
use evidence::{EvidenceError, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Opens the image `rounds` times, each time damaged in another way from `seed` on, and uses every call of the reader;
/// in a process of its own when inside [`super::bounded::bounded`], whose peak is noted.
///
/// # Panics
/// When the reader does, or when one round takes longer than two seconds for each MiB (and at least five).
pub(crate) fn mutate(
    image: &[u8],
    rounds: u64,
    seed: u64,
    open: &dyn Fn(Arc<dyn Source>) -> Result<Box<dyn FileSystem>, EvidenceError>,
) {
    let bound = Duration::from_secs((image.len() as u64 >> 20) * 2).max(Duration::from_secs(5));
    let whole = Pages::new(image);
    // Damage where something stands; most of a small file system is empty.
    let used = whole.used();
    for round in 0..rounds {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9).wrapping_add(round) | 1);
        let mut damaged = whole.clone();
        for _ in 0..=random.below(24) {
            let sector = used.get(random.below(used.len())).copied().unwrap_or(0);
            let at = sector + random.below(512) as u64;
            let span = 1 + random.below(8);
            let value = match random.below(4) {
                0 => 0,
                1 => 0xff,
                2 => 1 << random.below(8),
                _ => random.below(256) as u8,
            };
            damaged.put(at, &[value; 8][..span]);
        }
        if round % 16 == 15 {
            damaged.size_bytes = random.below(image.len()) as u64;
        }
        let started = Instant::now();
        exercise(open(damaged.source()));
        let took = started.elapsed();
        note(&format!("round {round} of seed {seed}"));
        assert!(took < bound, "round {round} of seed {seed} took {took:?}");
    }
}

/// Every call of the trait on everything a bounded walk meets.
pub(crate) fn exercise(opened: Result<Box<dyn FileSystem>, EvidenceError>) {
    let Ok(fs) = opened else { return };
    let fs = &*fs;
    let limits = Limits { depth: 32, entries: 500 };
    tree::walk(fs, fs.root(), &RawPath::from("/"), limits, &mut |visit| {
        let node = visit.metadata.node;
        let _ = fs.read_head(node, 1 << 17);
        let _ = fs.read_at(node, visit.metadata.size_bytes / 2, &mut [0; 4096]);
        let _ = fs.read_at(node, u64::MAX - 10, &mut [0; 64]);
        let _ = fs.read_link(node);
        let _ = fs.xattrs(node);
        let _ = fs.extents(node);
        let _ = fs.details(node);
        let _ = fs.node_name(node);
        for stream in fs.streams(node).unwrap_or_default() {
            let _ = fs.read_stream_at(node, &stream.name.0, 0, &mut [0; 4096]);
        }
    });
    for node in [0, 1, 2, 3, 5, 11, u64::from(u32::MAX), u64::MAX] {
        let _ = fs.metadata(node);
        let _ = fs.read_dir(node);
        let _ = fs.read_at(node, 0, &mut [0; 64]);
    }
    for deleted in fs.deleted(200).entries {
        if let Some(node) = deleted.node {
            let _ = fs.read_at(node, 0, &mut [0; 4096]);
        }
    }
    let _ = fs.free_ranges();
    let _ = (fs.kind(), fs.label(), fs.uuid(), fs.conventions());
}
