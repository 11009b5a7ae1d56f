//! VHD: qemu-img makes fixed and dynamic images, and the raw disk vouches. No tool here makes differencing ones; they are
//! made by hand from the specification: for those only we vouch.

use super::{assert_shows, convert, disk, fact, image, published, qemu_io, shown_by_qemu, texts};
use crate::support::{Random, run, text, tool};
use evidence::container::Format;

#[test]
fn fixed_and_dynamic_images_read_as_the_disk() {
    let disk = disk();
    for subformat in ["fixed", "dynamic"] {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("subformat={subformat},force_size=on");
        let all = ["-O", "vpc", "-o", &options];
        let Some(path) = convert(directory.path(), &disk, &all, "image.vhd") else { return };
        let opened = image(&path);
        assert_eq!(opened.format, Format::Vhd);
        assert_eq!(texts(&opened.problems), "", "{subformat}");
        assert_eq!(fact(&opened, "kind"), Some(subformat));
        assert_eq!(fact(&opened, "creator"), Some("qem2"));
        assert!(fact(&opened, "created").is_some_and(|time| time.starts_with("20")));
        assert_shows(&opened, &disk, subformat);
    }
}

#[test]
fn scattered_writes_read_as_qemu_shows_them() {
    let Some(qemu_img) = tool("qemu-img") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image.vhd");
    run(&qemu_img, &["create", "-q", "-f", "vpc", "-o", "force_size=on", text(&path), "40M"], "");
    let mut random = Random(5);
    let writes: Vec<String> = (1..100)
        .map(|value| {
            format!(
                "write -P {value} {} {}",
                random.below(80_000) * 512,
                512 * (1 + random.below(50))
            )
        })
        .collect();
    let writes: Vec<&str> = writes.iter().map(String::as_str).collect();
    assert!(qemu_io(&["-f", "vpc"], &path, &writes));
    assert_shows(&image(&path), &shown_by_qemu(&path), "scattered");
}

#[test]
fn a_lost_or_damaged_footer_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let all = ["-O", "vpc", "-o", "subformat=dynamic,force_size=on"];
    let Some(path) = convert(directory.path(), &disk, &all, "image.vhd") else { return };
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 512]).unwrap();
    let opened = image(&path);
    assert!(texts(&opened.problems).contains("no footer at the end"));
    assert_shows(&opened, &disk, "without its last footer");
    let mut bytes = whole.clone();
    bytes[50] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let opened = image(&path);
    assert!(texts(&opened.problems).contains("differ"));
    assert_shows(&opened, &disk, "with a damaged first footer");
    let all = ["-O", "vpc", "-o", "subformat=fixed,force_size=on"];
    let path = convert(directory.path(), &disk, &all, "fixed.vhd").unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 1] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(image(&path).format, Format::Raw, "a wrong footer is no footer");
}

fn checksum(raw: &[u8]) -> [u8; 4] {
    (!raw.iter().map(|byte| u32::from(*byte)).sum::<u32>()).to_be_bytes()
}

