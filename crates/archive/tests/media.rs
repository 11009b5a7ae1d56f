//! Media with signed lists of digests. Vouched for by `gpg`, which signs, `gpgv`, which accepts and refuses the same, and
//! `sha256sum`, which writes the list and checks the kept file.

#[path = "../../../tests/support/debian_vendor.rs"]
mod debian_vendor;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use archive::seal::TrustedKey;
use archive::store::{Archive, Depth, Medium, NewMedium, Sealed};
use debian_vendor::Vendor;

/// 2024-01-02.
const CAPTURED: u64 = 1_704_153_600;

struct Desk {
    vendor: Vendor,
    folder: PathBuf,
}

impl Desk {
    /// A file with its list, both ways of signing beside it.
    fn new() -> Option<Self> {
        let vendor = Vendor::new()?;
        let folder = vendor.path("media");
        fs::create_dir(&folder).unwrap();
        let desk = Self { vendor, folder };
        let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 7) as u8).collect();
        fs::write(desk.path("disk.iso"), content).unwrap();
        desk.list("sha256sum", "SHA256SUMS");
        Some(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Has a program write a list of the file, and the vendor sign it.
    fn list(&self, program: &str, name: &str) {
        let out = Command::new(program).arg("disk.iso").current_dir(&self.folder).output().unwrap();
        fs::write(self.path(name), out.stdout).unwrap();
        self.vendor.sign("vendor", &self.path(name));
    }

    fn add(
        &self,
        archive: &Archive,
        name: &str,
        list: &str,
        signature: Option<&str>,
        at: u64,
    ) -> Result<Medium, String> {
        let read = |name: &str| fs::read(self.path(name)).unwrap();
        let (text, keyring) = (read(list), fs::read(self.vendor.path("ring")).unwrap());
        let signed = signature.map(|name| (name, read(name)));
        archive
            .add_medium(&NewMedium {
                name,
                file: &self.path("disk.iso"),
                list: (list, &text),
                signature: signed.as_ref().map(|(name, bytes)| (*name, bytes.as_slice())),
                keyring: &keyring,
                captured_seconds: at,
            })
            .map_err(|error| error.to_string())
    }

    /// Whether `gpgv` accepts the signature over the list; `None` where there is none.
    fn judged(&self, list: &str) -> Option<bool> {
        let out = Command::new("gpgv")
            .arg("--keyring")
            .arg(self.vendor.path("ring"))
            .args([self.path(&format!("{list}.sig")), self.path(list)])
            .output()
            .ok()?;
        Some(out.status.success())
    }
}

fn sealed(archive: &Archive) -> Sealed {
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = TrustedKey::parse("own", &pair.pk.to_base64()).unwrap();
    archive
        .sign(&key, CAPTURED, |bytes, comment| {
            minisign::sign(None, &pair.sk, Cursor::new(bytes), Some(comment), None)
                .map(minisign::SignatureBox::into_string)
                .map_err(|error| error.to_string())
        })
        .unwrap();
    Sealed::open(archive.dir(), &key, 1).unwrap()
}

