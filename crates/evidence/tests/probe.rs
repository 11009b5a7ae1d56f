//! What mkfs and the like make must be recognised with the label and UUID that blkid (independent tool) reads from it.

mod support;

use evidence::probe::{ContentKind, probe};
use evidence::{MemSource, Source, Window};
use std::path::Path;
use support::{Random, blank, open, run, text, tool};

/// Makes an image with `program` and compares type, label and UUID with blkid.
fn check(program: &str, arguments: &[&str], size: u64, kind: ContentKind, blkid_type: &str) {
    let (Some(maker), Some(blkid)) = (tool(program), tool("blkid")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = blank(directory.path(), "image", size);
    let mut all = arguments.to_vec();
    all.push(text(&image));
    run(&maker, &all, "");
    check_image(&blkid, &image, kind, blkid_type);
}

fn check_image(blkid: &Path, image: &Path, kind: ContentKind, blkid_type: &str) {
    let found = probe(&*open(image));
    let kinds: Vec<_> = found.contents.iter().map(|content| content.kind).collect();
    assert_eq!(kinds, [kind], "{found:?}");
    let content = &found.contents[0];
    let exported = run(blkid, &["-p", "-o", "export", text(image)], "");
    let field = |key: &str| {
        exported
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(str::to_owned)
    };
    assert_eq!(field("TYPE").as_deref(), Some(blkid_type), "{exported}");
    assert_eq!(content.uuid, field("UUID"), "{exported}");
    let label = field("LABEL").map(|label| label.replace("\\ ", " "));
    assert_eq!(content.label, label, "{exported}");
}

#[test]
fn ext2() {
    check("mke2fs", &["-q", "-t", "ext2", "-L", "zwei", "-F"], 4 << 20, ContentKind::Ext2, "ext2");
}

#[test]
fn ext3() {
    check("mke2fs", &["-q", "-t", "ext3", "-L", "drei", "-F"], 8 << 20, ContentKind::Ext3, "ext3");
}

#[test]
fn ext4() {
    check("mke2fs", &["-q", "-t", "ext4", "-L", "vier", "-F"], 16 << 20, ContentKind::Ext4, "ext4");
}

#[test]
fn xfs() {
    check("mkfs.xfs", &["-q", "-L", "eks"], 320 << 20, ContentKind::Xfs, "xfs");
}

#[test]
fn btrfs() {
    check("mkfs.btrfs", &["-q", "-L", "butter"], 128 << 20, ContentKind::Btrfs, "btrfs");
}

#[test]
fn f2fs() {
    check("mkfs.f2fs", &["-q", "-l", "blitz"], 64 << 20, ContentKind::F2fs, "f2fs");
}

#[test]
fn fat_of_every_width() {
    check("mkfs.vfat", &["-F", "12", "-n", "DOZEN"], 2 << 20, ContentKind::Fat12, "vfat");
    check("mkfs.vfat", &["-F", "16", "-n", "SIXTEEN"], 32 << 20, ContentKind::Fat16, "vfat");
    check("mkfs.vfat", &["-F", "32", "-n", "THIRTYTWO"], 64 << 20, ContentKind::Fat32, "vfat");
}

#[test]
fn exfat() {
    check("mkfs.exfat", &["-L", "grosser"], 16 << 20, ContentKind::Exfat, "exfat");
}

#[test]
fn ntfs() {
    check("mkfs.ntfs", &["-q", "-F", "-L", "Laufwerk"], 16 << 20, ContentKind::Ntfs, "ntfs");
}

#[test]
fn swap_plain_and_hibernated() {
    check("mkswap", &["-L", "tausch"], 4 << 20, ContentKind::Swap, "swap");
    let (Some(mkswap), Some(blkid)) = (tool("mkswap"), tool("blkid")) else { return };
    let directory = tempfile::tempdir().unwrap();
    for mark in [&b"S1SUSPEND\0"[..], b"LINHIB0001"] {
        let image = blank(directory.path(), "swap", 4 << 20);
        run(&mkswap, &["-L", "tausch", text(&image)], "");
        let mut bytes = std::fs::read(&image).unwrap();
        bytes[4086..4096].copy_from_slice(mark);
        std::fs::write(&image, bytes).unwrap();
        if mark.starts_with(b"S1") {
            check_image(&blkid, &image, ContentKind::HibernatedSwap, "swsuspend");
        } else {
            assert_eq!(probe(&*open(&image)).contents[0].kind, ContentKind::HibernatedSwap);
        }
    }
}

#[test]
fn luks_of_both_versions() {
    let Some(cryptsetup) = tool("cryptsetup") else { return };
    let blkid = tool("blkid").unwrap();
    for (version, kind) in [("luks1", ContentKind::Luks1), ("luks2", ContentKind::Luks2)] {
        let directory = tempfile::tempdir().unwrap();
        let image = blank(directory.path(), "luks", 20 << 20);
        let cheap = [
            "--batch-mode",
            "--pbkdf",
            "pbkdf2",
            "--pbkdf-force-iterations",
            "1000",
            "--type",
            version,
        ];
        let mut all = vec!["luksFormat"];
        all.extend(cheap);
        all.extend([text(&image), "-"]);
        run(&cryptsetup, &all, "secret");
        check_image(&blkid, &image, kind, "crypto_LUKS");
    }
}

#[test]
fn squashfs_erofs_iso() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), "content").unwrap();
    let blkid = tool("blkid").unwrap();
    if let Some(maker) = tool("mksquashfs") {
        let image = directory.path().join("squashfs");
        run(&maker, &[text(&tree), text(&image), "-quiet", "-no-progress"], "");
        assert_eq!(probe(&*open(&image)).contents[0].kind, ContentKind::Squashfs);
    }
    if let Some(maker) = tool("mkfs.erofs") {
        let image = directory.path().join("erofs");
        run(&maker, &["-Enoinline_data", text(&image), text(&tree)], "");
        check_image(&blkid, &image, ContentKind::Erofs, "erofs");
    }
    if let Some(maker) = tool("xorriso") {
        let image = directory.path().join("iso");
        run(
            &maker,
            &["-as", "mkisofs", "-quiet", "-V", "SCHEIBE", "-o", text(&image), text(&tree)],
            "",
        );
        check_image(&blkid, &image, ContentKind::Iso9660, "iso9660");
    }
}

