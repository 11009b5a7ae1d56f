//! Signatures and keys against the `minisign` program.
//!
//! Vouched for by an independent tool: Debian's minisign (C) checks our acts with our public key
//! file, and reads the secret key files made here.

use crate::common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use casebook::{KeyText, Signer, read_acts};

fn minisign(dir: &Path, args: &[&str]) -> bool {
    let status = Command::new("minisign")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.expect("the minisign program is needed for this test").success()
}

#[test]
fn minisign_checks_our_acts() {
    let dir = tempfile::tempdir().unwrap();
    let case_dir = dir.path().join("case");
    let (case, signer) = common::create(&case_dir);
    common::add_exhibit(&case, &signer, "disk", b"bytes");
    case.note(common::draft(""), &signer).unwrap();
    let acts = read_acts(&case_dir).unwrap();
    assert_eq!(acts.len(), 2);
    for act in acts {
        let check = || minisign(dir.path(), &["-V", "-q", "-p", "case/case.pub", "-m", "act"]);
        fs::write(dir.path().join("act"), act.act_bytes()).unwrap();
        fs::write(dir.path().join("act.minisig"), act.act_signature_file()).unwrap();
        assert!(check());
        // Negative control: one more byte, and minisign refuses.
        fs::OpenOptions::new()
            .append(true)
            .open(dir.path().join("act"))
            .unwrap()
            .write_all(b" ")
            .unwrap();
        assert!(!check());
    }
}

#[test]
fn minisign_reads_our_key_and_we_read_its() {
    let dir = tempfile::tempdir().unwrap();
    let (signer, text) = Signer::generate_unprotected().unwrap();
    fs::write(dir.path().join("ours.key"), text.expose()).unwrap();
    assert!(minisign(dir.path(), &["-R", "-s", "ours.key", "-p", "ours.pub"]));
    let public = fs::read_to_string(dir.path().join("ours.pub")).unwrap();
    assert_eq!(casebook::PublicKey::parse(&public).unwrap(), *signer.public_key());

    assert!(minisign(dir.path(), &["-G", "-W", "-s", "theirs.key", "-p", "theirs.pub"]));
    let text = KeyText::new(fs::read_to_string(dir.path().join("theirs.key")).unwrap());
    let theirs = Signer::from_unprotected(&text).unwrap();
    let public = fs::read_to_string(dir.path().join("theirs.pub")).unwrap();
    assert_eq!(casebook::PublicKey::parse(&public).unwrap(), *theirs.public_key());
}
