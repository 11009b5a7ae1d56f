//! Raw images cut by split(1): the uncut image vouches.

use super::{assert_shows, disk, image, texts};
use crate::support::{run, text, tool};
use evidence::container::Format;

#[test]
fn every_way_of_naming_parts_is_joined() {
    let Some(split) = tool("split") else { return };
    let disk = disk();
    for (options, first) in [
        (&["-d", "-a3"][..], "image.000"),
        (&["--numeric-suffixes=1", "-a3"], "image.001"),
        (&["-a2"], "image.aa"),
        (&["-a3"], "image.aaa"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let raw = directory.path().join("raw");
        std::fs::write(&raw, &disk).unwrap();
        let mut all = options.to_vec();
        let stem = directory.path().join("image.");
        all.extend(["-b", "100000", text(&raw), text(&stem)]);
        run(&split, &all, "");
        let opened = image(&directory.path().join(first));
        assert_eq!(opened.format, Format::SplitRaw);
        assert_eq!(opened.files.len(), disk.len().div_ceil(100_000));
        assert_eq!(opened.problems, []);
        assert_shows(&opened, &disk, first);
    }
}

#[test]
fn parts_numbered_without_zeros_go_on_past_nine() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    for (number, part) in disk.chunks(300_000).enumerate() {
        std::fs::write(directory.path().join(format!("image.dd.{}", number + 1)), part).unwrap();
    }
    let opened = image(&directory.path().join("image.dd.1"));
    assert_eq!(opened.files.len(), 13);
    assert_shows(&opened, &disk, "image.dd.1");
    let later = image(&directory.path().join("image.dd.3"));
    assert_eq!(later.format, Format::Raw);
    assert!(texts(&later.problems).contains("later part"), "{:?}", later.problems);
}

#[test]
fn a_missing_part_is_a_hole_and_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let disk = disk();
    for (number, part) in disk.chunks(1 << 20).enumerate() {
        if number != 1 {
            std::fs::write(directory.path().join(format!("image.{number:03}")), part).unwrap();
        }
    }
    let opened = image(&directory.path().join("image.000"));
    assert!(texts(&opened.problems).contains("\"image.001\" is missing"), "{:?}", opened.problems);
    let source = &opened.source;
    assert_eq!(source.size_bytes(), disk.len() as u64);
    assert!(source.bytes_at(0, 1 << 20).unwrap() == disk[..1 << 20]);
    assert!(source.bytes_at(2 << 20, 1 << 20).unwrap() == disk[2 << 20..3 << 20]);
    let error = source.bytes_at(1_000_000, 2_000_000).unwrap_err();
    assert_eq!((error.offset_bytes, error.length_bytes), (1 << 20, 1 << 20));
}

#[test]
fn an_image_alone_stays_raw() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["image.001", "image", "image.dd", ".1"] {
        std::fs::write(directory.path().join(name), b"content").unwrap();
        let opened = image(&directory.path().join(name));
        assert_eq!((opened.format, opened.problems.len()), (Format::Raw, 0));
        assert_eq!(opened.source.size_bytes(), 7);
    }
}
