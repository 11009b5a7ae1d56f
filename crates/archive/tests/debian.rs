//! From the signed release to the files of real packages. Vouched for by `apt` (unpacked indices), `dpkg` (order of
//! versions), `dpkg-deb` and `tar` (members) and `sha256sum` (their bytes).

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::OnceLock;

use archive::Error;
use archive::debian::{Contents, Kind, Origin, Package, Release, Version, read_index};
use archive::openpgp::Keyring;
use support::{debian_keyring, index_of, now_seconds, releases, run};

/// Every release `apt` has here, with its packages; read once for all tests.
fn suites() -> &'static [(Release, Vec<Package>)] {
    static READ: OnceLock<Vec<(Release, Vec<Package>)>> = OnceLock::new();
    READ.get_or_init(read_suites)
}

fn read_suites() -> Vec<(Release, Vec<Package>)> {
    let Some(path) = debian_keyring() else { return Vec::new() };
    let keyring = Keyring::parse("Debian", &fs::read(path).unwrap()).unwrap();
    let mut found = Vec::new();
    for path in releases() {
        let bytes = fs::read(&path).unwrap();
        let signed = keyring.verify_cleartext("InRelease", &bytes, now_seconds()).unwrap();
        let release = Release::parse("InRelease", &signed).unwrap();
        let Some(index) = index_of(&path) else { continue };
        let listed = release.listed("main/binary-amd64/Packages").unwrap();
        found.push((release, read_index(&listed, index.as_slice()).unwrap()));
    }
    found
}

#[test]
fn indices_of_real_suites() {
    for (release, packages) in suites() {
        assert_eq!(release.origin, "Debian");
        assert!(release.date_seconds > 1_700_000_000 && release.date_seconds < now_seconds());
        assert!(release.architectures.iter().any(|one| one == "amd64"));
        assert!(!packages.is_empty(), "{}", release.codename);
        assert!(packages.iter().all(|package| package.file().name().starts_with("pool/")));
    }
}

#[test]
fn an_index_that_is_not_the_listed_one_is_refused() {
    let Some(path) = releases().into_iter().find(|path| index_of(path).is_some()) else { return };
    let Some(ring) = debian_keyring() else { return };
    let keyring = Keyring::parse("Debian", &fs::read(ring).unwrap()).unwrap();
    let signed =
        keyring.verify_cleartext("InRelease", &fs::read(&path).unwrap(), now_seconds()).unwrap();
    let release = Release::parse("InRelease", &signed).unwrap();
    let listed = release.listed("main/binary-amd64/Packages").unwrap();
    let index = index_of(&path).unwrap();
    let mut longer = index.clone();
    longer.push(b'\n');
    assert!(matches!(read_index(&listed, longer.as_slice()), Err(Error::Size { .. })));
    assert!(matches!(read_index(&listed, &index[1..]), Err(Error::Size { .. })));
    let mut bent = index;
    let middle = bent.len() / 2;
    bent[middle] ^= 1;
    let told = read_index(&listed, bent.as_slice()).unwrap_err().to_string();
    assert!(told.contains("main/binary-amd64/Packages") && told.contains("InRelease"), "{told}");
    assert!(matches!(release.listed("main/binary-amd64/Other"), Err(Error::NotListed { .. })));
}

/// Packages of these suites that lie in a cache of this machine.
fn cached(suites: &[(Release, Vec<Package>)]) -> Vec<(Package, PathBuf)> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let mut found = Vec::new();
    let packages: BTreeMap<String, &Package> = suites
        .iter()
        .flat_map(|(_, packages)| packages)
        .map(|package| (package.file().sha256().to_hex(), package))
        .collect();
    for folder in [cache.join("glovebox/debs"), PathBuf::from("/var/cache/apt/archives")] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "deb"));
        paths.sort();
        for path in paths {
            let length = path.metadata().unwrap().len();
            if length > 4 << 20 {
                continue;
            }
            let digest =
                hashing::digest_bytes(&fs::read(&path).unwrap(), &hashing::Algorithms::sha256());
            if let Some(package) = packages.get(&digest.sha256_hex()) {
                found.push(((*package).clone(), path));
            }
        }
    }
    if found.is_empty() {
        eprintln!("skipped: no package file of a signed index lies in a cache here");
    }
    found
}

