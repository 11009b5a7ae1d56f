//! A vendor made here for tests: a suite of two packages, built by `dpkg-deb` and signed by a key of `gpg`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Whether a program is there; says so if not.
fn has(program: &str) -> Option<()> {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no {program}");
    }
    found.then_some(())
}

/// A vendor with one suite and two packages.
pub(crate) struct Vendor {
    folder: tempfile::TempDir,
}

impl Vendor {
    pub(crate) fn new() -> Option<Self> {
        has("gpg")?;
        has("dpkg-deb")?;
        let folder = tempfile::tempdir().unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let vendor = Self { folder };
        vendor
            .gpg("20231201T000000", &["--quick-generate-key", "vendor", "ed25519", "sign", "90d"]);
        vendor.gpg("20231201T000000", &["--quick-generate-key", "other", "ed25519", "sign", "90d"]);
        vendor.package("tool", "1.0-1");
        vendor.package("lib", "2:3~4-5");
        vendor.publish("vendor", "Mon, 01 Jan 2024 00:00:00 UTC", "SHA256");
        Some(vendor)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn gpg(&self, at: &str, arguments: &[&str]) {
        let home = self.folder.path().to_str().unwrap();
        let fixed =
            ["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
        let output = Command::new("gpg")
            .args(fixed)
            .args(["--faked-system-time", at, "--homedir", home])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Signs a file as it stands: `FILE.sig` beside it, or in ASCII armour around its text in `FILE.asc`.
    #[allow(dead_code, reason = "each test uses its part")]
    pub(crate) fn sign(&self, key: &str, file: &std::path::Path) {
        let place = |ending: &str| format!("{}.{ending}", file.display());
        for (how, ending) in [("--detach-sign", "sig"), ("--clearsign", "asc")] {
            let (out, text) = (place(ending), file.to_str().unwrap());
            self.gpg("20240101T000000", &["--local-user", key, "--output", &out, how, text]);
        }
    }

    fn package(&self, name: &str, version: &str) {
        let tree = self.path("tree");
        let _ = fs::remove_dir_all(&tree);
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(tree.join("usr/bin").join(name), format!("#!/bin/sh\necho {name}\n")).unwrap();
        fs::write(tree.join("etc").join(name), "setting=1\n").unwrap();
        fs::write(tree.join("DEBIAN/conffiles"), format!("/etc/{name}\n")).unwrap();
        fs::write(tree.join("DEBIAN/postinst"), "#!/bin/sh\nexit 0\n").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        for script in [tree.join("usr/bin").join(name), tree.join("DEBIAN/postinst")] {
            fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: x <x@example.org>\nDescription: x\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let file = self.path("mirror/pool").join(format!("{name}.deb"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let arguments =
            ["--root-owner-group", "--build", tree.to_str().unwrap(), file.to_str().unwrap()];
        let built = Command::new("dpkg-deb").args(arguments).output().unwrap();
        assert!(built.status.success());
    }

    /// Writes index and release, signed by this key, with a list under this name.
    pub(crate) fn publish(&self, key: &str, date: &str, list: &str) {
        let sha256 = |bytes: &[u8]| {
            hashing::digest_bytes(bytes, &hashing::Algorithms::sha256()).sha256_hex()
        };
        let mut index = String::new();
        for (name, version) in [("tool", "1.0-1"), ("lib", "2:3~4-5")] {
            let bytes = fs::read(self.path("mirror/pool").join(format!("{name}.deb"))).unwrap();
            index.push_str(&format!(
                "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: {}\nSHA256: {}\n\n",
                bytes.len(),
                sha256(&bytes)
            ));
        }
        let dists = self.path("mirror/dists/stable");
        fs::create_dir_all(dists.join("main/binary-amd64")).unwrap();
        fs::write(dists.join("main/binary-amd64/Packages"), &index).unwrap();
        let release = format!(
            "Origin: Test\nSuite: stable\nCodename: test\nDate: {date}\n{list}:\n {} {} main/binary-amd64/Packages\n",
            sha256(index.as_bytes()),
            index.len()
        );
        fs::write(self.path("Release"), release).unwrap();
        let (text, out) = (self.path("Release"), dists.join("InRelease"));
        let arguments = [
            "--local-user",
            key,
            "--output",
            out.to_str().unwrap(),
            "--clearsign",
            text.to_str().unwrap(),
        ];
        self.gpg("20240101T000000", &arguments);
        let ring = self.path("ring");
        self.gpg("20240101T000000", &["--output", ring.to_str().unwrap(), "--export", "vendor"]);
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        let home = self.folder.path();
        let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).status();
    }
}
