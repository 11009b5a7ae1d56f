//! Imaging that is killed again and again, and goes on each time.
//!
//! Vouched for by an independent path: the final copies are compared with the bytes of the source; `ewfverify` and `zstd`
//! judge theirs when they are there. The killed program is this test, run as a child.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use common::{Disk, run, tool};
use evidence::container::{self, Siblings};
use evidence::{MemSource, Source};
use hashing::{Algorithm, Algorithms, digest_bytes};
use imaging::{
    About, Compression, CopyEnd, Ending, Format, Medium, Outcome, ReadAt as _, ReadBack, Request,
    Session, Step, Work,
};

const CHUNK: u64 = 64 * 1024;
const KILLS: usize = 50;
const FOLDER: &str = "GLOVEBOX_TEST_INTERRUPTED_FOLDER";
const ORDER: &str = "GLOVEBOX_TEST_INTERRUPTED_ORDER";

/// In which order the source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Every format, from the beginning to the end.
    Ascending,
    /// Raw copies, what fails last.
    BadLast,
}

fn disk() -> Disk {
    Disk::new(4 * 1024 * 1024 + 512, 512).with_bad([3, 5000, 5001, 8192])
}

fn request(format: Format, folder: &Path, split_bytes: Option<u64>) -> Request {
    Request {
        format,
        folder: folder.to_path_buf(),
        stem: "image".to_owned(),
        split_bytes,
        compression: Compression::Fast,
        about: About::default(),
    }
}

fn work(folder: &Path, disk: &Disk) -> Work {
    let all = ordered(folder, disk);
    if std::env::var_os(ORDER).is_none() {
        return all;
    }
    let raw = all.requests.iter().filter(|request| request.format == Format::Raw);
    Work { requests: raw.cloned().collect(), skip_slow_seconds: Some(9), ..all }
}

fn ordered(folder: &Path, disk: &Disk) -> Work {
    Work {
        requests: vec![
            request(Format::Raw, folder, None),
            request(Format::Raw, folder, Some(1_500_000)),
            request(Format::E01, folder, Some(1 << 20)),
            request(Format::Zst, folder, None),
            request(Format::Aff4, folder, None),
        ],
        medium: Medium {
            size_bytes: disk.size_bytes(),
            sector_bytes: disk.sector_bytes(),
            chunk_bytes: CHUNK,
        },
        algorithms: vec![Algorithm::Md5, Algorithm::Sha256],
        retries: 1,
        skip_slow_seconds: None,
        read_timeout_seconds: None,
        checkpoint_bytes: 4 * CHUNK,
        piece_bytes: Some(1_000_000),
        source: serde_json::Value::Null,
        others: Vec::new(),
    }
}

fn session(folder: &Path, disk: &Disk) -> Session {
    let journal = folder.join("image.journal");
    let workers = NonZeroUsize::new(2).unwrap();
    if journal.exists() {
        match Session::resume(&journal, workers) {
            Ok(session) => return session,
            // Killed while the very first line was being written: nothing was made yet.
            Err(imaging::Error::Journal { .. }) => fs::remove_file(&journal).unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
    Session::begin(&journal, work(folder, disk), workers).unwrap()
}

/// Not a test: what the child does when this program runs itself.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let disk = disk();
    let session = session(Path::new(&folder), &disk);
    let mut out = std::io::stdout();
    writeln!(out, "from {}", session.start_bytes()).unwrap();
    let mut tell = |step: Step<'_>| {
        let letter = match step {
            Step::Writing(_) => "w",
            Step::FillingIn { .. } => "f",
            Step::ReadingBack(..) => "v",
        };
        writeln!(std::io::stdout(), "{letter}").unwrap();
    };
    let never = AtomicBool::new(false);
    let outcome = session.run(&disk, ReadBack::Each, &mut tell, &never).unwrap();
    assert_eq!(outcome.acquisition.ending, Ending::Complete);
    assert!(outcome.copies.iter().all(|copy| matches!(copy.end, CopyEnd::Verified)), "{outcome:?}");
    let sectors: Vec<u64> = outcome
        .acquisition
        .bad
        .iter()
        .flat_map(|bad| bad.sectors(512).map(|(first, count)| first..first + count).unwrap())
        .collect();
    let pieces: Vec<String> =
        outcome.pieces.iter().map(|piece| piece.digests.sha256_hex()).collect();
    writeln!(out, "done {:?} {sectors:?} {pieces:?}", outcome.acquisition.digests).unwrap();
}

fn start(folder: &Path, order: Order) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if order == Order::BadLast {
        command.env(ORDER, "1");
    }
    command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What looks finished is finished: a copy that has its name is whole.
fn nothing_pretends(folder: &Path, image: &[u8]) {
    if let Ok(raw) = fs::read(folder.join("image.raw")) {
        assert!(raw == image, "image.raw has its name and is not the disk");
    }
    for first in ["image.E01", "image.001"] {
        let stem = &first[..first.len() - 2];
        if folder.join(first).exists() {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
            let is_open = |name: &String| name.starts_with(stem) && name.ends_with(".partial");
            assert!(!names.iter().any(is_open), "{names:?}");
        }
    }
}

