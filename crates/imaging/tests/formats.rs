//! Every format, over sizes, sector sizes, levels, segment lengths and bad sectors.
//!
//! Vouched for by independent tools: E01 by libewf's `ewfverify`, `ewfinfo` and `ewfexport` and by The Sleuth Kit; split raw
//! by putting the parts behind one another; Zstandard by `zstd`. And by an independent path: `evidence` reads the E01 back,
//! and what an image must be is computed from the source's bytes and its list of bad sectors.

mod common;

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use common::{Disk, run, tool};
use hashing::{Algorithm, Algorithms, digest_bytes};
use imaging::{
    About, Acquisition, Checkpoint, Compression, Ending, Error, Flush, Format, ImageFile,
    ImageWriter, Imaged, Medium, Part, Plan, ReadAt, Request, Start, create, image, publish,
    verify_copy,
};

const CHUNK: usize = 128 * 1024;

fn plan() -> Plan {
    Plan {
        algorithms: Algorithms::sha256().with(Algorithm::Md5).with(Algorithm::Sha1),
        chunk_bytes: CHUNK,
        buffers: 4,
        workers: NonZeroUsize::new(2).unwrap(),
        checkpoint_bytes: Some(4 * CHUNK as u64),
        piece_bytes: Some(300_000),
        ..Plan::default()
    }
}

fn request(format: Format, folder: &Path) -> Request {
    Request {
        format,
        folder: folder.to_path_buf(),
        stem: "image".to_owned(),
        split_bytes: None,
        compression: Compression::Fast,
        about: About {
            case: "2026-014".to_owned(),
            exhibit: "001".to_owned(),
            description: "the machine under the desk, größer".to_owned(),
            examiner: "E. Examiner".to_owned(),
            notes: "a\tb".to_owned(),
            model: "DISK 2000".to_owned(),
            serial: "S3R1AL".to_owned(),
            software: "glovebox 0.1.0".to_owned(),
            platform: "Linux".to_owned(),
            begun_unix_seconds: 1_798_761_599,
            set_identifier: *b"0123456789abcdef",
            is_disk: true,
        },
    }
}

fn medium(disk: &Disk) -> Medium {
    Medium {
        size_bytes: disk.bytes.len() as u64,
        sector_bytes: disk.sector,
        chunk_bytes: CHUNK as u64,
    }
}

/// Images, reads back, names; gives what was acquired and the copies.
fn make(disk: &Disk, requests: &[Request]) -> Imaged<Box<dyn ImageFile>> {
    let writers = requests.iter().map(|one| create(one, &medium(disk)).unwrap()).collect();
    let (plan, never) = (plan(), AtomicBool::new(false));
    let mut done =
        image(disk, writers, &plan, Start::new(&plan), None, &mut |_| {}, &never).unwrap();
    assert_eq!(done.acquisition.ending, Ending::Complete);
    for copy in &mut done.copies {
        assert!(copy.failure.is_none(), "{:?}", copy.failure);
        let verified = verify_copy(&*copy.writer, &done.acquisition, &mut |_| {}, &never).unwrap();
        publish(&mut *copy.writer, &verified).unwrap();
    }
    done
}

fn hex(bytes: &[u8], algorithm: Algorithm) -> String {
    digest_bytes(bytes, &Algorithms::sha256().with(algorithm)).of(algorithm).unwrap().to_hex()
}