/// Only we vouch here: assembling arrays needs block devices, so the superblock is written by the test from the layout
/// in the kernel's md_p.h, and blkid (independent tool) must see the same.
#[test]
fn md_1_2_member() {
    let Some(blkid) = tool("blkid") else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = blank(directory.path(), "md", 4 << 20);
    let mut bytes = std::fs::read(&image).unwrap();
    let mut sb = vec![0_u8; 512];
    sb[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    sb[4] = 1;
    sb[16..32].copy_from_slice(&[7; 16]);
    sb[32..39].copy_from_slice(b"host:r1");
    sb[72] = 1;
    sb[80..88].copy_from_slice(&4096_u64.to_le_bytes());
    sb[92] = 2;
    sb[128..136].copy_from_slice(&2048_u64.to_le_bytes());
    sb[136..144].copy_from_slice(&4096_u64.to_le_bytes());
    sb[144..152].copy_from_slice(&8_u64.to_le_bytes());
    sb[160] = 1;
    sb[200..208].copy_from_slice(&42_u64.to_le_bytes());
    sb[220] = 2;
    sb[256..260].copy_from_slice(&[0, 0, 1, 0]);
    let sum: u64 =
        sb[..260].as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_le_bytes(*word))).sum();
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    sb[216..220].copy_from_slice(&(folded as u32).to_le_bytes());
    bytes[4096..4608].copy_from_slice(&sb);
    std::fs::write(&image, bytes).unwrap();
    let found = probe(&*open(&image));
    let content = &found.contents[0];
    assert_eq!(content.kind, ContentKind::MdMember);
    for note in
        ["superblock 1.2", "raid1", "member 1 of 2", "events 42", "not clean: resync pending"]
    {
        assert!(content.notes.iter().any(|n| n == note), "{note} in {:?}", content.notes);
    }
    let exported = run(&blkid, &["-p", "-o", "export", text(&image)], "");
    assert!(
        exported.contains("TYPE=linux_raid_member")
            && exported.contains(content.uuid.as_deref().unwrap()),
        "{exported}"
    );
    assert!(exported.contains("LABEL=host:r1"));
}

