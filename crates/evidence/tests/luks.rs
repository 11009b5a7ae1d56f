//! LUKS volumes judged by independent tools: cryptsetup encrypts known content in place (LUKS2), qemu-img writes LUKS1
//! with a program of its own. The kernel's dm-crypt vouches in the test `volumes` of the package `machine`.

mod support;

use evidence::volume::{Key, luks};
use evidence::{MemSource, ProblemKind, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Random, open, run, text, tool};

const SECRET: &str = "correct horse";
const CHEAP: [&str; 4] = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

fn secret() -> Vec<Key> {
    vec![Key::Passphrase(SECRET.as_bytes().to_vec())]
}

fn content() -> Vec<u8> {
    Random(7).bytes(1_500_000)
}

/// An image of `content()` and zeros that cryptsetup then encrypts in place, moving the content behind its header.
fn luks2(directory: &Path, options: &[&str]) -> Option<PathBuf> {
    let cryptsetup = tool("cryptsetup")?;
    let image = directory.join("luks2.img");
    let mut bytes = content();
    bytes.resize(44 << 20, 0);
    std::fs::write(&image, bytes).unwrap();
    let mut all = vec!["reencrypt", "-q", "--encrypt", "--type", "luks2", "--key-file", "-"];
    all.extend(["--force-offline-reencrypt", "--reduce-device-size", "32M"]);
    all.extend(options);
    all.push(text(&image));
    run(&cryptsetup, &all, SECRET);
    Some(image)
}

/// Reads in one piece and in odd pieces; both must be the content.
fn check(clear: &Arc<dyn Source>) {
    let expected = content();
    assert_eq!(clear.bytes_at(0, expected.len()).unwrap(), expected);
    let mut random = Random(3);
    for _ in 0..200 {
        let at = random.below(expected.len());
        let length = random.below(10_000).min(expected.len() - at);
        assert_eq!(clear.bytes_at(at as u64, length).unwrap(), expected[at..at + length]);
    }
    assert_eq!(clear.read_at(clear.size_bytes(), &mut [0; 16]).unwrap(), 0);
    assert_eq!(clear.read_at(clear.size_bytes() - 3, &mut [0; 16]).unwrap(), 3);
    assert_eq!(clear.read_at(u64::MAX, &mut [0; 16]).unwrap(), 0);
}

/// Vouched for by an independent tool: cryptsetup.
#[test]
fn every_cipher_sector_size_and_derivation() {
    let directory = tempfile::tempdir().unwrap();
    let argon =
        |kind| vec!["--pbkdf", kind, "--pbkdf-memory", "1024", "--pbkdf-force-iterations", "4"];
    let mut kinds: Vec<Vec<&str>> = vec![argon("argon2i"), argon("argon2id")];
    for extra in [
        &["-c", "aes-xts-plain64", "-s", "256", "--sector-size", "512"][..],
        &["-c", "aes-xts-plain64", "-s", "512", "--sector-size", "1024"],
        &["-c", "aes-xts-plain64", "-s", "512", "--sector-size", "2048"],
        &["-c", "aes-xts-plain64", "-s", "512", "--sector-size", "4096"],
        &["-c", "aes-cbc-essiv:sha256", "-s", "256"],
        &["-c", "aes-cbc-plain64", "-s", "192"],
        &["-c", "aes-cbc-plain", "-s", "128"],
        &["--hash", "sha1"],
        &["--hash", "sha512"],
        &["--hash", "ripemd160"],
    ] {
        kinds.push([&CHEAP[..], extra].concat());
    }
    for kind in kinds {
        let Some(image) = luks2(directory.path(), &kind) else { return };
        let clear = luks::unlock(open(&image), &secret())
            .unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        check(&clear);
    }
}

/// Vouched for by an independent tool: qemu-img has a LUKS1 of its own.
#[test]
fn luks1_of_another_program() {
    let directory = tempfile::tempdir().unwrap();
    let Some(qemu) = tool("qemu-img") else { return };
    let (raw, image) = (directory.path().join("raw"), directory.path().join("luks1.img"));
    let mut bytes = content();
    bytes.resize(2 << 20, 0);
    std::fs::write(&raw, bytes).unwrap();
    for options in [
        "cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256",
        "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain,hash-alg=sha1",
        "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha512",
        "cipher-alg=serpent-256,cipher-mode=cbc,ivgen-alg=plain64,hash-alg=ripemd160",
        "cipher-alg=twofish-256,cipher-mode=xts,ivgen-alg=plain64,hash-alg=sha256",
    ] {
        let object = format!("secret,id=s,data={SECRET}");
        let options = format!("key-secret=s,iter-time=10,{options}");
        let arguments = ["convert", "-f", "raw", "-O", "luks", "--object", &object, "-o", &options];
        run(&qemu, &[&arguments[..], &[text(&raw), text(&image)]].concat(), "");
        let source = open(&image);
        let clear = luks::unlock(Arc::clone(&source), &secret())
            .unwrap_or_else(|error| panic!("{options}: {error}"));
        check(&clear);
        let description = luks::describe(&source).unwrap();
        assert_eq!((description.version, description.slots.len()), (1, 1));
    }
}