/// What the tools of others say of an E01.
fn judge_e01(folder: &Path, disk: &Disk) {
    let image = disk.perfect_image();
    let (md5, sha1) = (hex(&image, Algorithm::Md5), hex(&image, Algorithm::Sha1));
    for options in [&["-q", "image.E01"][..], &["-q", "-d", "sha256", "image.E01"]] {
        let (is_good, said) = run("ewfverify", options, folder);
        assert!(is_good && said.contains("SUCCESS"), "{said}");
        assert!(said.contains(&md5), "MD5 {md5}: {said}");
    }
    let (is_good, said) = run("ewfinfo", &["image.E01"], folder);
    assert!(is_good, "{said}");
    for part in [
        "2026-014",
        "größer",
        "E. Examiner",
        "DISK 2000",
        "S3R1AL",
        &md5,
        &sha1,
        &format!("Bytes per sector:\t{}", disk.sector),
        &format!("Number of sectors:\t{}", disk.bytes.len() / disk.sector as usize),
        "Is physical:\t\tyes",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    if !disk.bad.is_empty() {
        let (first, count) = (disk.bad.first().unwrap(), disk.bad.len());
        assert!(said.contains(&format!("at sector(s): {first} ")), "{first} of {count}: {said}");
    }
    let (is_good, said) =
        run("ewfexport", &["-q", "-u", "-f", "raw", "-t", "out", "image.E01"], folder);
    assert!(is_good, "{said}");
    let exported = fs::read(folder.join("out.raw")).unwrap();
    assert!(exported == image, "ewfexport gives another disk");
    fs::remove_file(folder.join("out.raw")).unwrap();
    if tool("img_stat") {
        let (is_good, said) = run("img_stat", &["image.E01"], folder);
        assert!(is_good && said.contains(&format!("{}", image.len())), "{said}");
    }
}

#[test]
fn libewf_and_the_sleuth_kit_read_our_e01() {
    if !tool("ewfverify") {
        return;
    }
    let sector = 512u64;
    for (sectors, sector) in [
        (1u64, sector),
        (2, sector),
        (63, sector),
        (64, sector),
        (65, sector),
        (255, sector),
        (257, sector),
        (10_001, sector),
        (1, 4096),
        (9, 4096),
        (1001, 4096),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::new((sectors * sector) as usize, sector as u32);
        if sectors > 100 {
            disk = disk.with_bad([7, 8, 77, sectors - 1]);
        }
        make(&disk, &[request(Format::E01, dir.path())]);
        judge_e01(dir.path(), &disk);
    }
}

#[test]
fn every_level_and_length_of_segment_holds_the_same_disk() {
    if !tool("ewfverify") {
        return;
    }
    let disk = Disk::new(7_000_064, 512).with_bad([0, 13_671]);
    let mut sizes = Vec::new();
    for compression in [
        Compression::None,
        Compression::Zeros,
        Compression::Fast,
        Compression::Good,
        Compression::Best,
    ] {
        for split_bytes in [None, Some(1 << 20)] {
            let dir = tempfile::tempdir().unwrap();
            let request = Request { compression, split_bytes, ..request(Format::E01, dir.path()) };
            let done = make(&disk, &[request]);
            let paths = done.copies[0].writer.parts().paths();
            assert_eq!(paths.len() > 3, split_bytes.is_some(), "{paths:?}");
            let lengths = paths.iter().map(|path| fs::metadata(path).unwrap().len());
            let most = split_bytes.unwrap_or(u64::MAX);
            assert!(lengths.clone().all(|length| length <= most), "a segment is too long");
            if split_bytes.is_none() {
                sizes.push(lengths.sum::<u64>());
            }
            judge_e01(dir.path(), &disk);
        }
    }
    assert!(sizes[0] > 7_000_064 && sizes[1] < sizes[0] * 4 / 5, "{sizes:?}");
    // What there is to compress here is zeros, so the levels differ by little.
    assert!(sizes[2] <= sizes[1], "{sizes:?}");
    assert!(sizes[3] <= sizes[2] + 2000 && sizes[4] <= sizes[2] + 2000, "{sizes:?}");
}

/// More chunks than one table takes, so that there are several in a segment.
#[test]
fn tables_follow_one_another() {
    if !tool("ewfverify") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut disk = Disk::new(0, 512);
    disk.bytes = vec![0; 16_400 * 32 * 1024];
    disk.bytes[16_380 * 32 * 1024 + 5] = 1;
    let writers = vec![create(&request(Format::E01, dir.path()), &medium(&disk)).unwrap()];
    let plan = Plan { checkpoint_bytes: None, ..plan() };
    let never = AtomicBool::new(false);
    let done = image(&disk, writers, &plan, Start::new(&plan), None, &mut |_| {}, &never).unwrap();
    let mut copy = done.copies.into_iter().next().unwrap();
    let verified = verify_copy(&*copy.writer, &done.acquisition, &mut |_| {}, &never).unwrap();
    publish(&mut *copy.writer, &verified).unwrap();
    let (is_good, said) = run("ewfverify", &["-q", "image.E01"], dir.path());
    assert!(is_good && said.contains("SUCCESS"), "{said}");
    // The zero chunks come from a table: the whole is tiny.
    let length = fs::metadata(dir.path().join("image.E01")).unwrap().len();
    assert!(length < 3 << 20, "{length}");
}

#[test]
fn parts_of_split_raw_are_the_disk() {
    for (size, split) in [(3_000_000usize, 1_000_000u64), (1_048_576, 131_072), (1, 7), (0, 5)] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(size, 512);
        let request = Request { split_bytes: Some(split), ..request(Format::Raw, dir.path()) };
        make(&disk, &[request]);
        let (_, _) = run("sh", &["-c", "cat image.0?? > joined"], dir.path());
        assert!(fs::read(dir.path().join("joined")).unwrap() == disk.bytes, "{size} by {split}");
        let parts = fs::read_dir(dir.path()).unwrap().count() - 1;
        assert_eq!(parts as u64, (size as u64).div_ceil(split).max(1));
    }
}

