//! Boot sector and gap of a disk.
//!
//! Vouched for by an independent tool: `grub-bios-setup` writes GRUB to a disk behind a loop device, out of the copies
//! that a system keeps in `/boot/grub`; what it wrote must be explained, and each change told. Needs root, GRUB for BIOS and a loop device;
//! says "skipped" without them. The cases without GRUB rest on us alone.

#[expect(dead_code, reason = "other tests use more of it")]
mod support;

use evidence::partition::read_table;
use evidence::{MemSource, Source};
use std::path::Path;
use std::process::Command;
use support::MemFs;
use triage::disk::{Loaders, examine};
use triage::{Report, Severity};

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program).args(arguments).output();
    let Some(out) = out.ok().filter(|out| out.status.success()) else {
        eprintln!("skipped: {program} {arguments:?} did not work");
        return None;
    };
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

fn judged(image: &[u8], loaders: &Loaders) -> Vec<(String, Severity, usize)> {
    let source = MemSource::new(image.to_vec());
    let report: Report = examine(&source, &read_table(&source), loaders);
    assert_eq!(report.problems, []);
    let told = report.findings.iter();
    told.map(|one| (one.rule.clone(), one.severity, one.offset_bytes.unwrap())).collect()
}

/// A disk with GRUB on it, and the copies GRUB keeps. The file system with the copies lies on a disk of its own, because
/// not every kernel shows partitions of a loop device; GRUB reads the table by itself.
fn with_grub(directory: &Path, table: &str) -> Option<(Vec<u8>, Loaders)> {
    let setup = ["/usr/lib/grub/i386-pc/grub-bios-setup", "/usr/sbin/grub-bios-setup"];
    let Some(setup) = setup.into_iter().find(|path| Path::new(path).exists()) else {
        eprintln!("skipped: no GRUB for BIOS");
        return None;
    };
    let place = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    for (name, size) in [("disk", 96_u64 << 20), ("files", 16 << 20)] {
        std::fs::File::create(place(name)).and_then(|file| file.set_len(size)).unwrap();
    }
    std::fs::write(place("table"), table).unwrap();
    let sfdisk = format!("/sbin/sfdisk -q {} < {}", place("disk"), place("table"));
    run("/bin/sh", &["-c", &sfdisk])?;
    run("/sbin/mke2fs", &["-q", "-F", &place("files")])?;
    let disk = run("/sbin/losetup", &["--find", "--show", &place("disk")])?;
    let files = run("/sbin/losetup", &["--find", "--show", &place("files")]);
    std::fs::create_dir(place("mount")).unwrap();
    let kept = files.as_ref().and_then(|files| {
        run("/bin/mount", &[files, &place("mount")])?;
        let kept = install(setup, directory, &disk, files);
        run("/bin/umount", &[&place("mount")]).and(kept)
    });
    for device in files.iter().chain([&disk]) {
        let _ = run("/sbin/losetup", &["--detach", device]);
    }
    let mut loaders = Loaders::default();
    loaders.add(&kept?);
    Some((std::fs::read(place("disk")).unwrap(), loaders))
}

fn install(setup: &str, directory: &Path, disk: &str, files: &str) -> Option<MemFs> {
    let mount = directory.join("mount").to_str().unwrap().to_owned();
    std::fs::copy("/usr/lib/grub/i386-pc/boot.img", format!("{mount}/boot.img")).ok()?;
    let core = format!("{mount}/core.img");
    let modules = ["biosdisk", "part_msdos", "part_gpt", "ext2"];
    let image = [&["-O", "i386-pc", "-p", "/boot/grub", "-o", &core], &modules[..]].concat();
    run("/usr/bin/grub-mkimage", &image)?;
    let map = directory.join("map").to_str().unwrap().to_owned();
    std::fs::write(&map, format!("(hd0) {disk}\n(hd1) {files}\n")).unwrap();
    run(setup, &["-m", &map, "-d", &mount, disk])?;
    let mut fs = MemFs::default();
    for name in ["boot.img", "core.img"] {
        let raw = std::fs::read(format!("{mount}/{name}")).unwrap();
        let path = format!("/boot/grub/i386-pc/{name}");
        fs.put(&path, evidence::fs::FileKind::File, 0o644, &raw);
    }
    Some(fs)
}

