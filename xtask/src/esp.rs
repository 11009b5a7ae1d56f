//! The EFI system partition: one FAT32 volume holding shim, GRUB, configuration, kernel and initrd.
//!
//! It is also what the CD side points into (see `iso`), so that data must start on, and clusters be
//! multiples of, the CD's 2048-byte sectors.

use std::io::{Cursor, Read as _, Seek as _, SeekFrom, Write as _};

use anyhow::{Context, Result, ensure};
use fatfs::{
    Date, DateTime, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider,
};

use crate::calendar::Moment;
use crate::fat_folders;
use crate::identity::Identity;

const SECTOR_BYTES: u32 = 512;
const CLUSTER_BYTES: u32 = 2048;
/// Fewer clusters would make it FAT16 by definition; some firmware miscounts near the border.
const CLUSTERS_AT_LEAST: u32 = 65_525 + 1_024;

/// Time stamps of every directory entry.
#[derive(Debug)]
struct Fixed(DateTime);

impl TimeProvider for Fixed {
    fn get_current_date(&self) -> Date {
        self.0.date
    }

    fn get_current_date_time(&self) -> DateTime {
        self.0
    }
}

/// A file of the volume: path below its root, and content.
pub(crate) type Entry = (String, Vec<u8>);

/// Makes the volume. Files are written in the order given, each in one piece.
pub(crate) fn build(files: &[Entry], identity: &Identity) -> Result<Vec<u8>> {
    let mut volume = format_volume(files, identity)?;
    let moment = Moment::from_epoch(identity.epoch_s);
    let stamp = DateTime {
        date: Date { year: moment.year, month: moment.month, day: moment.day },
        time: Time { hour: moment.hour, min: moment.minute, sec: moment.second, millis: 0 },
    };
    // fatfs wants the clock for the life of the program.
    let clock: &'static Fixed = Box::leak(Box::new(Fixed(stamp)));
    let options = FsOptions::new().time_provider(clock).update_accessed_date(false);
    let fs = FileSystem::new(&mut volume, options).context("opening the new ESP")?;
    for (path, bytes) in files {
        let mut folder = fs.root_dir();
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().context("splitting an ESP path")?;
        for part in parts {
            folder =
                folder.create_dir(part).with_context(|| format!("making {part} in the ESP"))?;
        }
        let mut file =
            folder.create_file(name).with_context(|| format!("creating {path} in the ESP"))?;
        file.write_all(bytes).with_context(|| format!("writing {path} to the ESP"))?;
        file.flush()?;
    }
    fs.unmount().context("closing the ESP")?;
    let mut bytes = volume.into_inner();
    fat_folders::correct(&mut bytes)?;
    Ok(bytes)
}

/// Formats a volume that is large enough and whose data area begins on a CD sector.
fn format_volume(files: &[Entry], identity: &Identity) -> Result<Cursor<Vec<u8>>> {
    let cluster = CLUSTER_BYTES as usize;
    let content: usize = files.iter().map(|(_, bytes)| bytes.len().div_ceil(cluster)).sum();
    let folders = 64;
    let clusters = u32::try_from(content + folders)?.max(CLUSTERS_AT_LEAST);
    let per_cluster = CLUSTER_BYTES / SECTOR_BYTES;
    // Two tables of four bytes a cluster, and reserved sectors.
    let mut sectors = clusters * per_cluster + 2 * (clusters * 4).div_ceil(SECTOR_BYTES) + 64;
    for _ in 0..64 {
        let mut volume = Cursor::new(vec![0; (sectors * SECTOR_BYTES) as usize]);
        let mut label = *b"GLOVEBOX   ";
        label.make_ascii_uppercase();
        let options = FormatVolumeOptions::new()
            .fat_type(FatType::Fat32)
            .bytes_per_sector(512)
            .bytes_per_cluster(CLUSTER_BYTES)
            .total_sectors(sectors)
            .volume_id(identity.guid("esp volume").as_fields().0)
            .volume_label(label);
        fatfs::format_volume(&mut volume, options).context("formatting the ESP")?;
        if data_start(&mut volume)?.is_multiple_of(per_cluster) {
            volume.seek(SeekFrom::Start(0))?;
            return Ok(volume);
        }
        // A few hundred clusters more make the tables one sector longer.
        sectors += SECTOR_BYTES / 4 * per_cluster / 2;
    }
    anyhow::bail!("no ESP size of {clusters} clusters or a little more has an aligned data area")
}

