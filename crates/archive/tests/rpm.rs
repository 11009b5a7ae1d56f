//! Packages of the RPM family: which are believed, and what is read of them.
//!
//! Vouched for by independent tools: `rpmbuild`, `rpmsign` and `gpg` make the packages; `rpm -K` accepts and refuses the same;
//! `rpm -qp --dump` lists the same files. Packages of openSUSE, Fedora and others (published with `rpmlint`) are signed anew
//! with our own key, their headers and payloads as their vendors built them.

#[path = "../../../tests/support/rpm_packages.rs"]
mod rpm_packages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use archive::Error;
use archive::openpgp::Keyring;
use archive::rpm::{PackageFile, parse_header, to_attribute};
use archive::store::{Archive, Depth, ItemKind, Listing, NewRpms, Sealed};
use rpm_packages::{Made, run};

fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn read(keyring: &Keyring, path: &Path) -> archive::Result<PackageFile> {
    PackageFile::read(keyring, "x", fs::File::open(path).unwrap(), now_seconds())
}

/// What `rpm -K` says with only this key imported.
fn rpm_accepts(made: &Made, key: &str, path: &Path) -> bool {
    let database = made.path(&format!("{key}.database"));
    let database = database.to_str().unwrap();
    if !Path::new(database).exists() {
        let key = made.path(&format!("{key}.asc"));
        run("rpmkeys", &["--dbpath", database, "--import", key.to_str().unwrap()]).unwrap();
    }
    // Without a level a package that nobody signed is fine.
    let level = ["--define", "_pkgverify_level all"];
    let out = Command::new("rpmkeys")
        .args(["--dbpath", database, level[0], level[1], "-K"])
        .arg(path)
        .output()
        .unwrap();
    out.status.success()
}

/// The lines of `rpm -qp --dump`, from our listing: path, length, digest, mode, owner, group, configuration, target.
fn lines(file: &PackageFile) -> Vec<String> {
    let all = file.package().files.iter().map(|one| {
        let is_file = one.mode & 0o170_000 == 0o100_000;
        let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
        let digest = match is_file && !one.digest.is_empty() {
            true => text(&one.digest),
            false => "0".repeat(64),
        };
        let link = match one.link.is_empty() {
            true => "X".to_owned(),
            false => text(&one.link),
        };
        let (user, group) = (text(&one.user), text(&one.group));
        let config = u8::from(one.is_config);
        let (path, size, mode) = (text(&one.path), one.size_bytes, one.mode);
        format!("{path} {size} {digest} 0{mode:o} {user} {group} {config} {link}")
    });
    let mut all: Vec<String> = all.collect();
    all.sort();
    all
}

