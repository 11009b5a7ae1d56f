//! Sources and sinks that fail, in every way a disk and a medium do.
//!
//! Vouched for by an independent path: what an image must be is computed here from the source's
//! bytes and its list of bad sectors; digests are asked of `sha256sum`, maps of `ddrescuelog`.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use common::Disk;
use hashing::{Algorithm, Algorithms};
use imaging::{
    Acquisition, Checkpoint, Ending, Error, Flush, ImageWriter, Layout, NullSink, Part,
    PartialFile, Plan, ReadAt, Sink, Start, Tick, acquire, image, map_text,
};
use proptest::prelude::*;

/// A sink that takes so many bytes and then answers with this error number.
struct Failing {
    room_bytes: u64,
    errno: i32,
    fails_on_flush: bool,
}

impl Sink for Failing {
    fn name(&self) -> String {
        "medium/disk.raw.partial".to_owned()
    }

    fn write_all_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset + bytes.len() as u64 > self.room_bytes && !self.fails_on_flush {
            return Err(io::Error::from_raw_os_error(self.errno));
        }
        Ok(())
    }

    fn complete(&mut self, _size_bytes: u64) -> io::Result<()> {
        if self.fails_on_flush { Err(io::Error::from_raw_os_error(self.errno)) } else { Ok(()) }
    }
}

fn plan(chunk_bytes: usize) -> Plan {
    Plan { chunk_bytes, buffers: 4, ..Plan::default() }
}

fn copy(disk: &Disk, plan: &Plan, dir: &Path) -> (Acquisition, Vec<u8>) {
    let mut sink = PartialFile::create(&dir.join("disk.raw")).unwrap();
    let cancel = AtomicBool::new(false);
    let mut last = 0;
    let mut progress = |tick: Tick| {
        assert!(tick.done_bytes > last && tick.done_bytes <= tick.total_bytes);
        last = tick.done_bytes;
    };
    let acquisition = acquire(disk, &mut sink, plan, &mut progress, &cancel).unwrap();
    let image = fs::read(sink.partial_path()).unwrap();
    if acquisition.ending == Ending::Complete {
        let verified = sink.verify(&acquisition, &mut |_| {}, &cancel).unwrap();
        let path = sink.publish(&verified).unwrap();
        assert_eq!(path, dir.join("disk.raw"));
        assert!(!dir.join("disk.raw.partial").exists());
    }
    (acquisition, image)
}

fn bad_sectors(acquisition: &Acquisition) -> BTreeSet<u64> {
    let sectors = acquisition.bad.iter().map(|e| e.sectors(acquisition.sector_bytes).unwrap());
    sectors.flat_map(|(first, count)| first..first + count).collect()
}

#[test]
fn a_sound_disk_gives_the_digests_that_coreutils_give() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(3_000_000, 512);
    let all: Algorithms = Algorithm::ALL.into_iter().collect();
    let (acquisition, image) = copy(&disk, &Plan { algorithms: all, ..plan(1 << 18) }, dir.path());
    assert_eq!(image, disk.bytes);
    assert!(acquisition.bad.is_empty());
    for (program, algorithm) in [
        ("sha256sum", Algorithm::Sha256),
        ("md5sum", Algorithm::Md5),
        ("sha1sum", Algorithm::Sha1),
        ("sha512sum", Algorithm::Sha512),
    ] {
        let output = Command::new(program).arg(dir.path().join("disk.raw")).output().unwrap();
        let theirs = String::from_utf8(output.stdout).unwrap();
        let ours = acquisition.digests.of(algorithm).unwrap().to_hex();
        assert_eq!(theirs.split(' ').next(), Some(ours.as_str()), "{program}");
    }
}

#[test]
fn bad_sectors_are_zeros_in_place_and_their_neighbours_intact() {
    for (sector, sectors) in [(512u32, 4000u64), (4096, 500)] {
        let dir = tempfile::tempdir().unwrap();
        // First, last, a lone one, a run over a chunk border, every other one.
        let bad = [0, 99, sectors - 1].into_iter().chain(254..260).chain((300..340).step_by(2));
        let disk = Disk::new((sectors * u64::from(sector)) as usize, sector).with_bad(bad);
        let (acquisition, image) = copy(&disk, &plan(1 << 17), dir.path());
        assert!(image == disk.perfect_image(), "image differs, sector {sector}");
        assert_eq!(bad_sectors(&acquisition), disk.bad);
        assert_eq!(acquisition.ending, Ending::Complete);
        assert_eq!(acquisition.bad.total_bytes(), disk.bad.len() as u64 * u64::from(sector));
    }
}