#[test]
fn members_of_real_packages() {
    for (package, path) in cached(suites()).into_iter().take(12) {
        let contents = Contents::read(&package, fs::File::open(&path).unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        let Some(output) = run("dpkg-deb", &["-x", path.to_str().unwrap(), tree.to_str().unwrap()])
        else {
            return;
        };
        assert!(output.status.success());
        let mut files = 0;
        for member in contents.members().iter().filter(|one| one.origin == Origin::Data) {
            let name = String::from_utf8(member.path.clone()).unwrap();
            let there = tree.join(name.trim_start_matches('/'));
            let metadata = there.symlink_metadata().unwrap();
            use std::os::unix::fs::MetadataExt as _;
            match &member.kind {
                Kind::File { size_bytes, sha256 } => {
                    files += 1;
                    assert_eq!(*size_bytes, metadata.len(), "{name}");
                    let output = run("sha256sum", &[there.to_str().unwrap()]).unwrap();
                    let told = String::from_utf8(output.stdout).unwrap();
                    assert!(told.trim_start_matches('\\').starts_with(&sha256.to_hex()), "{name}");
                    assert_eq!(member.mode, metadata.mode() & 0o7777, "{name}");
                    assert_eq!(member.modified_seconds, u64::try_from(metadata.mtime()).unwrap());
                }
                Kind::Directory => assert!(metadata.is_dir(), "{name}"),
                Kind::Symlink(target) => {
                    let found = fs::read_link(&there).unwrap();
                    assert_eq!(found.to_str().unwrap().as_bytes(), target, "{name}");
                }
                Kind::HardLink(_) => assert!(metadata.nlink() > 1, "{name}"),
                Kind::Special => panic!("{name}: no package delivers one"),
            }
        }
        let output = run("dpkg-deb", &["--fsys-tarfile", path.to_str().unwrap()]).unwrap();
        let tar = folder.path().join("tar");
        fs::write(&tar, output.stdout).unwrap();
        let output = run("tar", &["-tf", tar.to_str().unwrap()]).unwrap();
        let listed =
            String::from_utf8(output.stdout).unwrap().lines().filter(|line| *line != "./").count();
        let ours = contents.members().iter().filter(|one| one.origin == Origin::Data).count();
        assert_eq!(ours, listed, "{}", package.name);
        let scripts: Vec<_> =
            contents.members().iter().filter(|one| one.origin == Origin::Control).collect();
        assert!(scripts.iter().all(|one| one.path.starts_with(b"/var/lib/dpkg/info/")));
        eprintln!("{}: {files} files, {} of control", package.name, scripts.len());
    }
}

#[test]
fn a_package_that_is_not_the_listed_one_is_refused() {
    for (package, path) in cached(suites()).into_iter().take(3) {
        let bytes = fs::read(&path).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            let told = Contents::read(&package, Cursor::new(bent)).unwrap_err();
            assert!(matches!(told, Error::Digest { .. }), "{told}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(matches!(Contents::read(&package, Cursor::new(longer)), Err(Error::Size { .. })));
        let shorter = bytes[..bytes.len() - 1].to_vec();
        assert!(matches!(Contents::read(&package, Cursor::new(shorter)), Err(Error::Size { .. })));
    }
}

#[test]
fn versions_are_ordered_as_dpkg_orders_them() {
    let mut texts: Vec<String> = [
        "0",
        "1",
        "1.0",
        "1.0-1",
        "1.0-0",
        "1.0~rc1-1",
        "1.0~~",
        "1.0~",
        "1:0.1",
        "0:1.0",
        "1.0+b1",
        "1.0a",
        "1.0.1",
        "1.00",
        "1.9",
        "1.10",
        "a",
        "1-1-1",
        "2:1.0~~a-1",
        "1.0-1ubuntu1",
        "1.0-1+deb12u1",
        "1.0-1~bpo12+1",
        "99999999999999999999999",
        "99999999999999999999998",
    ]
    .map(str::to_owned)
    .to_vec();
    for (_, packages) in suites() {
        texts.extend(
            packages.iter().step_by(packages.len() / 40 + 1).map(|one| one.version.to_string()),
        );
    }
    let mut compared = 0;
    for (at, mine) in texts.iter().enumerate() {
        for theirs in texts.iter().skip(at % 3).step_by(3) {
            let ours = Version::new(mine).cmp(&Version::new(theirs));
            let relation = match ours {
                std::cmp::Ordering::Less => "lt",
                std::cmp::Ordering::Equal => "eq",
                std::cmp::Ordering::Greater => "gt",
            };
            let Some(output) = run("dpkg", &["--compare-versions", mine, relation, theirs]) else {
                return;
            };
            assert!(output.status.success(), "{mine} {relation} {theirs}");
            compared += 1;
        }
    }
    eprintln!("{compared} pairs");
}
