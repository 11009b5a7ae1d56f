//! Objects that no package brings: explained by a rule or a fresh install, or told.

use std::collections::BTreeSet;

use archive::store::{Item, ItemKind};
use evidence::fs::{FileKind, Metadata};
use evidence::{Place, escape_bytes};

use crate::classes::{self, Class, May};
use crate::examination::{Deviation, Examination, Rule};
use crate::inventory::leads_to;
use crate::report::{Explained, Severity};
use crate::{content, manifest};

const UNEXPLAINED: Rule = Rule {
    id: "GBV-0301",
    title: "No package brings this and nothing explains it",
    severity: Severity::Medium,
};
const RUNS: Rule = Rule {
    id: "GBV-0302",
    title: "No package brings this, and it can run",
    severity: Severity::High,
};
const SETID: Rule = Rule {
    id: "GBV-0303",
    title: "No package brings this, and it runs with rights of its owner or with capabilities",
    severity: Severity::Critical,
};
const DEVICE: Rule =
    Rule { id: "GBV-0304", title: "A device file stands on the disk", severity: Severity::High };
const LEADS_OUT: Rule = Rule {
    id: "GBV-0401",
    title: "A link that installation makes leads to what no package brings",
    severity: Severity::High,
};
const COMPILED: Rule = Rule {
    id: "GBV-0801",
    title: "Compiled Python that does not belong to the source beside it",
    severity: Severity::High,
};
const RECOMPILED: Rule = Rule {
    id: "GBV-0802",
    title: "Compiled Python is not as in the fresh install",
    severity: Severity::High,
};

/// First bytes read of a file to tell what it is.
const HEAD_BYTES: usize = 32;

pub(crate) fn apply(examination: &mut Examination<'_>) {
    let extras: Vec<(Vec<u8>, Metadata)> = examination
        .inventory
        .entries
        .iter()
        .filter(|(path, _)| !examination.claims.brings(path))
        .map(|(path, metadata)| (path.clone(), metadata.clone()))
        .collect();
    // Contents that a manifest or a packaged file could explain.
    let wanted: Vec<&(Vec<u8>, Metadata)> = extras
        .iter()
        .filter(|(path, metadata)| {
            metadata.kind == FileKind::File
                && (path.starts_with(b"/etc/")
                    || path.starts_with(b"/root/")
                    || examination.golden.contains_key(path))
        })
        .collect();
    let nodes: Vec<u64> = wanted.iter().map(|(_, metadata)| metadata.node).collect();
    let read = content::digests(examination.inventory.fs, &nodes, examination.options.threads);
    let mut digests = std::collections::HashMap::new();
    for ((path, _), result) in wanted.iter().zip(read) {
        match result {
            Ok((digest, _)) => drop(digests.insert(path.as_slice(), digest)),
            Err(error) => {
                let place = Place::Path(path.as_slice().into());
                examination.inventory.problem(error.to_problem(place));
            }
        }
    }
    let foreign = examination.claims.of_foreign(&examination.inventory);
    let mut told: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut folders = Vec::new();
    for (path, metadata) in &extras {
        if metadata.kind == FileKind::Directory {
            folders.push((path, metadata));
            continue;
        }
        // The package itself is told; a set-id file is told whoever claims it.
        if foreign.contains(path) && metadata.mode & 0o6000 == 0 {
            examination.not_judged("files of packages not in the catalogue");
            continue;
        }
        match explain(examination, path, metadata, digests.get(path.as_slice())) {
            Ok(class) => {
                examination.explained.push(Explained { path: path.as_slice().into(), class });
            }
            Err((rule, found)) => {
                told.insert(path.clone());
                examination.coverage.unexplained =
                    examination.coverage.unexplained.saturating_add(1);
                examination.tell(rule, Deviation::at(path).instead("nothing", found));
            }
        }
    }
    for (path, metadata) in folders {
        folder(examination, path, metadata, &told);
    }
}

/// A directory is told only when nothing told stands in it: it is then the only trace.
fn folder(
    examination: &mut Examination<'_>,
    path: &[u8],
    metadata: &Metadata,
    told: &BTreeSet<Vec<u8>>,
) {
    let inside = [path, b"/"].concat();
    let has_told =
        told.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside));
    let has_any = examination
        .inventory
        .entries
        .range(inside.clone()..)
        .next()
        .is_some_and(|(next, _)| next.starts_with(&inside));
    let golden = examination.golden.get(path).copied();
    let class = if golden.is_some_and(|item| is_same(item, metadata, None, None)) {
        Class::Golden
    } else if has_told {
        return;
    } else if has_any {
        // What is in it is explained, and so is the directory.
        classes::of(&[&inside[..], b"x"].concat(), false)
            .next()
            .map_or(Class::Empty, |(class, _)| class)
    } else {
        Class::Empty
    };
    let is_hidden = path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| {
        name.starts_with(b"..")
            || name.iter().any(|byte| !(0x20..0x7f).contains(byte))
            || name.trim_ascii() != name
    });
    if is_hidden && class == Class::Empty {
        examination.coverage.unexplained = examination.coverage.unexplained.saturating_add(1);
        let found = "a directory whose name hides it".to_owned();
        examination.tell(&UNEXPLAINED, Deviation::at(path).instead("nothing", found));
        return;
    }
    examination.explained.push(Explained { path: path.into(), class });
}

