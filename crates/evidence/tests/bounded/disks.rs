//! Containers, partition tables, volumes, hives and archives whose headers are hostile.

use super::support::bounded::bounded;
use super::support::nasty::{Nasty, Order};
use super::support::pages::Pages;
use super::support::{Random, blank, run, text, tool};
use super::{crc32, crc32c, made, tree, unsealed};
use evidence::Source;
use evidence::container::{self, Siblings};
use evidence::volume::{Key, Member, luks, lvm, md};
use std::ops::Range;
use std::sync::Arc;

/// A folder where every name is the image again.
struct Mirror(Arc<dyn Source>);

impl Siblings for Mirror {
    fn open(&self, _name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
        Ok(Some(Arc::clone(&self.0)))
    }
}

/// Reads at the places where readers of blocks and tables err.
fn read_some(source: &dyn Source) {
    let size = source.size_bytes();
    for at in [0, 12_345, size / 3, size / 2, size.saturating_sub(1000), u64::MAX - 5] {
        let _ = source.read_at(at, &mut vec![0; 40_000]);
    }
}

fn contain(
    name: &str,
    image: &Pages,
    spots: Vec<Range<u64>>,
    order: Order,
    seal: &dyn Fn(&mut Pages),
) {
    let exercise = |image: Pages| {
        let source = image.source();
        let folder = Mirror(Arc::clone(&source));
        if let Ok(opened) = container::open(source, name.as_bytes(), &folder) {
            read_some(&*opened.source);
        }
    };
    Nasty { what: name, image, spots, order, cases: 300, seal, exercise: &exercise }.run();
}

/// A disk with something random, zeros, text.
fn content() -> Vec<u8> {
    let mut disk = Random(1).bytes(40_000);
    disk.resize(200_000, 0);
    disk.extend(b"written once ".iter().cycle().take(100_000));
    disk.resize(512 * 700, 0);
    disk
}

/// `content()` as an image of qemu's.
fn converted(options: &[&str]) -> Option<Pages> {
    let program = tool("qemu-img")?;
    let directory = tempfile::tempdir().unwrap();
    let (raw, image) = (directory.path().join("raw"), directory.path().join("image"));
    std::fs::write(&raw, content()).unwrap();
    run(&program, &[&["convert", "-f", "raw"], options, &[text(&raw), text(&image)]].concat(), "");
    Some(Pages::read(&image))
}

#[test]
fn qcow2() {
    bounded("qcow2 headers", || {
        for options in [
            &["-O", "qcow2", "-c", "-o", "cluster_size=4k"][..],
            &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=16k"],
        ] {
            let Some(image) = converted(options) else { return };
            let table = u64::from_be_bytes(image.at(40, 8).try_into().unwrap());
            let second = u64::from_be_bytes(image.at(table, 8).try_into().unwrap());
            let second = second & 0x00ff_ffff_ffff_fe00;
            let spots = vec![4..152, table..table + 16, second..second + 64];
            contain("a.qcow2", &image, spots, Order::Big, &unsealed);
        }
    });
}

#[test]
fn vmdk() {
    bounded("VMDK headers", || {
        for options in [&["-O", "vmdk"][..], &["-O", "vmdk", "-o", "subformat=streamOptimized"]] {
            let Some(image) = converted(options) else { return };
            let descriptor = image.le64(28) * 512;
            let table = image.le64(56) * 512;
            let end = image.size_bytes;
            let spots = vec![
                4..80,
                descriptor..descriptor + 400,
                table..table + 64,
                // A streamed image has its header again at the end.
                end - 1024..end - 1024 + 80,
            ];
            contain("a.vmdk", &image, spots, Order::Little, &unsealed);
        }
    });
}