#[test]
fn zstd_unpacks_our_frames() {
    if !tool("zstd") {
        return;
    }
    for compression in [Compression::None, Compression::Zeros, Compression::Fast] {
        for size in [0usize, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3_000_001] {
            let dir = tempfile::tempdir().unwrap();
            let mut disk = Disk::new(size, 512);
            for (index, byte) in disk.bytes.iter_mut().enumerate().filter(|(i, _)| i % 7 > 2) {
                *byte = (index / 1000) as u8;
            }
            make(&disk, &[Request { compression, ..request(Format::Zst, dir.path()) }]);
            let (is_good, said) = run("zstd", &["-t", "image.raw.zst"], dir.path());
            assert!(is_good, "{size}: {said}");
            let (is_good, said) = run("unzstd", &["-o", "out", "image.raw.zst"], dir.path());
            assert!(is_good, "{size}: {said}");
            assert!(fs::read(dir.path().join("out")).unwrap() == disk.bytes, "{size}");
            let file = fs::File::open(dir.path().join("image.raw.zst")).unwrap();
            let source = imaging::zst::ZstSource::open(file, 512).unwrap();
            for (at, length) in [(0usize, 10usize), (CHUNK - 5, 100), (size / 2, 70_000)] {
                let mut buffer = vec![0; length];
                let count = source.read_at(at as u64, &mut buffer).unwrap();
                let end = (at + count).min(size);
                assert_eq!(buffer[..count], disk.bytes[at.min(size)..end]);
            }
        }
    }
}

/// One read, four copies in two places; the digests are those of the bytes, and so are those of the pieces.
#[test]
fn one_read_makes_every_copy() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = Disk::new(2_000_384, 512).with_bad([100]);
    let requests = [
        request(Format::Raw, one.path()),
        request(Format::E01, one.path()),
        request(Format::Zst, one.path()),
        request(Format::E01, two.path()),
    ];
    let done = make(&disk, &requests);
    let expected = disk.perfect_image();
    assert_eq!(
        done.acquisition.digests.sha256_hex(),
        digest_bytes(&expected, &Algorithms::sha256()).sha256_hex()
    );
    assert!(fs::read(one.path().join("image.raw")).unwrap() == expected);
    assert!(
        fs::read(one.path().join("image.E01")).unwrap()
            == fs::read(two.path().join("image.E01")).unwrap(),
        "two copies of one format are the same file"
    );
    assert_eq!(done.pieces.len(), 7);
    for piece in &done.pieces {
        let (start, length) = (piece.offset_bytes as usize, piece.length_bytes as usize);
        let theirs = digest_bytes(&expected[start..start + length], &Algorithms::sha256());
        assert_eq!(piece.digests, theirs, "piece at {start}");
    }
}

