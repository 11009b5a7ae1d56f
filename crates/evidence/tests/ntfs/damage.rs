//! Damaged and hostile volumes: told, gone around, never a panic. Judged by us alone.

use super::bench::{node, set, volume};
use super::reparse;
use super::support::bounded::bounded;
use super::support::hostile;
use evidence::fs::tree::{self};
use evidence::fs::{FileSystem, Stored};
use evidence::ntfs::Ntfs;
use evidence::{MemSource, Source};
use std::sync::Arc;

/// Where record `number` stands in an image whose table is in one piece.
fn record_at(fs: &Ntfs, number: u64) -> usize {
    let Stored::At(start) = fs.extents(0).unwrap()[0].stored else { panic!("no table") };
    (start + number * 1024) as usize
}

fn memory(bytes: &[u8]) -> Arc<dyn Source> {
    Arc::new(MemSource::new(bytes.to_vec()))
}

/// Only we vouch: the damage is ours.
#[test]
fn damage_is_told_and_gone_around() {
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 16 << 20, &[]) else { return };
    std::fs::create_dir(mounted.at("many")).unwrap();
    for index in 0..200 {
        std::fs::write(mounted.at(&format!("many/{index}-{}", "n".repeat(40))), "x").unwrap();
    }
    std::fs::write(mounted.at("victim"), "content").unwrap();
    std::fs::write(mounted.at("hiberfil.sys"), b"HIBR and memory").unwrap();
    drop(mounted);
    let good = std::fs::read(&image).unwrap();
    let fs = Ntfs::open(memory(&good)).unwrap();
    assert!(fs.problems()[0].text.contains("hibernated"), "{:?}", fs.problems());
    assert_eq!(fs.problems().len(), 1);
    let victim = node(&fs, "/victim");
    let names = fs.read_dir(node(&fs, "/many")).unwrap().entries;
    assert_eq!(names.len(), 200);

    let mut torn = good.clone();
    torn[record_at(&fs, victim & 0xffff_ffff) + 510] ^= 1;
    let other = Ntfs::open(memory(&torn)).unwrap();
    let error = other.metadata(victim).unwrap_err();
    assert!(error.to_string().contains("torn"), "{error}");

    let mut stale = good.clone();
    stale[record_at(&fs, victim & 0xffff_ffff) + 16] += 3;
    let error = Ntfs::open(memory(&stale)).unwrap().metadata(victim).unwrap_err();
    assert!(error.to_string().contains("sequence number 4, 1 was expected"), "{error}");

    let Stored::At(index) = fs.extents(node(&fs, "/many")).unwrap()[0].stored else { panic!() };
    let mut torn = good.clone();
    torn[index as usize + 4096 + 1022] ^= 1;
    let listing = Ntfs::open(memory(&torn)).unwrap().read_dir(node(&fs, "/many")).unwrap();
    assert!(listing.problems[0].text.contains("torn"), "{:?}", listing.problems);
    assert!(listing.entries.len() >= 199);

    for number in [0, 3] {
        let mut lost = good.clone();
        lost[record_at(&fs, number)..][..1024].fill(0);
        let other = Ntfs::open(memory(&lost)).unwrap();
        assert!(other.problems()[0].text.contains("its copy in $MFTMirr is used"));
        assert_eq!(other.label().as_deref(), Some("Label \u{e4}"));
        assert_eq!(tree::read_file(&other, b"/victim", 99).unwrap().0, b"content");
    }

    let mut headless = good.clone();
    headless[..512].fill(0);
    let other = Ntfs::open(memory(&headless)).unwrap();
    assert!(other.problems()[0].text.contains("its copy at"), "{:?}", other.problems());
    assert_eq!(tree::read_file(&other, b"/victim", 99).unwrap().0, b"content");

    let mut dirty = good.clone();
    let volume = record_at(&fs, 3);
    let flags = (volume..volume + 1024)
        .find(|at| dirty[*at..].starts_with(&[0x70, 0, 0, 0]) && dirty[*at + 24 + 8] == 3)
        .unwrap();
    dirty[flags + 24 + 10] |= 1;
    let log = fs.extents(2).unwrap();
    let Stored::At(log) = log[0].stored else { panic!() };
    let page = &mut dirty[log as usize..];
    page[..4].copy_from_slice(b"RSTR");
    page[0x18..0x1a].copy_from_slice(&[0x30, 0]);
    page[0x3c..0x40].copy_from_slice(&[0, 0, 0, 0]);
    let told: Vec<String> =
        Ntfs::open(memory(&dirty)).unwrap().problems().iter().map(|p| p.text.clone()).collect();
    assert!(told[0].contains("marked dirty") && told[1].contains("not closed"), "{told:?}");
}

