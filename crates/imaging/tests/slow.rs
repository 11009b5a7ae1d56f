//! Disks that take long, hang, or give a sector only when asked again: what is read in which order, and what is said of it.
//!
//! Vouched for by an independent path: what an image must be is computed here from the bytes of the source; the map is read
//! by GNU ddrescue's `ddrescuelog`.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Disk, tool};
use hashing::{Algorithm, Algorithms, digest_bytes};
use imaging::{
    About, Acquisition, Compression, CopyEnd, Ending, Error, Format, Journal, Medium, NullSink,
    Outcome, PartialFile, Plan, ReadAt, ReadBack, Request, Session, Step, TimedSource, Unread,
    Work, acquire, map_text,
};

/// Long enough that a sound read does not take it on a busy machine.
const LIMIT: Duration = Duration::from_millis(250);

/// A disk that hangs on some sectors, gives others only at the n-th time, and knows the order of what it was asked.
struct Sick {
    disk: Disk,
    hangs: BTreeSet<u64>,
    hang: Duration,
    /// Sectors that are given when they were asked for so many times by themselves.
    heals: Mutex<BTreeMap<u64, u32>>,
    hung: AtomicUsize,
    asked: Mutex<Vec<(u64, usize)>>,
}

impl Sick {
    fn new(disk: Disk) -> Self {
        Self {
            disk,
            hangs: BTreeSet::new(),
            hang: Duration::from_millis(1500),
            heals: Mutex::new(BTreeMap::new()),
            hung: AtomicUsize::new(0),
            asked: Mutex::new(Vec::new()),
        }
    }
}

impl ReadAt for Sick {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.asked.lock().unwrap().push((offset / 512, buffer.len().div_ceil(512)));
        let sectors = offset / 512..(offset + buffer.len() as u64).div_ceil(512);
        if self.hangs.range(sectors.clone()).next().is_some() {
            self.hung.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(self.hang);
            return Err(io::Error::from_raw_os_error(5));
        }
        let mut heals = self.heals.lock().unwrap();
        if heals.range(sectors.clone()).next().is_some() {
            let alone = sectors.end - sectors.start == 1;
            let left = heals.get_mut(&sectors.start).filter(|_| alone);
            match left {
                Some(0) => {}
                Some(left) => {
                    *left -= 1;
                    return Err(io::Error::from_raw_os_error(5));
                }
                None => return Err(io::Error::from_raw_os_error(5)),
            }
        }
        self.disk.read_at(offset, buffer)
    }

    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        512
    }
}

fn sectors(acquisition: &Acquisition, why: Unread) -> BTreeSet<u64> {
    let runs = acquisition.bad.runs().filter(|run| run.why == why);
    runs.flat_map(|run| run.extent.offset_bytes / 512..run.extent.end_bytes().div_ceil(512))
        .collect()
}

fn without(bytes: &[u8], missing: &BTreeSet<u64>) -> Vec<u8> {
    let mut image = bytes.to_vec();
    for sector in missing {
        let start = *sector as usize * 512;
        image[start..start + 512].fill(0);
    }
    image
}

fn listed(map: &Path, status: &str) -> BTreeSet<u64> {
    let out = Command::new("ddrescuelog")
        .args(["-b512", &format!("--list-blocks={status}")])
        .arg(map)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(|line| line.trim().parse().unwrap()).collect()
}

fn plan() -> Plan {
    Plan { chunk_bytes: 1 << 17, buffers: 4, ..Plan::default() }
}

