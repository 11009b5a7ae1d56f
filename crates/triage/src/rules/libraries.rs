//! Where programs take their libraries from: the loader's cache, search paths inside programs, and libraries a program was
//! made to need.
//!
//! What a package owns and what lies where packages put libraries is left aside; every look starts from a file that belongs
//! to nobody, so a clean system costs a header per program.

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::{Activation, Severity};
use crate::parse::elf::{Dynamic, Elf};
use crate::parse::ld_cache;
use crate::root::{Item, Root};
use std::collections::{BTreeMap, BTreeSet};

/// Programs and libraries that are looked at.
const PROGRAMS: &[&str] = &["/usr/", "/opt/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/srv/"];
/// Directories where every account, or one that is not root, can write.
const OPEN_PLACES: &[&[u8]] =
    &[b"/tmp", b"/var/tmp", b"/dev/shm", b"/home", b"/run/user", b"/var/www", b"/run/lock"];
/// Directories the loader searches by itself.
const DEFAULT_PLACES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/",
    "/usr/lib/aarch64-linux-gnu/",
    "/usr/lib/i386-linux-gnu/",
    "/usr/lib64/",
    "/usr/lib/",
    "/usr/lib32/",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    let cached = cache(context);
    if context.ownership.is_some() {
        programs(context, &cached);
    }
}

fn is_open_place(path: &[u8]) -> bool {
    OPEN_PLACES.iter().any(|place| {
        path.strip_prefix(*place).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    })
}

/// Where software from outside the distribution keeps its libraries, without hiding them.
fn is_usual_place(path: &[u8]) -> bool {
    let is_there = path.starts_with(b"/usr/local/lib") || path.starts_with(b"/opt/");
    is_there && !path.windows(2).any(|two| two == b"/.")
}

/// Whether a packaged file is byte for byte what its package recorded: nobody put anything into it.
fn is_as_delivered(context: &mut Context<'_>, item: Item<'_>) -> bool {
    let recorded = context.ownership.as_ref().and_then(|all| all.digests.get(item.path)).cloned();
    let Some(recorded) = recorded else { return false };
    context
        .hashes(item)
        .is_some_and(|hashes| hashes.native.as_bytes().eq_ignore_ascii_case(&recorded))
}

/// Reports what the cache gives out that no package owns; what it gives out by name.
fn cache(context: &mut Context<'_>) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let root = context.root;
    let path = b"/etc/ld.so.cache";
    let entries = root.text(path).and_then(|raw| ld_cache::parse(&raw)).unwrap_or_default();
    let mut first: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for entry in &entries {
        let shadowed = entries.iter().find(|other| {
            other.name == entry.name
                && other.path != entry.path
                && context.is_owned_strictly(&other.path)
        });
        let item = root.follow(&entry.path).filter(|item| item.is_file());
        let is_open = is_open_place(&entry.path);
        let is_foreign = match item {
            Some(item) => context.ownership.is_some() && context.is_foreign(item),
            None => false,
        };
        first.entry(entry.name.clone()).or_insert_with(|| entry.path.clone());
        let is_awaited = is_open && item.is_none();
        if !is_foreign && !is_awaited {
            continue;
        }
        let run = Run::active("each account", "when a program needs that library");
        let run = run.what(&entry.path).but(item.is_none().then_some("the file is not there"));
        let text = [entry.name.as_slice(), b" => ", &entry.path].concat();
        let mut spot = Spot { excerpt: text, ..Spot::file(path) }.run(run);
        if is_usual_place(&entry.path) {
            spot = spot.severity(Severity::Low);
        }
        if let Some(other) = shadowed {
            let told = evidence::escape_bytes(&other.path);
            spot = spot.detail(format!("in place of {told}")).severity(Severity::High);
        } else if is_open {
            spot = spot.severity(Severity::High);
        }
        context.report("GBX-0505", spot);
    }
    first
}

/// Files of no package that a program could take for a library, by their names.
fn strangers(context: &mut Context<'_>, cached: &BTreeMap<Vec<u8>, Vec<u8>>) -> Strangers {
    let root = context.root;
    let mut by_name: Strangers = BTreeMap::new();
    let mut candidates: Vec<Vec<u8>> = cached.values().cloned().collect();
    for place in DEFAULT_PLACES {
        let found = root.matching(&format!("{place}*.so*"));
        candidates.extend(found.into_iter().map(|item| item.path.to_vec()));
    }
    for path in candidates {
        let Some(item) = root.follow(&path).filter(|item| item.is_file()) else { continue };
        if context.is_foreign(item) {
            let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(&[]).to_vec();
            by_name.insert(name, item.path.to_vec());
        }
    }
    by_name
}

type Strangers = BTreeMap<Vec<u8>, Vec<u8>>;