/// The class that explains an object, or the rule that tells it.
fn explain(
    examination: &mut Examination<'_>,
    path: &[u8],
    metadata: &Metadata,
    digest: Option<&hashing::Digest>,
) -> Result<Class, (&'static Rule, String)> {
    let link = examination.inventory.link(path);
    if examination.inventory.is_merged_link(path) {
        return Ok(Class::Configuration);
    }
    if let Some(item) = examination.golden.get(path).copied()
        && is_same(item, metadata, link.as_deref(), digest)
        && manifest::xattrs(&examination.inventory, path, metadata) == item.xattrs
    {
        return Ok(Class::Golden);
    }
    match metadata.kind {
        FileKind::Symlink => link_explained(examination, path, &link.unwrap_or_default()),
        FileKind::File => file_explained(examination, path, metadata, digest),
        FileKind::BlockDevice | FileKind::CharDevice => {
            // Images made without a running udev hold the usual few in /dev.
            if path.starts_with(b"/dev/") && metadata.kind == FileKind::CharDevice {
                return Ok(Class::Empty);
            }
            let numbers = metadata
                .device
                .map_or_else(String::new, |(major, minor)| format!(" {major}:{minor}"));
            Err((&DEVICE, format!("a device{numbers}")))
        }
        _ => {
            let mut classes = classes::of(path, false);
            match classes.next() {
                Some((class, _)) => Ok(class),
                None => Err((&UNEXPLAINED, "a pipe or socket".to_owned())),
            }
        }
    }
}

fn link_explained(
    examination: &Examination<'_>,
    path: &[u8],
    target: &[u8],
) -> Result<Class, (&'static Rule, String)> {
    let found = format!("a link to {}", escape_bytes(target));
    let ghost = examination.claims.ghosts.contains(path);
    let ghost = ghost.then_some((Class::Configuration, May::Links));
    let Some((class, may)) = classes::of(path, true).next().or(ghost) else {
        return Err((&UNEXPLAINED, found));
    };
    if may == May::Anything || is_reached(examination, path, target) {
        Ok(class)
    } else {
        Err((&LEADS_OUT, found))
    }
}

/// Whether a link ends at something packages bring or that is no file of the disk; followed through at most eight links.
fn is_reached(examination: &Examination<'_>, path: &[u8], target: &[u8]) -> bool {
    let inventory = &examination.inventory;
    let (mut path, mut target) = (path.to_vec(), target.to_vec());
    for _ in 0..8 {
        let next = inventory.canonical(&leads_to(&path, &target));
        let is_outside = next == b"/dev/null"
            || [&b"/proc/"[..], b"/run"].iter().any(|tree| next.starts_with(tree));
        if is_outside || examination.claims.brings(&next) {
            return true;
        }
        match inventory.link(&next) {
            Some(further) if classes::of(&next, true).next().is_some() => {
                (path, target) = (next, further);
            }
            Some(_) => return false,
            None => {
                // Data that a rule explains, such as the identity of the machine, or its place; nothing that runs.
                let is_inert = inventory.get(&next).is_none_or(|metadata| {
                    metadata.kind != FileKind::File || metadata.mode & 0o111 == 0
                });
                return is_inert && classes::of(&next, false).any(|(_, may)| may != May::Anything);
            }
        }
    }
    false
}