/// Vouched for by an independent tool: cryptsetup adds the keys and prints the header.
#[test]
fn keys_of_every_kind_and_what_the_header_tells() {
    let directory = tempfile::tempdir().unwrap();
    let Some(cryptsetup) = tool("cryptsetup") else { return };
    let Some(image) = luks2(directory.path(), &CHEAP) else { return };
    let (old, file) = (directory.path().join("old"), directory.path().join("file"));
    std::fs::write(&old, SECRET).unwrap();
    let raw = b"key file\nwith \0 bytes\n";
    let printed = "cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv-cbdefghi-jklnrtuv";
    for new in [&raw[..], printed.as_bytes()] {
        std::fs::write(&file, new).unwrap();
        let add = ["luksAddKey", "-q", "--key-file", text(&old)];
        run(&cryptsetup, &[&add[..], &CHEAP, &[text(&image), text(&file)]].concat(), "");
    }
    let token = r#"{"type":"systemd-recovery","keyslots":["2"]}"#;
    run(&cryptsetup, &["token", "import", "--token-id", "5", text(&image)], token);
    let source = open(&image);
    for key in [
        Key::File(raw.to_vec()),
        Key::Recovery(format!("  {printed}\n")),
        Key::Passphrase(printed.as_bytes().to_vec()),
    ] {
        let keys = [Key::Passphrase(b"wrong".to_vec()), key];
        check(&luks::unlock(Arc::clone(&source), &keys).unwrap());
    }
    let wrong = luks::unlock(Arc::clone(&source), &[Key::Passphrase(b"wrong".to_vec())]);
    let error = wrong.err().expect("a wrong key opens nothing");
    assert_eq!(error.kind(), ProblemKind::Refused);
    assert_eq!(error.to_string(), "none of the 1 keys given opens any of the 3 key slots");

    let told = luks::describe(&source).unwrap();
    let dump = run(&cryptsetup, &["luksDump", text(&image)], "");
    assert!(dump.contains(told.uuid.as_deref().unwrap()));
    assert!(dump.contains(&format!("offset: {} [bytes]", told.data_offset_bytes)));
    assert_eq!((told.version, told.key_bits, told.sector_bytes), (2, 512, 512));
    assert_eq!(told.cipher, "aes-xts-plain64");
    assert_eq!(told.slots.iter().map(|slot| slot.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(told.slots.iter().all(|slot| slot.kdf == "pbkdf2 sha256, 1000 iterations"));
    assert_eq!((told.tokens[0].number, told.tokens[0].kind.as_str()), (5, "systemd-recovery"));
    assert_eq!(told.tokens[0].slots, [2]);
    assert!(told.problems.is_empty(), "{:?}", told.problems);
}

/// Vouched for by an independent tool: cryptsetup; the damage is ours.
#[test]
fn a_lost_first_header_and_a_header_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = luks2(directory.path(), &CHEAP) else { return };
    let whole = std::fs::read(&image).unwrap();

    let mut damaged = whole.clone();
    damaged[..4096].fill(0);
    let source: Arc<dyn Source> = Arc::new(MemSource::new(damaged));
    check(&luks::unlock(Arc::clone(&source), &secret()).unwrap());
    assert!(!luks::describe(&source).unwrap().problems.is_empty());

    let mut damaged = whole.clone();
    damaged[5000] ^= 1;
    let source: Arc<dyn Source> = Arc::new(MemSource::new(damaged));
    check(&luks::unlock(Arc::clone(&source), &secret()).unwrap());
    let told = luks::describe(&source).unwrap();
    assert!(told.problems[0].text.starts_with("checksum of the LUKS2 header at offset 0 is"));

    let header: Arc<dyn Source> = Arc::new(MemSource::new(whole[..16 << 20].to_vec()));
    let mut data = whole;
    data[..16 << 20].fill(0xaa);
    let data: Arc<dyn Source> = Arc::new(MemSource::new(data));
    check(&luks::unlock_with_header(&header, Arc::clone(&data), &secret()).unwrap());
    assert_eq!(luks::describe(&data).unwrap_err().kind(), ProblemKind::Corrupt);
}

/// Vouched for by an independent tool: cryptsetup stops right after it began.
#[test]
fn an_unfinished_reencryption_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = luks2(directory.path(), &[&CHEAP[..], &["--init-only"]].concat()) else {
        return;
    };
    let error = luks::unlock(open(&image), &secret()).err().expect("not readable");
    assert_eq!(error.to_string(), "a LUKS2 re-encryption that is not finished is not supported");
    let told = luks::describe(&open(&image)).unwrap();
    assert!(told.notes.iter().any(|note| note == "requirement online-reencrypt-v2"), "{told:?}");
}

/// Only we vouch: whatever the bytes, no panic and no hang. The key is wrong, the costs are damaged too.
#[test]
fn damaged_headers() {
    support::bounded::bounded("LUKS2", || {
        let directory = tempfile::tempdir().unwrap();
        let Some(image) = luks2(directory.path(), &CHEAP) else { return };
        let bytes = &std::fs::read(&image).unwrap()[..0x8000];
        let mut random = Random(11);
        for round in 0..300 {
            let mut damaged = bytes.to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(0x1200);
                damaged[at] = random.next() as u8;
            }
            if round % 2 == 0 {
                // With a checksum made good again the damage reaches the metadata.
                damaged[448..512].fill(0);
                let sum = <sha2::Sha256 as sha2::Digest>::digest(&damaged[..0x4000]);
                damaged[448..480].copy_from_slice(&sum);
            }
            let started = Instant::now();
            let source: Arc<dyn Source> = Arc::new(MemSource::new(damaged));
            let _ = luks::describe(&source);
            let _ = luks::unlock(source, &[Key::Passphrase(b"x".to_vec())]);
            assert!(started.elapsed() < Duration::from_secs(5), "round {round}");
        }
    });
}
