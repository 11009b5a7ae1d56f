//! Packages of the RPM family, kept with the certificates of who signed them.
//!
//! A set is what was fetched at one time. Each package file is vouched for by its own signed header; no vendor's list says
//! which packages belong together, so that an older one, soundly signed, is refused by nobody but whoever adds it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use hashing::{Algorithm, Digest};
use serde::{Deserialize, Serialize};

use super::catalogue::{CatalogueRow, Catalogued};
use super::mirror::is_word;
use super::{
    Archive, Catalogue, FileRecord, INDEX, Item, ItemKind, Listing, Owner, Sealed, files, show,
};
use crate::debian::{Origin, Version};
use crate::openpgp::Keyring;
use crate::rpm::{File, PackageFile, to_attribute};
use crate::{Error, Result};

const KIND: u32 = 0o170_000;

/// A set of packages in an archive (`set.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpmSet {
    format: u32,
    /// Its name in the archive.
    pub name: String,
    /// When it was fetched, the time its keys are judged at: seconds since 1970 UTC.
    pub captured_seconds: u64,
    /// Fingerprints of the certificates that signed, sorted.
    pub signers: BTreeSet<String>,
    /// How many packages it has.
    pub packages: usize,
}

/// Packages to add.
#[derive(Debug, Clone)]
pub struct NewRpms<'a> {
    /// The set's name in the archive.
    pub name: &'a str,
    /// The package files, under any names.
    pub files: &'a [PathBuf],
    /// The vendor's certificates, to be pinned.
    pub keyring: &'a [u8],
    /// When the files were fetched: seconds since 1970 UTC.
    pub captured_seconds: u64,
}

/// Whether a file of the archive describes a set.
pub(super) fn is_description(name: &str) -> bool {
    name.starts_with("rpm/") && name.ends_with("/set.json") && name.split('/').count() == 3
}

/// Whether a file of the archive is a package of a set.
pub(super) fn is_package(name: &str) -> bool {
    let mut parts = name.split('/');
    parts.next() == Some("rpm") && parts.nth(1) == Some("packages")
}

impl RpmSet {
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let odd = |reason: String| Error::malformed(name, "its content", reason);
        let set: Self = serde_json::from_slice(bytes).map_err(|error| odd(error.to_string()))?;
        let is_sound = set.format == 1 && is_word(&set.name) && name == set.place("set.json");
        if is_sound { Ok(set) } else { Err(odd("its fields do not fit".to_owned())) }
    }

    pub(super) fn place(&self, file: &str) -> String {
        format!("rpm/{}/{file}", self.name)
    }

    pub(super) fn keyring(&self) -> String {
        format!("keyrings/rpm-{}.pgp", self.name)
    }
}

/// `name-version-release.architecture.rpm`, from the signed header.
fn file_name(file: &PackageFile, what: &str) -> Result<String> {
    let package = file.package();
    // The epoch is no part of it.
    let version = package.version.splitn(2, |byte| *byte == b':').last().unwrap_or_default();
    let name = [&package.name[..], b"-", version, b".", &package.architecture, b".rpm"].concat();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._~^".contains(byte);
    match String::from_utf8(name) {
        Ok(name) if name.bytes().all(|byte| is_plain(&byte)) && !name.starts_with('.') => Ok(name),
        _ => Err(Error::malformed(what, "the header", "its name is none of a package")),
    }
}

fn text(raw: &[u8], what: &str) -> Result<String> {
    let is_plain = !raw.iter().any(u8::is_ascii_control);
    match std::str::from_utf8(raw) {
        Ok(text) if is_plain => Ok(text.to_owned()),
        _ => Err(Error::malformed(what, "the header", "it has a name that is no text")),
    }
}

