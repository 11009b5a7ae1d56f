//! What the firmware starts: programs of the EFI partition, unified kernel images with what lies inside them, and the
//! entries of systemd-boot.

use super::{boot, initramfs};
use crate::Digests;
use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::bytes::Bytes;
use crate::parse::pe::{self, Content, Section};
use crate::parse::{contains, meaningful, words};
use crate::root::Item;
use hashing::{Algorithms, MultiHasher};

/// Where programs lie that the firmware or its boot menu starts.
const EFI: &[&str] = &[
    "/boot/efi/EFI/**",
    "/efi/EFI/**",
    "/boot/EFI/**",
    "/boot/efi/loader/addons/*",
    "/efi/loader/addons/*",
    "/boot/loader/addons/*",
];
/// Where entries of systemd-boot lie, and the roots their paths count from.
const ENTRIES: &[(&str, &[&str])] = &[
    ("/boot/loader/entries/*.conf", &["/boot"]),
    ("/boot/efi/loader/entries/*.conf", &["/boot/efi", "/boot"]),
    ("/efi/loader/entries/*.conf", &["/efi", "/boot"]),
];
/// Programs that packages deliver for the EFI partition.
const DELIVERED: &[&str] =
    &["/usr/lib/shim/*", "/usr/lib/grub/*-signed/*", "/usr/lib/systemd/boot/efi/*"];
/// Longest command line of a unified kernel image, in bytes; the kernel takes less.
const CMDLINE_BYTES: u64 = 64 << 10;

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for item in EFI.iter().flat_map(|pattern| root.matching(pattern)) {
        if !item.is_file() || !item.name().to_ascii_lowercase().ends_with(b".efi") {
            continue;
        }
        // A whole image that a package delivered is vouched for as far as its kernel alone would be.
        if !context.is_foreign(item) {
            continue;
        }
        let sections = pe::sections(&root.open(item)).unwrap_or_default();
        let is_unified = [&b".linux"[..], b".cmdline", b".initrd"]
            .iter()
            .any(|name| sections.iter().any(|section| section.name == *name));
        if is_unified {
            unified(context, item, &sections);
        } else {
            program(context, item);
        }
    }
    for (pattern, bases) in ENTRIES {
        for item in root.matching(pattern).into_iter().filter(|item| item.is_file()) {
            entry(context, item, bases);
        }
    }
}

/// A program that is byte for byte none of those in packages. Loaders made on the machine are such too, so without a
/// delivered loader of the same name this is a fact for the inventory only.
fn program(context: &mut Context<'_>, item: Item<'_>) {
    let root = context.root;
    let name = item.name().to_ascii_lowercase();
    let stem = name.strip_suffix(b".efi").unwrap_or(&name).to_vec();
    let has_delivered = DELIVERED
        .iter()
        .flat_map(|pattern| root.matching(pattern))
        .any(|other| contains(&other.name().to_ascii_lowercase(), &stem));
    let run = Run::active("the firmware", "before the system");
    let spot = Spot::file(item.path).run(run.what(item.path));
    context.report("GBX-1204", if has_delivered { spot } else { spot.severity(Severity::Info) });
}

/// Kernel, command line and boot image of a unified kernel image or of an addon to one.
fn unified(context: &mut Context<'_>, item: Item<'_>, sections: &[Section]) {
    let root = context.root;
    let file = root.open(item);
    for section in sections {
        let content = Content { file: &file, section };
        match section.name.as_slice() {
            b".cmdline" => {
                let length = section.length_bytes.min(CMDLINE_BYTES).min(content.size_bytes());
                let length = usize::try_from(length).unwrap_or(0);
                let text = content.exactly(0, length).unwrap_or_default();
                let text: Vec<u8> = text.into_iter().take_while(|byte| *byte != 0).collect();
                let at = usize::try_from(section.offset_bytes).unwrap_or(0);
                boot::parameters(context, item.path, (1, at, &text));
            }
            b".initrd"
                if context.options.digests == Digests::Compare && context.ownership.is_some() =>
            {
                initramfs::image(context, item, &content);
            }
            b".linux" if context.ownership.is_some() => kernel(context, item, &content),
            _ => {}
        }
    }
}

/// The kernel inside must be one that a package delivered.
fn kernel(context: &mut Context<'_>, item: Item<'_>, content: &Content<'_>) {
    let Some(algorithm) = context.ownership.as_ref().map(|found| found.algorithm) else { return };
    let mut hasher = MultiHasher::new(&Algorithms::sha256().with(algorithm));
    let mut buf = vec![0; 256 << 10];
    let mut at = 0_u64;
    while at < content.size_bytes() && at < context.options.largest_hashed_bytes {
        let count = content.read_at(at, &mut buf);
        if count == 0 {
            break;
        }
        hasher.update(buf.get(..count).unwrap_or(&[]));
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
    let digests = hasher.finish();
    let native = digests.of(algorithm).map(hashing::Digest::to_hex).unwrap_or_default();
    if context.ownership.as_ref().is_some_and(|found| found.knows_digest(native.as_bytes())) {
        return;
    }
    let detail = format!("SHA-256 of the kernel inside: {}", digests.sha256_hex());
    let run = Run::active("the firmware", "before the system").what(item.path);
    let mut spot = Spot::file(item.path).detail(detail).run(run);
    spot.offset_bytes = usize::try_from(content.section.offset_bytes).ok();
    context.report("GBX-1206", spot);
}

/// What an entry of the boot menu starts.
fn entry(context: &mut Context<'_>, item: Item<'_>, bases: &[&str]) {
    let root = context.root;
    for (line, offset, text) in meaningful(&root.text(item.path).unwrap_or_default()) {
        let all = words(text);
        let (Some(key), Some(path)) = (all.first(), all.get(1)) else { continue };
        let is_image = matches!(*key, b"initrd");
        if !is_image && !matches!(*key, b"linux" | b"efi" | b"uki") {
            continue;
        }
        let slash: &[u8] = if path.first() == Some(&b'/') { b"" } else { b"/" };
        let found = bases
            .iter()
            .find_map(|base| root.item(&[base.as_bytes(), slash, path].concat()))
            .filter(|found| found.is_file());
        let Some(found) = found else { continue };
        if is_image {
            // Those with the usual names are looked at anyway.
            if context.options.digests == Digests::Compare
                && context.ownership.is_some()
                && !initramfs::is_listed(found.path)
            {
                let file = root.open(found);
                initramfs::image(context, found, &file);
            }
        } else if context.ownership.is_some() && context.is_foreign(found) {
            let sections = pe::sections(&root.open(found)).unwrap_or_default();
            let is_unified = sections.iter().any(|section| section.name == b".linux");
            if is_unified {
                continue;
            }
            let run = Run::active("the boot menu", "when this entry is chosen").what(found.path);
            let detail = evidence::escape_bytes(found.path);
            context.report(
                "GBX-1207",
                Spot::line(item.path, line, offset, text).detail(detail).run(run),
            );
        }
    }
}