#[test]
fn a_hung_sector_costs_two_waits_and_no_neighbour() {
    let folder = tempfile::tempdir().unwrap();
    let mut sick = Sick::new(Disk::new(1 << 20, 512).with_bad([300, 777]));
    sick.hangs.extend([310, 1500]);
    let sick = Arc::new(sick);
    let timed = TimedSource::new(Arc::clone(&sick) as Arc<dyn ReadAt>, LIMIT);
    let mut sink = PartialFile::create(&folder.path().join("disk.raw")).unwrap();
    let never = AtomicBool::new(false);
    let acquisition = acquire(&timed, &mut sink, &plan(), &mut |_| {}, &never).unwrap();
    assert_eq!(acquisition.ending, Ending::Complete);
    assert_eq!(sectors(&acquisition, Unread::TimedOut), BTreeSet::from([310, 1500]));
    assert_eq!(sectors(&acquisition, Unread::Bad), BTreeSet::from([300, 777]));
    let image = fs::read(sink.partial_path()).unwrap();
    assert!(image == without(&sick.disk.bytes, &BTreeSet::from([300, 310, 777, 1500])));
    // The chunk, the sector from the front, the sector from behind.
    assert_eq!(sick.hung.load(Ordering::Relaxed), 6);
    if tool("ddrescuelog") {
        let map = folder.path().join("map");
        fs::write(&map, map_text(&acquisition)).unwrap();
        assert_eq!(listed(&map, "-"), BTreeSet::from([300, 777]));
        assert_eq!(listed(&map, "/"), BTreeSet::from([310, 1500]));
        assert_eq!(listed(&map, "+").len(), 2044);
    }
}

#[test]
fn a_hung_stretch_is_given_up_between_its_edges() {
    let mut sick = Sick::new(Disk::new(1 << 20, 512));
    sick.hangs.extend(600..700);
    let sick = Arc::new(sick);
    let timed = TimedSource::new(Arc::clone(&sick) as Arc<dyn ReadAt>, LIMIT);
    let never = AtomicBool::new(false);
    let acquisition = acquire(&timed, &mut NullSink, &plan(), &mut |_| {}, &never).unwrap();
    assert_eq!(sectors(&acquisition, Unread::TimedOut), (600..700).collect());
    assert!(sectors(&acquisition, Unread::Bad).is_empty());
    assert_eq!(sick.hung.load(Ordering::Relaxed), 3);
}

