//! What leaves the case: copies, bags, archives; and the sealed state.
//!
//! Vouched for by independent tools: `bagit.py --validate` and `tar` on our bags, `sha256sum -c` on
//! the manifest.

use crate::common;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use casebook::bag::{self, Bag};
use casebook::{Case, Completion, Outcome, VerifyOptions, duplicate, sealed, status, verify};

fn sealed_case(dir: &Path) -> (Case, casebook::Signer) {
    let (case, signer) = common::create(dir);
    case.note(common::draft(""), &signer).unwrap();
    common::add_exhibit(&case, &signer, "first", b"first disk");
    let exhibit = common::add_exhibit(&case, &signer, "second", b"second disk");
    assert!(exhibit.path().exists());
    let act = case.begin(common::draft("cp"), &signer).unwrap();
    let exhibit = act.new_exhibit("deep").unwrap();
    fs::create_dir_all(exhibit.path().join("files/a")).unwrap();
    fs::write(exhibit.path().join("files/a").join("n".repeat(150)), b"long name").unwrap();
    fs::write(exhibit.path().join("files/empty"), b"").unwrap();
    act.finish(common::completion(Vec::new())).unwrap();
    let act = case.begin(common::draft("triage"), &signer).unwrap();
    act.new_exhibit("nothing").unwrap();
    act.finish(common::completion(Vec::new())).unwrap();
    fs::write(dir.join("case.key"), "secret").unwrap();
    seal(&case, &signer);
    (case, signer)
}

fn seal(case: &Case, signer: &casebook::Signer) {
    let end = Completion::new(common::at(2), Outcome::done());
    case.record(common::draft(sealed::SEAL), end, signer).unwrap();
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn holds(dir: &Path) {
    let result = verify(dir, &VerifyOptions::default()).unwrap();
    assert!(result.holds(), "{:?}", result.problems);
    assert!(result.strangers.is_empty(), "{:?}", result.strangers);
}

#[test]
fn a_sealed_case_takes_no_act_until_it_is_opened_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let (case, signer) = sealed_case(&dir);
    let head = status(&dir).unwrap().head;
    let error = case.note(common::draft(""), &signer).unwrap_err();
    assert!(error.to_string().contains("sealed the case"), "{error}");
    // Nor does a program that opened the case before, or opens it now.
    let again = Case::open(&dir).unwrap();
    assert!(again.begin(common::draft("image"), &signer).is_err());
    assert_eq!(status(&dir).unwrap().head, head);
    assert_eq!(status(&dir).unwrap().sealed_by, Some(6));
    holds(&dir);
    let end = Completion::new(common::at(3), Outcome::done());
    again.record(common::draft(sealed::REOPEN), end, &signer).unwrap();
    case.note(common::draft(""), &signer).unwrap();
    assert_eq!(status(&dir).unwrap().sealed_by, None);
    holds(&dir);
}

/// While another act is in progress nothing is sealed, and an act that outlives a seal is refused.
#[test]
fn an_act_in_progress_and_a_seal_exclude_each_other() {
    let root = tempfile::tempdir().unwrap();
    let (case, signer) = common::create(&root.path().join("case"));
    let open = case.begin(common::draft("image"), &signer).unwrap();
    let end = || Completion::new(common::at(2), Outcome::done());
    let error = case.record(common::draft(sealed::SEAL), end(), &signer).unwrap_err();
    assert!(error.to_string().contains("acts are in progress: acts.open-1"), "{error}");
    open.finish(end()).unwrap();
    seal(&case, &signer);
    holds(case.dir());
}

#[test]
fn a_copy_verifies_by_itself() {
    let root = tempfile::tempdir().unwrap();
    let (dir, to) = (root.path().join("case"), root.path().join("copy"));
    sealed_case(&dir);
    let (mut last, mut total) = (0, 0);
    let copied = duplicate(&dir, &to, &mut |now| (last, total) = (now.done_bytes, now.total_bytes));
    assert_eq!(copied.unwrap().files.len(), 4 + 4);
    assert_eq!(last, total);
    holds(&to);
    assert!(!to.join("case.key").exists());
    assert_eq!(status(&to).unwrap().head, status(&dir).unwrap().head);
    assert!(duplicate(&dir, &to, &mut |_| {}).is_err(), "an existing folder is never written into");
}

fn tool(program: &str, arguments: &[&str], at: &Path) -> Option<bool> {
    let out = Command::new(program).args(arguments).current_dir(at).output().ok()?;
    if !out.status.success() {
        println!("{}", String::from_utf8_lossy(&out.stderr));
    }
    Some(out.status.success())
}

