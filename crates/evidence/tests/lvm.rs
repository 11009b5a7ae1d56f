//! LVM2. The kernel vouches for every segment type in the test `volumes` of the package `machine`; here are the images
//! of another reader's tests, and damaged metadata.

mod support;

use evidence::volume::{Assembled, Member, lvm};
use evidence::{MemSource, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::Random;

fn members(images: &[Vec<u8>]) -> Vec<Member> {
    let one = |(index, bytes): (usize, &Vec<u8>)| Member {
        name: format!("disk{index}"),
        source: Arc::new(MemSource::new(bytes.clone())),
    };
    images.iter().enumerate().map(one).collect()
}

fn named<'a>(volumes: &'a [Assembled], name: &str) -> &'a Arc<dyn Source> {
    let found = volumes.iter().find(|volume| volume.name == name);
    let volume = found.unwrap_or_else(|| panic!("no {name} among {volumes:?}"));
    volume.source.as_ref().unwrap_or_else(|| panic!("{volume:?}"))
}

/// Vouched for by independent tools: lvm2 made these images, the tests of dissect.volume say what they hold.
/// `DISSECT_VOLUME_DATA` is the folder `tests/_data` of its source distribution.
#[test]
fn images_of_another_readers_tests() {
    let Some(plain) = support::dissect("VOLUME", "lvm", "lvm", 1) else { return };
    let volumes = lvm::assemble(&members(&plain));
    let source = named(&volumes, "vg_test/lv_test");
    assert_eq!(source.bytes_at(0, 1024).unwrap(), b"\xde\xad\xbe\xef".repeat(256));
    assert_eq!(source.bytes_at(1024, 1024).unwrap(), vec![0; 1024]);
    let facts = lvm::groups(&members(&plain)).remove(0);
    assert_eq!(facts.uuid, "8HfEjs-9DNH-0dy1-U5u8-EYBF-Vce4-8BcSWU");
    assert_eq!(facts.logical[0].uuid, "TnYdWo-zRE9-wf2T-5nt0-M1aD-vtoP-fASCxK");

    let blocks = |source: &Arc<dyn Source>| {
        for block in 1..=512_u16 {
            let read = source.bytes_at(u64::from(block - 1) * 4096, 4096).unwrap();
            assert_eq!(read, block.to_le_bytes().repeat(2048), "block {block}");
        }
    };
    let thin = support::dissect("VOLUME", "lvm", "lvm-thin", 1).expect("the folder is there");
    let volumes = lvm::assemble(&members(&thin));
    for volume in volumes.iter().filter(|volume| volume.source.is_some()) {
        blocks(volume.source.as_ref().unwrap());
    }
    assert_eq!(volumes.iter().filter(|volume| volume.source.is_some()).count(), 2, "{volumes:?}");
    let mirror = support::dissect("VOLUME", "lvm", "lvm-mirror", 2).expect("the folder is there");
    for count in 1..=2 {
        let volumes = lvm::assemble(&members(&mirror[..count]));
        let mirrors: Vec<_> =
            volumes.iter().filter(|one| one.name.ends_with("/mirrormirror")).collect();
        blocks(mirrors[0].source.as_ref().unwrap_or_else(|| panic!("{volumes:?}")));
        assert_eq!(mirrors[0].problems.is_empty(), count == 2, "{volumes:?}");
    }
}

/// CRC-32 as LVM begins it.
fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut sum = 0xf597_a6cf_u32;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    sum.to_le_bytes()
}

