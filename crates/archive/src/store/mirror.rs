//! A partial mirror of Debian: what the vendor signed, byte for byte, and only the packages that are wanted.
//!
//! Every link is checked on the way in: the release by a pinned keyring at the time of capture, the indices by the release,
//! each package file by its index. A release older than the one already kept is refused, because a signature cannot show
//! that a newer one existed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Archive, FileRecord, files, show};
use crate::debian::{Listed, Package, Release, Version, read_index_of};
use crate::openpgp::Keyring;
use crate::{Error, Result};

/// Endings of an index, the smallest file first.
const ENDINGS: [&str; 3] = [".xz", ".gz", ""];

/// What a mirror in an archive says of itself (`mirror.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    format: u32,
    /// Its name in the archive.
    pub name: String,
    /// The keyring it was checked with, a file of the archive.
    pub keyring: String,
    /// When its files were fetched, the time its keys are judged at: seconds since 1970 UTC.
    pub captured_seconds: u64,
    /// Its suites, in the order given.
    pub suites: Vec<Suite>,
}

/// One suite of a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its folder below `dists/`.
    pub suite: String,
    /// When the vendor made this state: seconds since 1970 UTC.
    pub date_seconds: u64,
    /// After when the vendor would not have it used: seconds since 1970 UTC.
    pub valid_until_seconds: Option<u64>,
    /// Indices kept, by their names in the release.
    pub indices: Vec<String>,
    /// Fingerprints of the certificates that signed the release.
    pub signers: Vec<String>,
}

/// Where the vendor's files are taken from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A tree as a mirror serves it: `dists/…` and `pool/…`.
    Tree(PathBuf),
    /// The lists `apt` keeps (`/var/lib/apt/lists`); package files lie elsewhere.
    Lists(PathBuf),
}

/// A package that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// The newest version in the suites.
    Newest(String),
    /// This very one, as a host has it installed: name, version, architecture.
    Exactly(String, String, String),
}

/// A mirror to add.
#[derive(Debug, Clone)]
pub struct NewMirror<'a> {
    /// Its name in the archive.
    pub name: &'a str,
    /// Suites, by their folders below `dists/`.
    pub suites: &'a [String],
    /// Components of the suites, such as `main`.
    pub components: &'a [String],
    /// Architecture of the packages; `all` is taken too.
    pub architecture: &'a str,
    /// Where the lists are.
    pub source: Source,
    /// Folders with package files, under any names.
    pub package_folders: &'a [PathBuf],
    /// The vendor's certificates, to be pinned.
    pub keyring: &'a [u8],
    /// What is wanted.
    pub wanted: &'a BTreeSet<Want>,
    /// When the files were fetched: seconds since 1970 UTC.
    pub captured_seconds: u64,
}

/// What was added.
#[derive(Debug, Clone)]
pub struct Added {
    /// The mirror as it is now.
    pub mirror: Mirror,
    /// Packages kept.
    pub packages: usize,
    /// Length of their files in bytes.
    pub bytes: u64,
    /// Wanted, but in none of the signed indices.
    pub foreign: Vec<Want>,
}

/// Whether a file of the archive describes a mirror.
pub(super) fn is_description(name: &str) -> bool {
    name.starts_with("debian/") && name.ends_with("/mirror.json") && name.split('/').count() == 3
}

impl Mirror {
    pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let odd = |reason: String| Error::malformed(name, "its content", reason);
        let mirror: Self = serde_json::from_slice(bytes).map_err(|error| odd(error.to_string()))?;
        let is_sound = mirror.format == 1
            && is_word(&mirror.name)
            && mirror.keyring == format!("keyrings/{}.pgp", mirror.name)
            && mirror.suites.iter().all(|suite| {
                is_place(&suite.suite) && suite.indices.iter().all(|index| is_place(index))
            });
        if !is_sound {
            return Err(odd("its fields do not fit".to_owned()));
        }
        Ok(mirror)
    }

    /// The file of the release of a suite.
    pub(super) fn release(&self, suite: &Suite) -> String {
        format!("debian/{}/dists/{}/InRelease", self.name, suite.suite)
    }
}

