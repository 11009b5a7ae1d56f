//! The CD side of the image: an ISO 9660 file system in the gap before the first partition.
//!
//! Its directory records point at the very bytes of the ESP, so that disk and CD share one copy of
//! kernel and initrd and one file boots as both. El Torito offers GRUB's CD image to legacy BIOS and
//! the ESP to UEFI.
//!
//! Formats: ECMA-119 (ISO 9660) level 1 names, El Torito 1.0, and UEFI 2.10 section 13.3.2.1.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::calendar::Moment;
use crate::identity::Identity;

/// Bytes of a CD sector.
pub(crate) const SECTOR: usize = 2048;
/// CD sector of GRUB's boot image; everything of ours before it is descriptors and directories.
pub(crate) const BOOT_SECTOR: u32 = 64;

const DESCRIPTORS: u32 = 16;
const CATALOGUE: u32 = 19;
const TABLE_LITTLE: u32 = 20;
const TABLE_BIG: u32 = 21;
const FIRST_FOLDER: u32 = 22;

/// Where the CD finds things, in CD sectors.
pub(crate) struct Layout {
    /// First sector and size in bytes, by path (`boot/vmlinuz`).
    pub(crate) files: BTreeMap<String, (u32, u32)>,
    /// First sector of the ESP.
    pub(crate) esp: u32,
    /// Sectors of the whole image.
    pub(crate) total: u32,
}

/// Finds each file's bytes in a volume that begins at `base_bytes` of the image. A file that is not
/// there in one aligned piece is an error: this is the proof that what the CD shows is what the ESP has.
pub(crate) fn locate(
    volume: &[u8],
    base_bytes: usize,
    files: &[(String, Vec<u8>)],
) -> Result<BTreeMap<String, (u32, u32)>> {
    let mut found = BTreeMap::new();
    for (path, bytes) in files {
        let start = bytes.get(..SECTOR.min(bytes.len())).unwrap_or_default();
        let at = (0..volume.len() / SECTOR)
            .map(|sector| sector * SECTOR)
            .find(|at| {
                volume[*at..].starts_with(start) && volume[*at..].starts_with(bytes.as_slice())
            })
            .with_context(|| format!("looking for {path} in one piece in the ESP"))?;
        let sector = u32::try_from((base_bytes + at) / SECTOR)?;
        found.insert(path.clone(), (sector, u32::try_from(bytes.len())?));
    }
    Ok(found)
}

