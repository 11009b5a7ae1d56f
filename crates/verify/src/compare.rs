//! Every object a package brings, compared with what stands at its place.

use archive::debian::Origin;
use archive::store::{Item, ItemKind};
use evidence::fs::{Attribute, FileKind, Metadata, Node};
use evidence::{Place, escape_bytes};
use hashing::Digest;

use crate::claims::Claim;
use crate::difference::Pending;
use crate::examination::{Deviation, Examination, Rule};
use crate::report::Severity;
use crate::scripted::{self, Accounts};
use crate::{content, manifest};

const CONTENT: Rule = Rule {
    id: "GBV-0101",
    title: "The content of a packaged file is not what the vendor signed",
    severity: Severity::High,
};
const KIND: Rule = Rule {
    id: "GBV-0102",
    title: "A packaged object was replaced by one of another kind",
    severity: Severity::High,
};
const MODE: Rule = Rule {
    id: "GBV-0103",
    title: "The mode of a packaged object was changed",
    severity: Severity::Medium,
};
const SETID: Rule = Rule {
    id: "GBV-0104",
    title: "A packaged file runs with rights of its owner that the vendor did not give",
    severity: Severity::Critical,
};
const OWNER: Rule = Rule {
    id: "GBV-0105",
    title: "The owner or group of a packaged object was changed",
    severity: Severity::Medium,
};
const TARGET: Rule =
    Rule { id: "GBV-0106", title: "A packaged link leads elsewhere", severity: Severity::High };
const XATTR: Rule = Rule {
    id: "GBV-0107",
    title: "A packaged file has capabilities, an access list or another attribute the vendor did not give",
    severity: Severity::High,
};
const MISSING: Rule =
    Rule { id: "GBV-0108", title: "A packaged object is missing", severity: Severity::Medium };
const SEALED: Rule = Rule {
    id: "GBV-0109",
    title: "A packaged object is marked immutable or append-only",
    severity: Severity::High,
};
const NAMES: Rule = Rule {
    id: "GBV-0110",
    title: "A packaged file has further names (hard links)",
    severity: Severity::Medium,
};
const CONFIGURATION: Rule = Rule {
    id: "GBV-0201",
    title: "A configuration file is not as it was packaged",
    severity: Severity::Low,
};
const NO_CONFIGURATION: Rule = Rule {
    id: "GBV-0202",
    title: "A packaged configuration file is missing",
    severity: Severity::Low,
};
const SCRIPT: Rule = Rule {
    id: "GBV-0501",
    title: "A maintainer script or another file of the package database is not what the vendor signed",
    severity: Severity::Critical,
};

/// Trees that installations are commonly told to leave out; missing files there are counted, not told one by one.
const LEFT_OUT: [&str; 5] = [
    "/usr/share/doc/",
    "/usr/share/man/",
    "/usr/share/locale/",
    "/usr/share/info/",
    "/usr/share/lintian/",
];

