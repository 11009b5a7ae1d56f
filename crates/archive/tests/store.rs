//! A whole archive from the vendor's files: what is taken in, what is refused, and what a change of one byte comes to.
//!
//! The vendor is made here: keys and signatures by `gpg`, packages by `dpkg-deb`. Vouched for by `minisign` (our signature) and
//! `sha256sum` (a listing); that `gpgv` accepts and refuses the same releases is in `signatures`.

#[path = "../../../tests/support/debian_vendor.rs"]
mod debian_vendor;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use archive::Error;
use archive::seal::TrustedKey;
use archive::store::{Archive, Depth, ItemKind, NewMirror, Sealed, Source, Want};
use debian_vendor::Vendor;
use support::run;

/// 2024-01-01.
const MADE: u64 = 1_704_067_200;
const DAY: u64 = 86_400;

/// Adds everything to an archive, as it was fetched at this time.
fn add(
    vendor: &Vendor,
    archive: &Archive,
    captured_seconds: u64,
) -> archive::Result<archive::store::Added> {
    let wanted: BTreeSet<Want> = [
        Want::Newest("tool".to_owned()),
        Want::Exactly("lib".to_owned(), "2:3~4-5".to_owned(), "amd64".to_owned()),
        Want::Newest("stranger".to_owned()),
    ]
    .into();
    archive.add_mirror(&NewMirror {
        name: "test",
        suites: &["stable".to_owned()],
        components: &["main".to_owned()],
        architecture: "amd64",
        source: Source::Tree(vendor.path("mirror")),
        package_folders: &[],
        keyring: &fs::read(vendor.path("ring")).unwrap(),
        wanted: &wanted,
        captured_seconds,
    })
}

/// A key of ours.
struct Own {
    pair: minisign::KeyPair,
    key: TrustedKey,
}

impl Own {
    fn new() -> Self {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let key = TrustedKey::parse("own", &pair.pk.to_base64()).unwrap();
        Self { pair, key }
    }

    fn sign(&self, archive: &Archive) -> archive::store::Statement {
        archive
            .sign(&self.key, MADE + DAY, |bytes, comment| {
                minisign::sign(None, &self.pair.sk, Cursor::new(bytes), Some(comment), None)
                    .map(minisign::SignatureBox::into_string)
                    .map_err(|error| error.to_string())
            })
            .unwrap()
    }
}

fn whole(folder: &Path, vendor: &Vendor, own: &Own) -> Archive {
    let archive = Archive::init(folder, "team").unwrap();
    let added = add(vendor, &archive, MADE + DAY).unwrap();
    assert_eq!(added.packages, 2);
    assert_eq!(added.foreign, [Want::Newest("stranger".to_owned())]);
    let made = archive.catalogue(&mut |_| {}).unwrap();
    assert_eq!(made.packages, 2);
    assert_eq!(own.sign(&archive).version, 1);
    archive
}

#[test]
fn an_archive_holds_together() {
    let Some(vendor) = Vendor::new() else { return };
    let (folder, own) = (tempfile::tempdir().unwrap(), Own::new());
    let archive = whole(folder.path(), &vendor, &own);
    let sealed = Sealed::open(folder.path(), &own.key, 1).unwrap();
    let checked = sealed.check(Depth::Listings, &mut |_| {});
    assert!(checked.problems.is_empty(), "{:?}", checked.problems);
    assert_eq!(checked.packages, 2);

    // Byte for byte what the vendor serves.
    for name in
        ["dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages", "pool/tool.deb"]
    {
        let kept = fs::read(folder.path().join("debian/test").join(name)).unwrap();
        assert_eq!(kept, fs::read(vendor.path("mirror").join(name)).unwrap(), "{name}");
    }
    let list = folder.path().join("archive.json");
    let key = own.pair.pk.to_base64();
    if let Some(output) = run("minisign", &["-V", "-P", &key, "-m", list.to_str().unwrap()]) {
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && told.contains("archive team version 1"), "{told}");
    }

    let catalogue = sealed.catalogue().unwrap();
    let row = catalogue.find("tool", "1.0-1", "amd64").unwrap();
    let listing = catalogue.listing(row).unwrap();
    let tool = listing.items.iter().find(|item| item.path == b"/usr/bin/tool").unwrap();
    assert_eq!((tool.mode, tool.uid, tool.gid), (0o755, 0, 0));
    let ItemKind::File { sha256, .. } = &tool.kind else { panic!("{tool:?}") };
    fs::write(vendor.path("same"), "#!/bin/sh\necho tool\n").unwrap();
    let output = run("sha256sum", &[vendor.path("same").to_str().unwrap()]).unwrap();
    assert!(output.stdout.starts_with(sha256.to_hex().as_bytes()));
    let is_conffile = |item: &&archive::store::Item| item.is_conffile;
    let conffiles: Vec<_> = listing.items.iter().filter(is_conffile).collect();
    assert!(conffiles.len() == 1 && conffiles[0].path == b"/etc/tool", "{conffiles:?}");
    assert!(listing.items.iter().any(|item| item.path == b"/var/lib/dpkg/info/tool.postinst"));
    assert_eq!(own.sign(&archive).version, 2);
}