fn dump(path: &Path) -> Vec<String> {
    let out = run("rpm", &["-qp", "--nosignature", "--dump", path.to_str().unwrap()]).unwrap();
    let mut all: Vec<String> = out
        .lines()
        .filter(|line| line.starts_with('/'))
        .map(|line| {
            // path size mtime digest mode owner group config documentation rdev target
            let words: Vec<&str> = line.rsplitn(11, ' ').collect();
            let at = |from_front: usize| words[words.len() - 1 - from_front];
            [at(0), at(1), at(3), at(4), at(5), at(6), at(7), at(10)].join(" ")
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_package_is_believed_as_rpm_believes_it() {
    let Some(made) = Made::new() else { return };
    made.key("stranger", "ed25519");
    made.key("curve", "ed25519");
    let keyring = Keyring::parse("vendor", &made.keyring("vendor")).unwrap();
    let stranger = Keyring::parse("stranger", &made.keyring("stranger")).unwrap();
    for path in &made.signed {
        let file = read(&keyring, path).unwrap();
        assert!(rpm_accepts(&made, "vendor", path));
        assert_eq!(file.signers()[0].name, "vendor");
        assert_eq!(lines(&file), dump(path));
    }
    let (path, bent) = (&made.signed[0], made.path("bent.rpm"));
    let refused = |error: archive::Result<PackageFile>| error.unwrap_err().to_string();
    // By another key, by nobody, by a key on a curve.
    assert!(refused(read(&stranger, path)).contains("that key is not in stranger"));
    assert!(!rpm_accepts(&made, "stranger", path));
    let unsigned = refused(read(&keyring, &made.unsigned[0]));
    assert!(unsigned.contains("the header of x is not signed"), "{unsigned}");
    assert!(!rpm_accepts(&made, "vendor", &made.unsigned[0]));
    fs::copy(&made.unsigned[0], &bent).unwrap();
    made.sign("curve", &[&bent]);
    let curve = Keyring::parse("curve", &made.keyring("curve")).unwrap();
    assert!(read(&curve, &bent).is_ok());
    assert!(rpm_accepts(&made, "curve", &bent));
    // One byte of the header, of the payload; and each cut short.
    let right = fs::read(path).unwrap();
    let second = right.windows(4).enumerate().filter(|(_, four)| *four == [0x8e, 0xad, 0xe8, 1]);
    let header = second.map(|(at, _)| at).nth(1).unwrap();
    let count = |at: usize| u32::from_be_bytes(*right[header + at..].first_chunk().unwrap());
    let payload = header + 16 + 16 * count(8) as usize + count(12) as usize;
    // The list of signatures is nobody's word: whatever stands in it, nothing but an answer comes of it.
    for at in (96..header).step_by(7) {
        let mut bytes = right.clone();
        bytes[at] = !bytes[at];
        let _ = PackageFile::read(&keyring, "x", bytes.as_slice(), now_seconds());
    }
    for step in 0..8 {
        for (from, to) in [(header, payload), (payload, right.len())] {
            let at = from + (to - from) * step / 8;
            let mut bytes = right.clone();
            bytes[at] ^= 1;
            fs::write(&bent, bytes).unwrap();
            let told = refused(read(&keyring, &bent));
            assert!(from == header || told.contains("payload"), "{at}: {told}");
            assert!(step % 4 != 0 || !rpm_accepts(&made, "vendor", &bent), "{at}");
        }
        fs::write(&bent, &right[..right.len() * step / 8]).unwrap();
        assert!(read(&keyring, &bent).is_err());
    }
}

#[test]
fn packages_of_vendors_are_read_as_rpm_reads_them() {
    let Some(folder) = std::env::var_os("GLOVEBOX_RPMS").map(PathBuf::from) else {
        eprintln!("skipped: no GLOVEBOX_RPMS");
        return;
    };
    let Some(made) = Made::new() else { return };
    let keyring = Keyring::parse("vendor", &made.keyring("vendor")).unwrap();
    let found = run("find", &[folder.to_str().unwrap(), "-name", "*.rpm"]).unwrap();
    let mut paths: Vec<PathBuf> = Vec::new();
    // A source package is installed nowhere.
    let installable = found.lines().filter(|path| !path.ends_with("src.rpm"));
    for (at, path) in installable.enumerate() {
        let own = made.path(&format!("{at}.rpm"));
        fs::copy(path, &own).unwrap();
        // A few are corrupt on purpose, and rpm signs no such.
        if made.signs("vendor", &[&own]) {
            paths.push(own);
        }
    }
    let (mut compared, mut files) = (0, 0);
    for path in &paths {
        // Whether it has what we ask for, as rpm says it.
        let format = "%{PAYLOADDIGESTALGO} %{FILEDIGESTALGO} [%{FILEDIGESTS}]";
        let query = ["-qp", "--nosignature", "--qf", format, path.to_str().unwrap()];
        let facts = run("rpm", &query).unwrap();
        let mut words = facts.split(' ');
        let is_new = words.next() == Some("8");
        let is_strong = words.next() == Some("8") || words.all(str::is_empty);
        match read(&keyring, path) {
            Ok(file) => {
                assert!(is_new, "{}", path.display());
                assert_eq!(lines(&file), dump(path), "{}", path.display());
                let listing = Listing::of_rpm(&file, "x");
                assert_eq!(listing.is_ok(), is_strong, "{}: {facts}", path.display());
                compared += 1;
                files += file.package().files.len();
            }
            Err(error) => {
                let is_weak = matches!(error, Error::WeakDigest { .. });
                assert!(is_weak && !is_new, "{}: {error}", path.display());
            }
        }
    }
    eprintln!("{compared} of {} packages, {files} files, as rpm lists them", paths.len());
    assert!(compared > 20);
}

#[test]
fn a_set_in_an_archive_holds_up_to_its_key() {
    let Some(made) = Made::new() else { return };
    let folder = made.path("archive");
    let archive = Archive::init(&folder, "team").unwrap();
    let keyring = made.keyring("vendor");
    let new =
        |files| NewRpms { name: "set", files, keyring: &keyring, captured_seconds: now_seconds() };
    // One that does not hold keeps all of them out.
    let mixed = [made.signed[0].clone(), made.unsigned[1].clone()];
    assert!(archive.add_rpms(&new(&mixed)).unwrap_err().to_string().contains("is not signed"));
    assert!(!folder.join("rpm").exists());
    let twice = [made.signed[0].clone(), made.signed[0].clone()];
    assert!(archive.add_rpms(&new(&twice)).unwrap_err().to_string().contains("two of the"));
    let (set, _) = archive.add_rpms(&new(&made.signed)).unwrap();
    assert_eq!((set.packages, set.signers.len()), (3, 1));
    assert!(archive.add_rpms(&new(&made.signed)).unwrap_err().to_string().contains("already"));
    let made_catalogue = archive.catalogue(&mut |_| {}).unwrap();
    assert_eq!(made_catalogue.packages, 3);
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = archive::seal::TrustedKey::parse("own", &pair.pk.to_base64()).unwrap();
    let sign = || {
        archive.sign(&key, now_seconds(), |bytes, comment| {
            minisign::sign(None, &pair.sk, std::io::Cursor::new(bytes), Some(comment), None)
                .map(minisign::SignatureBox::into_string)
                .map_err(|error| error.to_string())
        })
    };
    sign().unwrap();
    let sealed = Sealed::open(&folder, &key, 1).unwrap();
    let checked = sealed.check(Depth::Listings, &mut |_| {});
    assert!(checked.problems.is_empty() && checked.packages == 3, "{:?}", checked.problems);
    let catalogue = sealed.catalogue().unwrap();
    let row = catalogue.find("tool", "3:1.0-2", "noarch").unwrap();
    let listing = catalogue.listing(row).unwrap();
    let of = |path: &str| {
        let found = listing.items.iter().find(|item| item.path == path.as_bytes());
        found.unwrap_or_else(|| panic!("{path}")).clone()
    };
    assert_eq!(of("/usr/bin/tool").mode, 0o4755);
    assert_eq!(of("/usr/bin/sender").owner.unwrap().group, "mail");
    assert_eq!(of("/usr/bin/alias").kind, ItemKind::Symlink(b"tool".to_vec()));
    assert_eq!(of("/usr/bin/pinger").xattrs[0].0, b"security.capability");
    assert!(of("/etc/tool/tool.conf").is_conffile);
    assert_eq!(of("/etc/tool/accounts").kind, ItemKind::Ghost);
    assert_eq!(of("/var/log/tool").kind, ItemKind::Ghost);
    let many = catalogue.listing(catalogue.find("many", "3:1.0-2", "noarch").unwrap()).unwrap();
    let links = many.items.iter().filter(|item| matches!(item.kind, ItemKind::HardLink(_)));
    assert_eq!(links.count(), 1);
    // A package that was changed since, and one that nobody added.
    let own = folder.join("rpm/set/packages/many-1.0-2.noarch.rpm");
    let right = fs::read(&own).unwrap();
    let mut bent = right.clone();
    let last = bent.len() - 1;
    bent[last] ^= 1;
    fs::write(&own, bent).unwrap();
    let told = |sealed: &Sealed| {
        let problems = sealed.check(Depth::Files, &mut |_| {}).problems;
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert!(told(&sealed).contains("the payload of rpm/set/packages/many"), "{}", told(&sealed));
    fs::write(&own, right).unwrap();
    fs::copy(&own, folder.join("rpm/set/packages/x.rpm")).unwrap();
    assert!(told(&sealed).contains("nothing signed lists it"), "{}", told(&sealed));
}

/// Vouched for by `setcap` and `getfattr -e hex`, whose values these are.
#[test]
fn texts_are_as_the_kernel_keeps_them() {
    let hex = |text: &str| {
        let value = to_attribute(text.as_bytes())?;
        Some(value.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    };
    for (text, value) in [
        ("cap_net_raw=ep", "0100000200200000000000000000000000000000"),
        ("= cap_net_raw+ep", "0100000200200000000000000000000000000000"),
        ("cap_net_raw=p", "0000000200200000000000000000000000000000"),
        ("cap_setuid,cap_setgid=ei", "01000002 00000000 c0000000 00000000 00000000"),
        ("cap_bpf=p", "00000002 00000000 00000000 80000000 00000000"),
        ("=", ""),
        ("", ""),
    ] {
        assert_eq!(hex(text).unwrap(), value.replace(' ', ""), "{text}");
    }
    for odd in ["cap_nothing=p", "cap_net_raw", "cap_net_raw=x", "\u{e9}=p"] {
        assert_eq!(to_attribute(odd.as_bytes()), None, "{odd}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z_,=+\\- ]{0,60}") {
        let _ = to_attribute(text.as_bytes());
    }
}

proptest::proptest! {
    /// Any index over any store is read or refused.
    #[test]
    fn any_header_is_read_or_refused(
        entries in proptest::collection::vec((900_u32..1130, 0_u32..10, 0_u32..80, 0_u32..20), 0..20),
        store: Vec<u8>,
    ) {
        let mut raw = u32::try_from(entries.len()).unwrap().to_be_bytes().to_vec();
        raw.extend(u32::try_from(store.len()).unwrap().to_be_bytes());
        for (tag, kind, at, count) in entries {
            raw.extend([tag, kind, at, count].map(u32::to_be_bytes).concat());
        }
        raw.extend(store);
        let _ = parse_header(&raw);
    }
}
