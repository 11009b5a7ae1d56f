//! What the system claims to have installed, and what the catalogue says must then be there.

use std::collections::{BTreeMap, HashMap, HashSet};

use archive::debian::database;
use archive::store::{Catalogue, Item, ItemKind};
use evidence::escape_bytes;

use crate::Error;
use crate::inventory::Inventory;
use crate::report::{Package, Standing};

/// What one package says of one path.
pub(crate) struct Claim {
    /// Number of the package in [`Claims::packages`].
    pub(crate) package: usize,
    /// What must be true; hard links stand as the file they name.
    pub(crate) item: Item,
    /// How many names the package gives the file.
    pub(crate) names: u32,
}

/// All claims.
pub(crate) struct Claims {
    pub(crate) packages: Vec<Package>,
    /// By canonical path; several packages may bring one path.
    pub(crate) paths: BTreeMap<Vec<u8>, Vec<Claim>>,
    /// SHA-256 of every file of every listed package, raw.
    pub(crate) digests: HashSet<Vec<u8>>,
    /// Paths each package must have in its `.list`, by the stem of its database files.
    pub(crate) lists: BTreeMap<Vec<u8>, HashSet<Vec<u8>>>,
    /// Stems of the database files of packages the catalogue does not have.
    pub(crate) foreign_stems: HashSet<Vec<u8>>,
}

impl Claims {
    pub(crate) fn read(inventory: &Inventory<'_>, catalogue: &Catalogue) -> Result<Self, Error> {
        let status = inventory.text(b"/var/lib/dpkg/status").ok_or_else(|| Error::NoDatabase {
            reason: "there is no /var/lib/dpkg/status that can be read".to_owned(),
        })?;
        let mut installed: Vec<database::Package> =
            database::parse_status(&status).into_iter().filter(|one| one.is_unpacked).collect();
        if installed.is_empty() {
            let reason = "/var/lib/dpkg/status names no installed package".to_owned();
            return Err(Error::NoDatabase { reason });
        }
        installed.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        let mut claims = Self {
            packages: Vec::new(),
            paths: BTreeMap::new(),
            digests: HashSet::new(),
            lists: BTreeMap::new(),
            foreign_stems: HashSet::new(),
        };
        for one in &installed {
            let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
            let (name, version) = (text(&one.name), text(&one.version));
            let architecture = text(&one.architecture);
            let row = catalogue.find(&name, &version, &architecture);
            let standing = match row {
                Some(_) => Standing::Listed,
                None if catalogue.named(&name).next().is_some() => Standing::OtherVersion,
                None => Standing::Foreign,
            };
            let number = claims.packages.len();
            claims.packages.push(Package {
                name: escape_bytes(&one.name),
                version: escape_bytes(&one.version),
                architecture: escape_bytes(&one.architecture),
                standing,
            });
            match row {
                Some(row) => {
                    let listing = catalogue.listing(row)?;
                    claims.add(inventory, number, row.stem().into_bytes(), listing.items);
                }
                None => {
                    let both = [one.name.as_slice(), b":", &one.architecture].concat();
                    claims.foreign_stems.extend([one.name.clone(), both]);
                }
            }
        }
        Ok(claims)
    }

    fn add(&mut self, inventory: &Inventory<'_>, package: usize, stem: Vec<u8>, items: Vec<Item>) {
        let is_data = |item: &&Item| item.origin == archive::debian::Origin::Data;
        let list = items.iter().filter(is_data).map(|item| item.path.clone()).collect();
        self.lists.insert(stem, list);
        // What hard links name, and how many names each file has.
        let mut names: HashMap<Vec<u8>, u32> = HashMap::new();
        for item in &items {
            if let ItemKind::HardLink(to) = &item.kind {
                let count = names.entry(to.clone()).or_insert(1);
                *count = count.saturating_add(1);
            }
        }
        let files: HashMap<Vec<u8>, Item> = items
            .iter()
            .filter(|item| names.contains_key(&item.path))
            .map(|item| (item.path.clone(), item.clone()))
            .collect();
        for mut item in items {
            let mut count = names.get(&item.path).copied().unwrap_or(1);
            if let ItemKind::HardLink(to) = &item.kind {
                count = names.get(to).copied().unwrap_or(1);
                if let Some(file) = files.get(to) {
                    item = Item { path: item.path, ..file.clone() };
                }
            }
            if let ItemKind::File { sha256, .. } = &item.kind {
                self.digests.insert(sha256.as_bytes().to_vec());
            }
            let path = inventory.canonical(&item.path);
            let claim = Claim { package, item, names: count };
            self.paths.entry(path).or_default().push(claim);
        }
    }

    /// Paths that packages outside the catalogue claim in their own lists: claims of the system, believed by nobody.
    pub(crate) fn of_foreign(&self, inventory: &Inventory<'_>) -> HashSet<Vec<u8>> {
        let mut paths = HashSet::new();
        for stem in &self.foreign_stems {
            let front = [b"/var/lib/dpkg/info/", stem.as_slice(), b"."].concat();
            let own = inventory.entries.range(front.clone()..);
            paths.extend(
                own.take_while(|(path, _)| path.starts_with(&front)).map(|(path, _)| path.clone()),
            );
            let list = [front.as_slice(), b"list"].concat();
            let text = inventory.text(&list).unwrap_or_default();
            let lines = text.split(|byte| *byte == b'\n').filter(|line| line.len() > 2);
            paths.extend(lines.map(|line| inventory.canonical(line)));
        }
        paths
    }

    /// Whether some package brings this path.
    pub(crate) fn brings(&self, path: &[u8]) -> bool {
        self.paths.contains_key(path)
    }

    /// Name and version of a package.
    pub(crate) fn name(&self, number: usize) -> Option<String> {
        let package = self.packages.get(number)?;
        Some(format!("{} {}", package.name, package.version))
    }
}
