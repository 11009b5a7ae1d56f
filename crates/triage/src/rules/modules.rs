//! Kernel modules: without a signature among signed ones, and loaded at boot though no package owns them.
//!
//! A rootkit's module is either a file that somebody left for the next boot, or a line that names one; both ends are looked
//! at. Signatures are measured, not checked: whose keys the kernel takes is not on the disk.

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::bytes::Bytes;
use crate::parse::module::{self, Module};
use crate::parse::{meaningful, words};
use crate::root::{Item, Root};
use std::collections::{BTreeMap, BTreeSet};

/// Where modules lie, below a directory for each kernel.
const PLACES: &[&str] = &["/usr/lib/modules/*/**", "/lib/modules/*/**"];
/// Files that name modules to load at boot.
const LISTS: &[&str] = &[
    "/etc/modules-load.d/*.conf",
    "/usr/lib/modules-load.d/*.conf",
    "/usr/local/lib/modules-load.d/*.conf",
    "/etc/modules",
    "/etc/conf.d/modules",
    "/etc/initramfs-tools/modules",
];
/// Modules unpacked to look inside, for each kernel.
const UNPACKED_AT_MOST: usize = 200;
/// Delivered modules that show how those of a kernel are, where they are packed.
const SAMPLES: usize = 4;
/// Largest module read, in bytes.
const MODULE_BYTES_AT_MOST: u64 = 64 << 20;

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    let mut kernels: BTreeMap<Vec<u8>, Vec<Item<'_>>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for item in PLACES.iter().flat_map(|pattern| root.matching(pattern)) {
        if item.is_file() && module::is_module_name(item.name()) && seen.insert(item.path) {
            kernels.entry(kernel(item.path).to_vec()).or_default().push(item);
        }
    }
    for (kernel, modules) in &kernels {
        unsigned(context, kernel, modules);
    }
    loaded(context, &kernels);
}

/// The kernel's directory: the name below `modules`.
fn kernel(path: &[u8]) -> &[u8] {
    let mut names = path.split(|byte| *byte == b'/').skip_while(|name| *name != b"modules");
    names.nth(1).unwrap_or(&[])
}

