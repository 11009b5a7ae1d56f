//! What a node stands for: inode, directory, attributes, facts, and the subvolumes themselves.

use super::content::Form;
use super::inode::{self, Inode};
use super::key::{Key, kind, object};
use super::names;
use super::packed;
use super::subvolume::{Place, Subvolume, Volume};
use super::tree::Tree;
use super::{Btrfs, MAX_LINK_BYTES};
use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::fs::room::Room;
use crate::fs::{
    Attributes, Deleted, DeletedListing, Detail, Entry, FileKind, FileSystem, Listing, Metadata,
    Node, RawPath, Xattr,
};
use crate::problem::{Place as Where, Problem, ProblemKind};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Most bytes of attributes of one object; Linux lets one value have 64 KiB, and Btrfs all of them a leaf each.
const MAX_ATTRIBUTE_BYTES: usize = 16 << 20;
/// Longest chain of directories above a subvolume.
const MAX_DEPTH: usize = 512;

impl Btrfs {
    pub(super) fn volume(&self, place: Place) -> Result<&Volume, EvidenceError> {
        self.volumes().all.get(to_usize(place.volume)).ok_or_else(|| {
            EvidenceError::corrupt(format!("there is no subvolume number {}", place.volume))
        })
    }

    pub(super) fn tree(&self, place: Place) -> Result<&Tree, EvidenceError> {
        Ok(&self.volume(place)?.tree)
    }

    pub(super) fn inode(&self, place: Place) -> Result<Inode, EvidenceError> {
        let volume = self.volume(place)?;
        let item = self.store.get(&volume.tree, Key::new(place.inode, kind::INODE, 0))?;
        match item {
            Some(item) if item.len() >= inode::BYTES => Ok(Inode::parse(&item)),
            Some(item) => Err(EvidenceError::corrupt(format!(
                "inode {}/{} has {} bytes",
                volume.id,
                place.inode,
                item.len()
            ))),
            None => Err(EvidenceError::corrupt(format!(
                "there is no inode {} in subvolume {}",
                place.inode, volume.id
            ))),
        }
    }

    /// The directory a snapshot shows where a subvolume stood: the format keeps nothing about it.
    pub(super) fn empty_directory(
        &self,
        place: Place,
        node: Node,
    ) -> Result<Metadata, EvidenceError> {
        self.volume(place)?;
        Ok(Metadata {
            node,
            kind: FileKind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            links: 1,
            size_bytes: 0,
            accessed: None,
            modified: None,
            changed: None,
            born: None,
            generation: None,
            attributes: Attributes::default(),
            device: None,
        })
    }