#[test]
fn a_zeroed_or_tiny_range_holds_nothing() {
    for length in [0_usize, 1, 511, 1025, 4096, 1 << 20] {
        let found = probe(&MemSource::new(vec![0; length]));
        assert_eq!((found.contents.len(), found.problems.len()), (0, 0), "{length}");
    }
}

#[test]
fn bytes_full_of_signatures_never_panic() {
    let marks: &[(usize, &[u8])] = &[
        (0, b"XFSB"),
        (0, b"hsqs"),
        (0, b"LUKS\xba\xbe\0\x01"),
        (3, b"NTFS    "),
        (3, b"EXFAT   "),
        (3, b"-FVE-FS-"),
        (510, &[0x55, 0xaa]),
        (512, b"LABELONE"),
        (536, b"LVM2 001"),
        (1024 + 0x38, &[0x53, 0xef]),
        (4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1]),
        (4086, b"SWAPSPACE2"),
        (65_536 + 0x40, b"_BHRfS_M"),
        (32_769, b"CD001"),
        (1024, b"H+\0\x04"),
        (32, b"NXSB"),
    ];
    let mut random = Random(0x5eed_0002);
    for _ in 0..300 {
        let mut bytes = random.bytes(70_000 + random.0 as usize % 9000);
        for (at, mark) in marks {
            if random.below(3) > 0 {
                bytes[*at..at + mark.len()].copy_from_slice(mark);
            }
        }
        let source: std::sync::Arc<dyn Source> = std::sync::Arc::new(MemSource::new(bytes));
        let length = source.size_bytes();
        let _ = probe(&Window::new(source, 0, length));
    }
}

/// As above: written by the test from LVM's layout (label, header, metadata area), judged by blkid.
#[test]
fn lvm_member_with_its_group() {
    let Some(blkid) = tool("blkid") else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = blank(directory.path(), "lvm", 4 << 20);
    let mut bytes = std::fs::read(&image).unwrap();
    let mut sector = vec![0_u8; 512];
    sector[..8].copy_from_slice(b"LABELONE");
    sector[8] = 1;
    sector[20] = 32;
    sector[24..32].copy_from_slice(b"LVM2 001");
    sector[32..64].copy_from_slice(b"abcdefGHIJklmnOPQRstuvWXYZ012345");
    sector[64..72].copy_from_slice(&(4_u64 << 20).to_le_bytes());
    sector[72..80].copy_from_slice(&(1_u64 << 20).to_le_bytes());
    sector[104..112].copy_from_slice(&4096_u64.to_le_bytes());
    sector[112..120].copy_from_slice(&(1_044_480_u64).to_le_bytes());
    // LVM sums the label from its third word on, with its own first value and no final inversion.
    let sum = sector[20..].iter().fold(0xf597_a6cf_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 },
        )
    });
    sector[16..20].copy_from_slice(&sum.to_le_bytes());
    bytes[512..1024].copy_from_slice(&sector);
    bytes[4100..4116].copy_from_slice(b" LVM2 x[5A%r0N*>");
    bytes[4136..4144].copy_from_slice(&512_u64.to_le_bytes());
    bytes[4608..4633].copy_from_slice(b"vg\x1bzoo {\nid = \"x\"\nseqno =");
    std::fs::write(&image, bytes).unwrap();
    let exported = run(&blkid, &["-p", "-o", "export", text(&image)], "");
    let found = probe(&*open(&image));
    let content = &found.contents[0];
    assert_eq!(content.kind, ContentKind::LvmMember);
    assert!(exported.contains("TYPE=LVM2_member"), "{exported}");
    assert!(exported.contains(&format!("UUID={}", content.uuid.as_deref().unwrap())), "{exported}");
    assert_eq!(
        content.label.as_deref(),
        Some("vg\\x1bzoo"),
        "the group's name comes from the disk and is escaped"
    );
}
