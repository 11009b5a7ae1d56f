//! Puts right the first entries of every folder of a FAT32 volume that fatfs 0.3 wrote.
//!
//! That crate gives `.` and `..` long names, which the specification forbids (Microsoft FAT
//! specification 1.03, "Directory Structure": both are the first two entries, and `..` of a folder in
//! the root has cluster 0). Most readers do not mind, `fsck.fat` and cautious firmware do.

use anyhow::{Context, Result, bail, ensure};

const ENTRY: usize = 32;
const ATTRIBUTE: usize = 11;
const FOLDER: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;
const DELETED: u8 = 0xe5;
const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";
/// Cluster numbers from here on end a chain.
const END_OF_CHAIN: u32 = 0x0fff_fff8;

struct Volume<'a> {
    bytes: &'a mut [u8],
    table_at: usize,
    data_at: usize,
    cluster_bytes: usize,
}

/// Corrects all folders below the root.
pub(crate) fn correct(bytes: &mut [u8]) -> Result<()> {
    ensure!(bytes.len() > 512, "volume is shorter than its boot sector");
    let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let long =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (sector, reserved) = (short(11), short(14));
    let table = usize::try_from(long(36))?;
    let root = long(44);
    let mut volume = Volume {
        table_at: reserved * sector,
        data_at: (reserved + usize::from(bytes[16]) * table) * sector,
        cluster_bytes: usize::from(bytes[13]) * sector,
        bytes,
    };
    for (cluster, parent) in volume.folders(root)? {
        volume.correct_one(cluster, if parent == root { 0 } else { parent })?;
    }
    Ok(())
}

impl Volume<'_> {
    /// The entries of a folder, which must lie in one cluster.
    fn folder(&mut self, cluster: u32) -> Result<&mut [u8]> {
        let at = self.table_at + usize::try_from(cluster)? * 4;
        let next = self.bytes.get(at..at + 4).context("reading the allocation table")?;
        let next = u32::from_le_bytes([next[0], next[1], next[2], next[3]]);
        ensure!(next & 0x0fff_ffff >= END_OF_CHAIN, "a folder of the ESP spans several clusters");
        let start = self.data_at + usize::try_from(cluster - 2)? * self.cluster_bytes;
        self.bytes.get_mut(start..start + self.cluster_bytes).context("reading a folder of the ESP")
    }

    /// Clusters of all folders below `root`, each with that of its parent.
    fn folders(&mut self, root: u32) -> Result<Vec<(u32, u32)>> {
        let mut found = Vec::new();
        let mut open = vec![root];
        while let Some(parent) = open.pop() {
            for entry in self.folder(parent)?.chunks(ENTRY).take_while(|entry| entry[0] != 0) {
                let kind = entry[ATTRIBUTE];
                if entry[0] == DELETED
                    || entry[0] == b'.'
                    || kind == LONG_NAME
                    || kind & FOLDER == 0
                {
                    continue;
                }
                let part = |at: usize| u32::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
                let cluster = part(20) << 16 | part(26);
                found.push((cluster, parent));
                open.push(cluster);
            }
        }
        Ok(found)
    }

    fn correct_one(&mut self, cluster: u32, parent: u32) -> Result<()> {
        let entries = self.folder(cluster)?;
        let mut head = Vec::new();
        for name in [DOT, DOT_DOT] {
            let entry = entries.chunks(ENTRY).take(4).find(|entry| &entry[..11] == name);
            let Some(entry) = entry else { bail!("a folder of the ESP lacks `.` or `..`") };
            head.extend_from_slice(entry);
        }
        let bytes = parent.to_le_bytes();
        head[ENTRY + 20..ENTRY + 22].copy_from_slice(&bytes[2..]);
        head[ENTRY + 26..ENTRY + 28].copy_from_slice(&bytes[..2]);
        for index in 0..4 {
            let entry = &mut entries[index * ENTRY..(index + 1) * ENTRY];
            let written_by_us = entry[..2] == *b". " || entry[..2] == *b"..";
            let long_name_of_one =
                entry[ATTRIBUTE] == LONG_NAME && entry[1] == b'.' && index % 2 == 0;
            if written_by_us || long_name_of_one {
                entry.fill(0);
                entry[0] = DELETED;
            }
        }
        entries[..2 * ENTRY].copy_from_slice(&head);
        Ok(())
    }
}
