//! OpenPGP messages and certificates against GnuPG.
//!
//! Vouched for by an independent tool: `gpg` opens what is encrypted here, what it encrypts opens here, and the
//! certificates that must be refused are made by it. Without it only the crate's own keys are tried.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

use casebook::Error;
use casebook::openpgp::{self, Certificate, SecretKeys};
use pgp::composed::{
    EncryptionCaps, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
    SubkeyParamsBuilder,
};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::ser::Serialize as _;
use rand::rngs::OsRng;

/// Sizes around the ends of blocks, pieces and partial packets.
const SIZES: [usize; 9] = [0, 1, 511, 512, 65_537, 262_144, 524_288, 524_289, 3 << 20];

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn seal(bytes: &[u8], certificates: &[Certificate]) -> Vec<u8> {
    let mut out = Vec::new();
    openpgp::encrypt(&mut out, certificates, |to| {
        // In odd pieces: packets are of the format, not of the writer.
        bytes.chunks(7919).try_for_each(|piece| to.write_all(piece)).map_err(io_error)
    })
    .unwrap();
    out
}

fn io_error(source: std::io::Error) -> Error {
    Error::Io { action: "writing", path: "x".into(), source }
}

fn open(bytes: &[u8], keys: &SecretKeys, passphrase: &str) -> Result<Vec<u8>, String> {
    let mut content =
        openpgp::decrypt(bytes, keys, passphrase).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    content.read_to_end(&mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

/// A key of the crate's own making.
fn made_here() -> (Certificate, SecretKeys, Vec<u8>, Vec<u8>) {
    let subkey = SubkeyParamsBuilder::default()
        .key_type(KeyType::ECDH(ECCCurve::Curve25519Legacy))
        .can_encrypt(EncryptionCaps::All)
        .build()
        .unwrap();
    let secret: SignedSecretKey = SecretKeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("A <a@example.org>".into())
        .subkeys(vec![subkey])
        .build()
        .unwrap()
        .generate(OsRng)
        .unwrap();
    let public = SignedPublicKey::from(secret.clone());
    let (public, secret) = (public.to_bytes().unwrap(), secret.to_bytes().unwrap());
    let mut keys = SecretKeys::default();
    keys.add(&secret).unwrap();
    (Certificate::parse(&public, now() + 1).unwrap(), keys, public, secret)
}

#[test]
fn only_the_recipients_open_it() {
    let all: Vec<_> = (0..3).map(|_| made_here()).collect();
    let both = [all[0].0.clone(), all[1].0.clone()];
    for length in SIZES {
        let sealed = seal(&sample(length), &both);
        assert!(openpgp::is_message(&sealed));
        for one in &all[..2] {
            assert!(!one.1.is_locked());
            assert_eq!(open(&sealed, &one.1, "").unwrap(), sample(length), "{length}");
        }
        let refused = open(&sealed, &all[2].1, "").unwrap_err();
        assert!(refused.contains("for none of the keys"), "{refused}");
    }
    assert!(openpgp::encrypt(&mut Vec::new(), &[], |_| Ok(())).is_err());
}

/// What fails in the midst gives no message that opens.
#[test]
fn half_a_bag_is_no_message() {
    let (certificate, keys, ..) = made_here();
    let mut out = Vec::new();
    let failed = openpgp::encrypt(&mut out, std::slice::from_ref(&certificate), |to| {
        to.write_all(&sample(1 << 20)).map_err(io_error)?;
        Err(io_error(std::io::Error::other("the medium went away")))
    });
    assert!(matches!(failed, Err(Error::Io { .. })), "{failed:?}");
    assert!(open(&out, &keys, "").is_err());
    /// Takes a little and then no more.
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let full = openpgp::encrypt(&mut Full(700_000), &[certificate], |to| {
        (0..64).try_for_each(|_| to.write_all(&sample(1 << 20))).map_err(io_error)
    });
    let text = full.unwrap_err().to_string();
    assert!(text.starts_with("encrypting: "), "{text}");
}

/// No changed or shortened message opens as a whole.
#[test]
fn a_change_is_never_opened() {
    let (certificate, keys, ..) = made_here();
    let sealed = seal(&sample(40_000), &[certificate]);
    for at in (0..200).chain((200..sealed.len()).step_by(997)).chain([sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let opened = open(&changed, &keys, "");
        // The length of the random part of an ECDH point is told twice; nothing of the content is.
        assert!(opened.is_err() || opened.unwrap() == sample(40_000), "byte {at}");
    }
    for length in (0..sealed.len()).step_by(331).chain([sealed.len() - 1]) {
        assert!(open(&sealed[..length], &keys, "").is_err(), "cut to {length}");
    }
}

/// GnuPG with a home of its own.
struct Gpg(tempfile::TempDir);

impl Gpg {
    fn new() -> Option<Self> {
        let gpg = Self(tempfile::tempdir().unwrap());
        Command::new("gpg").arg("--version").stdout(Stdio::null()).status().ok()?;
        Some(gpg)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> (bool, Vec<u8>) {
        let out = Command::new("gpg")
            .args([
                "--batch",
                "--yes",
                "--quiet",
                "--no-permission-warning",
                "--trust-model",
                "always",
            ])
            .args(["--pinentry-mode", "loopback", "--homedir"])
            .arg(self.0.path())
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !out.status.success() {
            println!("gpg {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        }
        (out.status.success(), out.stdout)
    }

    fn must(&self, arguments: &[&str]) -> Vec<u8> {
        let (done, out) = self.run(arguments);
        assert!(done, "gpg {arguments:?}");
        out
    }

    /// A new key of these kinds; its user is its name.
    fn key(&self, user: &str, passphrase: &str, primary: &str, further: &[&str]) -> String {
        self.must(&[
            "--passphrase",
            passphrase,
            "--quick-generate-key",
            user,
            primary,
            "cert,sign",
            "never",
        ]);
        let list = self.must(&["--with-colons", "--fingerprint", &format!("={user}")]);
        let list = String::from_utf8(list).unwrap();
        let line = list.lines().find(|line| line.starts_with("fpr:")).unwrap();
        let print = line.split(':').nth(9).unwrap().to_owned();
        for kind in further {
            self.must(&[
                "--passphrase",
                passphrase,
                "--quick-add-key",
                &print,
                kind,
                "encr",
                "never",
            ]);
        }
        print
    }

    fn certificate(&self, user: &str) -> Vec<u8> {
        self.must(&["--export", user])
    }

    fn parse(&self, user: &str) -> Result<Certificate, String> {
        Certificate::parse(&self.certificate(user), now() + 1).map_err(|error| error.to_string())
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

#[test]
fn gnupg_agrees() {
    let Some(gpg) = Gpg::new() else { return println!("skipped: no gpg") };
    let kinds = [("ed25519", "cv25519"), ("rsa2048", "rsa2048"), ("nistp256", "nistp384")];
    let mut certificates = Vec::new();
    for (primary, further) in kinds {
        let print = gpg.key(primary, "", primary, &[further]);
        let one = gpg.parse(primary).unwrap();
        assert_eq!(
            (one.fingerprint(), one.to_string()),
            (&*print, format!("openpgp:{print} {primary}"))
        );
        let armoured = gpg.must(&["--armor", "--export", primary]);
        let again = Certificate::parse(&armoured, now() + 1).unwrap();
        assert_eq!(again.fingerprint(), print);
        certificates.push(one);
    }
    gpg.key("locked", "a phrase", "ed25519", &["cv25519"]);
    for length in SIZES {
        fs::write(gpg.at("sealed"), seal(&sample(length), &certificates)).unwrap();
        assert_eq!(gpg.must(&["--decrypt", "sealed"]), sample(length), "{length}");
    }
    // Each alone, so that every kind of key is used.
    for one in &certificates {
        fs::write(gpg.at("sealed"), seal(b"for one", std::slice::from_ref(one))).unwrap();
        assert_eq!(gpg.must(&["--decrypt", "sealed"]), b"for one");
    }
    for (user, phrase) in
        kinds.map(|(user, _)| (user, "")).into_iter().chain([("locked", "a phrase")])
    {
        let mut keys = SecretKeys::default();
        let exported = ["--passphrase", phrase, "--armor", "--export-secret-keys", user];
        keys.add(&gpg.must(&exported)).unwrap();
        assert_eq!(keys.is_locked(), !phrase.is_empty());
        // RSA takes seconds a time in a debug build.
        let few = user.starts_with("rsa");
        for length in [600_000, 0].into_iter().take(if few { 1 } else { 2 }) {
            fs::write(gpg.at("plain"), sample(length)).unwrap();
            let forms =
                [&["--compress-algo", "none"][..], &["--compress-algo", "zlib"], &["--armor"]];
            for more in forms.into_iter().take(if few { 1 } else { 3 }) {
                let call =
                    [more, &["--recipient", user, "--output", "theirs", "--encrypt", "plain"]];
                gpg.must(&call.concat());
                let sealed = fs::read(gpg.at("theirs")).unwrap();
                assert!(openpgp::is_message(&sealed));
                assert_eq!(
                    open(&sealed, &keys, phrase).unwrap(),
                    sample(length),
                    "{user} {more:?}"
                );
                assert!(phrase.is_empty() || open(&sealed, &keys, "wrong").is_err());
            }
        }
    }
}

#[test]
fn certificates_that_are_not_fit_are_refused_and_named() {
    let Some(gpg) = Gpg::new() else { return println!("skipped: no gpg") };
    let refused = |user: &str, what: &str| {
        let told = gpg.parse(user).map(|_| user.to_owned()).unwrap_err();
        assert!(told.contains(what), "{user}: {told}");
        told
    };
    let print = gpg.key("signs only", "", "ed25519", &[]);
    assert!(refused("signs only", "no key fit for encryption").contains(&print));
    gpg.key("short", "", "rsa2048", &["rsa1024"]);
    refused("short", "has only 1024 bits");
    // Made and ended in the past, as a whole or the key below.
    let past = ["--faked-system-time", "20200101T000000!", "--passphrase", ""];
    let make = ["--quick-generate-key", "ended", "ed25519", "cert,sign", "1y"];
    gpg.must(&[&past[..], &make].concat());
    refused("ended", "has expired");
    let print = gpg.key("ended below", "", "ed25519", &[]);
    gpg.must(&["--passphrase", "", "--quick-add-key", &print, "cv25519", "encr", "seconds=1"]);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    refused("ended below", "has expired");
    // A good one beside the bad one is taken.
    gpg.must(&["--passphrase", "", "--quick-add-key", &print, "cv25519", "encr", "never"]);
    gpg.parse("ended below").unwrap();
    let print = gpg.key("revoked", "", "ed25519", &["cv25519"]);
    gpg.parse("revoked").unwrap();
    let kept = fs::read_to_string(gpg.at(&format!("openpgp-revocs.d/{print}.rev"))).unwrap();
    fs::write(gpg.at("revocation"), kept.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    gpg.must(&["--import", "revocation"]);
    assert!(refused("revoked", "was revoked").contains(&print));
    // Two at once, a secret key, no key.
    gpg.key("good", "", "ed25519", &["cv25519"]);
    let two = [gpg.certificate("good"), gpg.certificate("short")].concat();
    let told = Certificate::parse(&two, now() + 1).unwrap_err().to_string();
    assert!(told.contains("more than one"), "{told}");
    for form in [&["--armor"][..], &[]] {
        let secret =
            gpg.must(&[form, &["--passphrase", "", "--export-secret-keys", "good"]].concat());
        assert!(Certificate::parse(&secret, now() + 1).is_err());
    }
    assert!(Certificate::parse(b"", now()).is_err());
    assert!(SecretKeys::default().add(&gpg.certificate("good")).is_err());
    // Before it was made nothing of it is in force.
    let told = Certificate::parse(&gpg.certificate("good"), 1_000_000_000).unwrap_err().to_string();
    assert!(told.contains("is the clock right"), "{told}");
}

/// Somebody adds a key of his own to a certificate, or takes the owner's word from a key.
#[test]
fn a_key_that_was_slipped_in_is_not_used() {
    let (_, _, mine, _) = made_here();
    let (_, their_keys, theirs, _) = made_here();
    // Packets: key, name, signature, key below, its signature.
    let (mine, theirs) = (packets(&mine), packets(&theirs));
    let slipped = [&mine[..], &theirs[3..]].concat().concat();
    let one = Certificate::parse(&slipped, now() + 1).unwrap();
    assert!(open(&seal(b"secret", &[one]), &their_keys, "").is_err());
    let only = [&mine[..3], &theirs[3..]].concat().concat();
    let told = Certificate::parse(&only, now() + 1).unwrap_err().to_string();
    assert!(told.contains("not bound to its owner"), "{told}");
}

/// Splits packets of the new form with short lengths.
fn packets(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let [tag, first, rest @ ..] = bytes {
        assert_eq!(tag & 0xc0, 0xc0);
        let (head, length) = match (*first, rest) {
            (0..192, _) => (2, usize::from(*first)),
            (192..224, [second, ..]) => {
                (3, (usize::from(*first) - 192) * 256 + usize::from(*second) + 192)
            }
            _ => panic!("a long packet"),
        };
        let (packet, more) = bytes.split_at(head + length);
        all.push(packet.to_vec());
        bytes = more;
    }
    all
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

/// Changed at random: never a panic, never without end, and never another key than the owner's.
#[test]
fn any_change_is_survived() {
    let (certificate, keys, public, secret) = made_here();
    let sealed = seal(&sample(3000), &[certificate]);
    let dir = tempfile::tempdir().unwrap();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    };
    for round in 0..400 {
        for (which, whole) in [&public, &secret, &sealed].into_iter().enumerate() {
            let mut bytes = whole.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.splice(at..at, [0xff; 5]).for_each(drop),
                    2 if at < bytes.len() => bytes[at] = next(256) as u8,
                    _ if at < bytes.len() => bytes[at] ^= 1 << next(8),
                    _ => {}
                }
            }
            // Kept, so that what made it panic is there to be looked at.
            write(&dir.path().join("last"), &bytes);
            match which {
                0 => drop(Certificate::parse(&bytes, now() + 1)),
                1 => {
                    let mut keys = SecretKeys::default();
                    let _ = keys.add(&bytes);
                    let _ = open(&sealed, &keys, "x");
                }
                _ => {
                    if let Ok(content) = open(&bytes, &keys, "") {
                        assert_eq!(content, sample(3000), "round {round}");
                    }
                }
            }
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, tag in 0xc0_u8..) {
        let keys = SecretKeys::default();
        for bytes in [bytes.clone(), [&[tag][..], &bytes].concat()] {
            let _ = Certificate::parse(&bytes, 1 << 32);
            let _ = SecretKeys::default().add(&bytes);
            let _ = open(&bytes, &keys, "");
        }
    }
}