/// A differencing image over `base`, by the specification: the sectors of `here` are in it.
fn difference(base: &[u8], parent: &str, here: &[(usize, u8)]) -> Vec<u8> {
    let block = 2 << 20;
    let mut footer = base[base.len() - 512..].to_vec();
    let size = u64::from_be_bytes(footer[48..56].try_into().unwrap()) as usize;
    let blocks = size.div_ceil(block);
    footer[16..24].copy_from_slice(&512_u64.to_be_bytes());
    footer[60..64].copy_from_slice(&4_u32.to_be_bytes());
    footer[64..68].fill(0);
    let parent_id = footer[68..84].to_vec();
    footer[68..84].fill(9);
    let sum = checksum(&footer);
    footer[64..68].copy_from_slice(&sum);
    let mut header = vec![0; 1024];
    header[..8].copy_from_slice(b"cxsparse");
    header[8..16].fill(0xff);
    header[16..24].copy_from_slice(&1536_u64.to_be_bytes());
    header[24..28].copy_from_slice(&0x10000_u32.to_be_bytes());
    header[28..32].copy_from_slice(&(blocks as u32).to_be_bytes());
    header[32..36].copy_from_slice(&(block as u32).to_be_bytes());
    header[40..56].copy_from_slice(&parent_id);
    for (index, unit) in parent.encode_utf16().enumerate() {
        header[64 + 2 * index..66 + 2 * index].copy_from_slice(&unit.to_be_bytes());
    }
    // One locator: a relative name in UTF-16, in the sector behind the table.
    let relative: Vec<u8> =
        format!(".\\{parent}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    header[576..580].copy_from_slice(b"W2ru");
    header[580..584].copy_from_slice(&512_u32.to_be_bytes());
    header[584..588].copy_from_slice(&(relative.len() as u32).to_be_bytes());
    header[592..600].copy_from_slice(&2048_u64.to_be_bytes());
    let sum = checksum(&header);
    header[36..40].copy_from_slice(&sum);
    let mut image = [&footer[..], &header].concat();
    let mut table = vec![0xff; 512];
    let mut data = Vec::new();
    for number in 0..blocks {
        let mine: Vec<_> =
            here.iter().filter(|(sector, _)| sector * 512 / block == number).collect();
        if mine.is_empty() {
            continue;
        }
        let at = (2560 + data.len()) / 512;
        table[4 * number..4 * number + 4].copy_from_slice(&(at as u32).to_be_bytes());
        let (mut bitmap, mut content) = (vec![0; 512], vec![0xee; block]);
        for (sector, value) in mine {
            let within = sector % (block / 512);
            bitmap[within / 8] |= 0x80 >> (within % 8);
            content[within * 512..within * 512 + 512].fill(*value);
        }
        data.extend(bitmap);
        data.extend(content);
    }
    image.extend(table);
    image.extend(relative);
    image.resize(2560, 0);
    image.extend(data);
    image.extend(footer);
    image
}

#[test]
fn a_differencing_image_shows_its_parent() {
    let disk = disk();
    for subformat in ["fixed", "dynamic"] {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("subformat={subformat},force_size=on");
        let all = ["-O", "vpc", "-o", &options];
        let Some(base) = convert(directory.path(), &disk, &all, "base.vhd") else { return };
        let here = [(0, 1), (3, 2), (4, 3), (7, 4), (8, 5), (2000, 6), (4095, 7), (4096, 8)];
        let path = directory.path().join("child.vhd");
        std::fs::write(&path, difference(&std::fs::read(&base).unwrap(), "base.vhd", &here))
            .unwrap();
        let mut expected = disk.clone();
        for (sector, value) in here {
            expected[sector * 512..sector * 512 + 512].fill(value);
        }
        let opened = image(&path);
        assert_eq!(texts(&opened.problems), "");
        assert_eq!(opened.files, ["child.vhd", "base.vhd"]);
        assert_shows(&opened, &expected, subformat);
        // Another image under the parent's name.
        let options = ["-O", "vpc", "-o", "force_size=on"];
        convert(directory.path(), &disk, &options, "base.vhd").unwrap();
        assert!(texts(&image(&path).problems).contains("the parent has the identifier"));
        std::fs::remove_file(base).unwrap();
        let opened = image(&path);
        assert!(
            texts(&opened.problems).contains("\"base.vhd\" that this one builds on is missing")
        );
        let error = opened.source.bytes_at(0, 4096).unwrap_err();
        assert_eq!((error.offset_bytes, error.length_bytes), (512, 1024));
    }
}

#[test]
fn a_published_image_opens() {
    let Some(path) = published("plaso/image.vhd") else { return };
    let opened = image(&path);
    assert_eq!(texts(&opened.problems), "");
    if tool("qemu-img").is_some() {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("image.vhd");
        std::fs::copy(&path, &copy).unwrap();
        let shown = shown_by_qemu(&copy);
        // qemu-img rounds the size down to whole cylinders.
        let length = shown.len().min(opened.source.size_bytes() as usize);
        assert!(opened.source.bytes_at(0, length).unwrap() == shown[..length]);
    }
}