/// Where a package file of a mirror lies in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    pub(super) fn new(mirror: &str, package: &Package) -> Self {
        Self(format!("debian/{mirror}/{}", package.file().name()))
    }

    /// Its name in the archive.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_place(text: &str) -> bool {
    crate::debian::is_inside(text)
}

impl Archive {
    /// Adds a mirror, or a newer state of one.
    ///
    /// Nothing is put in place before every link held, but package files, which carry their digest in a signed index.
    ///
    /// # Errors
    /// When a link does not hold, a listed and wanted package file is not there, or the state is older than the one kept.
    pub fn add_mirror(&self, new: &NewMirror<'_>) -> Result<Added> {
        for (what, text) in [("mirror", new.name), ("architecture", new.architecture)] {
            if !is_word(text) {
                return Err(Error::Refused(format!("{text:?} cannot be the name of a {what}")));
            }
        }
        if let Some(odd) = new.suites.iter().chain(new.components).find(|one| !is_place(one)) {
            return Err(Error::Refused(format!("{odd:?} cannot be a suite or component")));
        }
        let ring = Keyring::parse(new.name, new.keyring)?;
        let description = format!("debian/{}/mirror.json", new.name);
        let before = match files::read(&self.path(&description), &description) {
            Ok(bytes) => Some(Mirror::parse(&description, &bytes)?),
            Err(Error::Missing { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut mirror = Mirror {
            format: 1,
            name: new.name.to_owned(),
            keyring: format!("keyrings/{}.pgp", new.name),
            captured_seconds: new.captured_seconds,
            suites: Vec::new(),
        };
        let pool = format!("debian/{}/pool/", new.name);
        let kept: Vec<String> =
            files::all(&self.dir)?.into_iter().filter(|name| name.starts_with(&pool)).collect();
        let mut names: BTreeSet<&str> =
            kept.iter().filter_map(|name| super::catalogue::package_name(name)).collect();
        names.extend(new.wanted.iter().map(|want| match want {
            Want::Newest(name) | Want::Exactly(name, _, _) => name.as_str(),
        }));
        let mut writes = vec![(mirror.keyring.clone(), new.keyring.to_vec())];
        let mut packages = Vec::new();
        for suite in new.suites {
            let read = read_suite(new, &ring, suite, before.as_ref(), &names)?;
            mirror.suites.push(read.suite);
            writes.extend(read.files);
            packages.extend(read.packages);
        }
        // What is kept must stay vouched for: a newer state no longer lists what it replaced.
        let listed: BTreeSet<String> = packages
            .iter()
            .map(|package| Place::new(new.name, package).as_str().to_owned())
            .collect();
        if let Some(name) = kept.iter().find(|name| !listed.contains(*name)) {
            return Err(Error::Refused(format!(
                "this state of {} no longer lists {name}: add it under another name",
                new.name
            )));
        }
        let (chosen, foreign) = choose(new.wanted, &packages);
        let store = Packages::new(new)?;
        let mut bytes = 0_u64;
        for package in &chosen {
            self.add_package(new.name, package, &store)?;
            bytes = bytes.saturating_add(package.file().size_bytes());
        }
        for (name, bytes) in writes {
            files::write(&self.path(&name), &bytes)?;
        }
        let text = serde_json::to_vec_pretty(&mirror)
            .map_err(|error| Error::malformed(&description, "writing", error.to_string()))?;
        files::write(&self.path(&description), &text)?;
        Ok(Added { mirror, packages: chosen.len(), bytes, foreign })
    }

    fn add_package(&self, mirror: &str, package: &Package, store: &Packages<'_>) -> Result<()> {
        let place = Place::new(mirror, package);
        let path = self.path(place.as_str());
        let listed = package.file();
        let record = FileRecord::new(listed.size_bytes(), listed.sha256());
        let is_kept = files::compare(&path, listed.name(), "the signed index", &record).is_ok();
        if is_kept {
            return Ok(());
        }
        let from = store.find(listed)?;
        let name = show(&from);
        let input = fs::File::open(&from).map_err(Error::io(&name))?;
        files::write_with(&path, |out| {
            // Bytes nobody signed never get a name.
            files::measure(Copying { input, out }, &name)
                .and_then(|(size, sha256)| {
                    record.compare(listed.name(), "the signed index", size, &sha256)
                })
                .map_err(std::io::Error::other)
        })
    }
}

/// Reads one suite; of its packages those with these names.
fn read_suite(
    new: &NewMirror<'_>,
    ring: &Keyring,
    suite: &str,
    before: Option<&Mirror>,
    names: &BTreeSet<&str>,
) -> Result<ReadSuite> {
    let name = format!("dists/{suite}/InRelease");
    let bytes = new.source.read(&name)?;
    let signed = ring.verify_cleartext(&name, &bytes, new.captured_seconds)?;
    let release = Release::parse(&name, &signed)?;
    let kept = before.and_then(|one| one.suites.iter().find(|kept| kept.suite == suite));
    if let Some(kept) = kept.filter(|kept| kept.date_seconds > release.date_seconds) {
        return Err(Error::Rollback {
            what: name,
            found: format!("dated {}", rfc3339(release.date_seconds)),
            seen: format!("one dated {}", rfc3339(kept.date_seconds)),
        });
    }
    let own = |file: &str| format!("debian/{}/dists/{suite}/{file}", new.name);
    let mut read = ReadSuite {
        suite: Suite {
            suite: suite.to_owned(),
            date_seconds: release.date_seconds,
            valid_until_seconds: release.valid_until_seconds,
            indices: Vec::new(),
            signers: release.signers().iter().map(|one| one.certificate.clone()).collect(),
        },
        files: vec![(own("InRelease"), bytes)],
        packages: Vec::new(),
    };
    for component in new.components {
        let stem = format!("{component}/binary-{}/Packages", new.architecture);
        let (listed, bytes) = new.source.index(suite, &release, &stem)?;
        read.packages
            .extend(read_index_of(&listed, bytes.as_slice(), |package| names.contains(package))?);
        read.suite.indices.push(listed.name().to_owned());
        read.files.push((own(listed.name()), bytes));
    }
    Ok(read)
}

/// Writes what is read through it.
struct Copying<'a> {
    input: fs::File,
    out: &'a mut fs::File,
}

impl std::io::Read for Copying<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        std::io::Write::write_all(self.out, buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

struct ReadSuite {
    suite: Suite,
    files: Vec<(String, Vec<u8>)>,
    packages: Vec<Package>,
}

/// Which of the packages found fit what is wanted, and what fits none.
fn choose(wanted: &BTreeSet<Want>, packages: &[Package]) -> (Vec<Package>, Vec<Want>) {
    let mut by_name: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in packages {
        by_name.entry(package.name.as_str()).or_default().push(package);
    }
    let (mut chosen, mut foreign) = (BTreeMap::new(), Vec::new());
    for want in wanted {
        let found = match want {
            Want::Newest(name) => by_name
                .get(name.as_str())
                .and_then(|all| all.iter().max_by(|a, b| a.version.cmp(&b.version))),
            Want::Exactly(name, version, architecture) => {
                by_name.get(name.as_str()).and_then(|all| {
                    let version = Version::new(version);
                    all.iter()
                        .find(|one| one.version == version && one.architecture == *architecture)
                })
            }
        };
        match found {
            Some(package) => {
                chosen.insert(package.file().sha256().to_hex(), (*package).clone());
            }
            None => foreign.push(want.clone()),
        }
    }
    (chosen.into_values().collect(), foreign)
}

impl Source {
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self
            .find(name)
            .ok_or_else(|| Error::Missing { name: name.to_owned(), index: show(self.folder()) })?;
        fs::read(&path).map_err(Error::io(&show(&path)))
    }

    fn folder(&self) -> &Path {
        let (Self::Tree(folder) | Self::Lists(folder)) = self;
        folder
    }

    /// `apt` names its lists after the address they came from, slashes as underscores.
    fn find(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Tree(folder) => Some(folder.join(name)).filter(|path| path.is_file()),
            Self::Lists(folder) => {
                let ending = format!("_{}", name.replace('/', "_"));
                let entries = fs::read_dir(folder).ok()?;
                let mut found: Vec<PathBuf> = entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|path| path.to_string_lossy().ends_with(&ending))
                    .collect();
                found.sort();
                found.into_iter().next()
            }
        }
    }

