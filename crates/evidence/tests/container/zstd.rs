//! Disks in Zstandard frames. The `zstd` program makes the frames (tier 1); the seek table is put behind them here, after
//! its description, and the images `imaging` writes are read back in that crate's tests.

use super::support::bounded::bounded;
use super::support::{run, text, tool};
use super::{Opened, assert_shows, disk, hostile, image, texts, try_image};
use evidence::container::Format;
use std::path::Path;

/// The disk in frames of this length, each packed by `zstd` with these options, and the lengths of both.
fn frames(
    directory: &Path,
    disk: &[u8],
    each: usize,
    options: &[&str],
) -> Option<(Vec<u8>, Vec<[u32; 2]>)> {
    let zstd = tool("zstd")?;
    let (plain, packed) = (directory.join("frame"), directory.join("frame.zst"));
    let (mut all, mut lengths) = (Vec::new(), Vec::new());
    for piece in disk.chunks(each) {
        std::fs::write(&plain, piece).unwrap();
        let mut arguments = vec!["-q", "-f", "-o", text(&packed)];
        arguments.extend(options);
        arguments.push(text(&plain));
        run(&zstd, &arguments, "");
        let frame = std::fs::read(&packed).unwrap();
        lengths.push([frame.len() as u32, piece.len() as u32]);
        all.extend(frame);
    }
    Some((all, lengths))
}

/// A seek table without checksums (contrib/seekable_format/zstd_seekable_compression_format.md).
fn seek_table(lengths: &[[u32; 2]]) -> Vec<u8> {
    let mut table = 0x184d_2a5e_u32.to_le_bytes().to_vec();
    table.extend((lengths.len() as u32 * 8 + 9).to_le_bytes());
    table.extend(lengths.iter().flatten().flat_map(|length| length.to_le_bytes()));
    table.extend((lengths.len() as u32).to_le_bytes());
    table.push(0);
    table.extend(0x8f92_eab1_u32.to_le_bytes());
    table
}

fn shown(directory: &Path, content: &[u8]) -> Opened {
    let path = directory.join("disk.raw.zst");
    std::fs::write(&path, content).unwrap();
    let opened = image(&path);
    assert_eq!(opened.format, Format::Zstd);
    opened
}

#[test]
fn frames_with_a_seek_table_and_without() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    for options in [&["-3"][..], &["-3", "--no-check"], &["-19"]] {
        let Some((packed, lengths)) = frames(directory.path(), &disk, 700_000, options) else {
            return;
        };
        let with_table = [&packed[..], &seek_table(&lengths)].concat();
        assert_shows(&shown(directory.path(), &with_table), &disk, "with its table");
        assert_shows(&shown(directory.path(), &packed), &disk, "by its headers");
    }
}

#[test]
fn a_damaged_frame_is_a_hole_of_its_own_length() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    let Some((mut packed, lengths)) = frames(directory.path(), &disk, 100_000, &["-3"]) else {
        return;
    };
    // In the third frame: random bytes, which are stored, so that only the checksum can tell.
    let at = (lengths[0][0] + lengths[1][0] + lengths[2][0] / 2) as usize;
    packed[at] ^= 1;
    packed.extend(seek_table(&lengths));
    let opened = shown(directory.path(), &packed);
    for (number, piece) in disk.chunks(100_000).enumerate() {
        let read = opened.source.bytes_at(number as u64 * 100_000, 100_000);
        match number {
            2 => assert!(read.unwrap_err().to_string().contains("checksum is")),
            _ => assert!(read.unwrap() == piece, "{number}"),
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_in_place_is_named_with_the_way_out() {
    let Some(zstd) = tool("zstd") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (plain, packed) = (directory.path().join("disk"), directory.path().join("disk.zst"));
    let shell = Path::new("/bin/sh").to_path_buf();
    std::fs::write(&plain, disk()).unwrap();
    // From a pipe the length is not known when the header is written.
    let command = format!("{} -q < {} > {}", text(&zstd), text(&plain), text(&packed));
    run(&shell, &["-c", &command], "");
    let error = try_image(&packed).unwrap_err().to_string();
    assert!(error.contains("zstd -d"), "{error}");
    std::fs::write(&plain, vec![0; 40 << 20]).unwrap();
    run(&zstd, &["-q", "-f", "-o", text(&packed), text(&plain)], "");
    let error = try_image(&packed).unwrap_err().to_string();
    assert!(error.contains("41943040") && error.contains("zstd -d"), "{error}");
}

#[test]
fn mutated_zstd_never_panics_or_hangs() {
    bounded("zstd frames", || {
        let directory = tempfile::tempdir().unwrap();
        let disk = &disk()[550_000..750_000];
        let Some((packed, lengths)) = frames(directory.path(), disk, 30_000, &["-3"]) else {
            return;
        };
        hostile::mutate("a.zst", &packed, 40);
        hostile::mutate("b.zst", &[&packed[..], &seek_table(&lengths)].concat(), 40);
        assert!(texts(&shown(directory.path(), &packed).problems).is_empty());
    });
}
