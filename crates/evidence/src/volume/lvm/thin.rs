//! Thin volumes: blocks of a pool by the pool's own mapping, zeros or the external origin where there is none.

use super::build::{Builder, Fault, Parts};
use super::group::shown;
use super::metadata::Segment;
use super::segment::Zeros;
use super::thin_metadata::ThinMetadata;
use crate::bytes::{to_u64, to_usize};
use crate::source::{Source, SourceError};
use std::sync::Arc;

/// An opened pool.
pub(super) struct Pool {
    metadata: ThinMetadata,
    data: Arc<dyn Source>,
}

/// The content of a thin segment.
pub(super) fn make(
    builder: &mut Builder<'_>,
    segment: &Segment,
    length: u64,
    parts: &mut Parts,
) -> Result<Arc<dyn Source>, Fault> {
    let fields = &segment.fields;
    let name = fields.text("thin_pool").unwrap_or_default();
    let device =
        fields.count("device_id").ok_or_else(|| Fault::corrupt("a thin volume has no device"))?;
    let pool = pool(builder, name, parts)?;
    if pool.metadata.needs_check {
        parts.faults.push(Fault::corrupt(format!("the thin pool {} needs a check", shown(name))));
    }
    let Some(root) = pool.metadata.device(device)? else {
        return Err(Fault::corrupt(format!(
            "the thin pool {} has no device {device}",
            shown(name)
        )));
    };
    let below: Arc<dyn Source> = match fields.text("external_origin") {
        Some(origin) => {
            let made = builder.volume(origin)?;
            parts.join(&made);
            made.source
        }
        None => Arc::new(Zeros(length)),
    };
    Ok(Arc::new(Thin { pool, root, below, size_bytes: length }))
}

fn pool(builder: &mut Builder<'_>, name: &str, parts: &mut Parts) -> Result<Arc<Pool>, Fault> {
    let volume = builder.named(name)?;
    let segment = volume.segments.first().filter(|one| one.kind == "thin-pool");
    let Some(segment) = segment else {
        return Err(Fault::corrupt(format!("{} is no thin pool", shown(name))));
    };
    let metadata = builder.volume(segment.fields.text("metadata").unwrap_or_default())?;
    let data = builder.volume(segment.fields.text("pool").unwrap_or_default())?;
    parts.join(&metadata);
    parts.join(&data);
    if let Some(pool) = builder.pools.get(name) {
        return Ok(Arc::clone(pool));
    }
    let metadata = ThinMetadata::open(metadata.source)?;
    let pool = Arc::new(Pool { metadata, data: data.source });
    builder.pools.insert(name.to_owned(), Arc::clone(&pool));
    Ok(pool)
}

/// A thin volume.
struct Thin {
    pool: Arc<Pool>,
    root: u64,
    /// What unmapped blocks show.
    below: Arc<dyn Source>,
    size_bytes: u64,
}

impl Source for Thin {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let block_bytes = self.pool.metadata.block_bytes;
        let wanted = to_usize(self.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..wanted).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let length_bytes = rest.len();
            let fail = |source| SourceError { offset_bytes: at, length_bytes, source };
            let block = at.checked_div(block_bytes).unwrap_or(0);
            let within = at.checked_rem(block_bytes).unwrap_or(0);
            let run = self
                .pool
                .metadata
                .run(self.root, block)
                .map_err(|Fault(_, text)| fail(std::io::Error::other(text)))?;
            let there = run.blocks.saturating_mul(block_bytes).saturating_sub(within);
            let count = to_usize(there).min(rest.len());
            let Some(part) = rest.get_mut(..count).filter(|part| !part.is_empty()) else { break };
            match run.pool_block {
                Some(first) => {
                    let from = first.saturating_mul(block_bytes).saturating_add(within);
                    self.pool.data.fill(from, part).map_err(|error| fail(error.source))?;
                }
                None => {
                    let got = self.below.read_at(at, part).map_err(|error| fail(error.source))?;
                    // An external origin may be smaller than the volume.
                    if let Some(behind) = part.get_mut(got..) {
                        behind.fill(0);
                    }
                }
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.pool.data.sector_bytes()
    }
}