#[test]
fn bagit_py_and_sha256sum_agree_with_the_bag() {
    let root = tempfile::tempdir().unwrap();
    let (dir, to) = (root.path().join("case"), root.path().join("bag"));
    sealed_case(&dir);
    let bag = Bag::of(&dir, &mut |_| {}).unwrap();
    bag.write_to(&to, &mut |_| {}).unwrap();
    let result = bag::check(&to, one()).unwrap();
    assert_eq!((result.files, result.problems), (8, Vec::new()));
    holds(&to.join("data"));
    let sums = ["-c", "--strict", "--quiet", "manifest-sha256.txt", "tagmanifest-sha256.txt"];
    assert_eq!(tool("sha256sum", &sums, &to), Some(true));
    let python = std::env::var("GLOVEBOX_JUDGE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let validate = ["-m", "bagit", "--validate", "."];
    if !tool(&python, &["-c", "import bagit"], &to).unwrap_or(false) {
        return println!("skipped: no bagit");
    }
    assert_eq!(tool(&python, &validate, &to), Some(true));
    fs::write(to.join("data/exhibits/001-first/disk.raw"), b"first disc").unwrap();
    assert_eq!(tool(&python, &validate, &to), Some(false));
}

#[test]
fn a_changed_bag_is_named() {
    let root = tempfile::tempdir().unwrap();
    let (dir, to) = (root.path().join("case"), root.path().join("bag"));
    sealed_case(&dir);
    Bag::of(&dir, &mut |_| {}).unwrap().write_to(&to, &mut |_| {}).unwrap();
    let first = || bag::check(&to, one()).unwrap().problems.first().cloned().unwrap_or_default();
    let file = to.join("data/exhibits/002-second/disk.raw");
    fs::write(&file, b"second disc").unwrap();
    assert!(first().starts_with("data/exhibits/002-second/disk.raw: sha256 is "), "{}", first());
    fs::remove_file(&file).unwrap();
    assert_eq!(first(), "data/exhibits/002-second/disk.raw: it is missing");
    fs::write(&file, b"second disk").unwrap();
    fs::write(to.join("data/planted"), b"").unwrap();
    assert_eq!(first(), "data/planted: no manifest lists it");
    fs::remove_file(to.join("data/planted")).unwrap();
    let manifest = fs::read_to_string(to.join("manifest-sha256.txt")).unwrap();
    let (_, shorter) = manifest.split_once('\n').unwrap();
    fs::write(to.join("manifest-sha256.txt"), shorter).unwrap();
    assert!(first().starts_with("data/acts.copy.jsonl: no manifest lists it"), "{}", first());
    for hostile in ["x", "0  ../../etc/passwd", &format!("{}  data/../../x", "00".repeat(32))] {
        fs::write(to.join("manifest-sha256.txt"), format!("{hostile}\n")).unwrap();
        assert!(bag::check(&to, one()).is_err(), "{hostile}");
    }
    fs::write(to.join("manifest-sha256.txt"), &manifest).unwrap();
    fs::write(to.join("bag-info.txt"), "x").unwrap();
    assert!(first().starts_with("bag-info.txt: sha256 is "), "{}", first());
}

/// The same case gives the same bytes, `tar` reads them, and so do we.
#[test]
fn an_archive_is_deterministic_and_unpacks() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    sealed_case(&dir);
    let pack = |case: &Path| {
        let mut bytes = Vec::new();
        Bag::of(case, &mut |_| {}).unwrap().write_tar(&mut bytes, "the-bag", &mut |_| {}).unwrap();
        bytes
    };
    let bytes = pack(&dir);
    duplicate(&dir, &root.path().join("copy"), &mut |_| {}).unwrap();
    assert_eq!(bytes, pack(&root.path().join("copy")));
    let ours = root.path().join("ours");
    fs::create_dir(&ours).unwrap();
    assert_eq!(bag::unpack(&mut bytes.as_slice(), &ours).unwrap(), "the-bag");
    assert_eq!(bag::check(&ours.join("the-bag"), one()).unwrap().problems, Vec::<String>::new());
    holds(&ours.join("the-bag/data"));
    fs::write(root.path().join("bag.tar"), &bytes).unwrap();
    fs::create_dir(root.path().join("theirs")).unwrap();
    assert_eq!(tool("tar", &["-xf", "../bag.tar"], &root.path().join("theirs")), Some(true));
    holds(&root.path().join("theirs/the-bag/data"));
    // Of the two empty blocks at the end one is enough.
    for length in (0..bytes.len() - 1024).step_by(509) {
        let to = tempfile::tempdir().unwrap();
        assert!(bag::unpack(&mut &bytes[..length], to.path()).is_err(), "cut to {length}");
    }
}

/// Names in an archive stay in its folder, and nothing but files and folders is made.
#[test]
fn a_hostile_archive_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let make = "import io,sys,tarfile\n\
        t=tarfile.open(sys.argv[1],'w',format=tarfile.USTAR_FORMAT)\n\
        i=tarfile.TarInfo(sys.argv[2]); i.type=sys.argv[3].encode(); i.linkname='/etc/passwd'\n\
        t.addfile(i, io.BytesIO(b'')); t.close()";
    for (name, kind) in
        [("../x", "0"), ("/x", "0"), ("a/../../x", "0"), ("a", "2"), ("a", "1"), ("a", "6")]
    {
        if tool("python3", &["-c", make, "x.tar", name, kind], root.path()) != Some(true) {
            return println!("skipped: no python3");
        }
        let bytes = fs::read(root.path().join("x.tar")).unwrap();
        let to = tempfile::tempdir().unwrap();
        assert!(bag::unpack(&mut bytes.as_slice(), to.path()).is_err(), "{name} {kind}");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }
}

/// A sound archive with some bytes changed, or any bytes at all: reading ends, and nothing is made
/// outside the folder.
#[test]
fn a_damaged_archive_is_survived() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    sealed_case(&dir);
    let mut whole = Vec::new();
    Bag::of(&dir, &mut |_| {}).unwrap().write_tar(&mut whole, "bag", &mut |_| {}).unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = (seed >> 16) as usize % bytes.len();
            bytes[at] = (seed >> 8) as u8;
            if seed & 3 == 0 {
                // A header with a right checksum again, so that what it says is looked at.
                let start = at / 512 * 512;
                bytes[start + 148..start + 156].fill(b' ');
                let sum: u64 = bytes[start..start + 512].iter().map(|byte| u64::from(*byte)).sum();
                bytes[start + 148..start + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        let to = tempfile::tempdir().unwrap();
        let inner = to.path().join("inner");
        fs::create_dir(&inner).unwrap();
        if let Ok(name) = bag::unpack(&mut bytes.as_slice(), &inner) {
            let _ = bag::check(&inner.join(name), one());
        }
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
    }
}
