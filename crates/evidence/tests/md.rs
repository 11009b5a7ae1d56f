//! md arrays. The kernel vouches for every level and layout in the test `volumes` of the package `machine`; here are the
//! images of another reader's tests, and what no tool makes: read errors and damaged superblocks.

mod support;

use evidence::source::SourceError;
use evidence::volume::{Assembled, Member, md};
use evidence::{MemSource, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::Random;

fn member(name: &str, source: Arc<dyn Source>) -> Member {
    Member { name: name.to_owned(), source }
}

fn one(members: &[Member]) -> Assembled {
    let mut all = md::assemble(members);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Vouched for by independent tools: mdadm made these images, the tests of dissect.volume say what they hold.
/// `DISSECT_VOLUME_DATA` is the folder `tests/_data` of its source distribution.
#[test]
fn images_of_another_readers_tests() {
    for (stem, count, level, blocks) in [
        ("md-linear", 2, "linear", 512_u16),
        ("md-raid0", 3, "raid0", 512),
        ("md-raid1", 2, "raid1", 512),
        ("md-raid4", 3, "raid4", 512),
        ("md-raid5", 3, "raid5", 512),
        ("md-raid6", 4, "raid6", 512),
        ("md-raid10", 2, "raid10", 512),
        ("md-90-raid1", 2, "raid1", 376),
    ] {
        let Some(members) = support::dissect("VOLUME", "md", stem, count) else { return };
        let members: Vec<Member> =
            members.into_iter().map(|bytes| member("x", Arc::new(MemSource::new(bytes)))).collect();
        let array = one(&members);
        assert!(array.description.starts_with(level), "{array:?}");
        let source = array.source.as_ref().unwrap_or_else(|| panic!("{array:?}"));
        for block in 1..=blocks {
            let read = source.bytes_at(u64::from(block - 1) * 4096, 4096).unwrap();
            assert_eq!(read, block.to_le_bytes().repeat(2048), "{stem} block {block}");
        }
    }
}

/// Vouched for by an independent tool: mdadm made these images of the DDF format.
#[test]
fn firmware_raid_is_named() {
    let Some(images) = support::dissect("VOLUME", "ddf", "ddf-raid5", 3) else { return };
    let sources = images.into_iter().map(|bytes| Arc::new(MemSource::new(bytes)));
    let members: Vec<Member> = sources.map(|source| member("x", source)).collect();
    for member in &members {
        let found = evidence::probe::probe(&*member.source);
        assert_eq!(found.contents[0].notes, ["firmware RAID DDF"], "{found:?}");
    }
    let array = one(&members);
    assert_eq!((array.name.as_str(), array.source.is_none()), ("DDF", true));
    assert_eq!(array.problems[0].text, "firmware RAID DDF is not supported");
}

/// A superblock 1.2 with data from 8 KiB on, as the kernel's `super_1_sync` writes it.
fn superblock(level: i32, layout: u32, number: u16, count: u16, data: &[u8]) -> Vec<u8> {
    let mut sb = vec![0_u8; 256];
    let mut put = |at: usize, bytes: &[u8]| sb[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &0xa92b_4efc_u32.to_le_bytes());
    put(4, &1_u32.to_le_bytes());
    put(16, b"0123456789abcdef");
    put(32, b"test:7");
    put(72, &level.to_le_bytes());
    put(76, &layout.to_le_bytes());
    put(80, &(data.len() as u64 / 512).to_le_bytes());
    put(88, &8_u32.to_le_bytes());
    put(92, &u32::from(count).to_le_bytes());
    put(128, &16_u64.to_le_bytes());
    put(136, &(data.len() as u64 / 512).to_le_bytes());
    put(144, &8_u64.to_le_bytes());
    put(160, &u32::from(number).to_le_bytes());
    put(200, &40_u64.to_le_bytes());
    put(208, &u64::MAX.to_le_bytes());
    put(220, &u32::from(count).to_le_bytes());
    sb.extend((0..count).flat_map(u16::to_le_bytes));
    let words = sb.chunks(4).map(|word| {
        let mut whole = [0; 4];
        whole[..word.len()].copy_from_slice(word);
        u64::from(u32::from_le_bytes(whole))
    });
    let sum: u64 = words.sum();
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    sb[216..220].copy_from_slice(&(folded as u32).to_le_bytes());
    let mut disk = vec![0_u8; 8192];
    disk[4096..4096 + sb.len()].copy_from_slice(&sb);
    disk.extend_from_slice(data);
    disk
}

/// A disk some of whose sectors do not read.
struct Bad(MemSource, Vec<u64>);

impl Source for Bad {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let end = offset_bytes + buf.len() as u64;
        for sector in &self.1 {
            if offset_bytes < (sector + 1) * 512 && end > sector * 512 {
                let source = std::io::Error::other("bad sector");
                return Err(SourceError { offset_bytes: sector * 512, length_bytes: 512, source });
            }
        }
        self.0.read_at(offset_bytes, buf)
    }

    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }
}

