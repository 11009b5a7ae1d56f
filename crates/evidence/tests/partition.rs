//! Partition tables made by other programs must be read as those programs describe them.
//!
//! Vouched for by independent tools: the `gpt` crate, sfdisk and sgdisk write, mmls of The Sleuth Kit reads beside us.

mod support;

use evidence::partition::{PartitionType, Scheme, read_table};
use evidence::{MemSource, ProblemKind, Source};
use std::collections::BTreeMap;
use support::{Random, blank, open, run, text, tool};

/// A disk of 16 MiB with two partitions, made by the `gpt` crate.
fn gpt_disk(sector: u32) -> MemSource {
    let size = gpt::disk::LogicalBlockSize::try_from(u64::from(sector)).unwrap();
    let mut device = std::io::Cursor::new(vec![0_u8; 16 << 20]);
    let sectors = (16 << 20) / sector;
    gpt::mbr::ProtectiveMBR::with_lb_size(sectors - 1).overwrite_lba0(&mut device).unwrap();
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(size)
        .create_from_device(device, None)
        .unwrap();
    disk.update_partitions(BTreeMap::new()).unwrap();
    disk.add_partition("boot", 1 << 20, gpt::partition_types::EFI, 0, None).unwrap();
    disk.add_partition("wurzel-ä", 4 << 20, gpt::partition_types::LINUX_FS, 0, None).unwrap();
    let device = disk.write().unwrap();
    MemSource { bytes: device.into_inner(), sector_bytes: sector }
}

#[test]
fn gpt_of_both_sector_sizes() {
    for sector in [512, 4096] {
        let table = read_table(&gpt_disk(sector));
        assert_eq!(table.scheme, Scheme::Gpt);
        assert_eq!(table.problems, []);
        let names: Vec<_> = table
            .partitions
            .iter()
            .map(|p| (p.label.as_deref(), p.kind_name, p.length_bytes))
            .collect();
        assert_eq!(
            names,
            [
                (Some("boot"), Some("EFI system"), 1 << 20),
                (Some("wurzel-ä"), Some("Linux"), 4 << 20)
            ]
        );
        assert!(
            table.gaps.iter().any(|gap| gap.length_bytes > 8 << 20),
            "the rest of the disk is a gap"
        );
    }
}

#[test]
fn image_of_a_4kn_disk_is_read_though_the_file_reports_512() {
    let disk = MemSource { sector_bytes: 512, ..gpt_disk(4096) };
    let table = read_table(&disk);
    assert_eq!((table.scheme, table.sector_bytes, table.partitions.len()), (Scheme::Gpt, 4096, 2));
}

#[test]
fn broken_primary_falls_back_to_the_backup_and_says_so() {
    let mut disk = gpt_disk(512);
    disk.bytes[512 + 60] ^= 0xff;
    let table = read_table(&disk);
    assert_eq!(table.partitions.len(), 2);
    assert!(
        table.problems.iter().any(|p| p.text.contains("backup was used")),
        "{:?}",
        table.problems
    );
    assert!(table.problems.iter().any(|p| p.text.contains("checksum")));
}

