//! Memory and time on headers made hostile field by field, and on structures that unfold: each reader stays below
//! 256 MiB, measured by the kernel in a process of its own (`support::bounded`), and ends within seconds.
//!
//! Only we vouch: no tool makes such images. The random damage of each format stands in its own test file and is measured
//! in the same way.

#![allow(
    clippy::single_range_in_vec_init,
    reason = "places of one structure among lists of several"
)]

mod support;

#[path = "bounded/disks.rs"]
mod disks;
#[path = "bounded/files.rs"]
mod files;
#[path = "bounded/unfolding.rs"]
mod unfolding;

use evidence::{FileSystem, Source};
use std::path::Path;
use std::sync::Arc;
use support::pages::Pages;
use support::{Random, run, text, tool};

type Opener =
    fn(Arc<dyn Source>, evidence::View) -> Result<Box<dyn FileSystem>, evidence::EvidenceError>;

/// Uses everything of a file system.
fn all_of(open: Opener) -> impl Fn(Pages) {
    move |image| {
        support::hostile::exercise(open(image.source(), evidence::View::Recovered));
    }
}

/// No reader of this format insists on a checksum.
fn unsealed(_: &mut Pages) {}

/// A small tree with a file, a directory with some names, and a link.
fn tree(directory: &Path) -> std::path::PathBuf {
    let tree = directory.join("tree");
    std::fs::create_dir_all(tree.join("a/b")).unwrap();
    std::fs::write(tree.join("a/file"), Random(3).bytes(50_000)).unwrap();
    std::fs::write(tree.join("a/text"), "the same line again\n".repeat(2000)).unwrap();
    for index in 0..40 {
        std::fs::write(tree.join(format!("a/b/name-number-{index}")), "x").unwrap();
    }
    std::os::unix::fs::symlink("x".repeat(100), tree.join("link")).unwrap();
    tree
}

/// An image of `size` bytes made by a tool whose last argument is its path; `None`, said, without the tool.
fn made(directory: &Path, program: &str, options: &[&str], size: u64) -> Option<Pages> {
    let program = tool(program)?;
    let image = support::blank(directory, "image", size);
    run(&program, &[options, &[text(&image)]].concat(), "");
    let pages = Pages::read(&image);
    std::fs::remove_file(image).unwrap();
    Some(pages)
}

fn crc32c(seed: u32, data: &[u8]) -> u32 {
    data.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