    /// The first form of an index that the release lists and that is there.
    fn index(&self, suite: &str, release: &Release, stem: &str) -> Result<(Listed, Vec<u8>)> {
        for ending in ENDINGS {
            let name = format!("{stem}{ending}");
            let Ok(listed) = release.listed(&name) else { continue };
            let place = format!("dists/{suite}/{name}");
            if self.find(&place).is_some() {
                let bytes = listed.read_checked(self.read(&place)?.as_slice())?;
                return Ok((listed, bytes));
            }
        }
        let mut listed = ENDINGS.iter().map(|ending| format!("{stem}{ending}"));
        let Some(name) = listed.find(|name| release.listed(name).is_ok()) else {
            return Err(Error::NotListed {
                name: stem.to_owned(),
                index: release.name().to_owned(),
            });
        };
        if self.find(&format!("dists/{suite}/{stem}.lz4")).is_some() {
            let reason = format!(
                "apt packed {stem} of {suite} anew, so that it is not the file listed: unpack it beside with apt-helper cat-file"
            );
            return Err(Error::Refused(reason));
        }
        let index = format!("dists/{suite}/InRelease");
        Err(Error::Missing { name, index })
    }
}

/// Package files at hand: in the pool of the source, or in folders under any names.
struct Packages<'a> {
    source: &'a Source,
    by_size: BTreeMap<u64, Vec<PathBuf>>,
}