#[test]
fn one_byte_at_each_link_is_told_with_the_link() {
    let Some(vendor) = Vendor::new() else { return };
    let (folder, own) = (tempfile::tempdir().unwrap(), Own::new());
    whole(folder.path(), &vendor, &own);
    let sealed = Sealed::open(folder.path(), &own.key, 0).unwrap();
    let listing = sealed.catalogue().unwrap().rows()[0].listing_name();
    for name in [
        "keyrings/test.pgp",
        "debian/test/dists/stable/InRelease",
        "debian/test/dists/stable/main/binary-amd64/Packages",
        "debian/test/mirror.json",
        "debian/test/pool/tool.deb",
        "catalogue/index.tsv",
        &listing,
    ] {
        let path = folder.path().join(name);
        let right = fs::read(&path).unwrap();
        let mut bent = right.clone();
        let middle = bent.len() / 2;
        bent[middle] ^= 1;
        for wrong in [&bent[..], &right[..right.len() - 1]] {
            fs::write(&path, wrong).unwrap();
            let problems = sealed.check(Depth::Files, &mut |_| {}).problems;
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert!(told.iter().any(|one| one.contains(name)), "{name}: {told:?}");
        }
        fs::remove_file(&path).unwrap();
        let problems = sealed.check(Depth::Files, &mut |_| {}).problems;
        let is_missing =
            |one: &Error| matches!(one, Error::Missing { name: own, .. } if own == name);
        assert!(problems.iter().any(is_missing), "{name}: {problems:?}");
        fs::write(&path, right).unwrap();
    }
    // A package nobody listed, and a file nobody signed.
    for name in ["debian/test/pool/rogue.deb", "golden/rogue.jsonl.gz", "note"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        let problems = sealed.check(Depth::Files, &mut |_| {}).problems;
        assert!(
            matches!(&problems[..], [Error::Unlisted { name: own }] if own == name),
            "{problems:?}"
        );
        fs::remove_file(path).unwrap();
    }
    assert!(sealed.check(Depth::Listings, &mut |_| {}).problems.is_empty());
}

#[test]
fn our_list_is_refused_unsigned_bent_by_another_key_and_older_than_seen() {
    let Some(vendor) = Vendor::new() else { return };
    let (folder, own, other) = (tempfile::tempdir().unwrap(), Own::new(), Own::new());
    let archive = whole(folder.path(), &vendor, &own);
    let told =
        |key: &TrustedKey, least| Sealed::open(folder.path(), key, least).unwrap_err().to_string();
    assert!(told(&other.key, 0).contains("signed by another key"), "{}", told(&other.key, 0));
    let older = (
        fs::read(folder.path().join("archive.json")).unwrap(),
        fs::read(folder.path().join("archive.json.minisig")).unwrap(),
    );
    own.sign(&archive);
    assert!(Sealed::open(folder.path(), &own.key, 2).is_ok());
    // Yesterday's list with yesterday's signature is sound, and refused.
    fs::write(folder.path().join("archive.json"), &older.0).unwrap();
    assert!(told(&own.key, 2).contains("archive.json is not signed"), "{}", told(&own.key, 2));
    fs::write(folder.path().join("archive.json.minisig"), &older.1).unwrap();
    assert!(Sealed::open(folder.path(), &own.key, 1).is_ok());
    assert!(
        told(&own.key, 2).contains("version 1, but version 2 was seen"),
        "{}",
        told(&own.key, 2)
    );
    let mut bent = older.0.clone();
    let at = bent.len() / 2;
    bent[at] ^= 1;
    fs::write(folder.path().join("archive.json"), &bent).unwrap();
    assert!(told(&own.key, 0).contains("does not match"), "{}", told(&own.key, 0));
    fs::remove_file(folder.path().join("archive.json.minisig")).unwrap();
    assert!(told(&own.key, 0).contains("there is no archive.json.minisig"));
}