pub(crate) fn apply(examination: &mut Examination<'_>) {
    let accounts = Accounts::read(&examination.inventory);
    let claims = std::mem::take(&mut examination.claims.paths);
    // Contents first: all that must be read, read by several threads.
    let wanted: Vec<(&[u8], Node)> = claims
        .iter()
        .filter_map(|(path, claims)| {
            let metadata = examination.inventory.entries.get(path)?;
            // Another length is another content, without reading.
            let has_length = |item: &Item| matches!(&item.kind, ItemKind::File { size_bytes, .. } if *size_bytes == metadata.size_bytes);
            let is_wanted = metadata.kind == FileKind::File
                && (claims.iter().any(|claim| has_length(&claim.item))
                    || examination.golden.get(path).is_some_and(|item| has_length(item)));
            is_wanted.then_some((path.as_slice(), metadata.node))
        })
        .collect();
    let nodes: Vec<Node> = wanted.iter().map(|(_, node)| *node).collect();
    let read = content::digests(examination.inventory.fs, &nodes, examination.options.threads);
    let mut digests = std::collections::HashMap::new();
    for ((path, _), result) in wanted.iter().zip(read) {
        match result {
            Ok((digest, length)) => {
                examination.coverage.files_hashed =
                    examination.coverage.files_hashed.saturating_add(1);
                examination.coverage.bytes_hashed =
                    examination.coverage.bytes_hashed.saturating_add(length);
                digests.insert(*path, digest);
            }
            Err(error) => {
                let place = Place::Path((*path).into());
                examination.inventory.problem(error.to_problem(place));
                examination.not_judged("packaged files that cannot be read");
            }
        }
    }
    let was_read: std::collections::HashSet<&[u8]> = wanted.iter().map(|(path, _)| *path).collect();
    for (path, claims) in &claims {
        examination.coverage.packaged = examination.coverage.packaged.saturating_add(1);
        let state = match (digests.get(path.as_slice()), was_read.contains(path.as_slice())) {
            (Some(digest), _) => Content::Read(digest),
            (None, true) => Content::Unreadable,
            (None, false) => Content::OtherLength,
        };
        object(examination, &accounts, path, claims, state);
    }
    examination.claims.paths = claims;
}

/// What is known of the content at a place.
#[derive(Clone, Copy)]
enum Content<'a> {
    Read(&'a Digest),
    Unreadable,
    OtherLength,
}

fn object(
    examination: &mut Examination<'_>,
    accounts: &Accounts,
    path: &[u8],
    claims: &[Claim],
    state: Content<'_>,
) {
    let Some(metadata) = examination.inventory.entries.get(path).cloned() else {
        missing(examination, path, claims);
        return;
    };
    if examination.inventory.is_merged_link(path) {
        // Packages bring the directory; the system was merged, and the link leads where it must.
        return;
    }
    let link = examination.inventory.link(path);
    if link.as_deref().is_some_and(|target| scripted::is_scripted_link(path, target)) {
        return;
    }
    let is_content = |claim: &Claim| holds(&claim.item, &metadata, link.as_deref(), state);
    // Several packages may bring one path (directories, replaced files): one that fits is enough, and the best is told.
    let is_owned =
        |item: &Item| accounts.owner(item).is_none_or(|owner| owner == numbers(&metadata));
    let fits = claims.iter().find(|claim| {
        let is_right = claim.item.mode == metadata.mode && is_owned(&claim.item);
        is_content(claim) && (is_right || metadata.kind == FileKind::Symlink)
    });
    let claim = fits.or_else(|| claims.iter().find(|claim| is_content(claim)));
    let Some(claim) = claim.or_else(|| claims.last()) else { return };
    let package = examination.claims.name(claim.package);
    let here = || Deviation::at(path).of(package.clone());
    let golden = examination.golden.get(path).copied();
    if !is_content(claim) && !is_golden(golden, &metadata, link.as_deref(), state) {
        let (rule, expected, found) = told(examination, claim, path, &metadata, link, state);
        let runs = metadata.mode & 0o111 != 0 || path.windows(3).any(|part| part == b".so");
        if rule.id == CONFIGURATION.id {
            examination.pending.push(Pending {
                rule,
                path: path.to_vec(),
                package: claim.package,
                item: claim.item.clone(),
                node: metadata.node,
                expected,
                found,
            });
        } else {
            let mut deviation = here().instead(expected, found);
            if rule.id == CONTENT.id && runs {
                deviation = deviation.severity(Severity::Critical);
            }
            examination.tell(rule, deviation);
        }
        if metadata.kind != kind(&claim.item.kind) {
            return;
        }
    }
    let is_link = metadata.kind == FileKind::Symlink;
    let is_scripted = accounts.are_scripted(path, metadata.mode, metadata.uid, metadata.gid);
    let is_as_golden = golden.is_some_and(|item| rights(item, &metadata));
    if !is_link && !is_scripted && !is_as_golden {
        let item = &claim.item;
        if metadata.mode != item.mode {
            let gained = metadata.mode & !item.mode & 0o6000 != 0;
            let is_file = metadata.kind == FileKind::File;
            let rule = if gained && is_file { &SETID } else { &MODE };
            let wider = metadata.mode & !item.mode & 0o022 != 0;
            let mut deviation =
                here().instead(format!("{:04o}", item.mode), format!("{:04o}", metadata.mode));
            if wider && rule.id == MODE.id {
                deviation = deviation.severity(Severity::High);
            }
            examination.tell(rule, deviation);
        }
        let owner = accounts.owner(item);
        if owner.is_none() {
            examination.not_judged("owners whose names no account of the system has");
        }
        if let Some((uid, gid)) = owner.filter(|owner| *owner != numbers(&metadata)) {
            let expected = match &item.owner {
                Some(names) => format!("{uid}:{gid} ({}:{})", names.user, names.group),
                None => format!("{uid}:{gid}"),
            };
            let found = format!("{}:{}", metadata.uid, metadata.gid);
            examination.tell(&OWNER, here().instead(expected, found));
        }
    }
    attributes(examination, path, claim, &metadata, &package);
}