fn bend(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_file_is_kept_only_when_its_vendor_vouches_for_it() {
    let Some(desk) = Desk::new() else { return };
    let dir = desk.vendor.path("archive");
    let archive = Archive::init(&dir, "team").unwrap();
    let detached = Some("SHA256SUMS.sig");
    let add = |name: &str| desk.add(&archive, name, "SHA256SUMS", detached, CAPTURED);

    // The list, the signature, the file, the key: each bent or other.
    let kept = fs::read(desk.path("SHA256SUMS")).unwrap();
    bend(&desk.path("SHA256SUMS"));
    assert!(add("a").unwrap_err().contains("does not match the text"));
    assert!(desk.judged("SHA256SUMS") != Some(true));
    fs::write(desk.path("SHA256SUMS"), kept).unwrap();
    assert!(desk.judged("SHA256SUMS") != Some(false));
    let image = fs::read(desk.path("disk.iso")).unwrap();
    bend(&desk.path("disk.iso"));
    let text = add("a").unwrap_err();
    assert!(text.contains("disk.iso has") && text.contains("SHA256SUMS lists"), "{text}");
    fs::write(desk.path("disk.iso"), &image).unwrap();
    desk.vendor.sign("other", &desk.path("SHA256SUMS"));
    assert!(add("a").unwrap_err().contains("is not in a"));
    desk.vendor.sign("vendor", &desk.path("SHA256SUMS"));
    // The vendor's key ends on 2024-02-29.
    let late = desk.add(&archive, "a", "SHA256SUMS", detached, CAPTURED + 90 * 86_400);
    assert!(late.unwrap_err().contains("past its end"));
    // Lists that say too little.
    desk.list("md5sum", "MD5SUMS");
    let weak = desk.add(&archive, "a", "MD5SUMS", Some("MD5SUMS.sig"), CAPTURED);
    assert!(weak.unwrap_err().contains("alone is not accepted"));
    fs::write(desk.path("EMPTY"), "# nothing\n").unwrap();
    desk.vendor.sign("vendor", &desk.path("EMPTY"));
    let none = desk.add(&archive, "a", "EMPTY", Some("EMPTY.sig"), CAPTURED);
    assert!(none.unwrap_err().contains("not listed in EMPTY"));
    assert!(add("../a").unwrap_err().contains("cannot be the name"));
    assert!(!dir.join("media/a/disk.iso").exists() && !dir.join("media/a/disk.iso.part").exists());

    // As it should be: three ways of vouching.
    let medium = add("a").unwrap();
    assert_eq!((medium.size_bytes, medium.signers.len()), (3_000_000, 1));
    assert!(add("a").unwrap_err().contains("already"));
    desk.add(&archive, "b", "SHA256SUMS.asc", None, CAPTURED).unwrap();
    desk.list("sha512sum", "SHA512SUMS");
    desk.add(&archive, "c", "SHA512SUMS", Some("SHA512SUMS.sig"), CAPTURED).unwrap();
    let checked = Command::new("sha256sum")
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(dir.join("media/a"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    let one = sealed(&archive);
    assert_eq!(one.media().unwrap().len(), 3);
    let checked = one.check(Depth::Files, &mut |_| {});
    assert!(checked.problems.is_empty(), "{:?}", checked.problems);
    assert_eq!(checked.media.len(), 3);

    // Bent afterwards: our list tells; bent before signing: the vendor's tells.
    for (name, vendors_word) in [("a", "SHA256SUMS"), ("c", "SHA512SUMS")] {
        bend(&dir.join(format!("media/{name}/disk.iso")));
        let problems = one.check(Depth::Files, &mut |_| {}).problems;
        assert!(problems[0].to_string().contains("archive.json lists"), "{problems:?}");
        let problems = sealed(&archive).check(Depth::Files, &mut |_| {}).problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains(&format!("{vendors_word} lists")), "{problems:?}");
        fs::write(dir.join(format!("media/{name}/disk.iso")), &image).unwrap();
    }
    // Another keyring slipped in before signing.
    let ring = dir.join("keyrings/media-b.pgp");
    fs::remove_file(&ring).unwrap();
    let problems = sealed(&archive).check(Depth::Files, &mut |_| {}).problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
}

/// Only we vouch for a master; that nothing was changed since is what is shown, with `sha256sum` beside.
#[test]
fn a_master_is_kept_with_where_it_comes_from() {
    use archive::store::NewMaster;
    use hashing::{Algorithm, Digest};

    let folder = tempfile::tempdir().unwrap();
    let (dir, file) = (folder.path().join("archive"), folder.path().join("golden.raw"));
    fs::write(&file, vec![7; 300_000]).unwrap();
    let archive = Archive::init(&dir, "team").unwrap();
    let sums = Command::new("sha256sum").arg(&file).output().unwrap().stdout;
    let right = Digest::from_hex(Algorithm::Sha256, &String::from_utf8_lossy(&sums)[..64]).unwrap();
    let wrong = Digest::from_hex(Algorithm::Sha256, &"0".repeat(64)).unwrap();
    let new = NewMaster {
        name: "web",
        file: &file,
        kind: "raw",
        maker: "E",
        origin: "debian 12, by hand",
        made_seconds: CAPTURED,
        expected: Some(&wrong),
    };
    let refused = |new: &NewMaster<'_>| archive.add_master(new).unwrap_err().to_string();
    assert!(refused(&new).contains("its maker's word lists"));
    assert!(refused(&NewMaster { maker: " ", ..new.clone() }).contains("without maker"));
    assert!(refused(&NewMaster { name: "../x", ..new.clone() }).contains("cannot be the name"));
    assert!(!dir.join("masters/web/golden.raw").exists());
    let new = NewMaster { expected: Some(&right), ..new };
    let master = archive.add_master(&new).unwrap();
    assert_eq!(master.record.sha256, right.to_hex());
    assert!(refused(&new).contains("already"));
    let one = sealed(&archive);
    assert_eq!(one.masters().unwrap(), [master]);
    assert!(one.check(Depth::Files, &mut |_| {}).problems.is_empty());
    bend(&dir.join("masters/web/golden.raw"));
    assert_eq!(one.check(Depth::Files, &mut |_| {}).problems.len(), 1);
    // Signed again with other bytes, its own word tells.
    let problems = sealed(&archive).check(Depth::Files, &mut |_| {}).problems;
    assert!(problems[0].to_string().contains("master.json was written for"), "{problems:?}");
}