#[test]
fn what_a_mirror_must_not_be() {
    let Some(vendor) = Vendor::new() else { return };
    let fresh = || {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::init(folder.path(), "team").unwrap();
        (folder, archive)
    };
    let told = |vendor: &Vendor| {
        let (folder, archive) = fresh();
        let error = add(vendor, &archive, MADE + DAY).unwrap_err();
        assert!(!folder.path().join("debian/test/mirror.json").exists());
        error.to_string()
    };
    // Past its end when it was fetched.
    let (_folder, archive) = fresh();
    let late = add(&vendor, &archive, MADE + 200 * DAY).unwrap_err().to_string();
    assert!(late.contains("InRelease") && late.contains("past its end"), "{late}");
    // By a key that is not pinned; unsigned; with weak digests only.
    vendor.publish("other", "Mon, 01 Jan 2024 00:00:00 UTC", "SHA256");
    assert!(told(&vendor).contains("that key is not in test"), "{}", told(&vendor));
    fs::copy(vendor.path("Release"), vendor.path("mirror/dists/stable/InRelease")).unwrap();
    assert!(told(&vendor).contains("is not signed"), "{}", told(&vendor));
    vendor.publish("vendor", "Mon, 01 Jan 2024 00:00:00 UTC", "SHA1");
    assert!(told(&vendor).contains("no SHA-256: SHA1 alone"), "{}", told(&vendor));
    vendor.publish("vendor", "Mon, 01 Jan 2024 00:00:00 UTC", "SHA256");
    // One byte of each, and each cut away.
    for name in
        ["dists/stable/InRelease", "dists/stable/main/binary-amd64/Packages", "pool/tool.deb"]
    {
        let path = vendor.path("mirror").join(name);
        let right = fs::read(&path).unwrap();
        let mut bent = right.clone();
        bent[right.len() / 4] ^= 1;
        fs::write(&path, bent).unwrap();
        let last = name.rsplit('/').next().unwrap();
        assert!(told(&vendor).contains(last), "{name}: {}", told(&vendor));
        fs::remove_file(&path).unwrap();
        let missing = told(&vendor);
        assert!(missing.contains(last) && missing.contains("cut short"), "{name}: {missing}");
        fs::write(&path, right).unwrap();
    }
    // A state that no longer lists a package that is kept.
    let (folder, archive) = fresh();
    add(&vendor, &archive, MADE + DAY).unwrap();
    fs::write(folder.path().join("debian/test/pool/tool0.deb"), "old").unwrap();
    let newer = add(&vendor, &archive, MADE + DAY).unwrap_err().to_string();
    assert!(newer.contains("no longer lists debian/test/pool/tool0.deb"), "{newer}");
    // An older state of the same suite, soundly signed.
    let (_folder, archive) = fresh();
    add(&vendor, &archive, MADE + DAY).unwrap();
    vendor.publish("vendor", "Sun, 31 Dec 2023 00:00:00 UTC", "SHA256");
    let older = add(&vendor, &archive, MADE + DAY).unwrap_err();
    assert!(matches!(older, Error::Rollback { .. }), "{older}");
}

