//! An image file made of arbitrary bytes, every format: open it, with itself under every name, and read from its disk.
//!
//! The first byte chooses the name: an ending decides only where nothing inside tells the format.
#![no_main]

use evidence::container::{self, Siblings};
use evidence::{MemSource, Source};
use std::sync::Arc;

struct Mirror(Arc<dyn Source>);

impl Siblings for Mirror {
    fn open(&self, name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
        assert!(!name.contains(&b'/'));
        // A folder has an end: split images would otherwise go on to the bound of files, each time.
        Ok((!name.ends_with(b"9")).then(|| Arc::clone(&self.0)))
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, image)) = data.split_first() else { return };
    let names = [&b"a.E01"[..], b"a.vmdk", b"a.qcow2", b"a.s01", b"a.E05"];
    let name = names[usize::from(*choice) % names.len()];
    let source: Arc<dyn Source> = Arc::new(MemSource::new(image.to_vec()));
    let Ok(opened) = container::open(Arc::clone(&source), name, &Mirror(source)) else { return };
    let size = opened.source.size_bytes();
    let mut buffer = vec![0; 20_000];
    for part in 0..8 {
        let _ = opened.source.read_at(size / 8 * part, &mut buffer);
        let _ = opened.source.read_at(size / 8 * part + 12_345, &mut buffer[..700]);
    }
    let _ = opened.source.read_at(size.saturating_sub(1000), &mut buffer);
    let _ = opened.source.read_at(u64::MAX - 5, &mut buffer);
});