    pub(super) fn list(&self, place: Place) -> Result<Listing, EvidenceError> {
        let mut listing = Listing::default();
        if place.is_empty_directory() {
            return Ok(listing);
        }
        let node = place.node()?;
        if self.inode(place)?.kind() != FileKind::Directory {
            let name = self.node_name(node);
            return Err(EvidenceError::refused(format!("inode {name} is not a directory")));
        }
        let key = |at| Key::new(place.inode, kind::DIR_INDEX, at);
        let tree = self.tree(place)?;
        let (mut problems, mut room) = (Vec::new(), Room::new());
        let mut say = |kind, text: String| {
            if problems.len() < 64 {
                problems.push(Problem::new(kind, Where::Node(node), text));
            }
        };
        let trouble = self.store.range(tree, key(0), key(u64::MAX), &mut |found, item| {
            let (records, is_torn) = names::records(item);
            if is_torn {
                let text = format!("directory entry {} is cut short", found.offset);
                say(ProblemKind::Corrupt, text);
            }
            for record in records {
                let name = record.name;
                let is_possible = !name.is_empty() && name.len() <= 255 && !name.contains(&b'/');
                if !is_possible || name.contains(&0) {
                    let shown = crate::escape_bytes(name);
                    let text = format!("directory entry with the impossible name {shown:?}");
                    say(ProblemKind::Corrupt, text);
                    continue;
                }
                if !room.takes(name.len()) {
                    continue;
                }
                match self.target(place, record.target, name).node() {
                    Ok(node) => listing.entries.push(Entry { name: RawPath(name.to_vec()), node }),
                    Err(error) => say(error.kind(), error.to_string()),
                }
            }
            if room.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        listing.problems = problems;
        listing.problems.extend(room.problem(node));
        listing.problems.extend(trouble.iter().map(|error| error.to_problem(Where::Node(node))));
        listing.problems.append(&mut self.store.take_notes());
        Ok(listing)
    }

    /// What an entry of the directory `at` leads to: an inode, a subvolume, or the place a subvolume left.
    fn target(&self, at: Place, key: Key, name: &[u8]) -> Place {
        if key.kind != kind::ROOT {
            return Place { volume: at.volume, inode: key.object };
        }
        let volumes = self.volumes();
        let own = self.volume(at).map_or(0, |volume| volume.id);
        let stands_here = volumes
            .references
            .get(&(own, key.object))
            .is_some_and(|(directory, known)| *directory == at.inode && known == name);
        match volumes.numbers.get(&key.object) {
            Some(number) if stands_here => {
                let inode = self.volumes.all.get(to_usize(*number)).map(|volume| volume.root_inode);
                Place { volume: *number, inode: inode.unwrap_or(object::FIRST_FREE) }
            }
            _ => Place::empty(at.volume, key.object),
        }
    }

    pub(super) fn attributes(&self, place: Place) -> Result<Vec<Xattr>, EvidenceError> {
        if place.is_empty_directory() {
            return Ok(Vec::new());
        }
        let key = |at| Key::new(place.inode, kind::XATTR, at);
        let mut out = Vec::new();
        let mut error = None;
        let mut bytes = 0_usize;
        let tree = self.tree(place)?;
        let trouble = self.store.range(tree, key(0), key(u64::MAX), &mut |_, item| {
            let (records, is_torn) = names::records(item);
            bytes = bytes.saturating_add(item.len());
            if is_torn || bytes > MAX_ATTRIBUTE_BYTES {
                let inode = place.inode;
                error = Some(EvidenceError::corrupt(format!(
                    "attributes of inode {inode} are cut short or longer than {MAX_ATTRIBUTE_BYTES} bytes"
                )));
                return ControlFlow::Break(());
            }
            out.extend(records.iter().filter(|record| record.kind == names::XATTR).map(|record| {
                Xattr { name: RawPath(record.name.to_vec()), value: record.value.to_vec() }
            }));
            ControlFlow::Continue(())
        });
        if let Some(error) = error.into_iter().chain(trouble).next() {
            return Err(error);
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    pub(super) fn facts(&self, place: Place) -> Result<Vec<Detail>, EvidenceError> {
        let volume = self.volume(place)?;
        let mut out = vec![Detail { name: "subvolume", value: volume.id.to_string() }];
        if place.is_empty_directory() {
            let id = place.inode & u64::from(u32::MAX);
            out.push(Detail { name: "place of subvolume", value: id.to_string() });
            return Ok(out);
        }
        let inode = self.inode(place)?;
        let mut put = |name, value: String| out.push(Detail { name, value });
        put("generation", inode.generation.to_string());
        put("transaction", inode.transaction.to_string());
        put("bytes used", inode.used_bytes.to_string());
        put("flags", format!("{:#x}", inode.flags));
        if place.inode == volume.root_inode {
            let known = volume.describe();
            let facts = [
                ("subvolume uuid", known.uuid),
                ("snapshot of", known.parent_uuid),
                ("received from", known.received_uuid),
                ("subvolume created", known.created.map(|time| time.to_string())),
                ("subvolume changed", known.changed.map(|time| time.to_string())),
                ("read-only", known.is_read_only.then(|| "yes".to_owned())),
                (
                    "mounted by default",
                    (volume.id == self.volumes.default_id).then(|| "yes".to_owned()),
                ),
            ];
            for (name, value) in facts {
                if let Some(value) = value {
                    put(name, value);
                }
            }
        }
        if inode.kind() == FileKind::File {
            let (mut methods, mut has_inline, mut left) = (BTreeSet::new(), false, 4096_u32);
            self.extents_of(place, 0, inode.size_bytes, &mut |extent| {
                methods.extend(packed::name(extent.method));
                has_inline |= matches!(extent.form, Form::Inline(_));
                left = left.saturating_sub(1);
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if has_inline {
                put("content", "inline".to_owned());
            }
            if !methods.is_empty() {
                let methods: Vec<&str> = methods.into_iter().collect();
                put("compression", methods.join(", "));
            }
        }
        let verity = Key::new(place.inode, kind::VERITY_DESCRIPTOR, 0);
        if let Some(item) = self.store.get(&volume.tree, verity)? {
            put("verity descriptor", format!("{} bytes", crate::bytes::Fields(&item).le64(0)));
        }
        Ok(out)
    }

    /// Objects without a name that are still there: unlinked while open, or left by an unfinished deletion.
    pub(super) fn orphans(&self, limit: usize) -> DeletedListing {
        let mut out = DeletedListing::default();
        let key = |at| Key::new(object::ORPHANS, kind::ORPHAN, at);
        for (number, volume) in self.volumes().all.iter().enumerate() {
            let number = crate::bytes::to_u64(number);
            let mut found = Vec::new();
            let trouble =
                self.store.range(&volume.tree, key(0), key(u64::MAX), &mut |orphan, _| {
                    if out.entries.len().saturating_add(found.len()) >= limit {
                        let text =
                            format!("more than {limit} deleted objects; the rest was not listed");
                        out.problems.push(Problem::new(ProblemKind::Refused, Where::Source, text));
                        return ControlFlow::Break(());
                    }
                    found.push(Place { volume: number, inode: orphan.offset });
                    ControlFlow::Continue(())
                });
            out.problems.extend(trouble.iter().map(|error| error.to_problem(Where::Source)));
            for place in found {
                let Ok(node) = place.node() else { continue };
                let metadata = self.inode(place).ok().map(|inode| inode.metadata(node));
                // An orphan with names left is a file whose shortening was interrupted.
                if metadata.as_ref().is_none_or(|metadata| metadata.links > 0) {
                    continue;
                }
                let path =
                    RawPath::from(format!("/$OrphanFiles/{}", self.node_name(node)).as_str());
                let (node, deleted, is_reused) = (Some(node), None, false);
                out.entries.push(Deleted { path, node, metadata, deleted, is_reused });
            }
        }
        out.entries.sort_by(|a, b| (&a.path, a.node).cmp(&(&b.path, b.node)));
        out
    }

    /// Every subvolume and snapshot, sorted by number: also those no directory names any more.
    #[must_use]
    pub fn subvolumes(&self) -> Vec<Subvolume> {
        let volumes = self.volumes();
        let mut out: Vec<Subvolume> = Vec::new();
        for (number, volume) in volumes.all.iter().enumerate() {
            let place = Place { volume: crate::bytes::to_u64(number), inode: volume.root_inode };
            let parents = volumes.references.keys().filter(|(_, child)| *child == volume.id);
            let mut known = volume.describe();
            known.root = place.node().unwrap_or(0);
            known.is_default = volume.id == volumes.default_id;
            known.is_deleted &= volume.id != object::FS_TREE;
            known.parent = parents.map(|(parent, _)| *parent).min();
            known.path = self.path_of(volume.id);
            out.push(known);
        }
        out.sort_by_key(|volume| volume.id);
        out
    }

    /// Where a subvolume stands, from the top level on.
    fn path_of(&self, id: u64) -> Option<RawPath> {
        let volumes = self.volumes();
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut here = id;
        while here != object::FS_TREE {
            let ((parent, _), (directory, name)) =
                volumes.references.iter().find(|((_, child), _)| *child == here)?;
            names.push(name.clone());
            let volume = *volumes.numbers.get(parent)?;
            let root = volumes.all.get(to_usize(volume))?.root_inode;
            let mut place = Place { volume, inode: *directory };
            while place.inode != root {
                let (above, name) = self.name_of(place)?;
                names.push(name);
                place.inode = above;
                if names.len() > MAX_DEPTH {
                    return None;
                }
            }
            here = *parent;
            if names.len() > MAX_DEPTH {
                return None;
            }
        }
        let length: usize = names.iter().map(Vec::len).sum();
        if length > to_usize(MAX_LINK_BYTES).saturating_mul(16) {
            return None;
        }
        let start = RawPath::from("/");
        Some(names.iter().rev().fold(start, |path, name| path.join(name)))
    }

    /// Parent and name of a directory.
    fn name_of(&self, place: Place) -> Option<(u64, Vec<u8>)> {
        let last = Key::new(place.inode, kind::INODE_REF, u64::MAX);
        let (key, item) = self.store.floor(self.tree(place).ok()?, last).ok()??;
        if (key.object, key.kind) != (place.inode, kind::INODE_REF) {
            return None;
        }
        let reference = names::back_references(key, &item).into_iter().next()?;
        Some((reference.parent, reference.name))
    }
}