#[test]
fn vhd() {
    bounded("VHD headers", || {
        let Some(image) = converted(&["-O", "vpc", "-o", "force_size=on"]) else { return };
        let end = image.size_bytes;
        // Sums are the complement of all other bytes; the head, its copy and the dynamic header.
        let seal = |image: &mut Pages| {
            for (start, length, at) in [(0, 512, 64), (512, 1024, 36), (end - 512, 512, 64)] {
                let bytes = image.at(start, length);
                let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
                let old: u32 = bytes[at..at + 4].iter().map(|byte| u32::from(*byte)).sum();
                image.put(start + at as u64, &(!(sum - old)).to_be_bytes());
            }
        };
        let spots = vec![8..84, 512 + 8..512 + 64, end - 504..end - 428, 1536..1600];
        contain("a.vhd", &image, spots, Order::Big, &seal);
    });
}

#[test]
fn vhdx() {
    bounded("VHDX headers", || {
        let Some(image) = converted(&["-O", "vhdx", "-o", "block_size=1M"]) else { return };
        let seal = |image: &mut Pages| {
            for (start, length) in
                [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 65_536), (256 << 10, 65_536)]
            {
                if image.altered().iter().any(|at| (start..start + length as u64).contains(at)) {
                    image.put(start + 4, &[0; 4]);
                    let sum = !crc32c(u32::MAX, &image.at(start, length));
                    image.put(start + 4, &sum.to_le_bytes());
                }
            }
        };
        let mut spots = vec![65_544..65_544 + 80, 131_080..131_080 + 80, 196_616..196_616 + 80];
        // The regions: block table and metadata.
        for number in 0..2 {
            let at = image.le64(196_608 + 16 + number * 32 + 16);
            spots.push(at..at + 256);
            spots.push(at + 65_536..at + 65_536 + 64);
        }
        contain("a.vhdx", &image, spots, Order::Little, &seal);
    });
}

fn adler(data: &[u8]) -> u32 {
    let (low, high) = data.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}

#[test]
fn ewf() {
    bounded("E01 sections", || {
        let Some(program) = tool("ewfacquire") else { return };
        let directory = tempfile::tempdir().unwrap();
        let (raw, target) = (directory.path().join("raw"), directory.path().join("image"));
        std::fs::write(&raw, content()).unwrap();
        run(&program, &["-u", "-q", "-c", "fast", "-t", text(&target), text(&raw)], "");
        let image = Pages::read(&directory.path().join("image.E01"));
        // Each structure a sum stands behind.
        let mut sums: Vec<(u64, usize)> = Vec::new();
        let mut spots = vec![8..13];
        let mut at = 13;
        for _ in 0..32 {
            let name = image.at(at, 16);
            sums.push((at, 72));
            spots.push(at..at + 72);
            let data = at + 76;
            if name.starts_with(b"volume") || name.starts_with(b"data") {
                sums.push((data, 1048));
                spots.push(data..data + 40);
            }
            if name.starts_with(b"table") {
                sums.push((data, 20));
                spots.push(data..data + 64);
                let entries = 4 * image.le32(data) as usize;
                sums.push((data + 24, entries));
            }
            let next = image.le64(at + 16);
            if next <= at {
                break;
            }
            at = next;
        }
        let seal = |image: &mut Pages| {
            for (start, length) in &sums {
                let sum = adler(&image.at(*start, *length));
                image.put(start + *length as u64, &sum.to_le_bytes());
            }
        };
        contain("image.E01", &image, spots, Order::Little, &seal);
    });
}

#[test]
fn partition_tables() {
    bounded("partition headers", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(sfdisk) = tool("sfdisk") else { return };
        for (label, spots) in [
            ("gpt", vec![446..512, 512 + 8..512 + 92, 1024..1024 + 256]),
            ("dos", vec![440..510, 1_048_576 + 446..1_048_576 + 510]),
        ] {
            let image = blank(directory.path(), label, 4 << 20);
            let script = match label {
                "gpt" => "label: gpt\n,1M\n,1M\n",
                _ => "label: dos\n2048,4096,E\n4096,1024,L\n",
            };
            run(&sfdisk, &["-q", text(&image)], script);
            let image = Pages::read(&image);
            let exercise = |image: Pages| {
                let source = image.source();
                let _ = evidence::partition::read_table(&*source);
                let _ = evidence::probe::probe(&*source);
            };
            let seal = |image: &mut Pages| {
                let entries = u64::from(image.le32(512 + 80)) * u64::from(image.le32(512 + 84));
                if label == "gpt" && entries < 1 << 20 {
                    let sum = crc32(&image.at(image.le64(512 + 72) * 512, entries as usize));
                    image.put(512 + 88, &sum.to_le_bytes());
                    let length = image.le32(512 + 12).min(512) as usize;
                    image.put(512 + 16, &[0; 4]);
                    let sum = crc32(&image.at(512, length));
                    image.put(512 + 16, &sum.to_le_bytes());
                }
            };
            Nasty {
                what: label,
                image: &image,
                spots,
                order: Order::Little,
                cases: 300,
                seal: &seal,
                exercise: &exercise,
            }
            .run();
        }
    });
}