/// Writes descriptors, tables and directories into the image; `boot` is GRUB's CD boot image.
pub(crate) fn write(
    disk: &mut [u8],
    layout: &Layout,
    boot: &[u8],
    identity: &Identity,
    room_bytes: usize,
) -> Result<()> {
    let end = BOOT_SECTOR as usize * SECTOR + boot.len();
    ensure!(end <= room_bytes, "the CD boot image ends at {end}, beyond the first partition");
    let folders = Folders::of(layout)?;
    ensure!(
        FIRST_FOLDER + u32::try_from(folders.0.len())? <= BOOT_SECTOR,
        "too many folders for the CD"
    );
    let stamp = Moment::from_epoch(identity.epoch_s);
    let mut put = |sector: u32, bytes: &[u8]| {
        let at = sector as usize * SECTOR;
        disk[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(DESCRIPTORS, &primary(layout, &folders, stamp)?);
    put(DESCRIPTORS + 1, &boot_record());
    put(DESCRIPTORS + 2, b"\xffCD001\x01");
    put(CATALOGUE, &catalogue(layout));
    put(TABLE_LITTLE, &folders.path_table(u32::to_le_bytes, u16::to_le_bytes));
    put(TABLE_BIG, &folders.path_table(u32::to_be_bytes, u16::to_be_bytes));
    for index in 0..folders.0.len() {
        put(folders.sector(index), &folders.records(index, layout, stamp)?);
    }
    put(BOOT_SECTOR, boot);
    Ok(())
}

/// All folders, root first, each with the index of its parent; sorted as path tables want.
struct Folders(Vec<(String, usize)>);

impl Folders {
    fn of(layout: &Layout) -> Result<Self> {
        let mut paths: Vec<String> = vec![String::new()];
        for path in layout.files.keys() {
            for (at, _) in path.match_indices('/') {
                let folder = path[..at].to_owned();
                if !paths.contains(&folder) {
                    paths.push(folder);
                }
            }
        }
        paths.sort_by_key(|path| {
            (path.split('/').filter(|part| !part.is_empty()).count(), iso_name(path))
        });
        let parent = |path: &String| {
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            paths.iter().position(|other| other == above).context("looking for a parent folder")
        };
        let folders = paths.iter().map(|path| Ok((path.clone(), parent(path)?)));
        Ok(Self(folders.collect::<Result<_>>()?))
    }

    fn sector(&self, index: usize) -> u32 {
        FIRST_FOLDER + u32::try_from(index).unwrap_or(u32::MAX - FIRST_FOLDER)
    }

    fn path_table(&self, long: fn(u32) -> [u8; 4], short: fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mut table = Vec::new();
        for (index, (path, parent)) in self.0.iter().enumerate() {
            let name = folder_identifier(path);
            table.push(u8::try_from(name.len()).unwrap_or_default());
            table.push(0);
            table.extend(long(self.sector(index)));
            table.extend(short(u16::try_from(parent + 1).unwrap_or_default()));
            table.extend(&name);
            table.resize(table.len().next_multiple_of(2), 0);
        }
        table
    }

    fn records(&self, index: usize, layout: &Layout, stamp: Moment) -> Result<Vec<u8>> {
        let (path, parent) = &self.0[index];
        let folder_size = u32::try_from(SECTOR)?;
        let mut children: Vec<(Vec<u8>, u32, u32, u8)> = Vec::new();
        for (other, (folder, above)) in self.0.iter().enumerate().skip(1) {
            if *above == index {
                let name = folder_identifier(folder);
                children.push((name, self.sector(other), folder_size, 2));
            }
        }
        for (file, (sector, size)) in &layout.files {
            let (above, name) = file.rsplit_once('/').unwrap_or(("", file));
            if above == path {
                let dot = if name.contains('.') { "" } else { "." };
                let name = format!("{}{dot};1", iso_name(name)).into_bytes();
                children.push((name, *sector, *size, 0));
            }
        }
        children.sort();
        let mut records = record(&[0], self.sector(index), folder_size, 2, stamp);
        records.extend(record(&[1], self.sector(*parent), folder_size, 2, stamp));
        for (name, sector, size, flags) in children {
            records.extend(record(&name, sector, size, flags, stamp));
        }
        ensure!(records.len() <= SECTOR, "folder {path:?} of the CD does not fit one sector");
        Ok(records)
    }
}

fn iso_name(name: &str) -> String {
    name.to_ascii_uppercase()
}

fn folder_identifier(path: &str) -> Vec<u8> {
    match path.rsplit('/').next() {
        Some("") | None => vec![0],
        Some(name) => iso_name(name).into_bytes(),
    }
}

/// A number in both byte orders, as ECMA-119 7.3.3 wants it.
fn both_long(value: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&value.to_le_bytes());
    bytes[4..].copy_from_slice(&value.to_be_bytes());
    bytes
}

fn both_short(value: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&value.to_le_bytes());
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// A directory record (ECMA-119 9.1).
fn record(name: &[u8], sector: u32, size_bytes: u32, flags: u8, stamp: Moment) -> Vec<u8> {
    let length = (33 + name.len()).next_multiple_of(2);
    let mut bytes = vec![u8::try_from(length).unwrap_or_default(), 0];
    bytes.extend(both_long(sector));
    bytes.extend(both_long(size_bytes));
    let small = |value: u16| u8::try_from(value).unwrap_or_default();
    bytes.extend([
        small(stamp.year - 1900),
        small(stamp.month),
        small(stamp.day),
        small(stamp.hour),
        small(stamp.minute),
        small(stamp.second),
        0,
    ]);
    bytes.extend([flags, 0, 0]);
    bytes.extend(both_short(1));
    bytes.push(u8::try_from(name.len()).unwrap_or_default());
    bytes.extend(name);
    bytes.resize(length, 0);
    bytes
}

/// The primary volume descriptor (ECMA-119 8.4).
fn primary(layout: &Layout, folders: &Folders, stamp: Moment) -> Result<Vec<u8>> {
    let mut bytes = vec![0; SECTOR];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(0, b"\x01CD001\x01");
    put(8, &[b' '; 32]);
    put(40, format!("{:<32}", "GLOVEBOX").as_bytes());
    put(80, &both_long(layout.total));
    put(120, &both_short(1));
    put(124, &both_short(1));
    put(128, &both_short(u16::try_from(SECTOR)?));
    let table = folders.path_table(u32::to_le_bytes, u16::to_le_bytes);
    put(132, &both_long(u32::try_from(table.len())?));
    put(140, &TABLE_LITTLE.to_le_bytes());
    put(148, &TABLE_BIG.to_be_bytes());
    put(156, &record(&[0], folders.sector(0), u32::try_from(SECTOR)?, 2, stamp));
    // Volume set, publisher, preparer, application and three file identifiers: blank.
    put(190, &[b' '; 623]);
    let date = format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}00\0",
        stamp.year, stamp.month, stamp.day, stamp.hour, stamp.minute, stamp.second
    );
    put(813, date.as_bytes());
    put(830, date.as_bytes());
    put(847, b"0000000000000000\0");
    put(864, b"0000000000000000\0");
    put(881, &[1]);
    Ok(bytes)
}

