//! VHDX: qemu-img makes the images, and the raw disk or qemu-img's own view vouches, for the log also its repair of a copy.
//! No tool here makes differencing images: those are made by hand from qemu-img's, and for them only we vouch.

use super::{assert_shows, convert, disk, fact, image, qemu_io, shown_by_qemu, texts, try_image};
use crate::support::{Random, run, text, tool};
use evidence::container::Format;
use std::path::Path;

#[test]
fn fixed_and_dynamic_images_read_as_the_disk() {
    let disk = disk();
    for options in [
        "subformat=dynamic,block_size=1M",
        "subformat=dynamic",
        "subformat=fixed",
        "subformat=dynamic,block_size=2M,block_state_zero=off",
        "subformat=dynamic,log_size=2M",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some(path) =
            convert(directory.path(), &disk, &["-O", "vhdx", "-o", options], "image.vhdx")
        else {
            return;
        };
        let opened = image(&path);
        assert_eq!(opened.format, Format::Vhdx);
        assert_eq!(texts(&opened.problems), "", "{options}");
        assert_eq!(fact(&opened, "sector bytes"), Some("512"));
        let kind = fact(&opened, "kind").unwrap();
        assert!(options.contains(kind), "{options}: {kind}");
        assert_shows(&opened, &disk, options);
    }
}

#[test]
fn scattered_writes_read_as_qemu_shows_them() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.vhdx");
    run(&qemu_img, &["create", "-q", "-f", "vhdx", "-o", "block_size=1M", text(&path), "40M"], "");
    let mut random = Random(5);
    let writes: Vec<String> = (1..40)
        .map(|value| {
            format!(
                "write -P {value} {} {}",
                random.below(60_000) * 512,
                512 * (1 + random.below(50))
            )
        })
        .collect();
    let writes: Vec<&str> = writes.iter().map(String::as_str).collect();
    assert!(qemu_io(&["-f", "vhdx"], &path, &writes));
    assert_shows(&image(&path), &shown_by_qemu(&path), "scattered");
}

fn le(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Where the region (0 block table, 1 metadata) is, by its identifier.
fn region(bytes: &[u8], which: usize) -> usize {
    let ids = [[0x66, 0x77, 0xc2, 0x2d], [0x06, 0xa2, 0x7c, 0x8b]];
    let entries = (0..2).map(|index| (192 << 10) + 16 + 32 * index);
    let entry = entries.into_iter().find(|at| bytes[*at..*at + 4] == ids[which]).unwrap();
    le(bytes, entry + 16, 8) as usize
}

/// Writes to an image and then stops without closing it.
fn write_and_abort(path: &Path, writes: &[&str]) -> Option<()> {
    let qemu_io = tool("qemu-io")?;
    let mut command = std::process::Command::new(qemu_io);
    command.args(["-f", "vhdx"]);
    for write in writes.iter().chain(&["abort"]) {
        command.args(["-c", write]);
    }
    let out = command.arg(path).output().unwrap();
    assert!(!out.status.success());
    Some(())
}

/// CRC-32C, bit by bit.
fn crc32c(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    })
}

