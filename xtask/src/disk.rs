//! The disk image: protective MBR with GRUB's boot code, GPT, BIOS-boot partition, ESP, and the CD
//! side in the gap before them.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gpt::GptConfig;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types;

use crate::debs::Debs;
use crate::identity::Identity;
use crate::iso::{self, Layout};
use crate::{esp, grub};

const SECTOR: usize = 512;
const MIB: usize = 1 << 20;
/// First sector of the BIOS-boot partition. What lies before it, after the GPT, is the CD side.
const BIOS_BOOT_LBA: u64 = 2048;
const ESP_LBA: u64 = 4096;

/// Builds the image that is both a disk and a CD.
pub(crate) fn build(
    debs: &Debs,
    work: &Path,
    files: &[esp::Entry],
    identity: &Identity,
) -> Result<Vec<u8>> {
    let volume = esp::build(files, identity)?;
    let boot = grub::for_disk(debs, work, BIOS_BOOT_LBA)?;
    let core_room = usize::try_from(ESP_LBA - BIOS_BOOT_LBA)? * SECTOR;
    ensure!(boot.core.len() <= core_room, "GRUB's core image is larger than its partition");
    let esp_at = usize::try_from(ESP_LBA)? * SECTOR;
    let core_at = usize::try_from(BIOS_BOOT_LBA)? * SECTOR;
    // One MiB at the end holds the backup GPT.
    let size = (esp_at + volume.len()).next_multiple_of(MIB) + MIB;

    let mut disk = vec![0; size];
    disk[core_at..core_at + boot.core.len()].copy_from_slice(&boot.core);
    disk[esp_at..esp_at + volume.len()].copy_from_slice(&volume);

    let layout = Layout {
        files: iso::locate(&volume, esp_at, files)?,
        esp: u32::try_from(esp_at / iso::SECTOR)?,
        total: u32::try_from(size / iso::SECTOR)?,
    };
    let cd_boot = grub::for_cd(debs, work, iso::BOOT_SECTOR)?;
    iso::write(&mut disk, &layout, &cd_boot, identity, core_at)?;

    let esp_sectors = u64::try_from(volume.len() / SECTOR)?;
    partition(disk, identity, boot.boot_code, esp_sectors)
}

fn partition(
    disk: Vec<u8>,
    identity: &Identity,
    boot_code: [u8; 440],
    esp_sectors: u64,
) -> Result<Vec<u8>> {
    let sectors = u32::try_from(disk.len() / SECTOR)?;
    let mut device = Cursor::new(disk);
    let mut mbr = ProtectiveMBR::with_lb_size(sectors - 1);
    mbr.set_bootcode(boot_code);
    mbr.overwrite_lba0(&mut device).context("writing the protective MBR")?;

    let one = |name: &str, kind, first_lba: u64, sectors: u64| Partition {
        part_type_guid: kind,
        part_guid: identity.guid(name),
        first_lba,
        last_lba: first_lba + sectors - 1,
        flags: 0,
        name: name.to_owned(),
    };
    let bios_sectors = ESP_LBA - BIOS_BOOT_LBA;
    let partitions = BTreeMap::from([
        (1, one("bios-boot", partition_types::BIOS, BIOS_BOOT_LBA, bios_sectors)),
        (2, one("esp", partition_types::EFI, ESP_LBA, esp_sectors)),
    ]);
    let mut table = GptConfig::new()
        .writable(true)
        .change_partition_count(true)
        .create_from_device(device, Some(identity.guid("disk")))
        .context("making the partition table")?;
    table.update_partitions(partitions).context("filling the partition table")?;
    Ok(table.write().context("writing the partition table")?.into_inner())
}
