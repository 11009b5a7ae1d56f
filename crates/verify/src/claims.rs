//! What the system claims to have installed, and what the catalogue says must then be there.

use std::collections::{BTreeMap, HashMap, HashSet};

use archive::debian::database;
use archive::store::{Catalogue, Item, ItemKind};
use evidence::escape_bytes;

use crate::Error;
use crate::inventory::Inventory;
use crate::report::{Package, Standing};
use crate::rpm;

const STATUS: &[u8] = b"/var/lib/dpkg/status";

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
    /// Files that packages outside the catalogue claim in the package database, by canonical path.
    foreign_files: HashSet<Vec<u8>>,
    /// Places that packages own without delivering what stands there, by canonical path.
    pub(crate) ghosts: HashSet<Vec<u8>>,
    /// The file that makes the claims.
    pub(crate) database: Vec<u8>,
    /// The package database of the RPM family, where it is one, until it is compared.
    pub(crate) rpm: Option<rpm::Database>,
}

impl Claims {
    pub(crate) fn read(inventory: &Inventory<'_>, catalogue: &Catalogue) -> Result<Self, Error> {
        let mut claims = Self {
            packages: Vec::new(),
            paths: BTreeMap::new(),
            digests: HashSet::new(),
            lists: BTreeMap::new(),
            foreign_stems: HashSet::new(),
            foreign_files: HashSet::new(),
            ghosts: HashSet::new(),
            database: STATUS.to_vec(),
            rpm: None,
        };
        let status = inventory.text(STATUS);
        let mut installed: Vec<database::Package> =
            database::parse_status(status.as_deref().unwrap_or_default());
        installed.retain(|one| one.is_unpacked);
        if installed.is_empty() {
            if let Some(database) = rpm::read(inventory).filter(|one| !one.packages.is_empty()) {
                claims.of_rpm(inventory, catalogue, database)?;
                return Ok(claims);
            }
            let reason = match status {
                Some(_) => "/var/lib/dpkg/status names no installed package",
                None => {
                    "there is neither a /var/lib/dpkg/status nor a database of rpm that can be read"
                }
            };
            return Err(Error::NoDatabase { reason: reason.to_owned() });
        }
        installed.sort_by(|a, b| (&a.name, &a.architecture).cmp(&(&b.name, &b.architecture)));
        for one in &installed {
            let names = [&one.name[..], &one.version, &one.architecture];
            match claims.claim(inventory, catalogue, names)? {
                Standing::Listed => {}
                Standing::OtherVersion | Standing::Foreign => {
                    let both = [one.name.as_slice(), b":", &one.architecture].concat();
                    claims.foreign_stems.extend([one.name.clone(), both]);
                }
            }
        }
        Ok(claims)
    }

    fn of_rpm(
        &mut self,
        inventory: &Inventory<'_>,
        catalogue: &Catalogue,
        database: rpm::Database,
    ) -> Result<(), Error> {
        for one in &database.packages {
            let names = [&one.name[..], &one.version, &one.architecture];
            if self.claim(inventory, catalogue, names)? != Standing::Listed {
                let paths = one.files.iter().map(|file| inventory.canonical(&file.path));
                self.foreign_files.extend(paths);
            }
        }
        // Its own lists are no files beside it.
        self.lists.clear();
        self.database.clone_from(&database.path);
        self.rpm = Some(database);
        Ok(())
    }

    /// One package of name, version and architecture that the system claims to have.
    fn claim(
        &mut self,
        inventory: &Inventory<'_>,
        catalogue: &Catalogue,
        names: [&[u8]; 3],
    ) -> Result<Standing, Error> {
        let [name, version, architecture] =
            names.map(|raw| String::from_utf8_lossy(raw).into_owned());
        let row = catalogue.find(&name, &version, &architecture);
        let standing = match row {
            Some(_) => Standing::Listed,
            None if catalogue.named(&name).next().is_some() => Standing::OtherVersion,
            None => Standing::Foreign,
        };
        let number = self.packages.len();
        let [name, version, architecture] = names.map(escape_bytes);
        self.packages.push(Package { name, version, architecture, standing });
        if let Some(row) = row {
            let listing = catalogue.listing(row)?;
            self.add(inventory, number, row.stem().into_bytes(), listing.items);
        }
        Ok(standing)
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
        // The root itself is no object of its own walk.
        for mut item in items.into_iter().filter(|item| item.path != b"/") {
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
            if item.kind == ItemKind::Ghost {
                self.ghosts.insert(path);
                continue;
            }
            let claim = Claim { package, item, names: count };
            self.paths.entry(path).or_default().push(claim);
        }
    }

    /// Paths that packages outside the catalogue claim in their own lists: claims of the system, believed by nobody.
    pub(crate) fn of_foreign(&self, inventory: &Inventory<'_>) -> HashSet<Vec<u8>> {
        let mut paths = self.foreign_files.clone();
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