#[test]
fn a_log_in_use_is_replayed_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = disk();
    disk.resize(20 << 20, 0);
    let options = ["-O", "vhdx", "-o", "block_size=1M"];
    let Some(path) = convert(directory.path(), &disk, &options, "image.vhdx") else { return };
    let qemu_img = tool("qemu-img").unwrap();
    let before = std::fs::read(&path).unwrap();
    if write_and_abort(&path, &["write -P 7 15M 64k"]).is_none() {
        return;
    }
    // qemu carries its log out at once; with the old block table back, only the log knows the new block.
    let mut bytes = std::fs::read(&path).unwrap();
    let table = region(&bytes, 0);
    assert!(bytes[table..table + 4096] != before[table..table + 4096]);
    bytes[table..table + 4096].copy_from_slice(&before[table..table + 4096]);
    // The headers go back to the moment when the entry was written, before it was carried out.
    let log = le(&bytes, (64 << 10) + 72, 8) as usize;
    assert_eq!(bytes[log..log + 4], *b"loge");
    let id = bytes[log + 32..log + 48].to_vec();
    for header in [64 << 10, 128 << 10] {
        bytes[header + 48..header + 64].copy_from_slice(&id);
        bytes[header + 4..header + 8].fill(0);
        let sum = crc32c(&bytes[header..header + 4096]).to_le_bytes();
        bytes[header + 4..header + 8].copy_from_slice(&sum);
    }
    std::fs::write(&path, &bytes).unwrap();
    let opened = image(&path);
    assert_eq!(texts(&opened.problems), "");
    assert!(fact(&opened, "log").is_some_and(|log| log.contains("replayed in memory")));
    assert_eq!(opened.source.bytes_at(15 << 20, 64 << 10).unwrap(), vec![7; 64 << 10]);
    assert!(std::fs::read(&path).unwrap() == bytes, "nothing was written");
    // The same repaired by qemu-img on the file.
    let copy = directory.path().join("copy.vhdx");
    std::fs::copy(&path, &copy).unwrap();
    run(&qemu_img, &["check", "-q", "-r", "all", text(&copy)], "");
    assert_shows(&opened, &shown_by_qemu(&copy), "replayed");
    // A torn log entry never happened.
    for at in (log..log + (1 << 20)).step_by(4096) {
        if bytes[at..at + 4] == *b"loge" {
            bytes[at + 4096 + 100] ^= 1;
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    let opened = image(&path);
    assert!(texts(&opened.problems).contains("no whole entry"), "{:?}", opened.problems);
    assert_eq!(opened.source.bytes_at(15 << 20, 512).unwrap(), [0; 512]);
}

#[test]
fn a_damaged_first_copy_is_said_and_the_second_used() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let Some(path) = convert(directory.path(), &disk, &["-O", "vhdx"], "image.vhdx") else {
        return;
    };
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(192 << 10) + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let opened = image(&path);
    assert!(texts(&opened.problems).contains("region table 0 is damaged"));
    assert_shows(&opened, &disk, "with one region table");
    bytes[(256 << 10) + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(try_image(&path).unwrap_err().to_string().contains("both VHDX region tables"));
    bytes[(64 << 10) + 20] ^= 1;
    bytes[(128 << 10) + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(try_image(&path).unwrap_err().to_string().contains("both VHDX headers"));
}

/// Makes an image differencing: a flag, a parent locator, and block 1 in part here by a bitmap at the end.
fn make_differencing(bytes: &mut Vec<u8>, parent: &[u8], here: &[usize]) {
    let header = [64 << 10, 128 << 10].into_iter().max_by_key(|at| le(parent, at + 8, 8)).unwrap();
    let id = &parent[header + 32..header + 48];
    let text = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let swapped =
        |from: usize, to: usize| text(&id[from..to].iter().rev().copied().collect::<Vec<_>>());
    let linkage = format!(
        "{{{}-{}-{}-{}-{}}}",
        swapped(0, 4),
        swapped(4, 6),
        swapped(6, 8),
        text(&id[8..10]),
        text(&id[10..16])
    );
    let metadata = region(bytes, 1);
    let count = le(bytes, metadata + 10, 2) as usize;
    for index in 0..count {
        let entry = metadata + 32 + 32 * index;
        if bytes[entry..entry + 4] == [0x37, 0x67, 0xa1, 0xca] {
            let item = metadata + le(bytes, entry + 16, 4) as usize;
            bytes[item + 4] |= 2;
        }
    }
    let entry = metadata + 32 + 32 * count;
    bytes[metadata + 10] += 1;
    let locator_id = [
        0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab,
        0x0c,
    ];
    bytes[entry..entry + 16].copy_from_slice(&locator_id);
    bytes[entry + 16..entry + 20].copy_from_slice(&(512_u32 << 10).to_le_bytes());
    let mut locator = vec![0; 20];
    locator[18] = 2;
    let pairs = [("parent_linkage", linkage.as_str()), ("relative_path", ".\\sub\\base.vhdx")];
    let mut texts = Vec::new();
    for (key, value) in pairs {
        let [key, value] = [key, value]
            .map(|text| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
        let at = 20 + 24 + texts.len() as u32;
        locator.extend(at.to_le_bytes());
        locator.extend((at + key.len() as u32).to_le_bytes());
        locator.extend((key.len() as u16).to_le_bytes());
        locator.extend((value.len() as u16).to_le_bytes());
        texts.extend(key);
        texts.extend(value);
    }
    locator.extend(texts);
    bytes[entry + 20..entry + 24].copy_from_slice(&(locator.len() as u32).to_le_bytes());
    bytes[entry + 24..entry + 28].copy_from_slice(&4_u32.to_le_bytes());
    let item = metadata + (512 << 10);
    bytes[item..item + locator.len()].copy_from_slice(&locator);
    // With blocks of 1 MiB the bitmap's entry stands behind 4096 others.
    let table = region(bytes, 0);
    bytes[table + 8] |= 7;
    bytes.resize(bytes.len().next_multiple_of(1 << 20), 0);
    let at = bytes.len() as u64 | 6;
    bytes[table + 8 * 4096..table + 8 * 4097].copy_from_slice(&at.to_le_bytes());
    let mut bitmap = vec![0; 1 << 20];
    for sector in here {
        bitmap[sector / 8] |= 1 << (sector % 8);
    }
    bytes.extend(bitmap);
}

#[test]
fn a_differencing_image_shows_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let options = ["-O", "vhdx", "-o", "block_size=1M"];
    let Some(base) = convert(directory.path(), &disk, &options, "base.vhdx") else { return };
    let qemu_img = tool("qemu-img").unwrap();
    let path = directory.path().join("child.avhdx");
    let made = "block_size=1M,block_state_zero=off";
    let size = disk.len().to_string();
    run(&qemu_img, &["create", "-q", "-f", "vhdx", "-o", made, text(&path), &size], "");
    assert!(qemu_io(&["-f", "vhdx"], &path, &["write -P 5 1M 1M", "write -P 6 2M 1M"]));
    let mut bytes = std::fs::read(&path).unwrap();
    let here = [2048, 2049, 2055, 2056, 3000, 4095];
    make_differencing(&mut bytes, &std::fs::read(&base).unwrap(), &here);
    std::fs::write(&path, &bytes).unwrap();
    let mut expected = disk.clone();
    for sector in here {
        expected[sector * 512..sector * 512 + 512].fill(5);
    }
    expected[2 << 20..3 << 20].fill(6);
    let opened = image(&path);
    assert_eq!(texts(&opened.problems), "");
    assert_eq!(opened.files, ["child.avhdx", "base.vhdx"]);
    assert_eq!(fact(&opened, "kind"), Some("differencing"));
    assert_shows(&opened, &expected, "differencing");
    // The parent was written to: it has a new identifier.
    assert!(qemu_io(&["-f", "vhdx"], &base, &["write -P 1 0 512"]));
    let problems = texts(&image(&path).problems);
    assert!(problems.contains("the parent has the data write identifier"), "{problems}");
    std::fs::remove_file(base).unwrap();
    let opened = image(&path);
    assert!(texts(&opened.problems).contains("\"base.vhdx\" that this one builds on is missing"));
    assert_eq!(opened.source.bytes_at(2048 * 512, 1024).unwrap(), [5; 1024]);
    let error = opened.source.bytes_at(2048 * 512, 4096).unwrap_err();
    assert_eq!((error.offset_bytes, error.length_bytes), (2050 * 512, 5 * 512));
}
