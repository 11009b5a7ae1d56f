//! Images in memory without their empty parts, cheap to damage and as large as they like to claim.

use evidence::{Source, SourceError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const PAGE: usize = 4096;

/// An image: pages that are not empty, and a size.
#[derive(Clone, Default)]
pub(crate) struct Pages {
    base: Arc<BTreeMap<u64, Box<[u8]>>>,
    changed: BTreeMap<u64, Box<[u8]>>,
    /// The size it claims; what is not kept reads as zeros.
    pub(crate) size_bytes: u64,
    pub(crate) sector_bytes: u32,
}

impl Pages {
    /// The bytes of an image in memory.
    pub(crate) fn new(image: &[u8]) -> Self {
        let mut base = BTreeMap::new();
        for (number, page) in image.chunks(PAGE).enumerate() {
            if page.iter().any(|byte| *byte != 0) {
                let mut whole = page.to_vec();
                whole.resize(PAGE, 0);
                base.insert(number as u64, whole.into_boxed_slice());
            }
        }
        let size_bytes = image.len() as u64;
        Self { base: Arc::new(base), changed: BTreeMap::new(), size_bytes, sector_bytes: 512 }
    }

    /// The image in a file, never in memory as a whole.
    pub(crate) fn read(path: &Path) -> Self {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::open(path).unwrap();
        let size_bytes = file.metadata().unwrap().len();
        let mut base = BTreeMap::new();
        let mut piece = vec![0; 1 << 20];
        let mut at = 0;
        while at < size_bytes {
            let length = (size_bytes - at).min(1 << 20) as usize;
            piece.fill(0);
            file.read_exact_at(&mut piece[..length], at).unwrap();
            for (index, page) in piece.chunks(PAGE).enumerate() {
                if page.iter().any(|byte| *byte != 0) {
                    base.insert(at / PAGE as u64 + index as u64, page.into());
                }
            }
            at += 1 << 20;
        }
        Self { base: Arc::new(base), changed: BTreeMap::new(), size_bytes, sector_bytes: 512 }
    }

    /// Offsets of the sectors that are not empty.
    pub(crate) fn used(&self) -> Vec<u64> {
        let mut out = Vec::new();
        for (number, page) in &*self.base {
            for (index, sector) in page.chunks(512).enumerate() {
                if sector.iter().any(|byte| *byte != 0) {
                    out.push(number * PAGE as u64 + index as u64 * 512);
                }
            }
        }
        out
    }

    /// Offsets of the pages that were changed.
    pub(crate) fn altered(&self) -> Vec<u64> {
        self.changed.keys().map(|number| number * PAGE as u64).collect()
    }

    /// Puts `bytes` at `at`.
    pub(crate) fn put(&mut self, at: u64, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let place = at + index as u64;
            let number = place / PAGE as u64;
            let page = self.changed.entry(number).or_insert_with(|| {
                self.base.get(&number).cloned().unwrap_or_else(|| vec![0; PAGE].into())
            });
            page[(place % PAGE as u64) as usize] = *byte;
        }
    }

    /// `length` bytes at `at`, zeros where there are none.
    pub(crate) fn at(&self, at: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        for (index, byte) in out.iter_mut().enumerate() {
            let place = at + index as u64;
            let number = place / PAGE as u64;
            if let Some(page) = self.changed.get(&number).or_else(|| self.base.get(&number)) {
                *byte = page[(place % PAGE as u64) as usize];
            }
        }
        out
    }

    pub(crate) fn le32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.at(at, 4).try_into().unwrap())
    }

    pub(crate) fn le64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.at(at, 8).try_into().unwrap())
    }

    /// As a source.
    pub(crate) fn source(self) -> Arc<dyn Source> {
        Arc::new(self)
    }
}

impl Source for Pages {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let left = self.size_bytes.saturating_sub(offset_bytes);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let mut done = 0;
        while done < length {
            let place = offset_bytes + done as u64;
            let (number, within) = (place / PAGE as u64, (place % PAGE as u64) as usize);
            let count = (PAGE - within).min(length - done);
            let part = &mut buf[done..done + count];
            match self.changed.get(&number).or_else(|| self.base.get(&number)) {
                Some(page) => part.copy_from_slice(&page[within..within + count]),
                None => part.fill(0),
            }
            done += count;
        }
        Ok(length)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }
}
