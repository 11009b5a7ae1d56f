//! The log of XFS: replayed as the running kernel does, gone round, torn, hostile.

use super::support::bounded::bounded;
use super::*;

/// Vouched for by the running kernel: it recovers a copy of a disk pulled out in use, and shows then what our view of
/// the disk as it was shows without writing.
#[test]
fn a_dirty_log_is_replayed_as_the_kernel_does() {
    for options in [
        &[][..],
        &["-m", "bigtime=0,reflink=0", "-b", "size=1024"],
        &["-m", "rmapbt=1", "-i", "nrext64=1", "-l", "su=65536"],
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = make(directory.path(), options) else { return };
        let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
        let times = (-(1 << 31), (1 << 31) - 1);
        for (round, name) in ["first", "second"].into_iter().enumerate() {
            let root = mounted.root().join(name);
            std::fs::create_dir(&root).unwrap();
            plant(&root, Abilities { times, many: 2000, xattr_bytes: 20_000, ..Abilities::LINUX });
            if round == 1 {
                std::fs::remove_dir_all(mounted.root().join("first/many")).unwrap();
                std::fs::remove_file(mounted.root().join("first/pieces")).unwrap();
                std::fs::remove_file(mounted.root().join("first/many-attributes")).unwrap();
                std::fs::rename(mounted.root().join("first/deep"), mounted.root().join("moved"))
                    .unwrap();
            }
            run(&tool("sync").unwrap(), &["-f", text(mounted.root())], "");
            let pulled = kernel::snapshot(&image, "pulled");
            let raw = xfs::open(open(&pulled), View::Raw).unwrap();
            let said: Vec<_> = raw.problems().iter().map(ToString::to_string).collect();
            assert!(said.iter().any(|text| text.contains("log not replayed")), "{said:?}");
            let fs = recovered(open(&pulled)).unwrap();
            eprintln!("{options:?} round {round}: {said:?}, then {:?}", fs.problems());
            let (ours, problems) = facts::ours(&*fs);
            assert_eq!(problems, [], "{options:?}");
            let replayed = kernel::snapshot(&pulled, "replayed");
            let theirs = kernel::mount(&replayed, "xfs", "rw,noatime,nouuid").unwrap();
            facts::compare(&ours, &kernels(theirs.root()), &format!("{options:?} round {round}"));
            theirs.unmount();
            std::fs::remove_file(replayed).unwrap();
        }
    }
}

/// The place of a record's header in the log by its number of blocks from the start, the last first.
fn records(bytes: &[u8], image: &Path) -> Vec<usize> {
    let get = |name| field(image, &["sb 0", &format!("p {name}")], name).unwrap();
    let (start, blocks, size) = (get("logstart"), get("logblocks"), get("blocksize"));
    let (group, within) = (start >> get("agblklog"), start & ((1 << get("agblklog")) - 1));
    let first = ((group * get("agblocks") + within) * size) as usize;
    let mut found: Vec<(u64, usize)> = (first..first + (blocks * size) as usize)
        .step_by(512)
        .filter(|at| bytes[*at..].starts_with(&[0xfe, 0xed, 0xba, 0xbe]))
        .map(|at| (u64::from_be_bytes(bytes[at + 16..at + 24].try_into().unwrap()), at))
        .collect();
    found.sort_unstable();
    found.into_iter().rev().map(|(_, at)| at).collect()
}

