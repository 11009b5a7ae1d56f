//! What only ext keeps about an object, for `stat`, in the words of its own tools.

use super::{Ext, blocks, checksum, groups, inode};
use crate::bytes::Fields;
use crate::error::EvidenceError;
use crate::fs::{Detail, Extent, Node, Stored};
use crate::time::Time;

/// The letters of `lsattr`, by bit.
const FLAG_LETTERS: [(u32, char); 20] = [
    (0x1, 's'),
    (0x2, 'u'),
    (0x8, 'S'),
    (0x1_0000, 'D'),
    (0x10, 'i'),
    (0x20, 'a'),
    (0x40, 'd'),
    (0x80, 'A'),
    (0x4, 'c'),
    (0x800, 'E'),
    (0x4000, 'j'),
    (0x1000, 'I'),
    (0x8000, 't'),
    (0x2_0000, 'T'),
    (0x8_0000, 'e'),
    (0x80_0000, 'C'),
    (0x4000_0000, 'F'),
    (0x1000_0000, 'N'),
    (0x2000_0000, 'P'),
    (0x10_0000, 'V'),
];

pub(super) fn read(ext: &Ext, node: Node) -> Result<Vec<Detail>, EvidenceError> {
    let raw = inode::raw(ext, node)?;
    let inode = inode::parse(ext, node, &raw)?;
    let fields = Fields(&raw);
    let mut out = Vec::new();
    let mut say = |name: &'static str, value: String| out.push(Detail { name, value });
    let letters: String =
        FLAG_LETTERS.iter().filter(|(bit, _)| inode.flags & bit != 0).map(|(_, c)| *c).collect();
    say("flags", format!("{:#x} {letters}", inode.flags).trim_end().to_owned());
    let (group, _) = groups::place(ext, node)?;
    say("block group", group.to_string());
    say("inode offset", groups::inode_offset(ext, node)?.to_string());
    say("is allocated", groups::is_allocated(ext, node)?.to_string());
    if inode.deletion_seconds != 0 {
        let seconds = i64::from(inode.deletion_seconds);
        say("deletion time", Time { seconds, nanoseconds: 0 }.to_string());
    }
    say("sectors of 512 bytes", u64::from(fields.le32(0x1c)).to_string());
    say("version", fields.le32(0x24).to_string());
    if inode.attribute_block != 0 {
        say("attribute block", inode.attribute_block.to_string());
    }
    if let Some(project) = inode.project.filter(|project| *project != 0) {
        say("project", project.to_string());
    }
    if inode.has_blocks() {
        say("map", if inode.uses_extents() { "extents" } else { "block map" }.to_owned());
    }
    // A changed inode is made here, and its checksum with it.
    if ext.superblock.has_metadata_checksums && !ext.recovered.inodes.contains_key(&node) {
        let fits = checksum::inode_fits(&ext.superblock, node, &raw);
        say("checksum", if fits { "fits" } else { "does not fit" }.to_owned());
    }
    if ext.recovered.freed.contains(&node) {
        say("orphan", "without a name; a mount gives it back".to_owned());
    }
    Ok(out)
}

/// All extents of an object with the holes between them, up to its size.
pub(super) fn extents(ext: &Ext, node: Node) -> Result<Vec<Extent>, EvidenceError> {
    let inode = ext.inode(node)?;
    let size = inode.size_bytes;
    if inode.has_inline_data() {
        let stored = Stored::Inline;
        return Ok(vec![Extent { logical_bytes: 0, length_bytes: size, stored }]);
    }
    if !inode.has_blocks() {
        return Ok(Vec::new());
    }
    let bytes = ext.superblock.block_bytes.max(1);
    let mut out = Vec::new();
    let mut done = 0_u64;
    let hole = |from: u64, to: u64, out: &mut Vec<Extent>| {
        if from < to {
            let (logical_bytes, length_bytes) =
                (from.saturating_mul(bytes), to.saturating_sub(from).saturating_mul(bytes));
            out.push(Extent { logical_bytes, length_bytes, stored: Stored::Hole });
        }
    };
    for run in blocks::runs(ext, &inode, 0..blocks::END)? {
        hole(done, run.logical, &mut out);
        let at = run.physical.saturating_mul(bytes);
        out.push(Extent {
            logical_bytes: run.logical.saturating_mul(bytes),
            length_bytes: run.length.saturating_mul(bytes),
            stored: match run.state {
                blocks::RunState::Written => Stored::At(at),
                blocks::RunState::Unwritten => Stored::Unwritten(at),
            },
        });
        done = run.end();
    }
    hole(done, size.div_ceil(bytes), &mut out);
    Ok(out)
}