/// Only we vouch: the table is given a hole of 2^36 clusters behind its own. Found by fuzzing: the search for deleted
/// records went through the hole, which takes hours.
#[test]
fn a_table_with_a_vast_hole_is_searched_as_far_as_it_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 4 << 20, &["-c", "1024"]) else { return };
    for name in ["kept", "gone"] {
        std::fs::write(mounted.at(name), "content").unwrap();
    }
    std::fs::remove_file(mounted.at("gone")).unwrap();
    drop(mounted);
    let mut bytes = std::fs::read(&image).unwrap();
    let fs = Ntfs::open(memory(&bytes)).unwrap();
    let deleted = |fs: &Ntfs| -> Vec<_> {
        fs.deleted(100).entries.into_iter().map(|entry| entry.path).collect()
    };
    let names = deleted(&fs);
    assert_eq!(names.len(), 1, "{names:?}");

    let record = &mut bytes[record_at(&fs, 0)..][..1024];
    let word =
        |record: &[u8], at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
    let mut data = usize::from(record[0x14]);
    while word(record, data) != 0x80 {
        data += word(record, data + 4) as usize;
    }
    let (length, used) = (word(record, data + 4) as usize, word(record, 0x18) as usize);
    assert!(used + 8 < 510, "the insertion must stay clear of the fixups");
    record.copy_within(data + length..used, data + length + 8);
    record[data + 4] += 8;
    record[0x18..0x1c].copy_from_slice(&(used as u32 + 8).to_le_bytes());
    let mut run = data + usize::from(record[data + 0x20]);
    while record[run] != 0 {
        run += 1 + usize::from(record[run] & 15) + usize::from(record[run] >> 4);
    }
    record[run..run + 8].copy_from_slice(&[0x06, 0, 0, 0, 0, 0x10, 0, 0]);
    for at in [0x28, 0x30, 0x38] {
        record[data + at..][..8].copy_from_slice(&(1_u64 << 46).to_le_bytes());
    }

    let fs = Ntfs::open(memory(&bytes)).unwrap();
    assert!(fs.metadata(0).unwrap().size_bytes == 1 << 46);
    assert_eq!(deleted(&fs), names);
}

/// Only we vouch: half a surrogate pair, which Windows allows and ntfs-3g does not, is put in place of a letter.
#[test]
fn names_that_are_no_text_survive() {
    let directory = tempfile::tempdir().unwrap();
    let Some((image, mounted)) = volume(directory.path(), 16 << 20, &[]) else { return };
    std::fs::write(mounted.at("odd-\u{e123}-name"), "found").unwrap();
    drop(mounted);
    let mut bytes = std::fs::read(&image).unwrap();
    for at in 0..bytes.len() - 6 {
        if bytes[at..].starts_with(&[b'-', 0, 0x23, 0xe1, b'-', 0]) {
            bytes[at + 2..at + 4].copy_from_slice(&[0x23, 0xd9]);
        }
    }
    let fs = Ntfs::open(memory(&bytes)).unwrap();
    let name = b"/odd-\xed\xa4\xa3-name";
    assert_eq!(tree::read_file(&fs, name, 99).unwrap().0, b"found");
}

/// Bytes of every structure are changed at random: whatever happens must end, soon, without a panic.
#[test]
fn mutated_volumes_never_panic_or_hang() {
    bounded("NTFS", || {
        let directory = tempfile::tempdir().unwrap();
        let Some((image, mounted)) = volume(directory.path(), 4 << 20, &["-c", "1024"]) else {
            return;
        };
        std::fs::create_dir(mounted.at("d")).unwrap();
        for index in 0..30 {
            std::fs::write(mounted.at(&format!("d/{index}-{}", "n".repeat(60))), "x").unwrap();
        }
        set(&mounted.at("d"), "system.ntfs_attrib_be", &[0, 0, 8, 0]);
        std::fs::write(mounted.at("d/packed"), "compressible ".repeat(9000)).unwrap();
        let sparse = std::fs::File::create(mounted.at("sparse")).unwrap();
        std::os::unix::fs::FileExt::write_at(&sparse, b"end", 900_000).unwrap();
        drop(sparse);
        std::fs::write(mounted.at("streams"), "main").unwrap();
        for index in 0..20 {
            set(&mounted.at("streams"), &format!("user.{index}-{}", "s".repeat(60)), &[1; 60]);
        }
        std::fs::write(mounted.at("link"), "").unwrap();
        set(&mounted.at("link"), "system.ntfs_reparse_data", &reparse(0xa000_000c, "a", "b"));
        std::fs::remove_file(
            mounted.at("d/7-nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"),
        )
        .unwrap();
        drop(mounted);
        let good = std::fs::read(&image).unwrap();
        hostile::mutate(&good, 150, 0x5eed_0007, &|source| {
            evidence::ntfs::open(source, evidence::View::Recovered)
        });
    });
}
