//! The catalogue: what every file of every kept package must be, one listing a package and one index over the listings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hashing::{Algorithm, Digest};

use super::{Archive, FileRecord, INDEX, Listing, Mirror, Place, RpmSet, files, mirror, rpms};
use crate::debian::{Contents, Package, Release, Version, read_index_of};
use crate::openpgp::Keyring;
use crate::{Error, Result};

/// First line of the index.
const HEAD: &str = "glovebox-catalogue\t1\tname\tversion\tarchitecture\tmulti-arch\tsource\tsource-version\tfile\tfile-bytes\tfile-sha256\tlisting-bytes\tlisting-sha256";
const COLUMNS: usize = 11;

/// A package of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueRow {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Its architecture.
    pub architecture: String,
    /// `Multi-Arch: same`.
    pub is_multi_arch_same: bool,
    /// The source package it was built from.
    pub source: String,
    /// The version of that.
    pub source_version: Version,
    /// Its file in the archive.
    pub file: String,
    /// Length and digest of that file.
    pub record: FileRecord,
    /// Length and digest of its listing.
    pub listing: FileRecord,
}

impl CatalogueRow {
    /// Where its listing lies in the archive.
    #[must_use]
    pub fn listing_name(&self) -> String {
        let sha256 = &self.record.sha256;
        let front = sha256.get(..2).unwrap_or_default();
        format!("catalogue/packages/{front}/{sha256}.jsonl.gz")
    }

    /// How the names of its files in the package database begin.
    #[must_use]
    pub fn stem(&self) -> String {
        match self.is_multi_arch_same {
            true => format!("{}:{}", self.name, self.architecture),
            false => self.name.clone(),
        }
    }

    fn to_line(&self) -> String {
        let multi = if self.is_multi_arch_same { "same" } else { "-" };
        [
            self.name.as_str(),
            self.version.as_str(),
            &self.architecture,
            multi,
            &self.source,
            self.source_version.as_str(),
            &self.file,
            &self.record.size_bytes.to_string(),
            &self.record.sha256,
            &self.listing.size_bytes.to_string(),
            &self.listing.sha256,
        ]
        .join("\t")
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [
            name,
            version,
            architecture,
            multi,
            source,
            source_version,
            file,
            size,
            sha256,
            listing,
            digest,
        ] = <[&str; COLUMNS]>::try_from(fields).ok()?;
        let sound = |text: &str| Digest::from_hex(Algorithm::Sha256, text).is_ok();
        let is_sound = sound(sha256)
            && sound(digest)
            && crate::debian::is_inside(file)
            && (file.starts_with("debian/") || rpms::is_package(file));
        is_sound.then_some(())?;
        Some(Self {
            name: name.to_owned(),
            version: Version::new(version),
            architecture: architecture.to_owned(),
            is_multi_arch_same: multi == "same",
            source: source.to_owned(),
            source_version: Version::new(source_version),
            file: file.to_owned(),
            record: FileRecord { size_bytes: size.parse().ok()?, sha256: sha256.to_owned() },
            listing: FileRecord { size_bytes: listing.parse().ok()?, sha256: digest.to_owned() },
        })
    }
}

/// What making the catalogue came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Catalogued {
    /// Packages in it.
    pub packages: usize,
    /// Objects in their listings.
    pub items: usize,
    /// Length of the package files in bytes.
    pub bytes: u64,
}

/// The index of the catalogue of a sealed archive.
#[derive(Debug, Clone)]
pub struct Catalogue {
    dir: PathBuf,
    rows: Vec<CatalogueRow>,
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Catalogue {
    pub(super) fn parse(dir: &Path, bytes: &[u8]) -> Result<Self> {
        let odd =
            |line: usize, reason: &str| Error::malformed(INDEX, format!("line {line}"), reason);
        let text = std::str::from_utf8(bytes).map_err(|_| odd(1, "it is no text"))?;
        let mut lines = (1_usize..).zip(text.lines());
        if lines.next().is_none_or(|(_, head)| head != HEAD) {
            return Err(odd(1, "it does not begin as an index of this form"));
        }
        let mut rows = Vec::new();
        for (number, line) in lines {
            rows.push(
                CatalogueRow::parse(line).ok_or_else(|| odd(number, "its fields do not fit"))?,
            );
        }
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            by_name.entry(row.name.clone()).or_default().push(at);
        }
        Ok(Self { dir: dir.to_owned(), rows, by_name })
    }

    /// The archive's folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// All packages, sorted by name, version and architecture.
    #[must_use]
    pub fn rows(&self) -> &[CatalogueRow] {
        &self.rows
    }

    /// All versions of a package.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &CatalogueRow> {
        self.by_name.get(name).into_iter().flatten().filter_map(|at| self.rows.get(*at))
    }

    /// The package of exactly this name, version and architecture.
    #[must_use]
    pub fn find(&self, name: &str, version: &str, architecture: &str) -> Option<&CatalogueRow> {
        let version = Version::new(version);
        self.named(name).find(|row| row.version == version && row.architecture == architecture)
    }

    /// The listing of a package.
    ///
    /// # Errors
    /// When it is not the one the index names.
    pub fn listing(&self, row: &CatalogueRow) -> Result<Listing> {
        let name = row.listing_name();
        let bytes = files::read(&self.dir.join(&name), &name)?;
        let (size_bytes, sha256) = files::measure(bytes.as_slice(), &name)?;
        row.listing.compare(&name, INDEX, size_bytes, &sha256)?;
        let listing = Listing::parse(&name, bytes.as_slice())?;
        if listing.package != row.name || listing.file_sha256 != row.record.sha256 {
            return Err(Error::malformed(&name, "line 1", "it is of another package"));
        }
        Ok(listing)
    }
}

