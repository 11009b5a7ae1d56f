//! From a place in a file to its bytes. Layout: `struct btrfs_file_extent_item`.
//!
//! No map of a file is kept: the extents a read needs are looked up in the tree, so that the memory a file costs does not
//! grow with its fragments. Of compressed extents the last few are kept unpacked, for readers with small buffers.

use super::Btrfs;
use super::inode::Inode;
use super::key::{Key, kind};
use super::packed;
use super::subvolume::Place;
use super::sums::Proof;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::error::EvidenceError;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

/// Unpacked extents kept: 2 MiB at most.
const MAX_UNPACKED: usize = 16;

/// How a run of a file is stored.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// In the item itself.
    Inline(Vec<u8>),
    Hole,
    /// Allocated at this logical address, never written.
    Unwritten(u64),
    /// As it is, from this logical address on.
    Plain(u64),
    /// Compressed: the whole extent, and where in its unpacked form the run begins.
    Packed {
        at: u64,
        packed_bytes: u64,
        plain_bytes: u64,
        skip: u64,
    },
}

/// A file extent.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) start: u64,
    pub(super) length: u64,
    pub(super) method: u8,
    pub(super) form: Form,
}

impl Extent {
    pub(super) fn parse(start: u64, item: &[u8]) -> Result<Self, EvidenceError> {
        let fields = Fields(item);
        let (plain_bytes, method) = (fields.le64(8), fields.u8(16));
        if fields.u8(17) != 0 || fields.le16(18) != 0 {
            let what = format!("extent at {start} with an encryption or encoding");
            return Err(EvidenceError::unsupported(what));
        }
        if fields.u8(20) == 0 {
            let data = item.get(21..).unwrap_or(&[]).to_vec();
            if method != 0 {
                packed::check_lengths(to_u64(data.len()), plain_bytes)?;
            }
            return Ok(Self { start, length: plain_bytes, method, form: Form::Inline(data) });
        }
        let (at, stored_bytes) = (fields.le64(21), fields.le64(29));
        let (skip, length) = (fields.le64(37), fields.le64(45));
        let bound = if method == 0 { stored_bytes } else { plain_bytes };
        let is_outside = skip.checked_add(length).is_none_or(|end| end > bound);
        if start.checked_add(length).is_none() || (at != 0 && is_outside) || item.len() < 53 {
            return Err(EvidenceError::corrupt(format!(
                "extent at {start}: {length} bytes from {skip} of {bound}"
            )));
        }
        let form = match fields.u8(20) {
            _ if at == 0 => Form::Hole,
            2 => Form::Unwritten(at.saturating_add(skip)),
            1 if method == 0 => Form::Plain(at.saturating_add(skip)),
            1 => {
                packed::check_lengths(stored_bytes, plain_bytes)?;
                Form::Packed { at, packed_bytes: stored_bytes, plain_bytes, skip }
            }
            other => {
                return Err(EvidenceError::corrupt(format!("extent at {start} of type {other}")));
            }
        };
        Ok(Self { start, length, method, form })
    }

    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

impl Btrfs {
    /// Visits the extents that hold the bytes from `first` to `last`, both included, in order.
    pub(super) fn extents_of(
        &self,
        place: Place,
        first: u64,
        last: u64,
        visit: &mut dyn FnMut(Extent) -> ControlFlow<()>,
    ) -> Result<(), EvidenceError> {
        let tree = self.tree(place)?;
        let key = |at| Key::new(place.inode, kind::EXTENT_DATA, at);
        let mut from = first;
        if let Some((found, item)) = self.store.floor(tree, key(first))?
            && (found.object, found.kind) == (place.inode, kind::EXTENT_DATA)
        {
            if visit(Extent::parse(found.offset, &item)?).is_break() {
                return Ok(());
            }
            from = first.saturating_add(1);
        }
        let mut trouble = None;
        let unread =
            self.store.range(tree, key(from), key(last), &mut |found, item| match Extent::parse(
                found.offset,
                item,
            ) {
                Ok(extent) => visit(extent),
                Err(error) => {
                    trouble = Some(error);
                    ControlFlow::Break(())
                }
            });
        trouble.into_iter().chain(unread).next().map_or(Ok(()), Err)
    }