/// A command that never comes back stops everything behind it: nothing of that may be called bad.
#[test]
fn a_disk_that_hangs_everywhere_is_lost_and_not_bad() {
    let mut sick = Sick::new(Disk::new(1 << 20, 512));
    sick.hangs.extend(0..2048);
    sick.hang = Duration::from_secs(20);
    let timed = TimedSource::new(Arc::new(sick), LIMIT);
    let never = AtomicBool::new(false);
    let begun = Instant::now();
    let acquisition = acquire(&timed, &mut NullSink, &plan(), &mut |_| {}, &never).unwrap();
    assert_eq!(acquisition.ending, Ending::SourceLost);
    assert!(acquisition.bad.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_late_answer_is_not_taken_for_another_place() {
    let mut sick = Sick::new(Disk::new(1 << 20, 512));
    sick.hangs.extend([40]);
    sick.hang = Duration::from_millis(400);
    let sick = Arc::new(sick);
    let timed = TimedSource::new(Arc::clone(&sick) as Arc<dyn ReadAt>, LIMIT);
    let never = AtomicBool::new(false);
    for _ in 0..3 {
        let acquisition = acquire(&timed, &mut NullSink, &plan(), &mut |_| {}, &never).unwrap();
        let expected =
            digest_bytes(&without(&sick.disk.bytes, &BTreeSet::from([40])), &Algorithms::sha256());
        assert_eq!(acquisition.digests, expected);
    }
}

/// Errors that heal when asked again: none is lost, from whichever side they come.
#[test]
fn retries_go_backwards_and_forwards_in_turns() {
    let never = AtomicBool::new(false);
    let sick = Sick::new(Disk::new(1 << 17, 512));
    // Asked once while narrowing, then once in each retry.
    sick.heals.lock().unwrap().extend([(10, 1), (11, 2), (12, 3), (90, 4)]);
    let retries = Plan { retries: 3, ..plan() };
    let acquisition = acquire(&sick, &mut NullSink, &retries, &mut |_| {}, &never).unwrap();
    assert_eq!(sectors(&acquisition, Unread::Bad), BTreeSet::from([90]));
    let asked = sick.asked.lock().unwrap();
    let alone: Vec<u64> =
        asked.iter().filter(|(_, count)| *count == 1).map(|(sector, _)| *sector).collect();
    let turns = [90, 12, 11, 10, 11, 12, 90, 90, 12];
    assert!(alone.windows(turns.len()).any(|some| some == turns), "{alone:?}");
}

const CHUNK: u64 = 64 * 1024;

fn work(folder: &Path, size_bytes: u64, format: Format) -> Work {
    let request = |format, split_bytes| Request {
        format,
        folder: folder.to_path_buf(),
        stem: "image".to_owned(),
        split_bytes,
        compression: Compression::Fast,
        about: About::default(),
    };
    Work {
        requests: vec![request(Format::Raw, None), request(format, Some(700_000))],
        medium: Medium { size_bytes, sector_bytes: 512, chunk_bytes: CHUNK },
        algorithms: vec![Algorithm::Md5, Algorithm::Sha256],
        retries: 3,
        skip_slow_seconds: Some(1),
        read_timeout_seconds: None,
        checkpoint_bytes: 4 * CHUNK,
        piece_bytes: Some(500_000),
        source: serde_json::Value::Null,
        others: Vec::new(),
    }
}

/// Bad sectors alone, in a run over chunk borders, at both ends; others that heal.
fn dying() -> Sick {
    let bad = [0, 8192].into_iter().chain(1000..1500).chain([4000, 4002]);
    let sick = Sick::new(Disk::new(4 * 1024 * 1024 + 512, 512).with_bad(bad));
    sick.heals.lock().unwrap().extend([(3000, 1), (3001, 2), (3002, 3), (6000, 2)]);
    sick
}

fn run(folder: &Path, sick: &Sick, cancel: &AtomicBool, steps: usize) -> Outcome {
    let journal = folder.join("image.journal");
    let session = if journal.exists() {
        Session::resume(&journal, NonZeroUsize::MIN).unwrap()
    } else {
        let work = work(folder, sick.size_bytes(), Format::Raw);
        Session::begin(&journal, work, NonZeroUsize::MIN).unwrap()
    };
    let mut left = steps;
    let mut told = |_: Step<'_>| {
        left = left.saturating_sub(1);
        cancel.store(left == 0, Ordering::Relaxed);
    };
    session.run(sick, ReadBack::Each, &mut told, cancel).unwrap()
}

fn judge(folder: &Path, sick: &Sick, outcome: &Outcome) {
    assert_eq!(outcome.acquisition.ending, Ending::Complete);
    assert!(outcome.copies.iter().all(|copy| matches!(copy.end, CopyEnd::Verified)), "{outcome:?}");
    let image = sick.disk.perfect_image();
    assert!(fs::read(folder.join("image.raw")).unwrap() == image);
    let mut joined = Vec::new();
    for part in 1..=7 {
        if let Ok(bytes) = fs::read(folder.join(format!("image.00{part}"))) {
            joined.extend(bytes);
        }
    }
    assert!(joined == image);
    assert_eq!(sectors(&outcome.acquisition, Unread::Bad), sick.disk.bad);
    assert_eq!(outcome.acquisition.bad.total_bytes(), sick.disk.bad.len() as u64 * 512);
    let wanted = Algorithms::sha256().with(Algorithm::Md5);
    assert_eq!(outcome.acquisition.digests, digest_bytes(&image, &wanted));
    let pieces = image.chunks(500_000).map(|piece| digest_bytes(piece, &Algorithms::sha256()));
    let ours = outcome.pieces.iter().map(|piece| piece.digests.clone());
    assert_eq!(ours.collect::<Vec<_>>(), pieces.collect::<Vec<_>>());
    assert!(!folder.join("image.journal").exists());
}

#[test]
fn what_is_put_off_comes_last_and_the_image_is_the_perfect_one() {
    let folder = tempfile::tempdir().unwrap();
    let sick = dying();
    let outcome = run(folder.path(), &sick, &AtomicBool::new(false), usize::MAX);
    judge(folder.path(), &sick, &outcome);
    // Nothing is asked for by the sector before the last chunk was asked for as a whole.
    let asked = sick.asked.lock().unwrap();
    let last = asked.iter().position(|(sector, count)| *sector >= 8064 && *count > 1).unwrap();
    let early = asked[..last].iter().filter(|(_, count)| *count == 1);
    // One is asked for after each failure, to know whether the disk is still there.
    assert!(early.count() < 20, "{:?}", &asked[..last]);
    if tool("ddrescuelog") {
        let map = folder.path().join("map");
        fs::write(&map, map_text(&outcome.acquisition)).unwrap();
        assert_eq!(listed(&map, "-"), sick.disk.bad);
        assert_eq!(listed(&map, "?*/").len(), 0);
    }
}

/// Stopped after any number of steps and gone on with: the same image, and what was not reached stands in the map as such.
#[test]
fn stopped_anywhere_it_goes_on_to_the_same_image() {
    let mut filling = 0;
    for steps in (1..260).step_by(19) {
        let folder = tempfile::tempdir().unwrap();
        let sick = dying();
        let first = run(folder.path(), &sick, &AtomicBool::new(false), steps);
        if !first.can_resume {
            judge(folder.path(), &sick, &first);
            continue;
        }
        let is_filling = first.acquisition.copied_bytes == sick.size_bytes()
            && first.acquisition.ending == Ending::Cancelled;
        filling += usize::from(is_filling);
        if is_filling {
            assert!(first.acquisition.digests.iter().next().is_none(), "no digest of a half image");
        }
        let second = run(folder.path(), &sick, &AtomicBool::new(false), usize::MAX);
        judge(folder.path(), &sick, &second);
    }
    assert!(filling > 1, "only {filling} were stopped while filling in");
}

/// A kill between filling a chunk and noting it, or a torn note: the chunk is begun anew, and the image is right.
#[test]
fn a_chunk_that_is_not_what_was_noted_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let sick = dying();
    let stopped = run(folder.path(), &sick, &AtomicBool::new(false), 110);
    assert!(stopped.can_resume && stopped.acquisition.copied_bytes == sick.size_bytes());
    let journal = folder.path().join("image.journal");
    let text = fs::read_to_string(&journal).unwrap();
    assert!(text.contains("late_sha256"), "it was not stopped while filling in");
    fs::write(&journal, &text[..text.len() - 30]).unwrap();
    let raw = folder.path().join("image.raw.partial");
    let mut bytes = fs::read(&raw).unwrap();
    // In both copies one late chunk holds something else.
    bytes[1200 * 512] ^= 1;
    bytes[1400 * 512] ^= 1;
    fs::write(&raw, &bytes).unwrap();
    let second = run(folder.path(), &sick, &AtomicBool::new(false), usize::MAX);
    judge(folder.path(), &sick, &second);
}

