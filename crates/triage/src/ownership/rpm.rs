//! The RPM family: whichever of its three containers is there, at its old or its new place.

use super::{Claim, Ownership, Rights};
use crate::parse::bytes::Bytes;
use crate::parse::rpm::{self, Package, bdb, ndb, parse_header, sqlite};
use crate::root::{InRoot, Root};
use evidence::{Place, Problem, ProblemKind};
use hashing::Algorithm;

const PLACES: &[&str] = &["/usr/lib/sysimage/rpm", "/var/lib/rpm"];

pub(super) fn read(root: &Root<'_>) -> Option<Ownership> {
    PLACES.iter().find_map(|place| at(root, place))
}

fn at(root: &Root<'_>, place: &str) -> Option<Ownership> {
    let file = |name: &str| {
        let item = root.item(format!("{place}/{name}").as_bytes())?;
        (item.is_file() && item.metadata.size_bytes > 0).then_some(InRoot { fs: root.fs, item })
    };
    let mut packages: Vec<Package> = Vec::new();
    let mut odd = 0_usize;
    let mut take = |raw: &[u8]| match parse_header(raw) {
        Some(package) => packages.push(package),
        None => odd = odd.saturating_add(1),
    };
    let (kind, used, result) = if let Some(found) = file("rpmdb.sqlite") {
        let log = file("rpmdb.sqlite-wal");
        let log = log.as_ref().map(|log| -> &dyn Bytes { log });
        let mut blob = |row: &[sqlite::Value]| {
            if let [_, sqlite::Value::Bytes(blob), ..] = row {
                take(blob);
            }
        };
        let result = sqlite::Database::open(&found, log)
            .and_then(|database| database.rows("Packages", &mut blob));
        let result = result.map(|bad| odd = odd.saturating_add(bad));
        ("rpm (sqlite)", found.item.path.to_vec(), result)
    } else if let Some(found) = file("Packages.db") {
        ("rpm (ndb)", found.item.path.to_vec(), ndb::for_each(&found, &mut take))
    } else {
        let found = file("Packages")?;
        ("rpm (bdb)", found.item.path.to_vec(), bdb::for_each(&found, &mut take))
    };
    let trouble = match result {
        Err(why) => Some(format!("the package database cannot be read: {why}")),
        Ok(()) if odd > 0 => Some(format!(
            "{odd} parts of the package database make no sense; files of those packages look unowned"
        )),
        Ok(()) => None,
    };
    if let Some(text) = trouble {
        let place = Place::Path(used.as_slice().into());
        root.problems.borrow_mut().push(Problem::new(ProblemKind::Corrupt, place, text));
    }
    Some(fill(root, kind, packages))
}

fn fill(root: &Root<'_>, kind: &'static str, packages: Vec<Package>) -> Ownership {
    let is_long = |file: &rpm::File| file.digest.len() == 64;
    let is_sha256 = packages.iter().any(|package| package.files.iter().any(is_long));
    let (algorithm, digits) =
        if is_sha256 { (Algorithm::Sha256, 64) } else { (Algorithm::Md5, 32) };
    let mut out = Ownership::new(kind, algorithm);
    for package in packages {
        let claims = package.files.into_iter().map(|file| {
            let is_file = file.mode & 0o170_000 == 0o100_000;
            let has_digest = file.is_installed && is_file && file.digest.len() == digits;
            let rights = Rights {
                mode: file.mode & 0o7777,
                has_capabilities: !matches!(file.capabilities.as_slice(), b"" | b"="),
            };
            Claim {
                path: file.path,
                digest: has_digest.then(|| file.digest.to_ascii_lowercase()),
                is_config: file.is_config,
                rights: is_file.then_some(rights),
            }
        });
        out.add(root, package.name, package.version, claims);
    }
    // The database's own files belong to it.
    out
}