fn unlock(image: Pages) {
    let source = image.source();
    let _ = luks::describe(&source);
    if let Ok(clear) = luks::unlock(source, &[Key::Passphrase(b"x".to_vec())]) {
        read_some(&*clear);
    }
}

/// The costs of the key slots are left alone: a genuine slot may ask for an hour, and whoever gave the passphrase did.
#[test]
fn luks_headers() {
    bounded("LUKS headers", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(cryptsetup) = tool("cryptsetup") else { return };
        for (kind, order, spots) in [
            ("luks1", Order::Big, vec![104..112, 248..256]),
            ("luks2", Order::Little, vec![8..16, 4096..4200]),
            ("luks2", Order::Big, vec![6..24, 256..264]),
        ] {
            let path = blank(directory.path(), kind, 20 << 20);
            let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--type", kind];
            let all = [&["luksFormat", "-q", "--key-file", "-"], &cheap[..], &[text(&path)]];
            run(&cryptsetup, &all.concat(), "x");
            let image = Pages::read(&path);
            let seal = |image: &mut Pages| {
                let bytes = u64::from_be_bytes(image.at(8, 8).try_into().unwrap());
                if kind == "luks2" && bytes <= 4 << 20 {
                    image.put(448, &[0; 64]);
                    let sum = <sha2::Sha256 as sha2::Digest>::digest(image.at(0, bytes as usize));
                    image.put(448, &sum);
                }
            };
            Nasty {
                what: kind,
                image: &image,
                spots,
                order,
                cases: 50,
                seal: &seal,
                exercise: &unlock,
            }
            .run();
        }
    });
}

/// The JSON of LUKS2 with every number made huge, one at a time; the costs of its key slots too, since a wrong
/// passphrase must not cost the machine its memory either: they are refused above what cryptsetup writes.
#[test]
fn luks2_numbers() {
    bounded("LUKS2 JSON", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(cryptsetup) = tool("cryptsetup") else { return };
        let path = blank(directory.path(), "luks2", 20 << 20);
        let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--type", "luks2"];
        let all = [&["luksFormat", "-q", "--key-file", "-"], &cheap[..], &[text(&path)]];
        run(&cryptsetup, &all.concat(), "x");
        let image = Pages::read(&path);
        let json = String::from_utf8(image.at(4096, 12_288)).unwrap();
        let json = json.trim_end_matches('\0').to_owned();
        let digits: Vec<usize> = json
            .match_indices(|c: char| c.is_ascii_digit())
            .map(|(at, _)| at)
            .filter(|at| !json.as_bytes()[at - 1].is_ascii_digit())
            .collect();
        for at in digits {
            let rest = json[at..].trim_start_matches(|c: char| c.is_ascii_digit());
            if json[..at].ends_with("\"iterations\":") {
                continue;
            }
            for huge in ["4294967295", "18446744073709551615", "268435456", "0"] {
                let mut changed = format!("{}{huge}{rest}", &json[..at]).into_bytes();
                changed.resize(12_288, 0);
                let mut damaged = image.clone();
                damaged.put(4096, &changed);
                damaged.put(448, &[0; 64]);
                let sum = <sha2::Sha256 as sha2::Digest>::digest(damaged.at(0, 16_384));
                damaged.put(448, &sum);
                let started = std::time::Instant::now();
                unlock(damaged);
                assert!(started.elapsed().as_secs() < 5, "{huge} at {at} of {json}");
            }
        }
    });
}