#[test]
fn a_changed_entry_shows_in_two_ways_and_the_good_copy_wins() {
    let mut disk = gpt_disk(512);
    disk.bytes[1024 + 32] ^= 1;
    let table = read_table(&disk);
    assert!(table.problems.iter().any(|p| p.text.contains("entries' checksum")));
    assert!(table.problems.iter().any(|p| p.text.contains("list different partitions")));
    assert_eq!(
        table.partitions,
        read_table(&gpt_disk(512))
            .partitions
            .iter()
            .map(|p| {
                let mut p = p.clone();
                p.unique_id = table.partitions[p.number as usize - 1].unique_id.clone();
                p
            })
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_cut_disk_lacks_its_backup() {
    let mut disk = gpt_disk(512);
    disk.bytes.truncate(3 << 20);
    let table = read_table(&disk);
    assert_eq!(table.partitions.len(), 2);
    assert!(table.problems.iter().any(|p| p.text.contains("no valid backup")));
    assert!(table.problems.iter().any(|p| p.text.contains("the source has")));
}

#[test]
fn hybrid_mbr_is_told_from_a_protective_one() {
    let mut disk = gpt_disk(512);
    disk.bytes[462 + 4] = 0x0c;
    disk.bytes[462 + 8] = 34;
    disk.bytes[462 + 12] = 8;
    assert_eq!(read_table(&disk).scheme, Scheme::GptHybrid);
}

#[test]
fn mbr_with_logical_partitions_agrees_with_sfdisk_and_mmls() {
    let (Some(sfdisk), Some(mmls)) = (tool("sfdisk"), tool("mmls")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = blank(directory.path(), "mbr", 64 << 20);
    let script = "label: dos\nlabel-id: 0x1234abcd\nstart=2048,size=8192,type=c,bootable\nstart=10240,size=100000,type=5\n\
                  start=12288,size=4096,type=83\nstart=18432,size=4096,type=82\n";
    run(&sfdisk, &["--quiet", text(&image)], script);
    let table = read_table(&*open(&image));
    assert_eq!(table.scheme, Scheme::Mbr);
    assert_eq!(table.problems, []);
    assert_eq!(table.disk_id.as_deref(), Some("1234abcd"));
    let ours: Vec<_> =
        table.partitions.iter().map(|p| (p.number, p.start_sectors, p.length_sectors)).collect();
    let dump = run(&sfdisk, &["--dump", text(&image)], "");
    let field = |line: &str, key: &str| -> u64 {
        let rest = line.split(key).nth(1).unwrap();
        rest.trim_start_matches([' ', '='])
            .split([',', ' '])
            .next()
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let theirs: Vec<_> = dump
        .lines()
        .filter(|line| line.contains("start="))
        .map(|line| {
            let number: u32 = line
                .split(" :")
                .next()
                .unwrap()
                .trim_start_matches(text(&image))
                .trim()
                .parse()
                .unwrap();
            (number, field(line, "start="), field(line, "size="))
        })
        .collect();
    assert_eq!(ours, theirs);
    let listed = run(&mmls, &[text(&image)], "");
    for (_, start, length) in ours.iter().filter(|(number, ..)| *number != 2) {
        let row = format!("{start:010}   {:010}   {length:010}", start + length - 1);
        assert!(listed.contains(&row), "mmls lacks {row}:\n{listed}");
    }
}

#[test]
fn a_chain_that_bites_its_tail_ends() {
    let mut bytes = vec![0_u8; 1 << 20];
    let entry = |kind: u8, start: u32, length: u32| {
        let mut raw = [0_u8; 16];
        raw[4] = kind;
        raw[8..12].copy_from_slice(&start.to_le_bytes());
        raw[12..].copy_from_slice(&length.to_le_bytes());
        raw
    };
    bytes[446..462].copy_from_slice(&entry(5, 64, 1000));
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let record = 64 * 512;
    bytes[record + 446..record + 462].copy_from_slice(&entry(0x83, 1, 10));
    bytes[record + 462..record + 478].copy_from_slice(&entry(5, 0, 10));
    bytes[record + 510..record + 512].copy_from_slice(&[0x55, 0xaa]);
    let table = read_table(&MemSource::new(bytes));
    assert!(table.problems.iter().any(|p| p.text.contains("circle")));
    assert_eq!(table.partitions.len(), 2);
}

#[test]
fn a_million_claimed_entries_are_bounded() {
    let mut disk = gpt_disk(512);
    disk.bytes[512 + 80..512 + 84].copy_from_slice(&u32::MAX.to_le_bytes());
    // Only a header with a correct checksum is believed, so write one (independent path: the test's own bitwise CRC).
    disk.bytes[512 + 16..512 + 20].fill(0);
    let sum = slow_crc32(&disk.bytes[512..512 + 92]);
    disk.bytes[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
    let table = read_table(&disk);
    assert!(table.problems.iter().any(|p| p.kind == ProblemKind::Refused), "{:?}", table.problems);
    assert_eq!(table.partitions.len(), 2);
}

fn slow_crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 },
        )
    })
}

#[test]
fn nothing_makes_a_table_of_nothing() {
    for bytes in [vec![], vec![0; 100], vec![0; 4096]] {
        let table = read_table(&MemSource::new(bytes));
        assert_eq!(
            (table.scheme, table.partitions.len(), table.problems.len()),
            (Scheme::None, 0, 0)
        );
    }
}

#[test]
fn mutated_tables_never_panic() {
    support::bounded::bounded("partition tables", || {
        let mut random = Random(0x5eed_0001);
        for sector in [512, 4096] {
            let good = gpt_disk(sector);
            for _ in 0..1500 {
                let mut disk =
                    MemSource { bytes: good.bytes[..256 << 10].to_vec(), sector_bytes: sector };
                for _ in 0..1 + random.below(24) {
                    let at = random.below(3 * sector as usize);
                    disk.bytes[at] = random.next() as u8;
                }
                let table = read_table(&disk);
                assert!(table.partitions.len() <= 1024 + 128);
            }
        }
        for _ in 0..1500 {
            let mut bytes = random.bytes(8192);
            bytes[510] = 0x55;
            bytes[511] = 0xaa;
            let disk = MemSource::new(bytes);
            let table = read_table(&disk);
            assert!(table.partitions.iter().all(|p| matches!(p.kind, PartitionType::Byte(_))));
            assert!(disk.size_bytes() == 8192);
        }
    });
}