/// A package file of a mirror whose every link up to the pinned key held.
pub(super) struct Chained {
    pub(super) package: Package,
    pub(super) place: Place,
}

/// Follows a mirror's chain down to the packages whose files are kept (`wanted`, by name).
///
/// `read` gives the bytes of a file of the archive.
pub(super) fn chain(
    mirror: &Mirror,
    wanted: &BTreeSet<String>,
    read: impl Fn(&str) -> Result<Vec<u8>>,
) -> Result<Vec<Chained>> {
    let ring = Keyring::parse(&mirror.keyring, &read(&mirror.keyring)?)?;
    let mut found = Vec::new();
    for suite in &mirror.suites {
        let name = mirror.release(suite);
        let signed = ring.verify_cleartext(&name, &read(&name)?, mirror.captured_seconds)?;
        let release = Release::parse(&name, &signed)?;
        if release.date_seconds != suite.date_seconds {
            return Err(Error::Rollback {
                what: name,
                found: format!("dated {}", mirror::rfc3339(release.date_seconds)),
                seen: format!("one dated {}", mirror::rfc3339(suite.date_seconds)),
            });
        }
        for index in &suite.indices {
            let listed = release.listed(index)?;
            let bytes = read(&format!("debian/{}/dists/{}/{index}", mirror.name, suite.suite))?;
            for package in read_index_of(&listed, bytes.as_slice(), |name| wanted.contains(name))? {
                let place = Place::new(&mirror.name, &package);
                found.push(Chained { package, place });
            }
        }
    }
    Ok(found)
}

/// `name_version_architecture.deb` in a pool begins with the package's name.
pub(super) fn package_name(file: &str) -> Option<&str> {
    file.rsplit('/').next()?.strip_suffix(".deb")?.split('_').next()
}

impl Archive {
    /// Makes the catalogue anew from the package files of all mirrors, each checked up to its pinned key once more.
    ///
    /// Streaming: a package is unpacked as it is read and nothing of it is held but its listing. `done` is told the bytes
    /// of package files read so far.
    ///
    /// # Errors
    /// When a link does not hold, or a package file lies in a pool that no signed index lists.
    pub fn catalogue(&self, done: &mut dyn FnMut(u64)) -> Result<Catalogued> {
        let names = files::all(&self.dir)?;
        let mut rows: BTreeMap<(String, String, String, String), CatalogueRow> = BTreeMap::new();
        let mut total = Catalogued { packages: 0, items: 0, bytes: 0 };
        let read = |name: &str| files::read(&self.path(name), name);
        for description in names.iter().filter(|name| mirror::is_description(name)) {
            let mirror = Mirror::parse(description, &read(description)?)?;
            let pool = format!("debian/{}/pool/", mirror.name);
            let kept: BTreeSet<&str> =
                names.iter().map(String::as_str).filter(|name| name.starts_with(&pool)).collect();
            let wanted: BTreeSet<String> =
                kept.iter().filter_map(|name| package_name(name)).map(str::to_owned).collect();
            let mut unlisted = kept.clone();
            for chained in chain(&mirror, &wanted, read)? {
                let place = chained.place.as_str();
                if !kept.contains(place) || !unlisted.remove(place) {
                    continue;
                }
                let row = self.list_package(&chained, &mut total)?;
                done(total.bytes);
                let version = row.version.to_string();
                let key = (row.name.clone(), version, row.architecture.clone(), row.file.clone());
                rows.insert(key, row);
            }
            if let Some(name) = unlisted.into_iter().next() {
                return Err(Error::Unlisted { name: name.to_owned() });
            }
        }
        let mut unlisted: BTreeSet<&str> =
            names.iter().map(String::as_str).filter(|name| rpms::is_package(name)).collect();
        for description in names.iter().filter(|name| rpms::is_description(name)) {
            let set = RpmSet::parse(description, &read(description)?)?;
            let folder = set.place("packages/");
            let kept: Vec<&str> =
                unlisted.iter().copied().filter(|name| name.starts_with(&folder)).collect();
            unlisted.retain(|name| !name.starts_with(&folder));
            for row in self.list_rpms(&set, &kept, &mut total, done)? {
                let version = row.version.to_string();
                let key = (row.name.clone(), version, row.architecture.clone(), row.file.clone());
                rows.insert(key, row);
            }
        }
        if let Some(name) = unlisted.into_iter().next() {
            return Err(Error::Unlisted { name: name.to_owned() });
        }
        let mut text = format!("{HEAD}\n");
        for row in rows.values() {
            text.push_str(&row.to_line());
            text.push('\n');
        }
        total.packages = rows.len();
        files::write(&self.path(INDEX), text.as_bytes())?;
        Ok(total)
    }

    fn list_package(&self, chained: &Chained, total: &mut Catalogued) -> Result<CatalogueRow> {
        let package = &chained.package;
        let place = chained.place.as_str();
        let file = files::open(&self.path(place), place, "the signed index")?;
        let contents = Contents::read(package, file)?;
        let listing = Listing::of_package(package, &contents);
        let packed = listing.to_packed()?;
        let (size_bytes, sha256) = files::measure(packed.as_slice(), &package.name)?;
        let row = CatalogueRow {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            is_multi_arch_same: package.is_multi_arch_same,
            source: package.source.clone(),
            source_version: package.source_version.clone(),
            file: place.to_owned(),
            record: FileRecord::new(package.file().size_bytes(), package.file().sha256()),
            listing: FileRecord::new(size_bytes, &sha256),
        };
        files::write(&self.path(&row.listing_name()), &packed)?;
        total.items = total.items.saturating_add(listing.items.len());
        total.bytes = total.bytes.saturating_add(package.file().size_bytes());
        Ok(row)
    }
}