/// Several keys over one list. Vouched for by `minisign`, which checks each signature; what counts is our rule.
#[test]
fn several_keys_and_keys_that_take_the_place_of_others() {
    use archive::store::{TrustedKeys, succession_comment};
    use std::num::NonZeroUsize;

    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("archive");
    let archive = Archive::init(&dir, "team").unwrap();
    let own = [Own::new(), Own::new(), Own::new(), Own::new()];
    let sign = |by: &Own, bytes: &[u8], comment: &str| {
        minisign::sign(None, &by.pair.sk, Cursor::new(bytes), Some(comment), None)
            .map(minisign::SignatureBox::into_string)
            .map_err(|error| error.to_string())
    };
    let first =
        |by: &Own| archive.sign(&by.key, MADE, |bytes, text| sign(by, bytes, text)).unwrap();
    let further = |by: &Own| archive.cosign(&by.key, |bytes, text| sign(by, bytes, text));
    let open = |needed: usize, keys: &[&Own]| {
        let keys = keys.iter().map(|one| one.key.clone());
        let keys = TrustedKeys::new(keys, NonZeroUsize::new(needed).unwrap())?;
        Sealed::open_by(&dir, &keys, 0)
    };
    let [a, b, c, d] = &own;
    assert!(further(a).unwrap_err().to_string().contains("never signed"));
    first(a);
    let all = [a, b, c];
    assert!(open(1, &all).is_ok());
    let refused = open(2, &all).unwrap_err().to_string();
    assert!(refused.contains("1 of 2 signatures hold"), "{refused}");
    // The same key twice is one signature, and one key trusted twice is one key.
    assert!(further(a).unwrap_err().to_string().contains("already"));
    assert!(open(2, &[a, a]).unwrap_err().to_string().contains("but 1 keys are trusted"));
    // A stranger's signature does not count.
    further(d).unwrap();
    assert!(open(2, &all).is_err());
    further(c).unwrap();
    let sealed = open(2, &all).unwrap();
    assert_eq!(sealed.signers().len(), 2);
    assert!(open(3, &all).is_err());
    // The ordinary program checks each.
    let signature = |by: &Own| dir.join(format!("archive.json.{}.minisig", by.key.number()));
    let judged = std::process::Command::new("minisign")
        .args(["-V", "-P", &c.key.to_string(), "-m"])
        .arg(dir.join("archive.json"))
        .arg("-x")
        .arg(signature(c))
        .output();
    match judged {
        Ok(out) => assert!(out.status.success(), "{out:?}"),
        Err(_) => eprintln!("skipped: no minisign"),
    }
    assert!(sealed.check(Depth::Files, &mut |_| {}).problems.is_empty());
    // One byte of a signature.
    let kept = fs::read(signature(c)).unwrap();
    let mut changed = kept.clone();
    let at = changed.len() - 10;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    fs::write(signature(c), changed).unwrap();
    assert!(open(2, &all).is_err());
    fs::write(signature(c), kept).unwrap();
    // A new version begins with one signature again.
    first(b);
    assert!(!signature(c).exists());
    assert!(open(1, &all).is_ok() && open(2, &all).is_err());

    // `d` takes the place of `a`, then counts as `a` does.
    first(d);
    assert!(open(1, &[a]).is_err());
    let public = format!("untrusted comment: x\n{}\n", d.key);
    let succession = |by: &Own| sign(by, public.as_bytes(), &succession_comment(&by.key)).unwrap();
    archive.add_key(&public, &succession(a)).unwrap();
    let sealed = open(1, &[a]).unwrap();
    assert_eq!(sealed.signers()[0].by.to_string(), d.key.to_string());
    // What is added is listed only by the next signing.
    assert_eq!(sealed.check(Depth::Files, &mut |_| {}).problems.len(), 2);
    first(d);
    let sealed = open(1, &[a]).unwrap();
    assert!(sealed.check(Depth::Files, &mut |_| {}).problems.is_empty());
    // It is not in the place of `b`, and its one signature is not two.
    assert!(open(1, &[b]).is_err());
    assert!(open(2, &[a, d]).unwrap_err().to_string().contains("in the place of another"));
    // Nobody gives away the place of another: the comment names `b`, but `c` signed.
    let forged = sign(c, public.as_bytes(), &succession_comment(&b.key)).unwrap();
    assert!(archive.add_key(&public, &forged).is_err());
    fs::write(dir.join(format!("keys/{}.pub.minisig", d.key.number())), forged).unwrap();
    assert!(open(1, &[b]).is_err() && open(1, &[a]).is_err());
}
