//! Checking a whole archive: our list, the vendors' chains, and that there is nothing else in it.

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::{chain, package_name};
use super::{Catalogue, INDEX, Listing, Medium, Mirror, STATEMENT, Sealed, files, sealed};
use crate::debian::Contents;
use crate::{Error, Result};

/// How far a check goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every file against the list or index that names it, and the vendors' chains down to the package files.
    Files,
    /// Also every package unpacked again and compared with its listing.
    Listings,
}

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// Files compared.
    pub files: usize,
    /// Packages whose chain held down to the file.
    pub packages: usize,
    /// Bytes read.
    pub bytes: u64,
    /// The mirrors.
    pub mirrors: Vec<Mirror>,
    /// The media.
    pub media: Vec<Medium>,
    /// Links that do not hold, in the order found.
    pub problems: Vec<Error>,
}

impl Sealed {
    /// Checks everything; what does not hold is in [`Checked::problems`] and the rest goes on. `done` is told the bytes read.
    #[must_use]
    pub fn check(&self, depth: Depth, done: &mut dyn FnMut(u64)) -> Checked {
        let mut checked = Checked {
            files: 0,
            packages: 0,
            bytes: 0,
            mirrors: Vec::new(),
            media: Vec::new(),
            problems: Vec::new(),
        };
        let present = match files::all(self.dir()) {
            Ok(names) => names,
            Err(error) => {
                checked.problems.push(error);
                return checked;
            }
        };
        for (name, record) in &self.statement.files {
            match files::compare(&self.archive.path(name), name, STATEMENT, record) {
                Ok(()) => checked.count(record.size_bytes, done),
                Err(error) => checked.problems.push(error),
            }
        }
        let mut named: BTreeSet<String> = BTreeSet::new();
        let catalogue = match self.statement.files.contains_key(INDEX).then(|| self.catalogue()) {
            Some(Ok(catalogue)) => Some(catalogue),
            Some(Err(error)) => {
                checked.problems.push(error);
                None
            }
            None => None,
        };
        if let Some(catalogue) = &catalogue {
            for row in catalogue.rows() {
                for (name, record) in
                    [(row.file.clone(), &row.record), (row.listing_name(), &row.listing)]
                {
                    match files::compare(&self.archive.path(&name), &name, INDEX, record) {
                        Ok(()) => checked.count(record.size_bytes, done),
                        Err(error) => checked.problems.push(error),
                    }
                    named.insert(name);
                }
            }
        }
        for name in &present {
            let is_known = if sealed::is_listed(name) {
                self.statement.files.contains_key(name)
            } else {
                name == STATEMENT || super::signers::is_signature(name) || named.contains(name)
            };
            if !is_known {
                checked.problems.push(Error::Unlisted { name: name.clone() });
            }
        }
        match self.media() {
            Ok(media) => {
                let failed = media.iter().filter_map(|medium| self.check_medium(medium).err());
                checked.problems.extend(failed);
                checked.media = media;
            }
            Err(error) => checked.problems.push(error),
        }
        match self.masters() {
            Ok(masters) => {
                let failed = masters.iter().filter_map(|master| self.check_master(master).err());
                checked.problems.extend(failed);
            }
            Err(error) => checked.problems.push(error),
        }
        match self.rpm_sets() {
            Ok(sets) => {
                for (set, catalogue) in
                    sets.iter().filter_map(|set| Some((set, catalogue.as_ref()?)))
                {
                    match self.check_rpms(set, catalogue) {
                        Ok((held, problems)) => {
                            checked.packages = checked.packages.saturating_add(held);
                            checked.problems.extend(problems);
                        }
                        Err(error) => checked.problems.push(error),
                    }
                }
            }
            Err(error) => checked.problems.push(error),
        }
        match self.mirrors() {
            Ok(mirrors) => {
                for mirror in &mirrors {
                    if let Err(error) =
                        self.check_mirror(mirror, catalogue.as_ref(), depth, &mut checked)
                    {
                        checked.problems.push(error);
                    }
                }
                checked.mirrors = mirrors;
            }
            Err(error) => checked.problems.push(error),
        }
        checked
    }

    /// The vendor's own chain, and that our catalogue says the same as it.
    fn check_mirror(
        &self,
        mirror: &Mirror,
        catalogue: Option<&Catalogue>,
        depth: Depth,
        checked: &mut Checked,
    ) -> Result<()> {
        let pool = format!("debian/{}/pool/", mirror.name);
        let rows: BTreeMap<&str, _> = catalogue
            .into_iter()
            .flat_map(Catalogue::rows)
            .filter(|row| row.file.starts_with(&pool))
            .map(|row| (row.file.as_str(), row))
            .collect();
        let wanted = rows.keys().filter_map(|name| package_name(name)).map(str::to_owned).collect();
        let mut unproved: BTreeSet<&str> = rows.keys().copied().collect();
        for chained in chain(mirror, &wanted, |name| self.read(name))? {
            let place = chained.place.as_str();
            let Some(row) = rows.get(place).filter(|_| unproved.remove(place)) else { continue };
            let listed = chained.package.file();
            let says_same = row.record.compare(
                place,
                "the vendor's signed index",
                listed.size_bytes(),
                listed.sha256(),
            );
            if let Err(error) = says_same {
                checked.problems.push(error);
                continue;
            }
            if depth == Depth::Listings {
                let again = || -> Result<bool> {
                    let file = files::open(&self.archive.path(place), place, INDEX)?;
                    let contents = Contents::read(&chained.package, file)?;
                    let listing = Listing::of_package(&chained.package, &contents);
                    Ok(catalogue
                        .is_some_and(|one| one.listing(row).is_ok_and(|own| own == listing)))
                };
                match again() {
                    Ok(true) => {}
                    Ok(false) => {
                        let reason = "it is not what its package holds".to_owned();
                        let name = row.listing_name();
                        checked.problems.push(Error::malformed(&name, "its content", reason));
                        continue;
                    }
                    Err(error) => {
                        checked.problems.push(error);
                        continue;
                    }
                }
            }
            checked.packages = checked.packages.saturating_add(1);
        }
        for name in unproved {
            let index = format!("any signed index of mirror {}", mirror.name);
            checked.problems.push(Error::NotListed { name: name.to_owned(), index });
        }
        Ok(())
    }
}

impl Checked {
    fn count(&mut self, bytes: u64, done: &mut dyn FnMut(u64)) {
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        done(self.bytes);
    }
}
