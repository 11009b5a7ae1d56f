//! GRUB for legacy BIOS: core images for disk and CD, and the boot sectors that load them.
//!
//! Each core image carries a prefix that names a partition of the very disk it was loaded from
//! (`(,gpt2)`), or the CD (`(cd)`), and no `search` module: no other disk's file system is read.
//!
//! Offsets are those of GRUB 2.12 (`include/grub/i386/pc/boot.h`, `offsets.h`), which the pinned
//! package fixes; the checks below fail if another version moves them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::debs::Debs;
use crate::files;

/// Modules of the disk's core image: what is needed to read one FAT partition of a GPT disk, show a
/// menu on screen or serial line, and start Linux.
const DISK_MODULES: [&str; 14] = [
    "biosdisk",
    "part_gpt",
    "fat",
    "normal",
    "linux",
    "boot",
    "configfile",
    "echo",
    "serial",
    "terminal",
    "test",
    "sleep",
    "reboot",
    "halt",
];
const SECTOR: usize = 512;
/// In the boot sector: first sector of the core image (`GRUB_BOOT_MACHINE_KERNEL_SECTOR`).
const KERNEL_SECTOR: usize = 0x5c;
/// In the boot sector: a jump over the code for BIOSes that pass a wrong drive number
/// (`GRUB_BOOT_MACHINE_DRIVE_CHECK`). Two `nop`s put that code to work.
const DRIVE_CHECK: usize = 0x66;
/// In the core image's first sector: the block list (`GRUB_BOOT_MACHINE_LIST_SIZE` from its end).
const BLOCK_LIST: usize = SECTOR - 12;
/// In the CD boot sector: where the core image lies (boot information table).
const BOOT_INFO: usize = 8;

/// The disk's boot code.
pub(crate) struct DiskBoot {
    /// First 440 bytes of the disk.
    pub(crate) boot_code: [u8; 440],
    /// Content of the BIOS-boot partition.
    pub(crate) core: Vec<u8>,
}

/// Builds boot code for a core image that will begin at sector `core_lba` of the disk.
pub(crate) fn for_disk(debs: &Debs, work: &Path, core_lba: u64) -> Result<DiskBoot> {
    let core =
        make_core(debs, work, "i386-pc", "(,gpt2)/boot/grub", &DISK_MODULES).context("for disk")?;
    let boot = image_file(debs, "boot.img")?;
    Ok(DiskBoot { boot_code: patch_boot(&boot, core_lba)?, core: patch_core(core, core_lba)? })
}

/// Builds the CD's boot image, to be placed at CD sector `lba` of 2048 bytes.
pub(crate) fn for_cd(debs: &Debs, work: &Path, lba: u32) -> Result<Vec<u8>> {
    let modules: Vec<&str> =
        DISK_MODULES.iter().map(|m| if *m == "fat" { "iso9660" } else { m }).collect();
    let boot = make_core(debs, work, "i386-pc-eltorito", "(cd)/boot/grub", &modules)?;
    patch_cd(boot, lba)
}

fn image_file(debs: &Debs, name: &str) -> Result<Vec<u8>> {
    files::read(&debs.root("grub-pc-bin")?.join("usr/lib/grub/i386-pc").join(name))
}

fn make_core(
    debs: &Debs,
    work: &Path,
    format: &str,
    prefix: &str,
    modules: &[&str],
) -> Result<Vec<u8>> {
    let folder = debs.root("grub-pc-bin")?.join("usr/lib/grub/i386-pc");
    let result = work.join(format!("{format}.img"));
    let sh = Shell::new()?;
    debs.tool(&sh, "usr/bin/grub-mkimage")?
        .args(["-O", format, "-p", prefix, "-d"])
        .arg(&folder)
        .arg("-o")
        .arg(&result)
        .args(modules)
        .run()
        .context("making GRUB's core image")?;
    files::read(&result)
}

fn patch_boot(boot: &[u8], core_lba: u64) -> Result<[u8; 440]> {
    ensure!(boot.len() == SECTOR, "boot.img is {} bytes long, expected 512", boot.len());
    let mut code = [0; 440];
    code.copy_from_slice(&boot[..440]);
    ensure!(code[KERNEL_SECTOR..KERNEL_SECTOR + 8] == 1_u64.to_le_bytes(), "boot.img has moved");
    ensure!(code[DRIVE_CHECK] == 0xeb, "boot.img has no jump at its drive check");
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&core_lba.to_le_bytes());
    code[DRIVE_CHECK..DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    Ok(code)
}

fn patch_core(mut core: Vec<u8>, core_lba: u64) -> Result<Vec<u8>> {
    core.resize(core.len().next_multiple_of(SECTOR), 0);
    let sectors = u16::try_from(core.len() / SECTOR - 1).context("counting the core's sectors")?;
    ensure!(core[BLOCK_LIST + 10..SECTOR] == 0x820_u16.to_le_bytes(), "core image has moved");
    // One entry: the core without its first sector lies right behind it.
    core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(core_lba + 1).to_le_bytes());
    core[BLOCK_LIST + 8..BLOCK_LIST + 10].copy_from_slice(&sectors.to_le_bytes());
    Ok(core)
}

/// Fills in the boot information table: sector of the volume descriptor, of the image, its length
/// and the sum of its 32-bit words from byte 64 on.
fn patch_cd(mut boot: Vec<u8>, lba: u32) -> Result<Vec<u8>> {
    let length = u32::try_from(boot.len())?;
    boot.resize(boot.len().next_multiple_of(2048), 0);
    ensure!(boot.len() > 64, "CD boot image is too short");
    let sum = boot[64..].chunks_exact(4).fold(0_u32, |sum, word| {
        sum.wrapping_add(word.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    });
    for (index, value) in [16, lba, length, sum].into_iter().enumerate() {
        let at = BOOT_INFO + index * 4;
        boot[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    Ok(boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_points_behind_its_first_sector() {
        let mut core = vec![0; 1300];
        core[510..512].copy_from_slice(&[0x20, 0x08]);
        let core = patch_core(core, 2048).unwrap();
        assert_eq!(core.len(), 1536);
        assert_eq!(core[500..512], [1, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0x20, 8]);
    }

    #[test]
    fn other_layouts_are_refused() {
        assert!(patch_core(vec![0; 1024], 2048).is_err());
        assert!(patch_boot(&[0; 512], 2048).is_err());
        assert!(patch_boot(&[0; 100], 2048).is_err());
    }

    #[test]
    fn cd_table_is_filled_in() {
        let mut boot = vec![0; 100];
        boot[64] = 5;
        boot[68] = 7;
        let boot = patch_cd(boot, 40).unwrap();
        assert_eq!(boot.len(), 2048);
        let expected = [16, 0, 0, 0, 40, 0, 0, 0, 100, 0, 0, 0, 12, 0, 0, 0];
        assert_eq!(boot[8..24], expected);
    }
}