#[test]
fn one_bad_sector_costs_few_reads() {
    let disk = Disk::new(4 << 20, 512).with_bad([5000]);
    let cancel = AtomicBool::new(false);
    acquire(&disk, &mut NullSink, &plan(1 << 20), &mut |_| {}, &cancel).unwrap();
    let reads = disk.reads.load(Ordering::Relaxed);
    assert!(reads < 40, "{reads} reads");
}

#[test]
fn odd_sizes_and_short_reads_change_nothing() {
    for size in [0usize, 1, 511, 512, 513, 131_071, 131_072, 131_073, 300_001] {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(size, 512);
        disk.longest = 1000;
        disk.bad.extend((size > 1000).then_some(size as u64 / 512));
        let (acquisition, image) = copy(&disk, &plan(1 << 17), dir.path());
        assert_eq!(image.len(), size);
        assert!(image == disk.perfect_image(), "size {size}");
        assert_eq!(acquisition.copied_bytes, size as u64);
    }
}

#[test]
fn a_source_that_vanishes_ends_the_work_soon() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = Disk::new(8 << 20, 512);
    disk.vanishes_at = Some(3 << 20);
    let (acquisition, image) = copy(&disk, &plan(1 << 17), dir.path());
    assert_eq!(acquisition.ending, Ending::SourceLost);
    assert_eq!(acquisition.copied_bytes, 3 << 20);
    assert_eq!(image, disk.bytes[..3 << 20]);
    assert!(acquisition.bad.is_empty(), "a lost source has no bad sectors");
    let reads = disk.reads.load(Ordering::Relaxed);
    assert!(reads < 50, "{reads} reads");
    assert!(!dir.path().join("disk.raw").exists());
    // Such a copy cannot be published, even when asked.
    let sink = PartialFile::create(&dir.path().join("other")).unwrap();
    let error = sink.verify(&acquisition, &mut |_| {}, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, Error::Incomplete { .. }), "{error}");
}

/// The cable is pulled while one bad sector is being isolated.
#[test]
fn a_source_that_vanishes_during_isolation_leaves_no_false_bad_sectors() {
    for vanishes_after in 9..30 {
        let mut disk = Disk::new(2 << 20, 512).with_bad([100, 2100]);
        disk.vanishes_after = vanishes_after;
        let cancel = AtomicBool::new(false);
        let acquisition =
            acquire(&disk, &mut NullSink, &plan(1 << 20), &mut |_| {}, &cancel).unwrap();
        assert_eq!(acquisition.ending, Ending::SourceLost, "{vanishes_after}");
        assert!(bad_sectors(&acquisition).is_subset(&disk.bad), "{vanishes_after}");
    }
}

#[test]
fn a_wholly_unreadable_stretch_is_read_around() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(4 << 20, 512).with_bad(1000..3000);
    let (acquisition, image) = copy(&disk, &plan(1 << 17), dir.path());
    assert!(image == disk.perfect_image());
    assert_eq!(acquisition.bad.len(), 1);
}

#[test]
fn a_failing_sink_is_named_with_the_offset_reached() {
    // Sector 2050 lies in the chunk that is read and can no longer be written.
    let disk = Disk::new(2 << 20, 512).with_bad([3, 2050]);
    let cancel = AtomicBool::new(false);
    for errno in [28, 5, 30] {
        // ENOSPC, EIO, EROFS
        let mut sink = Failing { room_bytes: 1 << 20, errno, fails_on_flush: false };
        let error = acquire(&disk, &mut sink, &plan(1 << 17), &mut |_| {}, &cancel).unwrap_err();
        assert_eq!(error.to_string(), "writing medium/disk.raw.partial at byte 1048576");
        let Error::Sink { source, reached, .. } = error else { panic!("{error:?}") };
        assert_eq!(source.raw_os_error(), Some(errno));
        assert_eq!(reached.copied_bytes, 1 << 20);
        assert_eq!(bad_sectors(&reached), BTreeSet::from([3]));
        assert!(reached.digests.iter().next().is_none());
    }
    let mut sink = Failing { room_bytes: 0, errno: 5, fails_on_flush: true };
    let error = acquire(&disk, &mut sink, &plan(1 << 17), &mut |_| {}, &cancel).unwrap_err();
    assert!(matches!(error, Error::Sink { .. }), "an error on flush must not be lost");
}

