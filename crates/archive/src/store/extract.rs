//! Files out of packages: the bytes a vendor signed, for comparing with what stands on a system or for putting it back.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek};
use std::ops::ControlFlow;

use hashing::{Algorithm, Algorithms, Digest, MultiHasher};

use super::{Catalogue, CatalogueRow, INDEX, Item, ItemKind, Listing, files};
use crate::debian::each_file;
use crate::{Error, Result};

/// A path that a package brings.
#[derive(Debug, Clone)]
pub struct Brought<'a> {
    /// The package.
    pub row: &'a CatalogueRow,
    /// What it says of the path.
    pub item: Item,
}

/// Takes the content of a file. Who reads to the end has read what was listed, or got an error there.
pub type TakeContent<'a> = dyn FnMut(&Item, &mut dyn Read) -> io::Result<()> + 'a;

impl Catalogue {
    /// Which of the packages that `is_meant` picks bring any of these paths, in the order of the catalogue.
    ///
    /// # Errors
    /// When the listing of a package is not the one the index names.
    pub fn bringing(
        &self,
        paths: &BTreeSet<Vec<u8>>,
        is_meant: &dyn Fn(&CatalogueRow) -> bool,
    ) -> Result<Vec<Brought<'_>>> {
        let mut found = Vec::new();
        for row in self.rows().iter().filter(|row| is_meant(row)) {
            let items = self.listing(row)?.items.into_iter();
            let fitting = items.filter(|item| paths.contains(&item.path));
            found.extend(fitting.map(|item| Brought { row, item }));
        }
        Ok(found)
    }

    /// Gives the contents of files of a package to `take`, one after the other, in the order they have in it.
    ///
    /// The package file is read twice: no decompressor sees it before its digest was found right. Each content is compared
    /// with the listing as it passes; a hard link gives the content of the file it names, under its own path.
    ///
    /// # Errors
    /// When the package file is not the one listed, lacks a file or holds another content, when a path is no regular file of
    /// it, or `take` fails.
    pub fn extract(
        &self,
        row: &CatalogueRow,
        paths: &BTreeSet<Vec<u8>>,
        take: &mut TakeContent<'_>,
    ) -> Result<()> {
        let listing = self.listing(row)?;
        let mut wanted =
            paths.iter().map(|path| member(&listing, path, row)).collect::<Result<Vec<_>>>()?;
        let name = row.file.as_str();
        if super::rpms::is_package(name) {
            let text = format!("files of {name} cannot be taken out of it: only Debian's packages");
            return Err(Error::Refused(text));
        }
        let mut file = files::open(&self.dir().join(name), name, INDEX)?;
        let (size_bytes, sha256) = files::measure(&mut file, name)?;
        row.record.compare(name, INDEX, size_bytes, &sha256)?;
        // Several names of one file (hard links) take a pass each: its content passes once.
        while !wanted.is_empty() {
            let mut pass: BTreeMap<Vec<u8>, Item> = BTreeMap::new();
            let mut later = Vec::new();
            for (member, item) in wanted {
                match pass.entry(member) {
                    Entry::Occupied(taken) => later.push((taken.key().clone(), item)),
                    Entry::Vacant(free) => {
                        free.insert(item);
                    }
                }
            }
            file.rewind().map_err(Error::io(name))?;
            each_file(&row.stem(), &mut file, name, &mut |path, input| {
                if let Some(item) = pass.remove(path) {
                    let mut checked = Checked::new(input, &item)?;
                    take(&item, &mut checked).map_err(Error::io(&show(path)))?;
                }
                Ok(if pass.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if let Some(path) = pass.into_keys().next() {
                return Err(Error::Missing { name: show(&path), index: row.listing_name() });
            }
            wanted = later;
        }
        Ok(())
    }
}

/// The member whose content a path has, and what is listed of it under that path.
fn member(listing: &Listing, path: &[u8], row: &CatalogueRow) -> Result<(Vec<u8>, Item)> {
    let of = |path: &[u8]| listing.items.iter().find(|item| item.path == path);
    let package = || format!("{} {}", row.name, row.version);
    let Some(item) = of(path) else {
        return Err(Error::NotListed { name: show(path), index: package() });
    };
    match &item.kind {
        ItemKind::File { .. } => Ok((path.to_vec(), item.clone())),
        ItemKind::HardLink(to) => match of(to) {
            Some(file @ Item { kind: ItemKind::File { .. }, .. }) => {
                Ok((to.clone(), Item { path: path.to_vec(), ..file.clone() }))
            }
            _ => Err(Error::NotListed { name: show(to), index: package() }),
        },
        _ => Err(Error::Refused(format!("{} of {} is no regular file", show(path), package()))),
    }
}

fn show(path: &[u8]) -> String {
    hashing::escape_name(path)
}

/// Compares what passes through it with what is listed; the end is only reached when it fits.
struct Checked<'a> {
    input: &'a mut dyn Read,
    hasher: Option<MultiHasher>,
    left_bytes: u64,
    sha256: Digest,
}

impl<'a> Checked<'a> {
    fn new(input: &'a mut dyn Read, item: &Item) -> Result<Self> {
        let ItemKind::File { size_bytes, sha256 } = &item.kind else {
            return Err(Error::Refused(format!("{} is no regular file", show(&item.path))));
        };
        let hasher = Some(MultiHasher::new(&Algorithms::sha256()));
        Ok(Self { input, hasher, left_bytes: *size_bytes, sha256: sha256.clone() })
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let odd = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        if buffer.is_empty() || self.hasher.is_none() {
            return Ok(0);
        }
        let count = self.input.read(buffer)?;
        if count == 0 {
            let digests = self.hasher.take().map(MultiHasher::finish).unwrap_or_default();
            let fits = self.left_bytes == 0 && digests.of(Algorithm::Sha256) == Some(&self.sha256);
            return if fits { Ok(0) } else { Err(odd("its content is not what its listing says")) };
        }
        let length = u64::try_from(count).unwrap_or(u64::MAX);
        self.left_bytes = self
            .left_bytes
            .checked_sub(length)
            .ok_or_else(|| odd("it is longer than its listing says"))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
        Ok(count)
    }
}
