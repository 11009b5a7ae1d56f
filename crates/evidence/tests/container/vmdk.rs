//! VMDK: qemu-img makes the images; the raw disk, or qemu-img's own view, vouches for the content.

use super::{
    assert_shows, convert, disk, fact, image, published, qemu_io, shown_by_qemu, texts, try_image,
};
use crate::support::{run, text, tool};
use evidence::container::Format;
use std::path::Path;

#[test]
fn every_subformat_reads_as_the_disk() {
    let disk = disk();
    for (subformat, files) in [
        ("monolithicSparse", 1),
        ("monolithicFlat", 2),
        ("twoGbMaxExtentSparse", 2),
        ("twoGbMaxExtentFlat", 2),
        ("streamOptimized", 1),
    ] {
        for zeros in ["on", "off"] {
            let directory = tempfile::tempdir().unwrap();
            let zeros = if subformat.contains("Flat") {
                String::new()
            } else {
                format!(",zeroed_grain={zeros}")
            };
            let options = format!("subformat={subformat}{zeros}");
            let all = ["-O", "vmdk", "-o", &options];
            let Some(path) = convert(directory.path(), &disk, &all, "image.vmdk") else { return };
            let opened = image(&path);
            assert_eq!(opened.format, Format::Vmdk);
            assert_eq!(texts(&opened.problems), "", "{options}");
            assert_eq!(opened.files.len(), files, "{options}");
            assert_eq!(fact(&opened, "create type"), Some(subformat));
            assert_shows(&opened, &disk, &options);
        }
    }
}

#[test]
fn many_extents_are_joined_and_a_missing_one_is_a_hole() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.vmdk");
    let options = "subformat=twoGbMaxExtentSparse";
    run(&qemu_img, &["create", "-q", "-f", "vmdk", "-o", options, text(&path), "5G"], "");
    let writes = ["write -P 5 0 1M", "write -P 6 2147418112 128k", "write -P 7 5368705024 4k"];
    assert!(qemu_io(&["-f", "vmdk"], &path, &writes));
    let opened = image(&path);
    assert_eq!(opened.files.len(), 4);
    assert_eq!(opened.source.size_bytes(), 5 << 30);
    for (at, length, value) in [
        (0, 1 << 20, 5),
        (1 << 20, 1 << 20, 0),
        (2_147_418_112, 128 << 10, 6),
        (5_368_705_024, 4096, 7),
    ] {
        assert!(opened.source.bytes_at(at, length).unwrap() == vec![value; length], "{at}");
    }
    std::fs::remove_file(directory.path().join("image-s002.vmdk")).unwrap();
    let opened = image(&path);
    assert!(texts(&opened.problems).contains("\"image-s002.vmdk\" is missing"));
    let error = opened.source.bytes_at(2_147_418_112, 128 << 10).unwrap_err();
    assert!((2_147_418_112..2_147_418_112 + (128 << 10)).contains(&error.offset_bytes), "{error}");
    assert_eq!(opened.source.bytes_at(5_368_705_024, 2).unwrap(), [7, 7]);
}

#[test]
fn a_child_shows_its_parent_and_says_when_that_changed() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let Some(base) = convert(directory.path(), &disk, &["-O", "vmdk"], "base.vmdk") else { return };
    let child = directory.path().join("child.vmdk");
    let qemu_img = tool("qemu-img").unwrap();
    let make =
        ["create", "-q", "-f", "vmdk", "-o", "zeroed_grain=on", "-b", "base.vmdk", "-F", "vmdk"];
    run(&qemu_img, &[&make[..], &[text(&child)]].concat(), "");
    assert!(qemu_io(&["-f", "vmdk"], &child, &["write -P 1 1M 100k", "write -z 64k 128k"]));
    let opened = image(&child);
    assert_eq!(texts(&opened.problems), "");
    assert_eq!(opened.files, ["child.vmdk", "base.vmdk"]);
    assert_shows(&opened, &shown_by_qemu(&child), "child");
    // qemu-io gives an image a new content identifier when it writes.
    assert!(qemu_io(&["-f", "vmdk"], &base, &["write -P 2 2M 1k"]));
    let problems = texts(&image(&child).problems);
    assert!(problems.contains("written to afterwards"), "{problems}");
    std::fs::remove_file(base).unwrap();
    let opened = image(&child);
    assert!(texts(&opened.problems).contains("\"base.vmdk\" that this one builds on is missing"));
    assert_eq!(opened.source.bytes_at(1 << 20, 100).unwrap(), [1; 100]);
    assert!(opened.source.bytes_at(0, 100).is_err());
}