fn programs(context: &mut Context<'_>, cached: &BTreeMap<Vec<u8>, Vec<u8>>) {
    let root = context.root;
    let strangers = strangers(context, cached);
    let mut seen = BTreeSet::new();
    // Without a list of them in between: there may be a million names.
    for item in root.items() {
        if !PROGRAMS.iter().any(|place| item.path.starts_with(place.as_bytes())) {
            continue;
        }
        let is_library = item.name().windows(3).any(|part| part == b".so");
        let may_load = item.is_executable() || is_library;
        if !item.is_file()
            || !may_load
            || item.metadata.size_bytes < 64
            || !seen.insert(item.metadata.node)
        {
            continue;
        }
        let file = crate::root::InRoot { fs: root.fs, item };
        let Some(dynamic) = Elf::read(&file).and_then(|elf| elf.dynamic()) else { continue };
        search_path(context, item, &dynamic);
        needed(context, item, &dynamic, &strangers);
    }
}

/// Directories inside the program from which it takes libraries.
fn search_path(context: &mut Context<'_>, item: Item<'_>, dynamic: &Dynamic) {
    let root = context.root;
    // A run path makes the loader pass over the older kind.
    let Some(list) = dynamic.runpath.as_ref().or(dynamic.rpath.as_ref()) else { return };
    let folder = folder(item.path);
    for element in list.split(|byte| *byte == b':') {
        let place = expand(element, folder);
        let is_relative = place.first() != Some(&b'/');
        let foreign = (!is_relative).then(|| foreign_in(context, root, &place, dynamic)).flatten();
        let is_open = is_open_place(&place) && !is_open_place(item.path);
        if !is_relative && !is_open && foreign.is_none() {
            continue;
        }
        if foreign.is_none() && is_as_delivered(context, item) {
            continue;
        }
        let (detail, severity) = match &foreign {
            Some(library) => {
                let text = format!("{} lies there", evidence::escape_bytes(library));
                (text, Severity::High)
            }
            None if is_relative => {
                let text = "a relative directory: wherever the program is started from";
                (text.to_owned(), Severity::Medium)
            }
            None => ("accounts other than root can write there".to_owned(), Severity::Medium),
        };
        let run = Run::active("whoever starts the program", "at each start of it");
        let run = run.what(foreign.as_deref().unwrap_or(&place));
        let mut spot = Spot { excerpt: list.clone(), ..Spot::file(item.path) };
        spot.subject = evidence::escape_bytes(&place);
        context.report("GBX-0506", spot.detail(detail).severity(severity).run(run));
    }
}

/// A library of no package in this directory that the program asks for by name.
fn foreign_in(
    context: &mut Context<'_>,
    root: &Root<'_>,
    place: &[u8],
    dynamic: &Dynamic,
) -> Option<Vec<u8>> {
    for name in dynamic.needed.iter().filter(|name| !name.contains(&b'/')) {
        let path = [place, b"/", name.as_slice()].concat();
        let Some(item) = root.follow(&path).filter(|item| item.is_file()) else { continue };
        if context.is_foreign(item) {
            return Some(item.path.to_vec());
        }
    }
    None
}

/// Libraries a packaged program asks for that no package delivered.
fn needed(context: &mut Context<'_>, item: Item<'_>, dynamic: &Dynamic, strangers: &Strangers) {
    if !context.is_owned_strictly(item.path) {
        return;
    }
    let root = context.root;
    for name in &dynamic.needed {
        let library = if name.contains(&b'/') {
            let there = root.follow(name).filter(|item| item.is_file());
            match there {
                Some(there) if !context.is_foreign(there) => None,
                _ => Some(name.clone()),
            }
        } else {
            strangers.get(name).cloned()
        };
        let Some(library) = library else { continue };
        if is_as_delivered(context, item) {
            // Its package wants a library of that name; that it is a foreign one is told of the library.
            return;
        }
        let run = Run::active("whoever starts the program", "at each start of it").what(&library);
        let mut spot = Spot { excerpt: name.clone(), ..Spot::file(item.path) }.run(run);
        if root.item(&library).is_none() {
            spot = spot.activation(Activation::Unknown).detail("the library is not on this disk");
        }
        context.report("GBX-0507", spot);
    }
}

fn folder(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').and_then(|at| path.get(..at)).unwrap_or(&[])
}

/// `$ORIGIN` replaced by the program's own directory, `.` and `..` resolved.
fn expand(element: &[u8], folder: &[u8]) -> Vec<u8> {
    let rest = element.strip_prefix(b"$ORIGIN").or_else(|| element.strip_prefix(b"${ORIGIN}"));
    let whole = match rest {
        Some(rest) => [folder, rest].concat(),
        None => element.to_vec(),
    };
    if whole.first() != Some(&b'/') {
        return whole;
    }
    let mut names: Vec<&[u8]> = Vec::new();
    for name in whole.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    [b"/", names.join(&b'/').as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_own_directory_is_put_in() {
        assert_eq!(expand(b"$ORIGIN/../lib", b"/opt/x/bin"), b"/opt/x/lib");
        assert_eq!(expand(b"/usr//lib/./x", b"/"), b"/usr/lib/x");
        assert_eq!(expand(b"", b"/usr/bin"), b"");
        assert!(is_open_place(b"/tmp/x") && is_open_place(b"/tmp") && !is_open_place(b"/tmpx"));
    }
}