/// First sector of the data area, from the boot sector (Microsoft FAT specification, 1.03, "BPB").
fn data_start(volume: &mut Cursor<Vec<u8>>) -> Result<u32> {
    let mut boot = [0; 512];
    volume.seek(SeekFrom::Start(0))?;
    volume.read_exact(&mut boot)?;
    let reserved = u32::from(u16::from_le_bytes([boot[14], boot[15]]));
    let table = u32::from_le_bytes([boot[36], boot[37], boot[38], boot[39]]);
    ensure!(table > 0, "the new ESP is not FAT32");
    Ok(reserved + u32::from(boot[16]) * table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            name: "test".into(),
            version: "0".into(),
            image_id: "ab".repeat(32),
            epoch_s: 1_764_547_200,
            disk_guid: String::new(),
            kernel_release: String::new(),
            kernel_line: String::new(),
            kernel_sha256: String::new(),
            root_sha256: None,
        }
    }

    /// Every folder begins with `.` and `..` and nothing else has such a name. The layout is vouched
    /// for by the specification here, and by `fsck.fat` where it is installed.
    #[test]
    fn folders_begin_as_the_specification_says() {
        let files = vec![
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), b"x".to_vec()),
            ("EFI/debian/grub.cfg".to_owned(), b"y".to_vec()),
        ];
        let volume = build(&files, &identity()).unwrap();
        let starts: Vec<&[u8]> =
            volume.chunks(2048).filter(|cluster| cluster.starts_with(b".          ")).collect();
        assert_eq!(starts.len(), 3, "EFI, BOOT and debian");
        for folder in &starts {
            assert!(folder[32..].starts_with(b"..         "));
            let others = folder[64..].chunks(32).filter(|entry| entry[0] == b'.').count();
            assert_eq!(others, 0);
        }
        let in_root = starts.iter().filter(|f| f[32 + 26..32 + 28] == [0, 0]).count();
        assert_eq!(in_root, 1, "`..` of EFI is cluster 0");

        let checker = std::path::Path::new("/usr/sbin/fsck.fat");
        if checker.exists() {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &volume).unwrap();
            let run =
                std::process::Command::new(checker).arg("-n").arg(file.path()).output().unwrap();
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        }
    }

    /// Vouched for by fatfs itself here, by firmware and GRUB in every boot of the image.
    #[test]
    fn files_are_contiguous_aligned_and_the_same_twice() {
        let big: Vec<u8> = (0..100_000_u32).map(|n| (n * 7 + n / 251) as u8).collect();
        let files = vec![
            ("EFI/BOOT/BOOTX64.EFI".to_owned(), b"shim".to_vec()),
            ("boot/vmlinuz".to_owned(), big.clone()),
        ];
        let volume = build(&files, &identity()).unwrap();
        let at = volume.chunks(2048).position(|chunk| chunk == &big[..2048]).unwrap() * 2048;
        assert_eq!(volume[at..at + big.len()], big);
        assert_eq!(volume, build(&files, &identity()).unwrap());

        let fs = FileSystem::new(Cursor::new(volume), FsOptions::new()).unwrap();
        assert_eq!(fs.fat_type(), FatType::Fat32);
        let mut read = Vec::new();
        fs.root_dir().open_file("boot/vmlinuz").unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, big);
    }
}