#[test]
fn a_descriptor_written_by_hand_reads_as_qemu_shows_it() {
    let Some(_) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.vmdk");
    std::fs::write(directory.path().join("a b.bin"), disk()).unwrap();
    let descriptor = "# Disk DescriptorFile\nversion=1\nCID=0000abcd\nparentCID=ffffffff\ncreateType=\"custom\"\n\
        RW 100 FLAT \"a b.bin\" 3\nRW 50 ZERO\nRW 20 FLAT \"a b.bin\" 0\n";
    std::fs::write(&path, descriptor).unwrap();
    let mut expected = disk()[3 * 512..103 * 512].to_vec();
    expected.resize(150 * 512, 0);
    expected.extend(&disk()[..20 * 512]);
    assert_shows(&image(&path), &expected, "by hand");
    // A folder in the name, a device, and an unknown kind.
    for (line, expected) in [
        ("RW 1 FLAT \"../../etc/passwd\" 0", "\"../../etc/passwd\" is missing"),
        ("RW 1 FLAT \"/dev/sda\" 0", "the device \"/dev/sda\""),
        ("RW 1 FANCY \"x\" 0", "of an unknown kind"),
    ] {
        std::fs::write(&path, format!("{descriptor}{line}\n")).unwrap();
        let opened = image(&path);
        assert!(texts(&opened.problems).contains(expected), "{:?}", opened.problems);
        assert_eq!(opened.source.bytes_at(170 * 512, 512).unwrap_err().offset_bytes, 170 * 512);
    }
}

/// The older sparse kind, made by hand; qemu-img vouches.
fn cowd(path: &Path) {
    let mut bytes = vec![0; 4 * 512];
    bytes[..4].copy_from_slice(b"COWD");
    // Version, flags, sectors of the disk, sectors of a grain, sector of the directory, entries in it.
    for (index, value) in [1_u32, 3, 8192 + 100, 1, 4, 3].iter().enumerate() {
        bytes[4 + 4 * index..8 + 4 * index].copy_from_slice(&value.to_le_bytes());
    }
    let mut directory = vec![0; 512];
    let mut tables = vec![0; 2 * 4096 * 4];
    let data_at = 5 + 64_u32;
    directory[..4].copy_from_slice(&5_u32.to_le_bytes());
    directory[8..12].copy_from_slice(&37_u32.to_le_bytes());
    let mut data = Vec::new();
    for (number, grain) in [0_usize, 1, 2, 9, 4095, 4096, 4100].iter().enumerate() {
        let sector = data_at + number as u32;
        tables[4 * grain..4 * grain + 4].copy_from_slice(&sector.to_le_bytes());
        data.extend([number as u8 + 1; 512]);
    }
    bytes.extend(directory);
    bytes.extend(tables);
    bytes.extend(data);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn the_older_sparse_kind_reads_as_qemu_shows_it() {
    let Some(_) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.vmdk");
    cowd(&directory.path().join("image-delta.vmdk"));
    let descriptor = "# Disk DescriptorFile\nversion=1\nCID=0000abcd\nparentCID=ffffffff\n\
        createType=\"vmfsSparse\"\nRW 8292 VMFSSPARSE \"image-delta.vmdk\"\n";
    std::fs::write(&path, descriptor).unwrap();
    let shown = shown_by_qemu(&path);
    assert_eq!(shown[9 * 512], 4);
    assert_shows(&image(&path), &shown, "COWD");
    // The extent opened by itself shows the same.
    assert_shows(&image(&directory.path().join("image-delta.vmdk")), &shown, "COWD alone");
}

#[test]
fn a_stream_with_its_directory_at_the_end_reads_as_qemu_shows_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let options = ["-O", "vmdk", "-o", "subformat=streamOptimized"];
    let Some(path) = convert(directory.path(), &disk, &options, "image.vmdk") else { return };
    // qemu-img knows the place of the directory beforehand; a true stream says "at the end" and repeats its header there.
    let mut bytes = std::fs::read(&path).unwrap();
    let footer = bytes[..512].to_vec();
    bytes[56..64].fill(0xff);
    bytes.truncate(bytes.len() - 3 * 512);
    let mut marker = vec![0; 512];
    (marker[0], marker[12]) = (1, 3);
    bytes.extend([&marker[..], &footer, &[0; 512]].concat());
    std::fs::write(&path, &bytes).unwrap();
    assert!(shown_by_qemu(&path) == disk);
    assert_shows(&image(&path), &disk, "directory at the end");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(try_image(&path).unwrap_err().to_string().contains("cut off"));
}

#[test]
fn damage_is_said_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let options = ["-O", "vmdk", "-o", "subformat=streamOptimized"];
    let Some(path) = convert(directory.path(), &disk, &options, "image.vmdk") else { return };
    let whole = std::fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    // The first grain stands behind the header and the descriptor; its marker says sector 0.
    let first = (512..bytes.len())
        .step_by(512)
        .find(|at| bytes[*at..].starts_with(&[0; 8]) && bytes[at + 12] == 0x78)
        .unwrap();
    bytes[first + 5000] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = image(&path).source.bytes_at(0, disk.len()).unwrap_err();
    assert_eq!((error.offset_bytes, error.length_bytes), (0, 1 << 16), "{error}");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(image(&path).source.bytes_at(0, disk.len()).is_err());
    std::fs::write(&path, [b"\xbe\xba\xfe\xca\0\0\0\0".as_slice(), &[0; 600]].concat()).unwrap();
    assert!(try_image(&path).unwrap_err().to_string().contains("SESPARSE"));
}

#[test]
fn a_published_image_agrees_with_its_raw_twin() {
    let (Some(first), Some(part), Some(path)) = (
        published("dfvfs/ext2.splitraw.000"),
        published("dfvfs/ext2.splitraw.001"),
        published("dfvfs/ext2.vmdk"),
    ) else {
        return;
    };
    let disk = [std::fs::read(first).unwrap(), std::fs::read(part).unwrap()].concat();
    assert_shows(&image(&path), &disk, "ext2.vmdk");
}