#[test]
fn md_superblocks() {
    bounded("md superblocks", || {
        for (level, layout) in [(1, 0), (5, 2), (10, 0x102), (0, 2)] {
            let mut sb = vec![0_u8; 264];
            let mut put = |at: usize, bytes: &[u8]| sb[at..at + bytes.len()].copy_from_slice(bytes);
            put(0, &0xa92b_4efc_u32.to_le_bytes());
            put(4, &1_u32.to_le_bytes());
            put(16, b"0123456789abcdef");
            put(72, &i32::to_le_bytes(level));
            put(76, &u32::to_le_bytes(layout));
            put(80, &128_u64.to_le_bytes());
            put(88, &8_u32.to_le_bytes());
            put(92, &2_u32.to_le_bytes());
            put(128, &16_u64.to_le_bytes());
            put(136, &128_u64.to_le_bytes());
            put(144, &8_u64.to_le_bytes());
            put(200, &40_u64.to_le_bytes());
            put(208, &u64::MAX.to_le_bytes());
            put(220, &2_u32.to_le_bytes());
            put(256, &[0, 0, 1, 0]);
            let mut bytes = vec![0; 4096];
            bytes.extend(&sb);
            bytes.resize(8192, 0);
            bytes.extend(Random(5).bytes(64 << 10));
            let image = Pages::new(&bytes);
            let seal = |image: &mut Pages| {
                image.put(4096 + 216, &[0; 4]);
                let count = image.le32(4096 + 220).min(4096) as usize;
                let mut bytes = image.at(4096, 256 + count * 2);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
                let words = bytes.chunks(4);
                let sum: u64 =
                    words.map(|w| u64::from(u32::from_le_bytes(w.try_into().unwrap()))).sum();
                let folded = (sum & 0xffff_ffff) + (sum >> 32);
                image.put(4096 + 216, &(folded as u32).to_le_bytes());
            };
            let exercise = |image: Pages| {
                let mut second = image.clone();
                second.put(4096 + 160, &[1]);
                seal(&mut second);
                let member = |name: &str, source| Member { name: name.to_owned(), source };
                let members = [member("a", image.source()), member("b", second.source())];
                for array in md::assemble(&members) {
                    array.source.iter().for_each(|source| read_some(&**source));
                }
            };
            let spots = vec![4096 + 8..4096 + 16, 4096 + 68..4096 + 260];
            Nasty {
                what: "md",
                image: &image,
                spots,
                order: Order::Little,
                cases: 200,
                seal: &seal,
                exercise: &exercise,
            }
            .run();
        }
    });
}

fn use_groups(source: Arc<dyn Source>) {
    let members = [Member { name: "a".to_owned(), source }];
    let _ = lvm::groups(&members);
    for volume in lvm::assemble(&members) {
        volume.source.iter().for_each(|source| read_some(&**source));
    }
}

#[test]
fn lvm_labels() {
    bounded("LVM labels", || {
        let directory = tempfile::tempdir().unwrap();
        let options = ["-q", "-ff", "-y", "--metadatasize", "64k"];
        let Some(_) = tool("pvcreate") else { return };
        let made =
            std::panic::catch_unwind(|| made(directory.path(), "pvcreate", &options, 4 << 20));
        let Ok(Some(image)) = made else {
            eprintln!("skipped: pvcreate does not take a file here");
            return;
        };
        let seal = |_: &mut Pages| {};
        Nasty {
            what: "LVM",
            image: &image,
            spots: vec![512..1024, 4096..4096 + 128],
            order: Order::Little,
            cases: 300,
            seal: &seal,
            exercise: &|image| use_groups(image.source()),
        }
        .run();
    });
}

