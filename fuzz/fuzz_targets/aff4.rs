//! An AFF4 volume made of arbitrary bytes, with itself as the other files of a striped image.
#![no_main]

use evidence::container::{self, Siblings};
use evidence::{MemSource, Source};
use std::sync::Arc;

struct Mirror(Arc<dyn Source>);

impl Siblings for Mirror {
    fn open(&self, name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
        assert!(!name.contains(&b'/'));
        Ok(name.ends_with(b"2.aff4").then(|| Arc::clone(&self.0)))
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let source: Arc<dyn Source> = Arc::new(MemSource::new(data.to_vec()));
    let mirror = Mirror(Arc::clone(&source));
    let Ok(opened) = container::open(source, b"disk_1.aff4", &mirror) else { return };
    let mut buffer = vec![0; 20_000];
    for source in [Some(&opened.source), opened.as_digested.as_ref()].into_iter().flatten() {
        let size = source.size_bytes();
        for part in 0..8 {
            let _ = source.read_at(size / 8 * part, &mut buffer);
            let _ = source.read_at(size / 8 * part + 12_345, &mut buffer[..700]);
        }
        let _ = source.read_at(size.saturating_sub(1000), &mut buffer);
        let _ = source.read_at(u64::MAX - 5, &mut buffer);
    }
});