impl Listing {
    /// The listing of a package whose header was checked.
    ///
    /// # Errors
    /// When a file has no SHA-256, or a part of the header makes no sense.
    pub fn of_rpm(file: &PackageFile, what: &str) -> Result<Self> {
        let package = file.package();
        let mut first: HashMap<u32, &[u8]> = HashMap::new();
        let mut items = Vec::with_capacity(package.files.len());
        for one in &package.files {
            let mut item = item(one, what)?;
            if matches!(item.kind, ItemKind::File { .. }) && one.node != 0 {
                match first.get(&one.node) {
                    Some(to) => item.kind = ItemKind::HardLink(to.to_vec()),
                    None => drop(first.insert(one.node, &one.path)),
                }
            }
            items.push(item);
        }
        Ok(Self {
            package: text(&package.name, what)?,
            version: text(&package.version, what)?,
            architecture: text(&package.architecture, what)?,
            file_sha256: file.sha256().to_hex(),
            items,
        })
    }
}

fn item(one: &File, what: &str) -> Result<Item> {
    let told = || hashing::escape_name(&one.path);
    let is_inside = one.path.strip_prefix(b"/").is_some_and(|rest| {
        rest.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
    });
    if !is_inside && one.path != b"/" {
        return Err(Error::malformed(what, told(), "it is no place of a file"));
    }
    // What the packager does not want compared is written on the system, as the list of accounts is.
    let is_ghost = one.is_ghost || (one.is_config && !one.is_verified);
    let kind = match one.mode & KIND {
        _ if is_ghost => ItemKind::Ghost,
        0o100_000 => {
            let hex = std::str::from_utf8(&one.digest).unwrap_or_default();
            let sha256 = Digest::from_hex(Algorithm::Sha256, hex).map_err(|_| {
                let found = format!("a digest of {} digits", hex.len());
                Error::WeakDigest { what: format!("{} in {what}", told()), found }
            })?;
            ItemKind::File { size_bytes: one.size_bytes, sha256 }
        }
        0o040_000 => ItemKind::Directory,
        0o120_000 => ItemKind::Symlink(one.link.clone()),
        _ => ItemKind::Special,
    };
    let capability = to_attribute(&one.capabilities)
        .ok_or_else(|| Error::malformed(what, told(), "its capabilities make no sense"))?;
    let xattrs = match capability.is_empty() {
        true => Vec::new(),
        false => vec![(b"security.capability".to_vec(), capability)],
    };
    Ok(Item {
        path: one.path.clone(),
        origin: Origin::Data,
        kind,
        mode: one.mode & 0o7777,
        uid: 0,
        gid: 0,
        xattrs,
        is_conffile: one.is_config,
        owner: Some(Owner { user: text(&one.user, what)?, group: text(&one.group, what)? }),
    })
}

impl Archive {
    /// Adds a set of packages.
    ///
    /// # Errors
    /// When a package is not signed by a key of the keyring, not whole or without SHA-256, two of them have one name, there is
    /// a set of this name already, or the medium does not take it. A set cut short has no description and is refused at the
    /// next signing.
    pub fn add_rpms(&self, new: &NewRpms<'_>) -> Result<(RpmSet, u64)> {
        if !is_word(new.name) || new.files.is_empty() {
            return Err(Error::Refused(format!("{:?} cannot be a set of packages", new.name)));
        }
        let mut set = RpmSet {
            format: 1,
            name: new.name.to_owned(),
            captured_seconds: new.captured_seconds,
            signers: BTreeSet::new(),
            packages: new.files.len(),
        };
        let description = set.place("set.json");
        if self.path(&description).exists() {
            return Err(Error::Refused(format!("there is a set {} already", new.name)));
        }
        let ring = Keyring::parse(new.name, new.keyring)?;
        // All are looked at before one is kept.
        let mut checked: BTreeMap<String, (&Path, FileRecord)> = BTreeMap::new();
        let mut bytes = 0_u64;
        for path in new.files {
            let what = show(path);
            let input = std::fs::File::open(path).map_err(Error::io(&what))?;
            let file = PackageFile::read(&ring, &what, input, new.captured_seconds)?;
            Listing::of_rpm(&file, &what)?;
            set.signers.extend(file.signers().iter().map(|one| one.certificate.clone()));
            bytes = bytes.saturating_add(file.size_bytes());
            let record = FileRecord::new(file.size_bytes(), file.sha256());
            let name = file_name(&file, &what)?;
            if checked.insert(name.clone(), (path, record)).is_some() {
                return Err(Error::Refused(format!("two of the packages are {name}")));
            }
        }
        for (name, (path, record)) in &checked {
            let place = self.path(&set.place(&format!("packages/{name}")));
            files::copy(path, &place, name, "what was checked", record)?;
        }
        files::write(&self.path(&set.keyring()), new.keyring)?;
        let mut text = serde_json::to_vec_pretty(&set)
            .map_err(|error| Error::malformed(&description, "writing", error.to_string()))?;
        text.push(b'\n');
        files::write(&self.path(&description), &text)?;
        Ok((set, bytes))
    }