#[test]
fn what_grub_wrote_is_explained_and_each_change_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let table = "label: dos\nstart=2048, type=83, bootable\n";
    let Some((image, loaders)) = with_grub(directory.path(), table) else { return };
    assert!(image[..440].iter().any(|byte| *byte != 0), "a boot sector was written");
    assert_eq!(judged(&image, &loaders), []);
    let changed = |at: usize| {
        let mut image = image.clone();
        image[at] ^= 0x55;
        judged(&image, &loaders)
    };
    // In the code of the first stage; in the unpacker; in the packed kernel; behind everything.
    assert_eq!(changed(0x90), [("GBX-1208".to_owned(), Severity::High, 0)]);
    assert_eq!(changed(512 + 512 + 0x100), [("GBX-1209".to_owned(), Severity::High, 512)]);
    assert_eq!(changed(20_000), [("GBX-1209".to_owned(), Severity::High, 512)]);
    assert_eq!(changed(2047 * 512), [("GBX-1209".to_owned(), Severity::Medium, 2047 * 512)]);
    // Without the copies nothing can be compared, and nothing is held against GRUB.
    let told = judged(&image, &Loaders::default());
    assert!(told.iter().all(|(_, severity, _)| *severity == Severity::Info), "{told:?}");
}

#[test]
fn grub_in_a_partition_of_its_own_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let table = "label: gpt\nstart=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649\nstart=4096\n";
    let Some((image, loaders)) = with_grub(directory.path(), table) else { return };
    assert_eq!(judged(&image, &loaders), []);
    let mut changed = image.clone();
    changed[2048 * 512 + 20_000] ^= 1;
    assert_eq!(judged(&changed, &loaders), [("GBX-1209".to_owned(), Severity::High, 2048 * 512)]);
    let mut changed = image;
    changed[100 * 512] = 1;
    assert_eq!(judged(&changed, &loaders), [("GBX-1209".to_owned(), Severity::Low, 100 * 512)]);
}

/// A disk of four MiB with one partition from the first mebibyte on.
fn plain() -> Vec<u8> {
    let mut image = vec![0; 4 << 20];
    image[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x10, 0, 0]);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    image
}

#[test]
fn a_disk_without_code_is_silent_and_strange_code_is_told() {
    assert_eq!(judged(&plain(), &Loaders::default()), []);
    let mut image = plain();
    image[..4].copy_from_slice(&[0xeb, 0xfe, 0x90, 0x90]);
    assert_eq!(judged(&image, &Loaders::default()), [("GBX-1208".to_owned(), Severity::Info, 0)]);
    let mut fs = MemFs::default();
    let mut known = vec![0x90; 440];
    known[..2].copy_from_slice(&[0xfa, 0x31]);
    fs.put("/usr/lib/syslinux/mbr/mbr.bin", evidence::fs::FileKind::File, 0o644, &known);
    let mut loaders = Loaders::default();
    loaders.add(&fs);
    assert_eq!(judged(&image, &loaders), [("GBX-1208".to_owned(), Severity::Medium, 0)]);
    image[..440].copy_from_slice(&known);
    assert_eq!(judged(&image, &loaders), []);
    image[7 * 512] = 1;
    image[8 * 512 + 5] = 1;
    image[40 * 512] = 1;
    let low = |sector: usize| ("GBX-1209".to_owned(), Severity::Low, sector * 512);
    assert_eq!(judged(&image, &loaders), [low(7), low(40)]);
    // Without a table the first sector is part of whatever the disk holds.
    image[510] = 0;
    assert_eq!(judged(&image, &loaders), []);
}

#[test]
fn noise_is_judged_to_an_end() {
    let mut state = 0x5eed_0007_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    for _ in 0..50 {
        let mut image = plain();
        for byte in image.iter_mut().take(1 << 16) {
            *byte = random();
        }
        image[510..512].copy_from_slice(&[0x55, 0xaa]);
        let source = MemSource::new(image);
        assert!(source.size_bytes() > 0);
        let _ = examine(&source, &read_table(&source), &Loaders::default());
    }
}
