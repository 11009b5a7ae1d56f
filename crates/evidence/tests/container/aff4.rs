//! AFF4. The reference images of the Standard's authors and pyaff4 vouch (tier 1): what pyaff4 reads of an image, digested
//! once and written down here, or what went into an image that pyaff4 wrote, is what must come out.
//!
//! `GLOVEBOX_AFF4_PYTHON` is an interpreter that has pyaff4; the test command of the project sets it.

use super::support::bounded::bounded;
use super::support::{run, text};
use super::{disk, fact, hostile, image, published, texts, try_image};
use evidence::Source;
use evidence::container::{Format, Opened};
use sha1::{Digest, Sha1};
use std::path::{Path, PathBuf};

const SIZE: u64 = 268_435_456;
const PIECE: usize = 1 << 16;

/// SHA-1 of a disk, and where 64 KiB could not be read, which count as zeros.
fn digest(source: &dyn Source) -> (String, Vec<u64>) {
    let mut hash = Sha1::new();
    let mut holes = Vec::new();
    let mut buffer = vec![0; PIECE];
    let mut at = 0;
    while at < source.size_bytes() {
        let count = usize::try_from((source.size_bytes() - at).min(PIECE as u64)).unwrap();
        match source.read_at(at, &mut buffer[..count]) {
            Ok(got) => assert_eq!(got, count),
            Err(_) => {
                holes.push(at);
                buffer[..count].fill(0);
            }
        }
        hash.update(&buffer[..count]);
        at += count as u64;
    }
    let sha1 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (sha1, holes)
}

/// An image of the Standard's authors (github aff4/ReferenceImages).
fn reference(name: &str) -> Option<Opened> {
    let opened = image(&published(&format!("aff4/{name}.aff4"))?);
    assert_eq!(opened.format, Format::Aff4);
    Some(opened)
}

#[test]
fn reference_images_read_as_pyaff4_reads_them() {
    let whole = ("7d3d27f667f95f7ec5b9d32121622c0f4b60b48d".to_owned(), Vec::new());
    for name in ["Base-Linear", "Base-Linear_2"] {
        let Some(opened) = reference(name) else { return };
        assert_eq!(opened.source.size_bytes(), SIZE);
        assert_eq!(digest(&*opened.source), whole, "{name}");
        assert!(opened.problems.is_empty(), "{}", texts(&opened.problems));
        assert_eq!(fact(&opened, "serial number"), Some("SGAT5060001234"));
        assert_eq!(fact(&opened, "case name"), Some("Canonical Image Generation"));
        assert_eq!(fact(&opened, "compression"), Some("snappy"));
        assert!(opened.as_digested.is_none());
        assert_eq!(opened.files.len(), if name == "Base-Linear" { 1 } else { 2 });
    }
}

#[test]
fn what_could_not_be_read_is_an_error_and_nothing_else_is() {
    let Some(opened) = reference("Base-Linear-ReadError") else { return };
    let (_, holes) = digest(&*opened.source);
    assert_eq!(holes.first(), Some(&15_728_640));
    let noted = texts(&opened.problems);
    assert!(noted.contains("sectors from sector 30720 could not be read"), "{noted}");
    assert!(opened.source.read_at(15_728_640 - 512, &mut [0; 512]).is_ok());
    assert!(opened.source.read_at(15_728_640, &mut [0; 1]).is_err());
    // With the Standard's text in the place of what is missing it is what pyaff4 reads.
    let (sha1, none) = digest(&**opened.as_digested.as_ref().unwrap());
    assert_eq!((sha1.as_str(), none), ("67e245a640e2784ead30c1ff1a3f8d237b58310f", Vec::new()));

    let Some(opened) = reference("Base-Allocated") else { return };
    let (sha1, none) = digest(&**opened.as_digested.as_ref().unwrap());
    assert_eq!((sha1.as_str(), none), ("e8650e89b262cf0b4b73c025312488d5a6317a26", Vec::new()));
    let (_, holes) = digest(&*opened.source);
    assert_eq!(holes.len() * PIECE, 65_011_712 + 176_160_768 + 2_097_152);
    assert!(texts(&opened.problems).contains("were not acquired"));
}