/// Raw, split raw, E01, zst and AFF4 at once: each of them is killed fifty times.
#[test]
fn killed_fifty_times_the_copies_are_right_each_time() {
    killed(Order::Ascending);
}

#[test]
fn killed_fifty_times_while_what_is_bad_comes_last() {
    killed(Order::BadLast);
}

fn killed(order: Order) {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let disk = disk();
    let image = disk.perfect_image();
    let expected = digest_bytes(&image, &Algorithms::sha256().with(Algorithm::Md5));
    let pieces: Vec<String> = image
        .chunks(1_000_000)
        .map(|piece| digest_bytes(piece, &Algorithms::sha256()).sha256_hex())
        .collect();
    let last = format!("done {expected:?} [3, 5000, 5001, 8192] {pieces:?}");
    let (mut kills, mut finished, mut went_on) = (0, 0, 0);
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut folder = tempfile::tempdir().unwrap();
    while kills < KILLS || finished < 5 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // About 65 lines of writing and 20 of reading back.
        let patience = if kills < KILLS { (random % 95) as usize } else { usize::MAX };
        let mut child = start(folder.path(), order);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut done = None;
        for line in lines.by_ref().take(patience) {
            let line = line.unwrap();
            // The test harness has begun the line.
            went_on += usize::from(line.contains("from ") && !line.ends_with("from 0"));
            if line.starts_with("done") {
                done = Some(line);
            }
        }
        if done.is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        let _ended = child.wait().unwrap();
        // It may have finished between the last line read and the kill.
        done = done.or_else(|| lines.map_while(Result::ok).find(|line| line.starts_with("done")));
        nothing_pretends(folder.path(), &image);
        if let Some(done) = done {
            assert_eq!(done, last);
            judge(folder.path(), &image, order);
            finished += 1;
            folder = tempfile::tempdir().unwrap();
        }
    }
    println!("{kills} kills, {went_on} times gone on in the middle, {finished} finished");
    assert!(went_on > KILLS / 4, "only {went_on} runs went on in the middle");
}

/// No other file of an image of one part.
struct Alone;

impl Siblings for Alone {
    fn open(&self, _name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
        Ok(None)
    }
}

fn judge(folder: &Path, image: &[u8], order: Order) {
    assert!(fs::read(folder.join("image.raw")).unwrap() == image);
    let (_, _) = run("sh", &["-c", "cat image.00? > joined"], folder);
    assert!(fs::read(folder.join("joined")).unwrap() == image);
    let left = fs::read_dir(folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.ends_with(".partial") || name.ends_with(".journal")
    });
    assert_eq!(left.count(), 0);
    if order == Order::BadLast {
        return;
    }
    // Our reader of other people's images; pyaff4 judges in the tests of the format.
    let aff4 = fs::read(folder.join("image.aff4")).unwrap();
    let opened = container::open(Arc::new(MemSource::new(aff4)), b"image.aff4", &Alone).unwrap();
    let mut bytes = vec![0; image.len()];
    for (number, sector) in bytes.chunks_mut(512).enumerate() {
        match opened.source.read_at(number as u64 * 512, sector) {
            Ok(count) => assert_eq!(count, sector.len()),
            // What could not be read is an error of exactly that sector.
            Err(_) => assert!([3, 5000, 5001, 8192].contains(&number), "{number}"),
        }
    }
    assert!(bytes == image, "image.aff4");
    if tool("ewfverify") {
        let (is_good, said) = run("ewfverify", &["-q", "image.E01"], folder);
        assert!(is_good && said.contains("SUCCESS"), "{said}");
    }
    if tool("unzstd") {
        let (is_good, said) = run("unzstd", &["-q", "-o", "unpacked", "image.raw.zst"], folder);
        assert!(is_good, "{said}");
        assert!(fs::read(folder.join("unpacked")).unwrap() == image);
    }
}

fn begin_and_run(folder: &Path, disk: &Disk, cancel: &AtomicBool) -> Outcome {
    session(folder, disk).run(disk, ReadBack::Each, &mut |_| {}, cancel).unwrap()
}

/// The cable was pulled; with the disk back, the work goes on where it stood.
#[test]
fn a_source_that_went_away_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let mut lost = disk();
    lost.vanishes_at = Some(2_500_000);
    let outcome = begin_and_run(folder.path(), &lost, &never);
    assert_eq!(outcome.acquisition.ending, Ending::SourceLost);
    assert!(outcome.can_resume);
    assert!(outcome.copies.iter().all(|copy| matches!(copy.end, CopyEnd::Unfinished)));
    let back = disk();
    let outcome = begin_and_run(folder.path(), &back, &never);
    assert!(!outcome.can_resume);
    // Without reading again what was there already.
    let reads = back.reads.load(std::sync::atomic::Ordering::Relaxed);
    assert!(reads < 70, "{reads} reads");
    judge(folder.path(), &back.perfect_image(), Order::Ascending);
    let expected = digest_bytes(&back.perfect_image(), &Algorithms::sha256());
    assert!(outcome.acquisition.digests.agrees_with(&expected));
}