impl<'a> Packages<'a> {
    fn new(new: &'a NewMirror<'_>) -> Result<Self> {
        let mut by_size: BTreeMap<u64, Vec<PathBuf>> = BTreeMap::new();
        for folder in new.package_folders {
            for entry in fs::read_dir(folder).map_err(Error::io(&show(folder)))? {
                let path = entry.map_err(Error::io(&show(folder)))?.path();
                let Ok(found) = path.metadata() else { continue };
                if found.is_file() && path.extension().is_some_and(|ending| ending == "deb") {
                    by_size.entry(found.len()).or_default().push(path);
                }
            }
        }
        by_size.values_mut().for_each(|paths| paths.sort());
        Ok(Self { source: &new.source, by_size })
    }

    fn find(&self, listed: &Listed) -> Result<PathBuf> {
        if let Source::Tree(folder) = self.source {
            let path = folder.join(listed.name());
            if path.is_file() {
                return Ok(path);
            }
        }
        let wanted = FileRecord::new(listed.size_bytes(), listed.sha256());
        let same_size = self.by_size.get(&listed.size_bytes()).into_iter().flatten();
        for path in same_size {
            if files::compare(path, listed.name(), "the index", &wanted).is_ok() {
                return Ok(path.clone());
            }
        }
        // One that has the name but not the bytes is told with its digest, not as missing.
        let own = listed.name().rsplit('/').next().unwrap_or_default();
        let named = self.by_size.values().flatten().find(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // `name_1%3a2-3_amd64.deb` of apt is `name_2-3_amd64.deb` in the pool.
            let without_epoch = name.split_once("%3a").map(|(front, rest)| {
                let package = front.rsplit_once('_').map_or(front, |(package, _)| package);
                format!("{package}_{rest}")
            });
            without_epoch.as_deref().unwrap_or(name) == own
        });
        match named {
            Some(path) => Ok(path.clone()),
            None => Err(Error::Missing {
                name: listed.name().to_owned(),
                index: "the signed index".to_owned(),
            }),
        }
    }
}

/// A time for messages: RFC 3339 to the second, from seconds since 1970 UTC.
#[must_use]
pub fn rfc3339(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Civil calendar from days (years that begin in March).
    let shifted = days.saturating_add(719_468);
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = of_era
        .saturating_sub(of_era / 1460)
        .saturating_add(of_era / 36_524)
        .saturating_sub(of_era / 146_096)
        / 365;
    let of_year = of_era.saturating_sub(
        year_of_era
            .saturating_mul(365)
            .saturating_add(year_of_era / 4)
            .saturating_sub(year_of_era / 100),
    );
    let part = of_year.saturating_mul(5).saturating_add(2) / 153;
    let day =
        of_year.saturating_sub(part.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let month = if part < 10 { part.saturating_add(3) } else { part.saturating_sub(9) };
    let year =
        year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(u64::from(month <= 2));
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_for_messages() {
        // Vouched for by `date -u -d @… +%FT%TZ` of coreutils.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_757_152_931, "2025-09-06T10:02:11Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
