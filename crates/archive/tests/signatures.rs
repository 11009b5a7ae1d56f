//! Which signatures count. Vouched for by `gpgv` on the real releases of Debian and on keys made by `gpg`: it accepts and
//! refuses the same. `gpgv` judges keys by the machine's clock, we by the time we are given.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use archive::Error;
use archive::openpgp::Keyring;
use support::{debian_keyring, now_seconds, releases, run};

fn gpgv(keyring: &Path, file: &Path) -> Option<bool> {
    let output = run("gpgv", &["--keyring", keyring.to_str().unwrap(), file.to_str().unwrap()])?;
    // With several signatures it fails when one key is unknown; apt and we want one good one.
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(told.contains("gpgv: Good signature") && !told.contains("BAD signature"))
}

#[test]
fn real_releases_are_accepted_and_each_flipped_byte_is_refused() {
    let Some(path) = debian_keyring() else { return };
    let keyring = Keyring::parse("Debian", &fs::read(&path).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for release in releases() {
        let bytes = fs::read(&release).unwrap();
        let signed = keyring.verify_cleartext("InRelease", &bytes, now_seconds()).unwrap();
        assert!(!signed.signers().is_empty());
        assert!(signed.signers().iter().all(|signer| signer.name.contains("Debian")));
        if gpgv(&path, &release) != Some(true) {
            continue;
        }
        // What gpgv says was signed is what we say.
        let body = folder.path().join("body");
        let arguments = [
            "--keyring",
            path.to_str().unwrap(),
            "--output",
            body.to_str().unwrap(),
            release.to_str().unwrap(),
        ];
        let _ = fs::remove_file(&body);
        run("gpgv", &arguments).unwrap();
        assert_eq!(fs::read_to_string(&body).unwrap(), signed.text());
        let text = String::from_utf8(bytes.clone()).unwrap();
        let (start, end) =
            (text.find("Origin:").unwrap(), text.find("-----BEGIN PGP SIGNATURE").unwrap());
        for step in 0..12 {
            let at = start + (end - start - 2) * step / 12;
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            // A blank before a line end is not signed (RFC 9580, 7.2).
            if bent[at].is_ascii_whitespace() || bytes[at].is_ascii_whitespace() {
                continue;
            }
            let refused = keyring.verify_cleartext("InRelease", &bent, now_seconds());
            assert!(refused.is_err(), "byte {at} of {}", release.display());
        }
        // Nothing may stand around the signed text.
        for bent in [format!("Suite: evil\n{text}"), format!("{text}Suite: evil\n")] {
            match keyring.verify_cleartext("InRelease", bent.as_bytes(), now_seconds()) {
                Err(_) => {}
                Ok(signed) => assert!(!signed.text().contains("evil")),
            }
        }
    }
}

/// A home of `gpg` of its own.
struct Gpg(tempfile::TempDir);

impl Gpg {
    fn new() -> Option<Self> {
        run("gpg", &["--version"])?;
        let folder = tempfile::tempdir().unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        Some(Self(folder))
    }

    fn call(&self, at: &str, arguments: &[&str]) {
        let mut command = Command::new("gpg");
        command.args([
            "--batch",
            "--yes",
            "--quiet",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
        ]);
        if !at.is_empty() {
            command.args(["--faked-system-time", at]);
        }
        let output = command.arg("--homedir").arg(self.0.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Signs a text with the key of this name and gives what is to be checked, and the keyring.
    fn signed(&self, at: &str, name: &str, extra: &[&str]) -> (Vec<u8>, Vec<u8>) {
        fs::write(self.path("text"), "Origin: Test\n- dashed\nlast line\n").unwrap();
        let (text, out) = (self.path("text"), self.path("text.asc"));
        let mut arguments = extra.to_vec();
        arguments.extend(["--local-user", name, "--output", &out, "--clearsign", &text]);
        self.call(at, &arguments);
        self.call("", &["--output", &self.path("ring"), "--export", name]);
        (fs::read(out).unwrap(), fs::read(self.path("ring")).unwrap())
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.0.path())
            .args(["--kill", "all"])
            .status();
    }
}

/// 2024-01-01 and some days on.
const MADE: &str = "20240101T000000";
const MADE_SECONDS: u64 = 1_704_067_200;
const DAY: u64 = 86_400;

#[test]
fn keys_of_every_kind_and_age() {
    let Some(gpg) = Gpg::new() else { return };
    for (name, kind) in [("old", "rsa3072"), ("new", "ed25519"), ("curve", "nistp256")] {
        gpg.call(MADE, &["--quick-generate-key", name, kind, "sign", "10d"]);
        let (text, ring) = gpg.signed("20240103T000000", name, &[]);
        let keyring = Keyring::parse(name, &ring).unwrap();
        let check = |at| keyring.verify_cleartext("text", &text, at);
        let signed = check(MADE_SECONDS + 5 * DAY).unwrap();
        assert_eq!(signed.text(), "Origin: Test\n- dashed\nlast line\n");
        assert_eq!(signed.signers()[0].signed_seconds, MADE_SECONDS + 2 * DAY);
        // gpgv, by today's clock, calls it past its end as well.
        let told = check(now_seconds()).unwrap_err().to_string();
        assert!(told.contains("past its end"), "{told}");
        let (file, ring) = (gpg.0.path().join("text.asc"), gpg.0.path().join("ring"));
        let arguments =
            ["--status-fd", "1", "--keyring", ring.to_str().unwrap(), file.to_str().unwrap()];
        let output = run("gpgv", &arguments).unwrap();
        let gpgv = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(gpgv.contains("EXPKEYSIG") && !gpgv.contains("GOODSIG"), "{gpgv}");
    }
}

#[test]
fn signing_keys_below_the_primary_one() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.call(MADE, &["--quick-generate-key", "vendor", "ed25519", "cert", "never"]);
    let output = Command::new("gpg")
        .args(["--homedir", &gpg.path(""), "--batch", "--with-colons", "--list-keys", "vendor"])
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap();
    let fingerprint = fingerprint.trim_end_matches(':').to_owned();
    gpg.call(MADE, &["--quick-add-key", &fingerprint, "ed25519", "sign", "30d"]);
    let (text, ring) = gpg.signed("20240103T000000", "vendor", &[]);
    let keyring = Keyring::parse("vendor", &ring).unwrap();
    let signed = keyring.verify_cleartext("text", &text, MADE_SECONDS + 5 * DAY).unwrap();
    assert_eq!(signed.signers()[0].certificate, fingerprint);
    assert_ne!(signed.signers()[0].key, fingerprint);
    assert!(keyring.verify_cleartext("text", &text, MADE_SECONDS + 31 * DAY).is_err());

    // Revoked: whatever it signed counts no more.
    let revocation = fs::read_to_string(
        gpg.0.path().join("openpgp-revocs.d").join(format!("{fingerprint}.rev")),
    )
    .unwrap();
    fs::write(gpg.path("rev"), revocation.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    gpg.call("", &["--import", &gpg.path("rev")]);
    gpg.call("", &["--output", &gpg.path("ring"), "--export", "vendor"]);
    let keyring = Keyring::parse("vendor", &fs::read(gpg.path("ring")).unwrap()).unwrap();
    let told =
        keyring.verify_cleartext("text", &text, MADE_SECONDS + 5 * DAY).unwrap_err().to_string();
    assert!(told.contains("revoked"), "{told}");
}

#[test]
fn weak_and_strange_signatures_do_not_count() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.call("", &["--quick-generate-key", "short", "rsa1024", "sign", "never"]);
    let (text, ring) = gpg.signed("", "short", &[]);
    let keyring = Keyring::parse("short", &ring).unwrap();
    let told = keyring.verify_cleartext("text", &text, now_seconds()).unwrap_err().to_string();
    assert!(told.contains("1024 bits"), "{told}");

    gpg.call("", &["--quick-generate-key", "good", "rsa3072", "sign", "never"]);
    let weak = ["--weak-digest", "MD5", "--digest-algo", "SHA1"];
    let (text, ring) = gpg.signed("", "good", &weak);
    let keyring = Keyring::parse("good", &ring).unwrap();
    let told = keyring.verify_cleartext("text", &text, now_seconds()).unwrap_err().to_string();
    assert!(told.contains("SHA-256"), "{told}");

    // Somebody else's key.
    let (text, _) = gpg.signed("", "good", &[]);
    gpg.call("", &["--quick-generate-key", "other", "ed25519", "sign", "never"]);
    gpg.call("", &["--output", &gpg.path("ring"), "--export", "other"]);
    let other = Keyring::parse("other", &fs::read(gpg.path("ring")).unwrap()).unwrap();
    assert!(matches!(
        other.verify_cleartext("text", &text, now_seconds()),
        Err(Error::NotTrusted { .. })
    ));
    assert!(matches!(
        other.verify_cleartext("text", b"Origin: Test\n", now_seconds()),
        Err(Error::Unsigned { .. })
    ));
    assert!(matches!(Keyring::parse("none", b""), Err(Error::NoKey { .. })));
}

#[test]
fn signatures_that_stand_beside() {
    let Some(gpg) = Gpg::new() else { return };
    gpg.call("", &["--quick-generate-key", "media", "ed25519", "sign", "never"]);
    fs::write(gpg.path("SHA256SUMS"), "abc  image.iso\n").unwrap();
    let (list, out) = (gpg.path("SHA256SUMS"), gpg.path("SHA256SUMS.gpg"));
    for armour in [&["--armor"][..], &[]] {
        let mut arguments = armour.to_vec();
        arguments.extend(["--output", &out, "--detach-sign", &list]);
        gpg.call("", &arguments);
        gpg.call("", &["--output", &gpg.path("ring"), "--export", "media"]);
        let keyring = Keyring::parse("media", &fs::read(gpg.path("ring")).unwrap()).unwrap();
        let signature = fs::read(&out).unwrap();
        let check = |text: &[u8]| keyring.verify_detached("list", text, &signature, now_seconds());
        assert_eq!(check(b"abc  image.iso\n").unwrap().len(), 1);
        assert!(check(b"abd  image.iso\n").is_err());
        assert!(check(b"").is_err());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_are_refused_without_harm(bytes: Vec<u8>) {
        let _ = Keyring::parse("any", &bytes);
    }
}