#[test]
fn a_lost_stripe_is_a_hole_and_is_named() {
    let Some(path) = published("aff4/Base-Linear_1.aff4") else { return };
    let directory = tempfile::tempdir().unwrap();
    let alone = directory.path().join("Base-Linear_1.aff4");
    std::fs::copy(path, &alone).unwrap();
    let opened = image(&alone);
    let noted = texts(&opened.problems);
    assert!(noted.contains("aff4://3bf0bd14-1ef9-4185-8b0a-2c7d511b4d30 is missing"), "{noted}");
    assert!(opened.source.read_at(0, &mut [0; 512]).is_err());
    assert!(opened.source.read_at(262_144, &mut [0; 65_536]).is_ok());
}

#[test]
fn nine_exabytes_with_gaps() {
    let Some(opened) = reference("Base-ExabyteSparse") else { return };
    assert_eq!(opened.source.size_bytes(), 0x7fff_ffff_ffff_fe00);
    let at = |offset, length| opened.source.bytes_at(offset, length).unwrap();
    assert_eq!(at(0, 1 << 20), vec![0xff; 1 << 20]);
    assert_eq!(at(1 << 40, 4096), vec![0; 4096]);
    assert_eq!(at(0x0400_0000_0000_0000, 512).len(), 512);
}

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("GLOVEBOX_AFF4_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("skipped: GLOVEBOX_AFF4_PYTHON is not set");
    }
    python
}

/// Lets pyaff4 write a disk as `aff4_judge.py` says.
fn written(directory: &Path, disk: &[u8], method: &str, bevy_chunks: &str) -> Option<PathBuf> {
    let python = python()?;
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/aff4_judge.py");
    let (raw, out) = (directory.join("raw"), directory.join("image.aff4"));
    std::fs::write(&raw, disk).unwrap();
    let _old = std::fs::remove_file(&out);
    let arguments = [text(&judge), "write", text(&out), text(&raw), method, bevy_chunks];
    run(&python, &arguments, "");
    Some(out)
}

#[test]
fn what_pyaff4_writes_by_every_compression() {
    let directory = tempfile::tempdir().unwrap();
    let disk = &disk()[300_000..1_500_007];
    let mut expected = disk.to_vec();
    for (number, piece) in expected.chunks_mut(PIECE).enumerate() {
        if number % 3 == 0 && piece.len() == PIECE {
            piece.fill(0);
        }
    }
    for (method, name) in [
        ("http://code.google.com/p/snappy/", "snappy"),
        ("https://code.google.com/p/lz4/", "lz4"),
        ("https://www.ietf.org/rfc/rfc1950.txt", "zlib"),
        ("http://aff4.org/Schema#NullCompressor", "none"),
    ] {
        let Some(path) = written(directory.path(), disk, method, "7") else { return };
        let opened = image(&path);
        assert_eq!(fact(&opened, "compression"), Some(name));
        assert_eq!(opened.source.size_bytes(), disk.len() as u64, "{name}");
        for (number, piece) in expected.chunks(PIECE).enumerate() {
            let got = opened.source.bytes_at((number * PIECE) as u64, PIECE);
            if number % 3 == 1 {
                assert!(got.is_err(), "{name}: piece {number} was unreadable");
            } else {
                assert!(got.unwrap() == piece, "{name}: piece {number}");
            }
        }
        let unread = texts(&opened.problems).matches("could not be read at acquisition").count();
        assert_eq!(unread, expected.chunks(PIECE).skip(1).step_by(3).count(), "{name}");
    }
}

#[test]
fn mutated_aff4_never_panics_or_hangs() {
    bounded("AFF4", || {
        let directory = tempfile::tempdir().unwrap();
        for method in ["http://code.google.com/p/snappy/", "https://code.google.com/p/lz4/"] {
            let Some(path) = written(directory.path(), &disk()[580_000..700_000], method, "2")
            else {
                return;
            };
            hostile::mutate("a_1.aff4", &std::fs::read(path).unwrap(), 60);
        }
    });
}

#[test]
fn an_image_that_was_cut_off_is_refused_by_name() {
    let Some(path) = published("aff4/Base-Linear.aff4") else { return };
    let whole = std::fs::read(path).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cut = directory.path().join("cut.aff4");
    std::fs::write(&cut, &whole[..whole.len() - 5000]).unwrap();
    let error = try_image(&cut).unwrap_err().to_string();
    assert!(error.contains("no ZIP directory at its end"), "{error}");
}

#[test]
fn other_zip_files_are_no_images() {
    let mut zip = b"PK\x03\x04".to_vec();
    zip.resize(2000, 7);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("some.zip");
    std::fs::write(&path, &zip).unwrap();
    let opened = image(&path);
    assert_eq!(opened.format, Format::Raw);
    assert_eq!(opened.source.bytes_at(0, 4000).unwrap(), zip);
}