/// Modules without a signature where the delivered ones have one.
fn unsigned(context: &mut Context<'_>, kernel: &[u8], modules: &[Item<'_>]) {
    let root = context.root;
    let (mut delivered, mut strange) = (Vec::new(), Vec::new());
    for item in modules {
        let is_strange = context.ownership.is_some() && context.is_foreign(*item);
        if is_strange { strange.push(*item) } else { delivered.push(*item) }
    }
    let plain = |item: &&Item<'_>| item.name().ends_with(b".ko");
    // The end of a file that is not packed costs one read, so all of them are looked at.
    let ends: Vec<(Item<'_>, bool)> = delivered
        .iter()
        .filter(plain)
        .map(|item| {
            (*item, end(root, *item).and_then(|raw| module::signature_bytes(&raw)).is_some())
        })
        .collect();
    let packed = delivered.iter().filter(|item| !plain(item)).take(SAMPLES);
    let samples: Vec<bool> = packed
        .filter_map(|item| inside(root, *item))
        .map(|found| found.signature_bytes.is_some())
        .collect();
    let signed = ends.iter().filter(|(_, is_signed)| *is_signed).count();
    let are_signed = if ends.len() > samples.len() {
        // One that lost its signature must not speak for the rest.
        signed > 0 && signed.saturating_mul(10) >= ends.len().saturating_mul(9)
    } else {
        !samples.is_empty() && samples.iter().all(|is_signed| *is_signed)
    };
    if !are_signed {
        return;
    }
    for (item, _) in ends.iter().filter(|(_, is_signed)| !is_signed) {
        tell(context, kernel, *item, inside(root, *item));
    }
    for item in strange.into_iter().take(UNPACKED_AT_MOST) {
        let found = inside(root, item);
        if found.as_ref().is_none_or(|found| found.signature_bytes.is_none()) {
            tell(context, kernel, item, found);
        }
    }
}

fn tell(context: &mut Context<'_>, kernel: &[u8], item: Item<'_>, found: Option<Module>) {
    let mut told = Vec::new();
    if let Some(found) = found {
        let fields = [("name", &found.name), ("for", &found.vermagic), ("author", &found.author)];
        for (what, value) in fields {
            if let Some(value) = value {
                told.push(format!("{what} {}", evidence::escape_bytes(value)));
            }
        }
        let is_for_another = found
            .vermagic
            .as_ref()
            .is_some_and(|magic| words(magic).first().is_some_and(|first| *first != kernel));
        if is_for_another {
            told.push("built for another kernel than the one it lies with".to_owned());
        }
    } else {
        told.push("it could not be unpacked".to_owned());
    }
    let spot = Spot::file(item.path).detail(told.join("; "));
    let is_dkms = item.path.windows(14).any(|part| part == b"/updates/dkms/");
    context.report("GBX-0710", if is_dkms { spot.severity(Severity::Medium) } else { spot });
}

/// The last bytes of a module that is not packed.
fn end(root: &Root<'_>, item: Item<'_>) -> Option<Vec<u8>> {
    let length = item.metadata.size_bytes.min(64);
    let file = crate::root::InRoot { fs: root.fs, item };
    file.exactly(item.metadata.size_bytes.checked_sub(length)?, usize::try_from(length).ok()?)
}

fn inside(root: &Root<'_>, item: Item<'_>) -> Option<Module> {
    let size = item.metadata.size_bytes;
    let length = usize::try_from(size).ok().filter(|_| size <= MODULE_BYTES_AT_MOST)?;
    let raw = root.open(item).exactly(0, length)?;
    Some(module::parse(&module::unpack(raw)?))
}

/// Modules that lists of no package have loaded at boot: of no package themselves, or not on the disk at all.
fn loaded(context: &mut Context<'_>, kernels: &BTreeMap<Vec<u8>, Vec<Item<'_>>>) {
    if context.ownership.is_none() || kernels.is_empty() {
        return;
    }
    let root = context.root;
    let mut files: BTreeMap<Vec<u8>, Vec<Item<'_>>> = BTreeMap::new();
    for item in kernels.values().flatten() {
        files.entry(module::name_of_file(item.name())).or_default().push(*item);
    }
    let built_in: BTreeSet<Vec<u8>> = PLACES
        .iter()
        .flat_map(|place| root.matching(&place.replace("**", "modules.builtin")))
        .filter_map(|item| root.text(item.path))
        .flat_map(|raw| {
            let names =
                words(&raw).into_iter().filter_map(|path| path.rsplit(|b| *b == b'/').next());
            names.map(module::name_of_file).collect::<Vec<_>>()
        })
        .collect();
    for item in LISTS.iter().flat_map(|pattern| root.matching(pattern)) {
        if !item.is_file() || !(context.is_foreign(item) || context.is_changed_conffile(item)) {
            continue;
        }
        for (line, offset, text) in meaningful(&root.text(item.path).unwrap_or_default()) {
            let Some(first) = words(text).first().copied() else { continue };
            if first.first() == Some(&b';') {
                continue;
            }
            let name = module::name_of_file(first);
            let foreign =
                files.get(&name).into_iter().flatten().find(|one| context.is_foreign(**one));
            let is_missing = !files.contains_key(&name) && !built_in.contains(&name);
            let spot = Spot::line(item.path, line, offset, text);
            let run = Run::active("the kernel", "at boot");
            if let Some(foreign) = foreign {
                let spot =
                    spot.detail("the module belongs to no package").severity(Severity::Critical);
                context.report("GBX-0711", spot.run(run.what(foreign.path)));
            } else if is_missing {
                let spot = spot.detail("no kernel on this disk has a module of that name");
                let spot = spot.severity(Severity::Medium);
                context.report("GBX-0711", spot.run(run.but(Some("the module is not there"))));
            }
        }
    }
}