fn attributes(
    examination: &mut Examination<'_>,
    path: &[u8],
    claim: &Claim,
    metadata: &Metadata,
    package: &Option<String>,
) {
    let golden = examination.golden.get(path).copied();
    let found = manifest::xattrs(&examination.inventory, path, metadata);
    let own: Vec<_> = found
        .iter()
        .filter(|(name, value)| {
            name != b"security.capability" || !scripted::is_scripted_capability(path, value)
        })
        .cloned()
        .collect();
    let is_expected = own == claim.item.xattrs || golden.is_some_and(|item| item.xattrs == found);
    if !is_expected {
        let text = |all: &[(Vec<u8>, Vec<u8>)]| {
            let words = all.iter().map(|(name, value)| {
                let hex: String = value.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
                format!("{}={hex}", escape_bytes(name))
            });
            words.collect::<Vec<_>>().join(" ")
        };
        let deviation = Deviation::at(path).of(package.clone());
        examination.tell(&XATTR, deviation.instead(text(&claim.item.xattrs), text(&own)));
    }
    let marks: Vec<&str> =
        [(Attribute::Immutable, "immutable"), (Attribute::AppendOnly, "append-only")]
            .into_iter()
            .filter(|(mark, _)| metadata.attributes.has(*mark))
            .map(|(_, word)| word)
            .collect();
    if !marks.is_empty() {
        let deviation = Deviation::at(path).of(package.clone());
        examination.tell(&SEALED, deviation.instead("", marks.join(" ")));
    }
    if metadata.kind == FileKind::File && metadata.links > claim.names {
        let deviation = Deviation::at(path).of(package.clone());
        let expected = format!("{} names", claim.names);
        examination.tell(&NAMES, deviation.instead(expected, format!("{} names", metadata.links)));
    }
}

fn missing(examination: &mut Examination<'_>, path: &[u8], claims: &[Claim]) {
    let Some(claim) = claims.first() else { return };
    if examination.is_unreached(path) {
        examination.not_judged("packaged objects on a volume that could not be reached");
        return;
    }
    if LEFT_OUT.iter().any(|tree| path.starts_with(tree.as_bytes())) {
        examination.not_judged("packaged documentation that is not there");
        return;
    }
    if examination.options.golden.is_some() && !examination.golden.contains_key(path) {
        // A fresh install does not have it either.
        return;
    }
    let package = examination.claims.name(claim.package);
    let rule = if claim.item.is_conffile { &NO_CONFIGURATION } else { &MISSING };
    let expected = what(&claim.item.kind);
    examination.tell(rule, Deviation::at(path).of(package).instead(expected, "nothing"));
}

fn kind(kind: &ItemKind) -> FileKind {
    match kind {
        ItemKind::File { .. } | ItemKind::HardLink(_) => FileKind::File,
        ItemKind::Directory => FileKind::Directory,
        ItemKind::Symlink(_) => FileKind::Symlink,
        ItemKind::Special | ItemKind::Ghost => FileKind::Unknown,
    }
}