/// The boot record descriptor: where the boot catalogue is.
fn boot_record() -> Vec<u8> {
    let mut bytes = b"\0CD001\x01EL TORITO SPECIFICATION".to_vec();
    bytes.resize(71, 0);
    bytes.extend(CATALOGUE.to_le_bytes());
    bytes
}

/// The boot catalogue: GRUB for BIOS, the ESP for UEFI.
fn catalogue(layout: &Layout) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0];
    bytes.resize(28, 0);
    // The 16-bit words of the validation entry add up to nothing.
    bytes.extend(0x55aa_u16.to_le_bytes());
    bytes.extend([0x55, 0xaa]);
    // No emulation; four sectors of 512 bytes are loaded, GRUB reads the rest.
    bytes.extend(boot_entry(4, BOOT_SECTOR));
    bytes.extend([0x91, 0xef, 1, 0]);
    bytes.resize(96, 0);
    // A count of 0 tells UEFI that the volume reaches to the end of the medium: the field has 16
    // bits and the ESP more sectors.
    bytes.extend(boot_entry(0, layout.esp));
    bytes
}

fn boot_entry(sectors: u16, start: u32) -> Vec<u8> {
    let mut bytes = vec![0x88, 0, 0, 0, 0, 0];
    bytes.extend(sectors.to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.resize(32, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let files = [("EFI/debian/grub.cfg", (900, 10)), ("boot/vmlinuz", (1000, 5000))];
        Layout {
            files: files.into_iter().map(|(name, place)| (name.to_owned(), place)).collect(),
            esp: 1024,
            total: 4096,
        }
    }

    #[test]
    fn validation_entry_adds_up_to_zero() {
        let bytes = catalogue(&layout());
        let sum = bytes[..32]
            .chunks(2)
            .fold(0_u16, |sum, word| sum.wrapping_add(u16::from_le_bytes([word[0], word[1]])));
        assert_eq!(sum, 0);
        assert_eq!(bytes[32], 0x88);
        assert_eq!(bytes[64..67], [0x91, 0xef, 1]);
        assert_eq!(bytes[104..108], 1024_u32.to_le_bytes());
    }

    #[test]
    fn folders_are_ordered_by_depth_and_know_their_parents() {
        let folders = Folders::of(&layout()).unwrap();
        let paths: Vec<&str> = folders.0.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["", "boot", "EFI", "EFI/debian"]);
        assert_eq!(folders.0[3].1, 2);
        let records = folders.records(1, &layout(), Moment::from_epoch(0)).unwrap();
        assert!(records.windows(10).any(|part| part == b"VMLINUZ.;1"));
    }

    #[test]
    fn a_file_in_two_pieces_is_not_located() {
        let file = vec![("a".to_owned(), (0..5000_u32).map(|n| (n / 7) as u8).collect::<Vec<_>>())];
        let mut volume = vec![0; 20 * SECTOR];
        volume[3 * SECTOR..3 * SECTOR + 5000].copy_from_slice(&file[0].1);
        assert_eq!(locate(&volume, 1 << 20, &file).unwrap()["a"], (515, 5000));
        volume[4 * SECTOR] ^= 1;
        assert!(locate(&volume, 1 << 20, &file).is_err());
    }
}