#[test]
fn hives() {
    bounded("registry headers", || {
        // A hive with one key, as the reader of a collection would meet it.
        let mut bytes = vec![0_u8; 8192];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, b"regf");
        for (at, value) in [(4, 1), (8, 1), (20, 1), (24, 5), (32, 1), (36, 0x20), (40, 4096_u32)] {
            put(at, &value.to_le_bytes());
        }
        put(4096, b"hbin");
        put(4096 + 8, &4096_u32.to_le_bytes());
        let root = 4096 + 0x20;
        put(root, &(-0x60_i32).to_le_bytes());
        put(root + 4, b"nk\x2c");
        for (at, value) in [
            (20, 3_u32), // Keys below, their list, values, their list, security, class.
            (28, 0x90),
            (36, 3),
            (40, 0xd0),
            (44, 0x90),
            (48, 0x90),
        ] {
            put(root + 4 + at, &value.to_le_bytes());
        }
        put(root + 4 + 72, &[4]);
        // A list of lists that names itself, and a list of values that name one with a long content.
        put(4096 + 0x90, &(-0x40_i32).to_le_bytes());
        put(4096 + 0x94, b"ri\x03\0");
        for index in 0..3 {
            put(4096 + 0x98 + index * 4, &0x90_u32.to_le_bytes());
            put(4096 + 0xd4 + index * 4, &0x120_u32.to_le_bytes());
        }
        put(4096 + 0xd0, &(-0x40_i32).to_le_bytes());
        put(4096 + 0x120, &(-0x40_i32).to_le_bytes());
        put(4096 + 0x124, b"vk");
        put(4096 + 0x128, &0x00ff_ffff_u32.to_le_bytes());
        put(4096 + 0x12c, &0x160_u32.to_le_bytes());
        put(4096 + 0x160, &(-0x0e00_i32).to_le_bytes());
        put(4096 + 0x164, b"db\xff\xff");
        put(4096 + 0x168, &0x160_u32.to_le_bytes());
        let seal = |image: &mut Pages| {
            let sum = image
                .at(0, 508)
                .chunks(4)
                .fold(0, |sum, word| sum ^ u32::from_le_bytes(word.try_into().unwrap()));
            image.put(508, &sum.to_le_bytes());
        };
        let exercise = |image: Pages| {
            let Ok(hive) = evidence::registry::Hive::open(image) else { return };
            let Ok(root) = hive.root() else { return };
            let _ = root.walk(1000, &mut |visit| {
                let _ = visit.key.class();
                for value in visit.key.values().map(|found| found.values).unwrap_or_default() {
                    let _ = (value.data(), value.texts(), value.number());
                }
            });
        };
        Nasty {
            what: "a hive",
            image: &Pages::new(&bytes),
            spots: vec![4..64, 4096..4096 + 0x180],
            order: Order::Little,
            cases: 400,
            seal: &seal,
            exercise: &exercise,
        }
        .run();
    });
}

/// Archives whose headers claim sizes in octal, in binary and in records of pax.
#[test]
fn archives() {
    bounded("tar headers", || {
        let Some(tar) = tool("tar") else { return };
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(directory.path());
        std::fs::write(tree.join("n".repeat(200)), "long").unwrap();
        for format in ["gnu", "posix"] {
            let archive = directory.path().join("archive");
            let format = format!("--format={format}");
            run(&tar, &[&format, "-cf", text(&archive), "-C", text(&tree), "."], "");
            let good = std::fs::read(&archive).unwrap();
            for block in (0..good.len() / 512).step_by(3).map(|number| number * 512) {
                if &good[block + 257..block + 262] != b"ustar" {
                    continue;
                }
                for size in [
                    &b"77777777777\0"[..],
                    b"00400000000\0",
                    b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                ] {
                    let mut bytes = good.clone();
                    bytes[block + 124..block + 136].copy_from_slice(size);
                    bytes[block + 148..block + 156].fill(b' ');
                    let sum: u32 = bytes[block..block + 512].iter().map(|b| u32::from(*b)).sum();
                    bytes[block + 148..block + 156]
                        .copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                    for length in [good.len() as u64, 1 << 26] {
                        let mut image = Pages::new(&bytes);
                        image.size_bytes = length;
                        let started = std::time::Instant::now();
                        let opened = evidence::collection::Tar::open(image.source());
                        super::support::hostile::exercise(opened.map(|tar| Box::new(tar) as _));
                        let took = started.elapsed();
                        assert!(took.as_secs() < 5, "{size:?} at {block} of {length}: {took:?}");
                    }
                }
            }
        }
    });
}
