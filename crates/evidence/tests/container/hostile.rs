//! Damaged images of every format: no panic, no hang, no endless reading. Only we vouch for these.

use super::{convert, ewf, qemu_io};
use crate::support::bounded::{bounded, note};
use crate::support::{Random, run, text, tool};
use evidence::container::{self, Opened, Siblings};
use evidence::{MemSource, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A folder that has the damaged image under every name: whatever is named as another part is the image again.
struct Mirror(Arc<dyn Source>);

impl Siblings for Mirror {
    fn open(&self, _name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
        Ok(Some(Arc::clone(&self.0)))
    }
}

/// Reads some of every part of the disk an image claims to be.
fn exercise(opened: &Opened) {
    let size = opened.source.size_bytes();
    let mut buffer = vec![0; 40_000];
    for part in 0..8 {
        let _ = opened.source.read_at(size / 8 * part, &mut buffer);
        let _ = opened.source.read_at(size / 8 * part + 12_345, &mut buffer[..700]);
    }
    let _ = opened.source.read_at(size.saturating_sub(1000), &mut buffer);
    let _ = opened.source.read_at(u64::MAX - 5, &mut buffer);
}

/// Opens the image `rounds` times, each time damaged in another way.
pub(crate) fn mutate(name: &str, image: &[u8], rounds: u64) {
    let used: Vec<usize> = image
        .chunks(64)
        .enumerate()
        .filter(|(_, part)| part.iter().any(|byte| *byte != 0))
        .map(|(number, _)| number * 64)
        .collect();
    // Structures stand at the beginning and the end more often than anywhere else.
    let edge = used.len().min(40);
    for round in 0..rounds {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9) + 77);
        let mut bytes = image.to_vec();
        for _ in 0..=random.below(6) {
            let index = match random.below(3) {
                0 => random.below(edge),
                1 => used.len() - 1 - random.below(edge),
                _ => random.below(used.len()),
            };
            let at = used[index] + random.below(64);
            let value = [0, 0xff, 1 << random.below(8), random.below(256) as u8][random.below(4)];
            for byte in bytes.iter_mut().skip(at).take(1 + random.below(8)) {
                *byte = value;
            }
        }
        if round % 16 == 15 {
            bytes.truncate(random.below(image.len()));
        }
        let source: Arc<dyn Source> = Arc::new(MemSource::new(bytes));
        let started = Instant::now();
        if let Ok(opened) = container::open(Arc::clone(&source), name.as_bytes(), &Mirror(source)) {
            exercise(&opened);
        }
        let took = started.elapsed();
        note(&format!("{name}, round {round}"));
        assert!(took < Duration::from_secs(5), "{name}, round {round} took {took:?}");
    }
}

/// A small disk with something of everything.
fn small() -> Vec<u8> {
    let mut disk = Random(1).bytes(40_000);
    disk.resize(200_000, 0);
    disk.extend(b"written once ".iter().cycle().take(100_000));
    disk.resize(512 * 700, 0);
    disk
}

#[test]
pub(crate) fn mutated_images_of_qemu_never_panic_or_hang() {
    bounded("qcow2, VMDK, VHD, VHDX", || {
        for (name, options, rounds) in [
            ("a.qcow2", &["-O", "qcow2", "-c", "-o", "cluster_size=4k"][..], 60),
            ("b.qcow2", &["-O", "qcow2", "-c", "-o", "cluster_size=4k,compression_type=zstd"], 40),
            ("c.qcow2", &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=16k"], 60),
            ("a.vmdk", &["-O", "vmdk"], 60),
            ("b.vmdk", &["-O", "vmdk", "-o", "subformat=streamOptimized"], 60),
            ("a.vhd", &["-O", "vpc", "-o", "force_size=on"], 30),
            ("a.vhdx", &["-O", "vhdx", "-o", "block_size=1M"], 8),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let Some(path) = convert(directory.path(), &small(), options, name) else { return };
            mutate(name, &std::fs::read(path).unwrap(), rounds);
        }
    });
}

#[test]
pub(crate) fn mutated_chains_never_panic_or_hang() {
    bounded("chains of images", || {
        let Some(qemu_img) = tool("qemu-img") else { return };
        let directory = tempfile::tempdir().unwrap();
        for (format, name) in [("qcow2", "child.qcow2"), ("vmdk", "child.vmdk")] {
            let base = format!("base.{format}");
            convert(directory.path(), &small(), &["-O", format], &base).unwrap();
            let path = directory.path().join(name);
            run(
                &qemu_img,
                &["create", "-q", "-f", format, "-b", &base, "-F", format, text(&path)],
                "",
            );
            assert!(qemu_io(&["-f", format], &path, &["write -P 3 64k 64k"]));
            mutate(name, &std::fs::read(path).unwrap(), 40);
        }
    });
}

#[test]
pub(crate) fn mutated_descriptors_never_panic_or_hang() {
    bounded("VMDK descriptors", || {
        let text = "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=12345677\nparentFileNameHint=\"a\"\n\
        RW 100 FLAT \"x.bin\" 3\nRW 50 ZERO\nRW 20 SPARSE \"y\"\nRW 9 FLAT \"/dev/sda\" 0\n";
        mutate("a.vmdk", text.as_bytes(), 200);
        let many = "RW 18446744073709551615 FLAT \"x.bin\" 18446744073709551615\n".repeat(2000);
        mutate("b.vmdk", format!("{text}{many}").as_bytes(), 5);
    });
}

#[test]
pub(crate) fn mutated_e01_never_panics_or_hangs() {
    bounded("E01", || {
        for (options, rounds) in
            [(&["-c", "fast"][..], 60), (&["-c", "none", "-b", "16"], 60), (&["-f", "smart"], 40)]
        {
            let directory = tempfile::tempdir().unwrap();
            let Some(path) = ewf::acquire(directory.path(), &small(), options) else { return };
            mutate("a.E01", &std::fs::read(path).unwrap(), rounds);
        }
    });
}