/// Only we vouch: two members with bad sectors at different places lose nothing; at the same place, that sector only.
#[test]
fn read_errors_come_from_redundancy() {
    let data = Random(5).bytes(64 << 10);
    let disk = |number, bad: &[u64]| {
        let disk = MemSource::new(superblock(1, 0, number, 2, &data));
        let bad = bad.iter().map(|sector| sector + 16).collect();
        member("m", Arc::new(Bad(disk, bad)))
    };
    let array = one(&[disk(0, &[3, 4, 50]), disk(1, &[5, 51, 127])]);
    let source = array.source.expect("readable");
    assert_eq!(source.bytes_at(0, data.len()).unwrap(), data);
    assert_eq!((array.name.as_str(), array.problems.len()), ("test:7", 0));

    let source = one(&[disk(0, &[9]), disk(1, &[9])]).source.expect("readable");
    let error = source.bytes_at(0, data.len()).unwrap_err();
    assert!(error.to_string().contains("bad sector"), "{error}");
    assert_eq!(source.bytes_at(0, 9 * 512).unwrap(), data[..9 * 512]);
    assert_eq!(source.bytes_at(10 * 512, 512).unwrap(), data[10 * 512..11 * 512]);
}

/// Only we vouch: two files with the same role are said, and a name is shown without its power.
#[test]
fn a_copy_of_a_member_is_said() {
    let data = Random(5).bytes(64 << 10);
    let disk = || Arc::new(MemSource::new(superblock(1, 0, 0, 2, &data)));
    let array = one(&[member("first", disk()), member("second", disk())]);
    assert_eq!(array.members, ["first"]);
    assert!(array.problems[0].text.contains("second and first both have role 0"), "{array:?}");
}

/// Only we vouch: whatever the superblocks say, no panic, no hang, no memory without bound.
#[test]
fn damaged_superblocks() {
    support::bounded::bounded("md", || {
        let data = Random(5).bytes(64 << 10);
        let mut random = Random(17);
        for round in 0..150_u32 {
            let (level, layout) =
                [(0, 2), (1, 0), (5, 2), (6, 2), (10, 0x102), (4, 0), (-1, 0)][round as usize % 7];
            let members: Vec<Member> = (0..5)
                .map(|number| {
                    let mut bytes = superblock(level, layout, number, 5, &data);
                    for _ in 0..random.below(3) {
                        let at = 4096 + 20 + random.below(250);
                        bytes[at] = random.next() as u8;
                    }
                    if random.below(10) == 0 {
                        bytes.truncate(random.below(bytes.len()));
                    }
                    member("m", Arc::new(MemSource::new(bytes)))
                })
                .collect();
            let started = Instant::now();
            for array in md::assemble(&members) {
                let Some(source) = array.source else { continue };
                for at in [
                    0,
                    12_345,
                    source.size_bytes() / 2,
                    source.size_bytes().saturating_sub(100),
                    u64::MAX - 9,
                ] {
                    let _ = source.read_at(at, &mut vec![0; 20_000]);
                }
            }
            assert!(started.elapsed() < Duration::from_secs(5), "round {round}");
        }
    });
}