/// A log smaller than what goes through it, and one whose last records a power cut tore. Vouched for by the running
/// kernel, which recovers a copy of each.
#[test]
fn a_log_that_went_round_or_was_torn_is_read_as_the_kernel_does() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = make(directory.path(), &["-l", "size=1400b"]) else { return };
    let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
    let times = (-(1 << 31), (1 << 31) - 1);
    for round in 0..6 {
        let root = mounted.root().join(format!("round-{round}"));
        std::fs::create_dir(&root).unwrap();
        plant(&root, Abilities { times, many: 2500, xattr_bytes: 5000, ..Abilities::LINUX });
        if round > 1 {
            let old = mounted.root().join(format!("round-{}", round - 2));
            std::fs::remove_dir_all(old.join("many")).unwrap();
        }
    }
    run(&tool("sync").unwrap(), &["-f", text(mounted.root())], "");
    let busy = std::fs::read(kernel::snapshot(&image, "busy")).unwrap();
    // For the torn ones nothing behind the damage may be in place yet, so a log that has room and no time to be emptied.
    mounted.unmount();
    let mounted = kernel::mount(&image, "xfs", "rw").unwrap();
    for step in 0..8 {
        std::fs::create_dir(mounted.root().join(format!("step-{step}"))).unwrap();
        std::fs::write(mounted.root().join(format!("step-{step}/file")), "content").unwrap();
        run(&tool("sync").unwrap(), &["-f", text(mounted.root())], "");
    }
    let pulled = kernel::snapshot(&image, "pulled");
    mounted.unmount();
    let bytes = std::fs::read(&pulled).unwrap();
    let found = records(&bytes, &pulled);
    let lap = |at: usize| u32::from_be_bytes(bytes[at + 4..at + 8].try_into().unwrap());
    assert!(lap(found[0]) > 1, "the log must have gone round, else this tests nothing");
    // Damage to the data of the last, third last and sixth last record.
    for (bytes, torn) in
        [(&busy, None), (&bytes, None), (&bytes, Some(0)), (&bytes, Some(2)), (&bytes, Some(5))]
    {
        let mut bytes = bytes.clone();
        if let Some(torn) = torn {
            let data = found[torn] + 512 + 40;
            bytes[data] ^= 0x40;
        }
        let copy = directory.path().join("copy");
        std::fs::write(&copy, &bytes).unwrap();
        let fs = recovered(open(&copy)).unwrap();
        eprintln!("torn {torn:?}: {:?}", fs.problems());
        let (ours, _) = facts::ours(&*fs);
        let theirs = kernel::mount(&copy, "xfs", "rw,noatime").unwrap();
        facts::compare(&ours, &kernels(theirs.root()), &format!("torn {torn:?}"));
    }
}

fn crc32c(seed: u32, data: &[u8]) -> u32 {
    data.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Damage inside log records whose checksums are then put right, so that it is replayed: no panic, no hang.
#[test]
fn a_hostile_log_never_panics() {
    bounded("the XFS log", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(mkfs) = tool("mkfs.xfs") else { return };
        let image = blank(directory.path(), "image", 24 << 20);
        let options = ["-q", "-f", "--unsupported", "-d", "agcount=1", "-l", "size=1400b"];
        run(&mkfs, &[&options[..], &[text(&image)]].concat(), "");
        let Some(mounted) = kernel::mount(&image, "xfs", "rw") else { return };
        let times = (-(1 << 31), (1 << 31) - 1);
        population::plant(
            mounted.root(),
            Abilities { times, many: 100, xattr_bytes: 5000, ..Abilities::LINUX },
        );
        run(&tool("sync").unwrap(), &["-f", text(mounted.root())], "");
        let pulled = kernel::snapshot(&image, "pulled");
        mounted.unmount();
        let good = std::fs::read(&pulled).unwrap();
        let found = records(&good, &pulled);
        let data_bytes = |at: usize| u32::from_be_bytes(good[at + 12..at + 16].try_into().unwrap());
        let full: Vec<usize> = found.into_iter().filter(|at| data_bytes(*at) > 512).collect();
        let mut random = Random(77);
        let (mut replayed, mut refused) = (0, 0);
        for _ in 0..60 {
            let mut bytes = good.clone();
            for _ in 0..1 + random.below(3) {
                let at = full[random.below(full.len())];
                let length = data_bytes(at) as usize;
                for _ in 0..1 + random.below(4) {
                    // Not the first word of a block, which is the lap.
                    let within = random.below(length);
                    let within = if within % 512 < 4 { within + 4 } else { within };
                    if within < length {
                        bytes[at + 512 + within] =
                            [0, 0xff, 1 << random.below(8), random.next() as u8][random.below(4)];
                    }
                }
                bytes[at + 32..at + 36].fill(0);
                let crc = crc32c(u32::MAX, &bytes[at..at + 328]);
                let crc = !crc32c(crc, &bytes[at + 512..at + 512 + length]);
                bytes[at + 32..at + 36].copy_from_slice(&crc.to_le_bytes());
            }
            let started = std::time::Instant::now();
            let opened = recovered(Arc::new(evidence::MemSource::new(bytes)));
            match &opened {
                Ok(fs) if fs.problems().iter().any(|p| p.text.contains("log was not used")) => {
                    refused += 1;
                }
                _ => replayed += 1,
            }
            hostile::exercise(opened);
            assert!(started.elapsed().as_secs() < 48);
        }
        assert!(replayed > 5, "{replayed} replayed, {refused} refused");
    });
}