fn file_explained(
    examination: &mut Examination<'_>,
    path: &[u8],
    metadata: &Metadata,
    digest: Option<&hashing::Digest>,
) -> Result<Class, (&'static Rule, String)> {
    let size = format!("a file of {} bytes", metadata.size_bytes);
    let capabilities = manifest::xattrs(&examination.inventory, path, metadata)
        .iter()
        .any(|(name, _)| name == b"security.capability");
    if metadata.mode & 0o6000 != 0 || capabilities {
        let word = if capabilities { "with capabilities" } else { "set-id" };
        return Err((&SETID, format!("{size}, {word} {:04o}", metadata.mode)));
    }
    if metadata.is_sealed() {
        return Err((&UNEXPLAINED, format!("{size}, immutable or append-only")));
    }
    if path.windows(13).any(|part| part == b"/__pycache__/") && path.ends_with(b".pyc") {
        return compiled(examination, path, metadata);
    }
    // dpkg writes one where a package brings none; nothing here believes it.
    let is_made = path
        .strip_prefix(b"/var/lib/dpkg/info/")
        .and_then(|name| name.strip_suffix(b".md5sums"))
        .is_some_and(|stem| examination.claims.lists.contains_key(stem));
    if is_made && metadata.mode & 0o111 == 0 {
        return Ok(Class::Database);
    }
    let head = match examination.inventory.fs.read_head(metadata.node, HEAD_BYTES) {
        Ok((head, _)) => head,
        Err(error) => {
            examination.inventory.problem(error.to_problem(Place::Path(path.into())));
            examination.not_judged("files no package brings that cannot be read");
            return Err((&UNEXPLAINED, size));
        }
    };
    let is_program = head.starts_with(b"\x7fELF");
    let is_code = is_program || head.starts_with(b"#!");
    let runs = is_code || metadata.mode & 0o111 != 0;
    let mut classes = classes::of(path, false);
    let class = classes.find(|(_, may)| match may {
        May::Anything => true,
        May::Named => !is_code,
        May::Data | May::Links => !runs,
    });
    // Data at a place that a package owns without delivering it.
    let is_ghost = examination.claims.ghosts.contains(path) && !is_code;
    if let Some((class, may)) = class.or(is_ghost.then_some((Class::Data, May::Named))) {
        if may == May::Anything {
            examination.not_judged("files of users");
        }
        return Ok(class);
    }
    // ucf and scripts put packaged templates to their places: the bytes are the vendor's.
    let is_copied = digest.is_some_and(|one| examination.claims.digests.contains(one.as_bytes()));
    if is_copied && !runs && path.starts_with(b"/etc/") && metadata.size_bytes > 0 {
        return Ok(Class::Copied);
    }
    let word = if is_program {
        ", a program or library"
    } else if head.starts_with(b"#!") {
        ", a script"
    } else if runs {
        ", executable"
    } else {
        ""
    };
    let found = format!("{size}{word}, {:04o} {}:{}", metadata.mode, metadata.uid, metadata.gid);
    Err((if runs { &RUNS } else { &UNEXPLAINED }, found))
}

/// Compiled Python names the source it was made from (PEP 552): by time and length, or by a hash.
///
/// Its code is not compared: that needs the same compiler, or a fresh install's manifest.
fn compiled(
    examination: &mut Examination<'_>,
    path: &[u8],
    metadata: &Metadata,
) -> Result<Class, (&'static Rule, String)> {
    let fault = |text: &str| Err((&COMPILED, text.to_owned()));
    if examination.golden.contains_key(path) {
        // It was compared already, and differs.
        return Err((&RECOMPILED, format!("a file of {} bytes", metadata.size_bytes)));
    }
    let Ok((head, _)) = examination.inventory.fs.read_head(metadata.node, 16) else {
        return fault("it cannot be read");
    };
    let field = |at: usize| -> Option<u32> {
        head.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    };
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    let folder = path
        .windows(13)
        .position(|part| part == b"/__pycache__/")
        .and_then(|at| path.get(..at))
        .unwrap_or_default();
    let source = [folder, b"/", stem, b".py"].concat();
    if !examination.claims.brings(&source) {
        return fault("no packaged source stands beside it");
    }
    // A few sources are links to where their owner may change them.
    let at = match examination.inventory.link(&source) {
        Some(target) => leads_to(&source, &target),
        None => source,
    };
    let Some(of) = examination.inventory.get(&at) else {
        return fault("its source is missing");
    };
    let (Some(flags), Some(time), Some(size)) = (field(4), field(8), field(12)) else {
        return fault("it has no header");
    };
    let seconds = of.modified.map(|time| time.seconds);
    if flags == 0 {
        let same_size = u64::from(size) == of.size_bytes & 0xffff_ffff;
        let same_time = seconds == Some(i64::from(time));
        if !same_size || !same_time {
            return fault("it names a source of another time or length");
        }
    }
    examination.not_judged("compiled Python (compare with a fresh install)");
    Ok(Class::Cache)
}

fn is_same(
    item: &Item,
    metadata: &Metadata,
    link: Option<&[u8]>,
    digest: Option<&hashing::Digest>,
) -> bool {
    let is_content = match (&item.kind, metadata.kind) {
        (ItemKind::File { size_bytes, sha256 }, FileKind::File) => {
            *size_bytes == metadata.size_bytes && digest == Some(sha256)
        }
        (ItemKind::Directory, FileKind::Directory) => true,
        (ItemKind::Symlink(to), FileKind::Symlink) => link == Some(to.as_slice()),
        (
            ItemKind::Special,
            FileKind::BlockDevice | FileKind::CharDevice | FileKind::Fifo | FileKind::Socket,
        ) => true,
        _ => false,
    };
    let is_link = metadata.kind == FileKind::Symlink;
    is_content
        && (is_link
            || (item.mode == metadata.mode
                && item.uid == u64::from(metadata.uid)
                && item.gid == u64::from(metadata.gid)))
}