    /// Reads a file or link; fewer bytes than asked only at its end.
    pub(super) fn read(
        &self,
        place: Place,
        inode: &Inode,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let total = to_usize(inode.size_bytes.saturating_sub(offset)).min(buf.len());
        let Some(buf) = buf.get_mut(..total).filter(|buf| !buf.is_empty()) else { return Ok(0) };
        let end = offset.saturating_add(to_u64(total));
        let proof = if inode.has_checksums() { Proof::Checksums } else { Proof::None };
        let mut done = 0_usize;
        let mut trouble = None;
        self.extents_of(place, offset, end.saturating_sub(1), &mut |extent| {
            let here = offset.saturating_add(to_u64(done));
            if extent.end() <= here {
                return ControlFlow::Continue(());
            }
            // What no extent covers is a hole.
            let gap = to_usize(extent.start.saturating_sub(here)).min(total.saturating_sub(done));
            let skip = here.saturating_sub(extent.start);
            let rest = buf.get_mut(done..).unwrap_or(&mut []);
            let (hole, rest) = rest.split_at_mut_checked(gap).unwrap_or((&mut [], &mut []));
            hole.fill(0);
            let count = to_usize(extent.length.saturating_sub(skip)).min(rest.len());
            let part = rest.get_mut(..count).unwrap_or(&mut []);
            if let Err(error) = self.read_extent(&extent, skip, part, proof) {
                trouble = Some(error);
                return ControlFlow::Break(());
            }
            done = done.saturating_add(gap).saturating_add(count);
            if done < total { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if let Some(error) = trouble {
            return Err(error);
        }
        buf.get_mut(done..).unwrap_or(&mut []).fill(0);
        Ok(total)
    }

    fn read_extent(
        &self,
        extent: &Extent,
        skip: u64,
        part: &mut [u8],
        proof: Proof,
    ) -> Result<(), EvidenceError> {
        if part.is_empty() {
            return Ok(());
        }
        let copy = |plain: &[u8], at: u64, part: &mut [u8]| {
            let from = plain.get(to_usize(at)..).unwrap_or(&[]);
            for (index, to) in part.iter_mut().enumerate() {
                *to = from.get(index).copied().unwrap_or(0);
            }
        };
        match &extent.form {
            Form::Hole | Form::Unwritten(_) => part.fill(0),
            Form::Plain(at) => self.content(at.saturating_add(skip), part, proof)?,
            Form::Inline(data) if extent.method == 0 => copy(data, skip, part),
            Form::Inline(data) => {
                let sector_bytes = self.store.superblock.sector_bytes;
                let plain = packed::unpack(extent.method, data, extent.length, sector_bytes)?;
                copy(&plain, skip, part);
            }
            Form::Packed { at, packed_bytes, plain_bytes, skip: before } => {
                let plain =
                    self.unpacked(*at, *packed_bytes, *plain_bytes, extent.method, proof)?;
                copy(&plain, before.saturating_add(skip), part);
            }
        }
        Ok(())
    }

    /// A compressed extent, unpacked.
    fn unpacked(
        &self,
        at: u64,
        packed_bytes: u64,
        plain_bytes: u64,
        method: u8,
        proof: Proof,
    ) -> Result<Arc<Vec<u8>>, EvidenceError> {
        {
            let kept = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, plain)) = kept.iter().find(|(key, _)| *key == (at, plain_bytes, method))
            {
                return Ok(Arc::clone(plain));
            }
        }
        let mut stored = vec![0; to_usize(packed_bytes)];
        self.content(at, &mut stored, proof)?;
        let sector_bytes = self.store.superblock.sector_bytes;
        let plain = Arc::new(packed::unpack(method, &stored, plain_bytes, sector_bytes)?);
        let mut kept = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_UNPACKED {
            kept.pop_front();
        }
        kept.push_back(((at, plain_bytes, method), Arc::clone(&plain)));
        Ok(plain)
    }
}