    /// Rows of the catalogue for the packages of a set, each checked up to its pinned key once more.
    pub(super) fn list_rpms(
        &self,
        set: &RpmSet,
        kept: &[&str],
        total: &mut Catalogued,
        done: &mut dyn FnMut(u64),
    ) -> Result<Vec<CatalogueRow>> {
        let keyring = set.keyring();
        let ring = Keyring::parse(&keyring, &files::read(&self.path(&keyring), &keyring)?)?;
        let mut rows = Vec::new();
        for place in kept {
            let input = files::open(&self.path(place), place, "the set")?;
            let file = PackageFile::read(&ring, place, input, set.captured_seconds)?;
            let listing = Listing::of_rpm(&file, place)?;
            let packed = listing.to_packed()?;
            let (size_bytes, sha256) = files::measure(packed.as_slice(), place)?;
            let row = CatalogueRow {
                name: listing.package.clone(),
                version: Version::new(&listing.version),
                architecture: listing.architecture.clone(),
                is_multi_arch_same: false,
                source: text(&file.package().source, place)?,
                source_version: Version::new(&listing.version),
                file: (*place).to_owned(),
                record: FileRecord::new(file.size_bytes(), file.sha256()),
                listing: FileRecord::new(size_bytes, &sha256),
            };
            files::write(&self.path(&row.listing_name()), &packed)?;
            total.items = total.items.saturating_add(listing.items.len());
            total.bytes = total.bytes.saturating_add(file.size_bytes());
            done(total.bytes);
            rows.push(row);
        }
        Ok(rows)
    }
}

impl Sealed {
    /// The sets of RPM packages, sorted by name.
    ///
    /// # Errors
    /// When a description of one is not the one listed.
    pub fn rpm_sets(&self) -> Result<Vec<RpmSet>> {
        let names = self.statement.files.keys().filter(|name| is_description(name));
        names.map(|name| RpmSet::parse(name, &self.read(name)?)).collect()
    }

    /// The vendor's own chain of each package of a set, and that our listing says the same. Gives how many hold, and what
    /// does not.
    pub(super) fn check_rpms(
        &self,
        set: &RpmSet,
        catalogue: &Catalogue,
    ) -> Result<(usize, Vec<Error>)> {
        let ring = Keyring::parse(&set.keyring(), &self.read(&set.keyring())?)?;
        let folder = set.place("packages/");
        let rows = catalogue.rows().iter().filter(|row| row.file.starts_with(&folder));
        let (mut held, mut problems) = (0_usize, Vec::new());
        for row in rows {
            let place = row.file.as_str();
            let check = || {
                let input = files::open(&self.archive.path(place), place, INDEX)?;
                let file = PackageFile::read(&ring, place, input, set.captured_seconds)?;
                row.record.compare(place, INDEX, file.size_bytes(), file.sha256())?;
                if Listing::of_rpm(&file, place)? == catalogue.listing(row)? {
                    return Ok(());
                }
                let reason = "it is not what its package holds";
                Err(Error::malformed(&row.listing_name(), "its content", reason))
            };
            match check() {
                Ok(()) => held = held.saturating_add(1),
                Err(error) => problems.push(error),
            }
        }
        if held.saturating_add(problems.len()) != set.packages {
            let (found, name) = (held.saturating_add(problems.len()), &set.name);
            let text = format!("set {name} has {} packages, the catalogue {found}", set.packages);
            problems.push(Error::Refused(text));
        }
        Ok((held, problems))
    }
}
