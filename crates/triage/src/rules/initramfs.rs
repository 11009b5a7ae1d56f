//! The contents of boot images: every program, script, library and module in them must be one that packages delivered or
//! that stands on this root; configuration and lists made when the image was made are left aside.

use crate::Digests;
use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::parse::bytes::Bytes;
use crate::parse::initramfs::{self, Member};
use crate::payload;
use crate::root::Item;
use evidence::{Place, Problem, ProblemKind, escape_bytes};
use hashing::Algorithms;

const IMAGES: &[&str] = &[
    "/boot/initrd.img-*",
    "/boot/initrd-*",
    "/boot/initramfs-*",
    "/boot/initramfs*.img",
    "/boot/initrd*.img",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    if context.ownership.is_none() || context.options.digests == Digests::Skip {
        return;
    }
    let root = context.root;
    let mut images: Vec<Item<'_>> = IMAGES.iter().flat_map(|one| root.matching(one)).collect();
    images.sort_by_key(|item| item.path);
    images.dedup_by_key(|item| item.path);
    for item in images.into_iter().filter(|item| item.is_file() && item.metadata.size_bytes > 0) {
        let file = root.open(item);
        image(context, item, &file);
    }
}

/// Compares one boot image, a file of its own or a part of the file `item`, with what packages delivered.
pub(super) fn image(context: &mut Context<'_>, item: Item<'_>, file: &dyn Bytes) {
    let mut strangers: Vec<(Vec<u8>, &'static str)> = Vec::new();
    let result = initramfs::for_each(file, &mut |member| {
        if acts(&member) && !is_delivered(context, &member) {
            let sign = payload::signs(&member.content).first().map_or("", |sign| sign.what);
            strangers.push((member.name, sign));
        }
    });
    if let Err(text) = result {
        let text = format!("the boot image cannot be read whole: {text}");
        let place = Place::Path(item.path.into());
        context.root.problems.borrow_mut().push(Problem::new(ProblemKind::Corrupt, place, text));
    }
    for (name, sign) in strangers {
        let run = Run::active("root", "at boot, before the disk is mounted").what(&name);
        let detail = if sign.is_empty() {
            escape_bytes(&name)
        } else {
            format!("{}: {sign}", escape_bytes(&name))
        };
        let spot = Spot { excerpt: name, ..Spot::file(item.path) };
        context.report("GBX-1203", spot.detail(detail).run(run));
    }
}

/// Whether a path is one that is looked at as a boot image by its name.
pub(super) fn is_listed(path: &[u8]) -> bool {
    IMAGES.iter().any(|pattern| evidence::fs::glob::matches(pattern.as_bytes(), path))
}

/// Regular files that are run or loaded.
fn acts(member: &Member) -> bool {
    let is_file = member.mode & 0o170_000 == 0o100_000;
    let is_code = member.mode & 0o111 != 0
        || member.content.starts_with(b"\x7fELF")
        || member.content.starts_with(b"#!");
    is_file && is_code && !member.content.is_empty()
}

fn is_delivered(context: &mut Context<'_>, member: &Member) -> bool {
    let Some(algorithm) = context.ownership.as_ref().map(|found| found.algorithm) else {
        return true;
    };
    let digests = hashing::digest_bytes(&member.content, &Algorithms::sha256().with(algorithm));
    let Some(native) = digests.of(algorithm).map(hashing::Digest::to_hex) else { return true };
    if context.ownership.as_ref().is_some_and(|found| found.knows_digest(native.as_bytes())) {
        return true;
    }
    let root = context.root;
    let Some(same) = root.item(&[b"/", member.name.as_slice()].concat()) else { return false };
    same.is_file() && context.hashes(same).is_some_and(|hashes| hashes.native == native)
}