/// A physical volume of 1 MiB with this text, laid out as lvm2's `layout.h` says.
fn physical(uuid: &str, text: &str) -> Vec<u8> {
    let mut disk = vec![0_u8; 1 << 20];
    disk[512..520].copy_from_slice(b"LABELONE");
    disk[520] = 1;
    disk[532] = 32;
    disk[536..544].copy_from_slice(b"LVM2 001");
    disk[544..576].copy_from_slice(uuid.replace('-', "").as_bytes());
    disk[576..584].copy_from_slice(&(1_u64 << 20).to_le_bytes());
    let put = |disk: &mut Vec<u8>, at: usize, value: u64| {
        disk[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    put(&mut disk, 584, 512 << 10);
    put(&mut disk, 616, 4096);
    put(&mut disk, 624, 100 << 10);
    let sum = crc(&disk[532..1024]);
    disk[528..532].copy_from_slice(&sum);
    disk[4100..4116].copy_from_slice(b" LVM2 x[5A%r0N*>");
    disk[4116] = 1;
    put(&mut disk, 4120, 4096);
    put(&mut disk, 4128, 100 << 10);
    put(&mut disk, 4136, 512);
    put(&mut disk, 4144, text.len() as u64);
    disk[4152..4156].copy_from_slice(&crc(text.as_bytes()));
    let sum = crc(&disk[4100..4608]);
    disk[4096..4100].copy_from_slice(&sum);
    disk[4608..4608 + text.len()].copy_from_slice(text.as_bytes());
    let mut noise = Random(9);
    disk[512 << 10..].copy_from_slice(&noise.bytes(512 << 10));
    disk
}

const FIRST: &str = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa";
const SECOND: &str = "bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb";

fn group(sequence: u32, volumes: &str) -> String {
    format!(
        "g {{ id = \"g\" seqno = {sequence} extent_size = 8 \
         physical_volumes {{ pv0 {{ id = \"{FIRST}\" pe_start = 1024 pe_count = 100 }} \
         pv1 {{ id = \"{SECOND}\" pe_start = 1024 pe_count = 100 }} }} \
         logical_volumes {{ {volumes} }} }}"
    )
}

fn volume(name: &str, segment: &str) -> String {
    format!(
        "{name} {{ id = \"{name}\" status = [\"VISIBLE\"] segment_count = 1 \
         segment1 {{ start_extent = 0 extent_count = 4 {segment} }} }} "
    )
}

/// Only we vouch: the newest text counts, the older member is named, a second with the same UUID is named.
#[test]
fn stale_and_doubled_members_are_said() {
    let linear = |extent| format!("type = \"striped\" stripes = [\"pv0\", {extent}]");
    let new = group(7, &volume("l", &linear(3)));
    let old = group(5, &volume("l", &linear(0)));
    let (a, b) = (physical(FIRST, &new), physical(SECOND, &old));
    let volumes = lvm::assemble(&members(&[b.clone(), a.clone(), a.clone()]));
    let read = named(&volumes, "g/l").bytes_at(0, 16384).unwrap();
    assert_eq!(read, a[(512 << 10) + 3 * 4096..][..16384]);
    let told: Vec<&str> = volumes[0].problems.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(
        told,
        [
            "disk1 and disk2 have the same LVM UUID, the second is not used",
            "disk0 is stale: its LVM metadata has sequence number 5, the newest 7",
        ]
    );
}

/// Only we vouch: circles, towers of mirrors and impossible numbers end with a problem.
#[test]
fn metadata_that_means_harm() {
    let mut towers = String::new();
    for level in 0..20 {
        let below = if level == 0 { "pv0".to_owned() } else { format!("t{}", level - 1) };
        let mirror =
            format!("type = \"mirror\" mirrors = [{}]", format!("\"{below}\", 0, ").repeat(50));
        towers.push_str(&volume(&format!("t{level}"), &mirror));
    }
    let circle = volume("c", "type = \"striped\" stripes = [\"d\", 0]")
        + &volume("d", "type = \"striped\" stripes = [\"c\", 0]");
    let numbers =
        volume("n", "type = \"raid6\" device_count = 9 stripe_size = 8 raids = [\"a\", \"b\"]")
            + &volume("s", "type = \"striped\" stripe_size = 0 stripes = [\"pv0\", 0, \"pv1\", 0]")
            + &volume("h", "type = \"striped\" stripes = [\"pv0\", 9223372036854775807]")
            + &volume("w", "type = \"thin\" thin_pool = \"w\" device_id = 1");
    let started = Instant::now();
    let text = group(1, &(towers + &circle + &numbers));
    for one in lvm::assemble(&members(&[physical(FIRST, &text)])) {
        if let Some(source) = &one.source {
            let _ = source.read_at(0, &mut [0; 4096]);
        } else {
            assert!(!one.problems.is_empty(), "{one:?}");
        }
        assert!(
            !["g/c", "g/d", "g/n", "g/s", "g/w", "g/t9"].contains(&one.name.as_str())
                || one.source.is_none()
        );
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// Only we vouch: whatever the text, no panic and no hang.
#[test]
fn damaged_metadata() {
    support::bounded::bounded("LVM", || {
        let text = group(
            3,
            &(volume("l", "type = \"striped\" stripe_size = 8 stripes = [\"pv0\", 0, \"pv1\", 3]")
                + &volume(
                    "m",
                    "type = \"raid5_ls\" device_count = 3 stripe_size = 8 raids = [\"l\", \"l\", \"l\", \"l\", \"l\", \"l\"]",
                )
                + &volume(
                    "s",
                    "type = \"snapshot\" chunk_size = 8 origin = \"l\" cow_store = \"m\"",
                )),
        );
        let mut random = Random(23);
        for round in 0..600 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=random.below(4) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = b"0123456789{}[]\"=# "[random.below(18)],
                    1 => drop(bytes.remove(at)),
                    _ => bytes[at] = random.next() as u8 & 0x7f,
                }
            }
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let disks = [physical(FIRST, &text), physical(SECOND, &text)];
            let started = Instant::now();
            let members = members(&disks);
            let _ = lvm::groups(&members);
            for one in lvm::assemble(&members) {
                let Some(source) = one.source else { continue };
                for at in [0, 5000, source.size_bytes() / 2, u64::MAX - 5] {
                    let _ = source.read_at(at, &mut vec![0; 30_000]);
                }
            }
            assert!(started.elapsed() < Duration::from_secs(5), "round {round}");
        }
    });
}