/// Whether the object is what the item says, rights left aside.
fn holds(item: &Item, metadata: &Metadata, link: Option<&[u8]>, state: Content<'_>) -> bool {
    match (&item.kind, metadata.kind) {
        (ItemKind::File { size_bytes, sha256 }, FileKind::File) => {
            *size_bytes == metadata.size_bytes
                && match state {
                    Content::Read(digest) => digest == sha256,
                    // Told as a problem and counted; not as a change.
                    Content::Unreadable => true,
                    Content::OtherLength => false,
                }
        }
        (ItemKind::Directory, FileKind::Directory) => true,
        (ItemKind::Symlink(to), FileKind::Symlink) => link == Some(to.as_slice()),
        (
            ItemKind::Special,
            FileKind::BlockDevice | FileKind::CharDevice | FileKind::Fifo | FileKind::Socket,
        ) => true,
        _ => false,
    }
}

fn is_golden(
    golden: Option<&Item>,
    metadata: &Metadata,
    link: Option<&[u8]>,
    state: Content<'_>,
) -> bool {
    // A file whose packaged length differs was not read; it is told, never believed.
    golden.is_some_and(|item| {
        !matches!(state, Content::Unreadable) && holds(item, metadata, link, state)
    })
}

fn numbers(metadata: &Metadata) -> (u64, u64) {
    (metadata.uid.into(), metadata.gid.into())
}

fn rights(item: &Item, metadata: &Metadata) -> bool {
    metadata.kind == FileKind::Symlink
        || (item.mode == metadata.mode
            && item.uid == u64::from(metadata.uid)
            && item.gid == u64::from(metadata.gid))
}

/// An object in words.
pub(crate) fn what(kind: &ItemKind) -> String {
    match kind {
        ItemKind::File { size_bytes, sha256 } => format!("{size_bytes} bytes, {sha256}"),
        ItemKind::Directory => "a directory".to_owned(),
        ItemKind::Symlink(to) => format!("a link to {}", escape_bytes(to)),
        ItemKind::HardLink(to) => format!("another name of {}", escape_bytes(to)),
        ItemKind::Special => "a device or pipe".to_owned(),
        ItemKind::Ghost => "what is made on the system".to_owned(),
    }
}

fn told(
    examination: &Examination<'_>,
    claim: &Claim,
    path: &[u8],
    metadata: &Metadata,
    link: Option<Vec<u8>>,
    state: Content<'_>,
) -> (&'static Rule, String, String) {
    let expected = what(&claim.item.kind);
    if metadata.kind != kind(&claim.item.kind) {
        let found = match (metadata.kind, link) {
            (FileKind::Symlink, Some(to)) => format!("a link to {}", escape_bytes(&to)),
            (FileKind::File, _) => format!("a file of {} bytes", metadata.size_bytes),
            (FileKind::Directory, _) => "a directory".to_owned(),
            _ => "something else".to_owned(),
        };
        return (&KIND, expected, found);
    }
    if let Some(to) = link {
        return (&TARGET, expected, format!("a link to {}", escape_bytes(&to)));
    }
    let digest = match state {
        Content::Read(digest) => Some(digest.clone()),
        Content::Unreadable => None,
        Content::OtherLength => {
            let nodes = [metadata.node];
            let mut read = content::digests(examination.inventory.fs, &nodes, 1);
            match read.pop() {
                Some(Ok((digest, _))) => Some(digest),
                Some(Err(error)) => {
                    examination.inventory.problem(error.to_problem(Place::Path(path.into())));
                    None
                }
                None => None,
            }
        }
    };
    let digest = digest.map_or_else(|| "content not readable".to_owned(), |one| one.to_string());
    let found = format!("{} bytes, {digest}", metadata.size_bytes);
    let rule = if claim.item.is_conffile {
        &CONFIGURATION
    } else if claim.item.origin == Origin::Control {
        &SCRIPT
    } else {
        &CONTENT
    };
    (rule, expected, found)
}