#[test]
fn cancelling_leaves_an_honest_state() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(8 << 20, 512);
    let mut sink = PartialFile::create(&dir.path().join("disk.raw")).unwrap();
    let cancel = AtomicBool::new(false);
    let mut progress = |tick: Tick| cancel.store(tick.done_bytes >= 1 << 20, Ordering::Relaxed);
    let acquisition = acquire(&disk, &mut sink, &plan(1 << 17), &mut progress, &cancel).unwrap();
    assert_eq!(acquisition.ending, Ending::Cancelled);
    let copied = acquisition.copied_bytes as usize;
    assert!((1 << 20..8 << 20).contains(&copied), "{copied}");
    assert_eq!(fs::read(dir.path().join("disk.raw.partial")).unwrap(), disk.bytes[..copied]);
    let digests = hashing::digest_bytes(&disk.bytes[..copied], &Algorithms::sha256());
    assert_eq!(acquisition.digests, digests);
    assert!(map_text(&acquisition).lines().last().unwrap().ends_with('?'));
}

#[test]
fn a_copy_that_changed_is_not_published() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(1 << 20, 512);
    let cancel = AtomicBool::new(false);
    let mut sink = PartialFile::create(&dir.path().join("disk.raw")).unwrap();
    let acquisition = acquire(&disk, &mut sink, &plan(1 << 17), &mut |_| {}, &cancel).unwrap();
    let path = sink.partial_path().to_path_buf();
    let good = fs::read(&path).unwrap();
    let mut changed = good.clone();
    changed[700_000] ^= 1;
    for wrong in [&changed[..], &good[..good.len() - 1], &[&good[..], b"x"].concat()[..]] {
        fs::write(&path, wrong).unwrap();
        let error = sink.verify(&acquisition, &mut |_| {}, &cancel).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    }
    fs::write(&path, &good).unwrap();
    let verified = sink.verify(&acquisition, &mut |_| {}, &cancel).unwrap();
    // And a file of the final name that appeared meanwhile is not replaced.
    fs::write(dir.path().join("disk.raw"), "mine").unwrap();
    assert!(matches!(sink.publish(&verified).unwrap_err(), Error::Exists { .. }));
    assert_eq!(fs::read(dir.path().join("disk.raw")).unwrap(), b"mine");
    assert!(PartialFile::create(&dir.path().join("disk.raw")).is_err());
}

/// Vouched for by an independent tool: GNU ddrescue's `ddrescuelog` reads the map and counts.
#[test]
fn ddrescuelog_reads_the_map() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(4 << 20, 512).with_bad([0, 77, 78, 8191]);
    let (acquisition, _) = copy(&disk, &plan(1 << 17), dir.path());
    let map = dir.path().join("map");
    fs::write(&map, map_text(&acquisition)).unwrap();
    let list = |status: &str| {
        let output = Command::new("ddrescuelog")
            .args(["-b512", &format!("--list-blocks={status}")])
            .arg(&map)
            .output()
            .expect("the ddrescuelog program (gddrescue) is needed for this test");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.trim().parse().unwrap()).collect::<BTreeSet<u64>>()
    };
    assert_eq!(list("-"), disk.bad);
    assert_eq!(list("+").len(), 8192 - 4);
    assert_eq!(list("?").len(), 0);
    // Of a source that was lost, the rest is "not tried".
    let mut lost = Disk::new(4 << 20, 512);
    lost.vanishes_at = Some(1 << 20);
    let cancel = AtomicBool::new(false);
    let acquisition = acquire(&lost, &mut NullSink, &plan(1 << 17), &mut |_| {}, &cancel).unwrap();
    fs::write(&map, map_text(&acquisition)).unwrap();
    assert_eq!(list("?"), (2048..8192).collect());
    assert_eq!(list("-").len(), 0);
}