/// What was read in the first half and is changed on the medium before it is read back is found.
#[test]
fn a_changed_copy_is_found_although_its_digest_comes_from_it() {
    for place in [2_000_000, 1100 * 512] {
        let folder = tempfile::tempdir().unwrap();
        let sick = dying();
        let journal = folder.path().join("image.journal");
        let work = work(folder.path(), sick.size_bytes(), Format::Raw);
        let session = Session::begin(&journal, work, NonZeroUsize::MIN).unwrap();
        let raw = folder.path().join("image.raw.partial");
        let mut is_changed = false;
        let mut told = |step: Step<'_>| {
            if let (Step::ReadingBack(0, _), false) = (step, is_changed) {
                is_changed = true;
                let mut bytes = fs::read(&raw).unwrap();
                bytes[place] ^= 1;
                fs::write(&raw, bytes).unwrap();
            }
        };
        let never = AtomicBool::new(false);
        let outcome = session.run(&sick, ReadBack::Each, &mut told, &never).unwrap();
        assert!(matches!(outcome.copies[0].end, CopyEnd::Failed(_)), "{place}");
        assert!(matches!(outcome.copies[1].end, CopyEnd::Verified), "{place}");
    }
}

#[test]
fn formats_that_are_written_in_order_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("image.journal");
    let error =
        Session::begin(&journal, work(folder.path(), 1 << 20, Format::E01), NonZeroUsize::MIN)
            .err();
    assert!(matches!(error, Some(Error::Format { format: "E01", .. })), "{error:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(Journal::reopen(&journal).is_err());
}
