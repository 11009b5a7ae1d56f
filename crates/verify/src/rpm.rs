//! A system of the RPM family: what its package database claims, and that database against the signed headers.

use std::collections::BTreeMap;

use archive::rpm::{Package, parse_header};
use archive::store::{Catalogue, Item, ItemKind};
use evidence::initramfs::Bytes;
use evidence::rpmdb::{bdb, ndb, sqlite};
use evidence::{FileSystem, Place, Problem, ProblemKind, escape_bytes};

use crate::examination::{Deviation, Examination, Rule};
use crate::inventory::Inventory;
use crate::report::Severity;

const DATABASE: Rule = Rule {
    id: "GBV-0505",
    title: "The package database says other of a package's files than the vendor signed",
    severity: Severity::High,
};
/// Where the database lies: since Fedora 36 and in openSUSE, and elsewhere.
const PLACES: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
/// Names of one package told in a finding.
const TOLD: usize = 5;
/// How the database keeps keys that were imported; they are no packages.
const KEY: &[u8] = b"gpg-pubkey";
/// Type bits of a regular file.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// What the database says.
pub(crate) struct Database {
    /// Its file.
    pub(crate) path: Vec<u8>,
    /// Its packages, sorted.
    pub(crate) packages: Vec<Package>,
    /// Keys imported into it.
    pub(crate) keys: usize,
}

struct File<'a> {
    fs: &'a dyn FileSystem,
    node: u64,
    size_bytes: u64,
}

impl Bytes for File<'_> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize {
        self.fs.read_at(self.node, offset_bytes, buf).unwrap_or(0)
    }
}

/// Reads the database; `None` where there is none. What is wrong with it is a problem of the inventory.
pub(crate) fn read(inventory: &Inventory<'_>) -> Option<Database> {
    PLACES.iter().find_map(|place| at(inventory, place))
}

fn at(inventory: &Inventory<'_>, place: &str) -> Option<Database> {
    let file = |name: &str| {
        let path = format!("{place}/{name}").into_bytes();
        let metadata = inventory.get(&path)?;
        let is_file = metadata.kind == evidence::fs::FileKind::File && metadata.size_bytes > 0;
        let (fs, node, size_bytes) = (inventory.fs, metadata.node, metadata.size_bytes);
        is_file.then_some((path, File { fs, node, size_bytes }))
    };
    let (mut packages, mut keys, mut odd) = (Vec::new(), 0_usize, 0_usize);
    let mut take = |raw: &[u8]| match parse_header(raw) {
        Some(package) if package.name == KEY => keys = keys.saturating_add(1),
        Some(package) => packages.push(package),
        None => odd = odd.saturating_add(1),
    };
    let (path, result) = if let Some((path, found)) = file("rpmdb.sqlite") {
        let log = file("rpmdb.sqlite-wal");
        let log = log.as_ref().map(|(_, log)| -> &dyn Bytes { log });
        let mut blob = |row: &[sqlite::Value]| {
            if let [_, sqlite::Value::Bytes(blob), ..] = row {
                take(blob);
            }
        };
        let result = sqlite::Database::open(&found, log)
            .and_then(|database| database.rows("Packages", &mut blob));
        (path, result.map(|bad| odd = odd.saturating_add(bad)))
    } else if let Some((path, found)) = file("Packages.db") {
        (path, ndb::for_each(&found, &mut take))
    } else {
        let (path, found) = file("Packages")?;
        (path, bdb::for_each(&found, &mut take))
    };
    let trouble = match result {
        Err(why) => Some(format!("the package database cannot be read: {why}")),
        Ok(()) if odd > 0 => Some(format!("{odd} parts of the package database make no sense")),
        Ok(()) => None,
    };
    if let Some(text) = trouble {
        let place = Place::Path(path.as_slice().into());
        inventory.problem(Problem::new(ProblemKind::Corrupt, place, text));
    }
    let key = |one: &Package| (one.name.clone(), one.version.clone(), one.architecture.clone());
    packages.sort_by_key(key);
    Some(Database { path, packages, keys })
}

/// What a package has of one file, as far as the database and the signed header both say it.
#[derive(PartialEq, Eq)]
struct Said {
    mode: u32,
    digest: String,
    link: Vec<u8>,
}

impl Said {
    /// By the signed header.
    fn by(item: &Item, digests: &BTreeMap<&[u8], &Item>) -> Self {
        let item_of = |path: &[u8]| digests.get(path).map(|item| &item.kind);
        let kind = match &item.kind {
            ItemKind::HardLink(to) => item_of(to),
            kind => Some(kind),
        };
        let (digest, link) = match kind {
            Some(ItemKind::File { sha256, .. }) => (sha256.to_hex(), Vec::new()),
            Some(ItemKind::Symlink(to)) => (String::new(), to.clone()),
            _ => (String::new(), Vec::new()),
        };
        Self { mode: item.mode, digest, link }
    }
}

/// Compares what the database says of listed packages with what the vendor signed. That the files themselves are compared
/// with the vendor's word does not depend on it: a database edited to match is one more trace.
pub(crate) fn apply(
    examination: &mut Examination<'_>,
    catalogue: &Catalogue,
) -> Result<(), crate::Error> {
    let Some(database) = examination.claims.rpm.take() else { return Ok(()) };
    for package in &database.packages {
        let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
        let (name, version) = (text(&package.name), text(&package.version));
        let Some(row) = catalogue.find(&name, &version, &text(&package.architecture)) else {
            continue;
        };
        let listing = catalogue.listing(row)?;
        let items: BTreeMap<&[u8], &Item> =
            listing.items.iter().map(|item| (item.path.as_slice(), item)).collect();
        let mut odd: Vec<String> = Vec::new();
        for file in &package.files {
            let found = Said {
                mode: file.mode & 0o7777,
                digest: match file.mode & KIND == REGULAR {
                    true => text(&file.digest).to_ascii_lowercase(),
                    false => String::new(),
                },
                link: file.link.clone(),
            };
            let is_same = match items.get(file.path.as_slice()) {
                // What is not delivered has no digest that counts.
                Some(item) if item.kind == ItemKind::Ghost => item.mode == found.mode,
                Some(item) => Said::by(item, &items) == found,
                None => false,
            };
            if !is_same {
                odd.push(escape_bytes(&file.path));
            }
        }
        let own: std::collections::HashSet<&[u8]> =
            package.files.iter().map(|file| file.path.as_slice()).collect();
        odd.extend(
            items.keys().filter(|path| !own.contains(**path)).map(|path| escape_bytes(path)),
        );
        if odd.is_empty() {
            continue;
        }
        odd.sort();
        let count = odd.len();
        odd.truncate(TOLD);
        let deviation = Deviation::at(&database.path)
            .of(Some(escape_bytes(format!("{name} {version}").as_bytes())))
            .instead("what its signed header says", format!("{count} files: {}", odd.join(" ")));
        examination.tell(&DATABASE, deviation);
    }
    Ok(())
}