/// Stopped when everything was written and nothing was read back: no format takes its own end for something unknown (an
/// AFF4 image with its directory behind it once counted as lost).
#[test]
fn stopped_before_reading_back_every_format_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, cancel) = (disk(), AtomicBool::new(false));
    let stop = std::sync::atomic::Ordering::Relaxed;
    let mut told = |step: Step<'_>| cancel.store(matches!(step, Step::ReadingBack(..)), stop);
    let session = session(folder.path(), &disk);
    let first = session.run(&disk, ReadBack::Each, &mut told, &cancel).unwrap();
    assert!(first.can_resume);
    assert_eq!(first.acquisition.ending, Ending::Complete);
    let second = begin_and_run(folder.path(), &disk, &AtomicBool::new(false));
    assert!(second.copies.iter().all(|copy| matches!(copy.end, CopyEnd::Verified)), "{second:?}");
    judge(folder.path(), &disk.perfect_image(), Order::Ascending);
}

#[test]
fn another_disk_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let mut lost = disk();
    lost.vanishes_at = Some(2_500_000);
    begin_and_run(folder.path(), &lost, &never);
    let other = Disk::new(1 << 20, 512);
    let result = session(folder.path(), &disk()).run(&other, ReadBack::Each, &mut |_| {}, &never);
    assert!(matches!(result.err(), Some(imaging::Error::OtherSource { .. })));
}

/// What a power cut takes from a copy although it was flushed: the copy is not named, however it ends.
#[test]
fn a_copy_that_lost_bytes_in_between_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let mut lost = disk();
    lost.vanishes_at = Some(2_500_000);
    begin_and_run(folder.path(), &lost, &never);
    let path = folder.path().join("image.raw.partial");
    let mut bytes = fs::read(&path).unwrap();
    bytes[1_000_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let outcome = begin_and_run(folder.path(), &disk(), &never);
    let ends: Vec<bool> =
        outcome.copies.iter().map(|copy| matches!(copy.end, CopyEnd::Verified)).collect();
    assert_eq!(ends, [false, true, true, true, true]);
    assert!(!folder.path().join("image.raw").exists());
}

/// A medium that fills up ends its own copies and names them; the others are whole.
#[test]
fn a_full_medium_ends_its_copy_alone() {
    let small = tempfile::tempdir().unwrap();
    let place = small.path().to_string_lossy().into_owned();
    let mount = ["-t", "tmpfs", "-o", "size=2m", "none", &place];
    let (is_mounted, said) = run("mount", &mount, Path::new("/"));
    if !is_mounted {
        println!("skipped: no tmpfs here: {said}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = disk();
    let mut work = work(folder.path(), &disk);
    work.requests.insert(1, request(Format::Raw, small.path(), None));
    work.requests.insert(2, request(Format::E01, small.path(), None));
    let journal = folder.path().join("image.journal");
    let session = Session::begin(&journal, work, NonZeroUsize::MIN).unwrap();
    let never = AtomicBool::new(false);
    let outcome = session.run(&disk, ReadBack::Each, &mut |_| {}, &never).unwrap();
    let (_, _) = run("umount", &[&place], Path::new("/"));
    for copy in &outcome.copies {
        match (&copy.end, copy.request) {
            (CopyEnd::Failed(error), 1 | 2) => {
                let text = std::error::Error::source(error).unwrap().to_string();
                assert!(text.contains("space"), "{text}");
                assert!(copy.written_bytes < 4 << 20);
                assert!(error.to_string().contains(&place), "{error}");
            }
            (CopyEnd::Verified, _) => {}
            other => panic!("{other:?}"),
        }
    }
    judge(folder.path(), &disk.perfect_image(), Order::Ascending);
}

/// A journal that was changed or torn is never believed further than it is whole.
#[test]
fn a_torn_journal_goes_back_to_its_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let mut lost = disk();
    lost.vanishes_at = Some(2_500_000);
    begin_and_run(folder.path(), &lost, &never);
    let path = folder.path().join("image.journal");
    let text = fs::read(&path).unwrap();
    // Half of the last line is missing: the checkpoint before it counts.
    fs::write(&path, &text[..text.len() - 40]).unwrap();
    let session = session(folder.path(), &disk());
    let start = session.start_bytes();
    assert!(start < 2_500_000 && start.is_multiple_of(4 * CHUNK), "{start}");
    let outcome = session.run(&disk(), ReadBack::Each, &mut |_| {}, &never).unwrap();
    assert!(outcome.copies.iter().all(|copy| matches!(copy.end, CopyEnd::Verified)));
    judge(folder.path(), &disk().perfect_image(), Order::Ascending);
}
