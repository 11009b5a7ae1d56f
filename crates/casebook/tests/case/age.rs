//! The age format against the `age` program.
//!
//! Vouched for by an independent tool: Debian's age (Go) opens what is encrypted here and the other
//! way round, with keys of either.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use casebook::age::{self, Identity, Recipient};

/// Sizes around the ends of a chunk of 64 KiB.
const SIZES: [usize; 8] = [0, 1, 15, 65_535, 65_536, 65_537, 131_072, 200_001];

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn seal(bytes: &[u8], recipients: &[Recipient]) -> Vec<u8> {
    let mut writer = age::encrypt(Vec::new(), recipients).unwrap();
    // In odd pieces: chunks are of the format, not of the writer.
    bytes.chunks(7919).for_each(|piece| writer.write_all(piece).unwrap());
    writer.finish().unwrap()
}

fn open(bytes: &[u8], identities: &[Identity]) -> Result<Vec<u8>, String> {
    let mut reader = age::decrypt(bytes, identities).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

#[test]
fn only_the_recipients_open_it() {
    let keys: Vec<Identity> = (0..3).map(|_| Identity::generate().unwrap()).collect();
    let recipients = [keys[0].recipient(), keys[1].recipient()];
    for length in SIZES {
        let sealed = seal(&sample(length), &recipients);
        for key in &keys[..2] {
            let file = Identity::parse_file(&key.to_file_text()).unwrap();
            assert_eq!(open(&sealed, &file).unwrap(), sample(length));
        }
        assert!(open(&sealed, &keys[2..]).unwrap_err().contains("not encrypted to any"));
    }
    assert!(age::encrypt(Vec::new(), &[]).is_err());
}

/// No changed or shortened file opens: each byte of the header, and places all over the payload.
#[test]
fn a_change_is_never_opened() {
    let keys = [Identity::generate().unwrap()];
    let sealed = seal(&sample(70_000), &[keys[0].recipient()]);
    let header = 300;
    for at in (0..header).chain((header..sealed.len()).step_by(997)).chain([sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(open(&changed, &keys).is_err(), "byte {at}");
    }
    for length in (0..sealed.len()).step_by(331).chain([sealed.len() - 1, 65_536 + 16 + 216]) {
        assert!(open(&sealed[..length], &keys).is_err(), "cut to {length}");
    }
    assert!(open(&[&sealed[..], b"x"].concat(), &keys).is_err());
}

fn tool(dir: &Path, program: &str, arguments: &[&str]) -> Option<bool> {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok().map(|status| status.success())
}

#[test]
fn the_age_program_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let (at, run) = (dir.path(), |program: &str, args: &[&str]| tool(dir.path(), program, args));
    if run("age-keygen", &["-o", "theirs.key"]).is_none() {
        return println!("skipped: no age");
    }
    let text = fs::read_to_string(at.join("theirs.key")).unwrap();
    let theirs = Identity::parse_file(&text).unwrap();
    let their_name = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    assert_eq!(theirs[0].recipient().to_string(), their_name);
    let ours = [Identity::generate().unwrap()];
    fs::write(at.join("ours.key"), &*ours[0].to_file_text()).unwrap();
    let our_name = ours[0].recipient().to_string();
    for length in SIZES {
        let both = [theirs[0].recipient(), ours[0].recipient()];
        fs::write(at.join("sealed"), seal(&sample(length), &both)).unwrap();
        for key in ["theirs.key", "ours.key"] {
            let _absent = fs::remove_file(at.join("opened"));
            assert_eq!(run("age", &["-d", "-i", key, "-o", "opened", "sealed"]), Some(true));
            // The program makes no file for no bytes.
            assert_eq!(fs::read(at.join("opened")).unwrap_or_default(), sample(length));
        }
        fs::write(at.join("plain"), sample(length)).unwrap();
        let sealed = run("age", &["-r", their_name, "-r", &our_name, "-o", "t.age", "plain"]);
        assert_eq!(sealed, Some(true));
        let sealed = fs::read(at.join("t.age")).unwrap();
        assert_eq!(open(&sealed, &ours).unwrap(), sample(length));
        assert_eq!(open(&sealed, &theirs).unwrap(), sample(length));
    }
}

#[test]
fn rubbish_is_no_key() {
    for text in ["", "age1", "ssh-ed25519 AAAA", "age1qqqq"] {
        assert!(text.parse::<Recipient>().is_err(), "{text}");
        assert!(Identity::parse_file(text).is_err(), "{text}");
    }
}

proptest::proptest! {
    /// Whatever stands in a file, opening it ends and does not panic.
    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, lines in "(-> X25519 [A-Za-z0-9+/]{0,50}\n[A-Za-z0-9+/]{0,70}\n){0,3}(--- [A-Za-z]{0,43}\n)?") {
        let keys = [Identity::generate().unwrap()];
        let _ = open(&bytes, &keys);
        let text = format!("age-encryption.org/v1\n{lines}");
        let _ = open(&[text.as_bytes(), &bytes].concat(), &keys);
    }
}
