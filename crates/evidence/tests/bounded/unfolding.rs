//! Small structures that unfold into large ones: compressed tables, blocks that name themselves, directories without end.

use super::support::bounded::{bounded, note};
use super::support::pages::Pages;
use super::support::{hostile, run, text, tool};
use super::{made, tree};
use std::time::Instant;

/// An ext2 file whose blocks of pointers are one block that names itself.
#[test]
fn a_block_of_pointers_that_names_itself() {
    bounded("ext2 pointers", || {
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(directory.path());
        let options = ["-q", "-F", "-N", "64", "-t", "ext2", "-b", "1024", "-d", text(&tree)];
        let Some(mut image) = made(directory.path(), "mke2fs", &options, 3 << 20) else { return };
        let table = u64::from(image.le32(2048 + 8)) * 1024;
        let inode_bytes = u64::from(image.le32(1024 + 88) & 0xffff);
        for node in [2_u64, 12, 13, 14] {
            let at = table + (node - 1) * inode_bytes;
            for pointer in 0..15 {
                image.put(at + 40 + pointer * 4, &2900_u32.to_le_bytes());
            }
            image.put(at + 4, &0xffff_fc00_u32.to_le_bytes());
            image.put(at + 108, &3_u32.to_le_bytes());
        }
        for pointer in 0..256_u32 {
            let to = if pointer % 2 == 0 { 2900 } else { 2898 };
            image.put(2900 * 1024 + u64::from(pointer) * 4, &u32::to_le_bytes(to));
        }
        let started = Instant::now();
        hostile::exercise(evidence::ext::open(image.source(), evidence::View::Recovered));
        assert!(started.elapsed().as_secs() < 6, "{:?}", started.elapsed());
    });
}

/// Gigabytes of zeros in an archive of a megabyte.
#[test]
fn an_archive_of_zeros() {
    bounded("gzip of zeros", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(tar) = tool("tar") else { return };
        let sparse = directory.path().join("sparse");
        std::fs::File::create(&sparse).unwrap().set_len(300 << 20).unwrap();
        let archive = directory.path().join("archive");
        let all = ["-czf", text(&archive), "-C", text(directory.path()), "sparse"];
        run(&tar, &all, "");
        let source = Pages::read(&archive).source();
        let opened = evidence::collection::Tar::open(source);
        hostile::exercise(opened.map(|tar| Box::new(tar) as _));
    });
}

/// A pax record and a GNU name of a gigabyte, all there.
#[test]
fn names_of_a_gigabyte() {
    bounded("tar records", || {
        for kind in *b"xgLK" {
            let mut head = [0_u8; 512];
            head[..4].copy_from_slice(b"name");
            head[100..107].copy_from_slice(b"0000644");
            head[124..136].copy_from_slice(b"10000000000\0");
            head[156] = kind;
            head[257..265].copy_from_slice(b"ustar\x0000");
            head[148..156].fill(b' ');
            let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
            head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            let mut image = Pages::new(&head);
            image.put(512, b"1073741824 path=");
            image.size_bytes = (1 << 30) + 8192;
            let opened = evidence::collection::Tar::open(image.source());
            hostile::exercise(opened.map(|tar| Box::new(tar) as _));
            note(&format!("record {}", char::from(kind)));
        }
    });
}

/// Twenty million names that fit into a few hundred KiB.
#[test]
fn directories_without_end() {
    bounded("directories", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(mke2fs) = tool("mke2fs") else { return };
        // An ext4 directory whose extents all lead to blocks full of the shortest entries.
        let path = super::support::blank(directory.path(), "image", 300 << 20);
        run(
            &mke2fs,
            &["-q", "-F", "-O", "^metadata_csum,^has_journal", "-b", "4096", text(&path)],
            "",
        );
        let mut image = Pages::read(&path);
        let table = u64::from(image.le32(4096 + 8)) * 4096;
        let root = table + 256;
        let mut block = Vec::new();
        for index in 0..341_u32 {
            let length: u16 = if index == 340 { 4096 - 340 * 12 } else { 12 };
            block.extend((11_u32).to_le_bytes());
            block.extend(length.to_le_bytes());
            block.extend([3, 1]);
            block.extend(index.to_le_bytes().map(|byte| byte | 0x40));
        }
        block.resize(4096, 0);
        let mut source = Repeated { from: 8 << 20, to: 280 << 20, block, image: image.clone() };
        // One leaf in the inode: 65,536 blocks from block 2,048 on, in pieces of 32,768.
        let mut map = vec![0x0a, 0xf3, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0];
        for (first, start) in [(0_u32, 2048_u32), (32_768, 2048 + 32_768)] {
            map.extend(first.to_le_bytes());
            map.extend(32_768_u16.to_le_bytes());
            map.extend([0, 0]);
            map.extend(start.to_le_bytes());
        }
        image.put(root + 40, &map);
        image.put(root + 4, &(268_435_456_u32).to_le_bytes());
        image.put(root + 32, &0x8_0000_u32.to_le_bytes());
        source.image = image;
        let fs =
            evidence::ext::open(std::sync::Arc::new(source), evidence::View::Recovered).unwrap();
        let started = Instant::now();
        let listing = fs.read_dir(2).unwrap();
        assert!(
            listing.entries.len() > 100_000,
            "{} {:?}",
            listing.entries.len(),
            listing.problems
        );
        assert!(
            listing.problems.iter().any(|p| p.text.contains("more names")),
            "{:?}",
            listing.problems.first()
        );
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        note("ext4");
    });
}

/// An image with one block again and again in a range.
struct Repeated {
    from: u64,
    to: u64,
    block: Vec<u8>,
    image: Pages,
}

impl evidence::Source for Repeated {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, evidence::SourceError> {
        let got = self.image.read_at(offset, buf)?;
        let mut done = 0;
        while done < got {
            let at = offset + done as u64;
            let within = (at % 4096) as usize;
            let count = (4096 - within).min(got - done);
            if (self.from..self.to).contains(&at) {
                buf[done..done + count].copy_from_slice(&self.block[within..within + count]);
            }
            done += count;
        }
        Ok(got)
    }

    fn size_bytes(&self) -> u64 {
        self.image.size_bytes
    }
}

/// The list of blocks of a sparse file is all zeros and packs to nothing.
#[test]
fn packed_tables() {
    bounded("packed tables", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(squash) = tool("mksquashfs") else { return };
        let tree = directory.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::File::create(tree.join("sparse")).unwrap().set_len(1 << 31).unwrap();
        let path = directory.path().join("image");
        run(&squash, &[text(&tree), text(&path), "-quiet", "-no-progress", "-b", "4096"], "");
        let image = Pages::read(&path);
        let fs = evidence::squashfs::open(image.source(), evidence::View::Recovered);
        hostile::exercise(fs);
    });
}