#[test]
fn impossible_plans_are_refused() {
    let cancel = AtomicBool::new(false);
    for (chunk_bytes, buffers) in [(0, 4), (5000, 4), (1 << 30, 4), (4096, 1), (4096, 1000)] {
        let plan = Plan { chunk_bytes, buffers, ..Plan::default() };
        let result = acquire(&Disk::new(1, 512), &mut NullSink, &plan, &mut |_| {}, &cancel);
        assert!(matches!(result, Err(Error::BadSize { .. })), "{chunk_bytes} {buffers}");
    }
    for sector in [0, 3, 8192] {
        let disk = Disk::new(1, sector);
        let result = acquire(&disk, &mut NullSink, &Plan::default(), &mut |_| {}, &cancel);
        assert!(matches!(result, Err(Error::BadSize { .. })), "{sector}");
    }
}

/// A disk of holes with something at its end.
struct Huge(u64);

impl Huge {
    const BAD: [u64; 3] = [(1 << 32) + 5, (1 << 32) + 6, (1 << 32) + 9000];
}

impl ReadAt for Huge {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let sectors = offset / 512..(offset + buffer.len() as u64).div_ceil(512);
        if Self::BAD.iter().any(|bad| sectors.contains(bad)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        for (sector, bytes) in sectors.zip(buffer.chunks_mut(512)) {
            bytes.fill(1);
            bytes[..8].copy_from_slice(&sector.to_le_bytes());
        }
        Ok(buffer.len())
    }

    fn size_bytes(&self) -> u64 {
        self.0
    }

    fn sector_bytes(&self) -> u32 {
        512
    }
}

/// Keeps the end of a disk.
struct End(u64, Vec<u8>);

impl ImageWriter for End {
    fn name(&self) -> String {
        "end".to_owned()
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        assert_eq!(part.offset_bytes, self.0 + self.1.len() as u64);
        self.1.extend(part.bytes);
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        Ok(Checkpoint { flush: Flush::default(), state: serde_json::Value::Null })
    }

    fn complete(&mut self, _acquisition: &Acquisition) -> io::Result<()> {
        Ok(())
    }
}

/// Gone on with just before 2^32 sectors: bytes, list and map are right behind them.
#[test]
fn beyond_two_tebibytes_places_are_right() {
    let from = (1_u64 << 41) - (1 << 20);
    let huge = Huge((1 << 41) + (8 << 20));
    let plan = plan(1 << 17);
    let start = Start { offset_bytes: from, ..Start::new(&plan) };
    let writers = vec![End(from, Vec::new())];
    let never = AtomicBool::new(false);
    let imaged = image(&huge, writers, &plan, start, None, &mut |_| {}, &never).unwrap();
    assert_eq!(imaged.acquisition.ending, Ending::Complete);
    assert_eq!(bad_sectors(&imaged.acquisition), Huge::BAD.into());
    let bytes = &imaged.copies[0].writer.1;
    assert_eq!(from + bytes.len() as u64, huge.0);
    for (number, sector) in (from / 512..).zip(bytes.chunks(512)) {
        let expected = if Huge::BAD.contains(&number) { 0 } else { number };
        assert_eq!(sector[..8], expected.to_le_bytes(), "{number}");
    }
    let map = map_text(&imaged.acquisition);
    assert!(map.contains("0x20000000a00  0x00000400  -"), "{map}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bad sectors, any size, any chunk, plain or sparse: the image is the perfect one.
    #[test]
    fn the_image_is_always_the_perfect_one(
        size in 0usize..400_000,
        bad in proptest::collection::btree_set(0u64..800, 0..40),
        chunk in 1usize..20,
        longest in 1usize..100_000,
        sparse: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let last = size.div_ceil(512) as u64;
        let mut disk = Disk::new(size, 512).with_bad(bad.into_iter().filter(|s| *s < last));
        disk.longest = longest.max(512);
        // A disk with no readable sector at all counts as lost, and rightly so.
        prop_assume!(disk.bad.len() as u64 * 2 <= last);
        let layout = if sparse { Layout::Sparse } else { Layout::Plain };
        let plan = Plan { layout, ..plan(chunk * 4096) };
        let (acquisition, image) = copy(&disk, &plan, dir.path());
        if acquisition.ending == Ending::Complete {
            prop_assert!(image == disk.perfect_image());
            prop_assert_eq!(bad_sectors(&acquisition), disk.bad);
        } else {
            // All of the few places asked may happen to be bad; then the source counts as lost.
            prop_assert_eq!(acquisition.ending, Ending::SourceLost);
        }
    }
}