/// A copy in memory that takes so many bytes.
struct Small {
    room_bytes: u64,
}

impl ImageWriter for Small {
    fn name(&self) -> String {
        "small".to_owned()
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        if part.offset_bytes + part.bytes.len() as u64 > self.room_bytes {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        Ok(Checkpoint { flush: Flush::default(), state: serde_json::Value::Null })
    }

    fn complete(&mut self, _acquisition: &Acquisition) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_copy_that_fails_harms_no_other() {
    let disk = Disk::new(3 << 20, 512);
    let (plan, never) = (plan(), AtomicBool::new(false));
    let writers = [1 << 20, u64::MAX, 0].map(|room_bytes| Small { room_bytes }).into();
    let done = image(&disk, writers, &plan, Start::new(&plan), None, &mut |_| {}, &never).unwrap();
    assert_eq!(done.acquisition.ending, Ending::Complete);
    assert_eq!(done.acquisition.copied_bytes, 3 << 20);
    let expected = digest_bytes(&disk.bytes, &Algorithms::sha256());
    assert!(done.acquisition.digests.agrees_with(&expected));
    let ends: Vec<(u64, Option<i32>)> = done
        .copies
        .iter()
        .map(|copy| (copy.written_bytes, copy.failure.as_ref().and_then(io::Error::raw_os_error)))
        .collect();
    assert_eq!(ends, [(1 << 20, Some(28)), (3 << 20, None), (0, Some(28))]);
    // With nobody left to write, reading stops soon.
    let writers = vec![Small { room_bytes: 1 << 20 }];
    let disk = Disk::new(16 << 20, 512);
    let done = image(&disk, writers, &plan, Start::new(&plan), None, &mut |_| {}, &never).unwrap();
    assert_eq!(done.acquisition.ending, Ending::NoCopyLeft);
    assert!(disk.reads.load(std::sync::atomic::Ordering::Relaxed) < 30);
}

/// A byte that changed on the medium is found, whatever the format, and the copy keeps its unfinished name.
#[test]
fn a_copy_that_changed_gets_no_name() {
    for (format, name) in
        [(Format::Raw, "image.raw"), (Format::E01, "image.E01"), (Format::Zst, "image.raw.zst")]
    {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(1 << 20, 512);
        let writers = vec![create(&request(format, dir.path()), &medium(&disk)).unwrap()];
        let (plan, never) = (plan(), AtomicBool::new(false));
        let done =
            image(&disk, writers, &plan, Start::new(&plan), None, &mut |_| {}, &never).unwrap();
        let path = dir.path().join(format!("{name}.partial"));
        let good = fs::read(&path).unwrap();
        let copy = &done.copies[0].writer;
        let mut wrong = good.clone();
        let middle = good.len() / 2;
        wrong[middle] ^= 1;
        for wrong in [&wrong[..], &good[..good.len() / 3]] {
            fs::write(&path, wrong).unwrap();
            let result = verify_copy(&**copy, &done.acquisition, &mut |_| {}, &never);
            assert!(result.is_err(), "{format:?}");
        }
        assert!(!dir.path().join(name).exists());
        fs::write(&path, &good).unwrap();
        verify_copy(&**copy, &done.acquisition, &mut |_| {}, &never).unwrap();
    }
}

#[test]
fn what_a_format_cannot_hold_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let of = |size_bytes| Medium { size_bytes, sector_bytes: 512, chunk_bytes: 1 << 20 };
    let split =
        |format, split_bytes| Request { split_bytes: Some(split_bytes), ..request(format, folder) };
    for (request, size) in [
        (request(Format::E01, folder), 0u64),
        (request(Format::E01, folder), 1000),
        (split(Format::E01, 1000), 1 << 20),
        (split(Format::E01, 1 << 20), 1 << 40),
        (split(Format::Raw, 0), 1 << 20),
        (split(Format::Raw, 1), 1000),
    ] {
        let result = create(&request, &of(size));
        assert!(matches!(result.err(), Some(Error::Format { .. })), "{request:?} {size}");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}
