//! Copies that are no files: a disk, and a receiver on another machine; alone and beside files.
//!
//! Who vouches: what lies on the target is read here from the file that plays the disk and compared byte for byte with the
//! source. A real block device and the program as a whole: `crates/glovebox/tests/destinations.rs`.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashing::Algorithm;
use imaging::{
    About, CloneDisk, CloneTarget, Compression, CopyEnd, Destination, Error, FileSource, Format,
    Medium, Outcome, ReadAt, ReadBack, Remote, RemoteCopy, Request, Rest, Session, Step, Work,
};
use serde_json::{Value, json};
use wire::{Handler, Hello, Limits, Listener, PairingCode, Reception, Told};

const SIZE: usize = 5_000_192;
const TARGET: usize = 8_000_000;

fn content(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(SIZE).collect()
}

fn source(folder: &Path, bytes: &[u8]) -> FileSource {
    let path = folder.join("source");
    fs::write(&path, bytes).unwrap();
    FileSource::new(File::open(path).unwrap(), 512).unwrap()
}

fn work(folder: &Path, source: &FileSource, others: Vec<Value>) -> Work {
    Work {
        requests: vec![Request {
            format: Format::Raw,
            folder: folder.to_owned(),
            stem: "image".to_owned(),
            split_bytes: None,
            compression: Compression::Fast,
            about: About::default(),
        }],
        medium: Medium {
            size_bytes: source.size_bytes(),
            sector_bytes: 512,
            chunk_bytes: 64 << 10,
        },
        algorithms: vec![Algorithm::Sha256],
        retries: 0,
        skip_slow_seconds: None,
        read_timeout_seconds: None,
        checkpoint_bytes: 256 << 10,
        piece_bytes: None,
        source: Value::Null,
        others,
    }
}

fn target(folder: &Path, rest: Rest, sector_bytes: u32) -> CloneTarget {
    let disk = folder.join("disk");
    CloneTarget {
        file: File::options().read(true).write(true).open(&disk).unwrap(),
        name: disk.display().to_string(),
        sector_bytes,
        rest,
        aside: folder.join("clone.head"),
        about: json!({ "serial": "S1" }),
    }
}

/// Begins, or goes on where a journal says so; stops behind `until`.
fn run(
    folder: &Path,
    source: &FileSource,
    others: Vec<Value>,
    until: Option<u64>,
    open: imaging::Open<'_>,
) -> Result<Outcome, Error> {
    let journal = folder.join("image.journal");
    let session = if journal.exists() {
        Session::resume_with(&journal, NonZeroUsize::MIN, open)?
    } else {
        Session::begin_with(&journal, work(folder, source, others), NonZeroUsize::MIN, open)?
    };
    let cancel = AtomicBool::new(false);
    let mut told = |step: Step<'_>| {
        let done = match step {
            Step::Writing(standing) => standing.tick.done_bytes,
            Step::ReadingBack(_, tick) => tick.done_bytes + SIZE as u64,
            Step::FillingIn { .. } => 0,
        };
        if until.is_some_and(|until| done >= until) {
            cancel.store(true, Ordering::Relaxed);
        }
    };
    session.run(source, ReadBack::Each, &mut told, &cancel)
}

fn all_verified(outcome: &Outcome) -> bool {
    outcome.copies.iter().all(|copy| matches!(copy.end, CopyEnd::Verified))
}

fn clone(
    folder: &Path,
    source: &FileSource,
    rest: Rest,
    until: Option<u64>,
) -> Result<Outcome, Error> {
    let mut open = |_what: &Value,
                    medium: &Medium,
                    state: Option<&Value>|
     -> Result<Box<dyn Destination>, Error> {
        Ok(Box::new(CloneDisk::open(target(folder, rest, 512), medium, state)?))
    };
    run(folder, source, vec![json!("disk")], until, &mut open)
}

fn blank(folder: &Path) {
    fs::write(folder.join("disk"), vec![0xAA; TARGET]).unwrap();
}

#[test]
fn a_disk_becomes_the_source_and_its_rest_what_was_asked() {
    for (rest, behind) in [(Rest::Left, 0xAA), (Rest::Wiped, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let bytes = content(1);
        let source = source(folder.path(), &bytes);
        blank(folder.path());
        let outcome = clone(folder.path(), &source, rest, None).unwrap();
        assert!(all_verified(&outcome), "{outcome:?}");
        let disk = fs::read(folder.path().join("disk")).unwrap();
        assert!(disk[..SIZE] == bytes[..]);
        assert!(disk[SIZE..].iter().all(|byte| *byte == behind), "{rest:?}");
        assert_eq!(disk.len(), TARGET);
        assert!(!folder.path().join("clone.head").exists());
        let facts = &outcome.copies[1].facts;
        assert_eq!(facts["rest_bytes"], json!(TARGET - SIZE));
        assert_eq!(facts["about"]["serial"], "S1");
        assert!(fs::read(folder.path().join("image.raw")).unwrap() == bytes);
    }
}

#[test]
fn a_clone_stopped_anywhere_does_not_boot_and_goes_on() {
    let bytes = content(2);
    for round in 0..22u64 {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), &bytes);
        blank(folder.path());
        // Spread over writing and reading back.
        let until = (round * 463_747 + 1) % (2 * SIZE as u64);
        let outcome = clone(folder.path(), &source, Rest::Left, Some(until)).unwrap();
        let disk = fs::read(folder.path().join("disk")).unwrap();
        if all_verified(&outcome) {
            // Too late to be stopped.
            assert!(disk[..SIZE] == bytes[..], "round {round}");
            continue;
        }
        assert!(outcome.can_resume, "round {round}");
        assert!(
            disk[..1 << 20].iter().all(|byte| *byte == 0),
            "round {round}: the disk begins with something"
        );
        let outcome = clone(folder.path(), &source, Rest::Left, None).unwrap();
        assert!(all_verified(&outcome), "round {round}: {outcome:?}");
        let disk = fs::read(folder.path().join("disk")).unwrap();
        assert!(disk[..SIZE] == bytes[..], "round {round}");
        assert!(disk[SIZE..].iter().all(|byte| *byte == 0xAA), "round {round}");
    }
}

#[test]
fn wiping_goes_on_where_it_stood_and_is_read_back_all_the_same() {
    let bytes = content(3);
    for is_spoiled in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), &bytes);
        blank(folder.path());
        // The first tick behind the end of the source is of wiping.
        let until = 2 * SIZE as u64 + 1;
        let outcome = clone(folder.path(), &source, Rest::Wiped, Some(until)).unwrap();
        assert!(outcome.can_resume && !all_verified(&outcome), "{outcome:?}");
        let noted = fs::read_to_string(folder.path().join("clone.wiped")).unwrap();
        let noted: usize = noted.trim().parse().unwrap();
        assert!(noted > SIZE && noted < TARGET, "{noted}");
        let mut disk = fs::read(folder.path().join("disk")).unwrap();
        assert!(disk[SIZE..noted].iter().all(|byte| *byte == 0));
        assert!(disk[noted..].iter().all(|byte| *byte == 0xAA));
        if is_spoiled {
            disk[SIZE + 1] = 1;
            fs::write(folder.path().join("disk"), &disk).unwrap();
        }
        let outcome = clone(folder.path(), &source, Rest::Wiped, None).unwrap();
        let disk = fs::read(folder.path().join("disk")).unwrap();
        if is_spoiled {
            // Skipped, and found: never taken for wiped.
            assert!(!all_verified(&outcome));
            assert!(disk[..1 << 20].iter().all(|byte| *byte == 0));
            continue;
        }
        assert!(all_verified(&outcome), "{outcome:?}");
        assert!(disk[..SIZE] == bytes[..] && disk[SIZE..].iter().all(|byte| *byte == 0));
        assert!(!folder.path().join("clone.wiped").exists());
    }
}

#[test]
fn a_disk_that_cannot_hold_it_is_refused_before_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let source = source(folder.path(), &content(3));
    let medium =
        Medium { size_bytes: source.size_bytes(), sector_bytes: 512, chunk_bytes: 64 << 10 };
    fs::write(folder.path().join("disk"), vec![0xAA; SIZE - 512]).unwrap();
    let small = CloneDisk::open(target(folder.path(), Rest::Left, 512), &medium, None).unwrap_err();
    assert!(small.to_string().contains("choose a larger one"), "{small}");
    let other = CloneDisk::open(
        target(folder.path(), Rest::Left, 4096),
        &Medium { size_bytes: 4096, ..medium },
        None,
    );
    assert!(other.unwrap_err().to_string().contains("4096"));
    assert!(fs::read(folder.path().join("disk")).unwrap().iter().all(|byte| *byte == 0xAA));
}

#[test]
fn a_disk_that_gives_back_something_else_stays_without_a_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = content(4);
    let source = source(folder.path(), &bytes);
    blank(folder.path());
    let stopped = clone(folder.path(), &source, Rest::Left, Some(4_000_000)).unwrap();
    assert!(stopped.can_resume);
    let path = folder.path().join("disk");
    let mut disk = fs::read(&path).unwrap();
    disk[2_000_000] ^= 1;
    fs::write(&path, &disk).unwrap();
    let outcome = clone(folder.path(), &source, Rest::Left, None).unwrap();
    assert!(matches!(outcome.copies[0].end, CopyEnd::Verified), "the other copy is not harmed");
    assert!(
        matches!(outcome.copies[1].end, CopyEnd::Failed(Error::Mismatch { .. })),
        "{outcome:?}"
    );
    assert!(fs::read(&path).unwrap()[..1 << 20].iter().all(|byte| *byte == 0));
}

struct Shelf(PathBuf);

impl Handler for Shelf {
    fn receiver(&self) -> String {
        json!({ "case": "C-2" }).to_string()
    }

    fn place(&mut self, _hello: &Hello) -> Result<PathBuf, String> {
        Ok(self.0.clone())
    }

    fn told(&mut self, _told: Told) {}

    fn finish(&mut self, _reception: &Reception) -> Result<String, String> {
        Ok(json!({ "act": "a1" }).to_string())
    }
}

fn limits() -> Limits {
    Limits {
        patience: Duration::from_millis(800),
        silence: Duration::from_secs(10),
        grace: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// A receiver in a thread: its address, and what stops it.
fn receive(
    folder: &Path,
    code: &PairingCode,
) -> (String, Arc<AtomicBool>, std::thread::JoinHandle<bool>) {
    let listener = Listener::bind("127.0.0.1:0", code.clone(), limits()).unwrap();
    let address = listener.address().to_string();
    let cancel = Arc::new(AtomicBool::new(false));
    let (stop, mut shelf) = (Arc::clone(&cancel), Shelf(folder.to_owned()));
    let thread = std::thread::spawn(move || listener.receive(&mut shelf, &stop).is_ok());
    (address, cancel, thread)
}

fn send(
    folder: &Path,
    source: &FileSource,
    remote: &Remote,
    code: &PairingCode,
    until: Option<u64>,
) -> Result<Outcome, Error> {
    let mut open = |what: &Value,
                    medium: &Medium,
                    state: Option<&Value>|
     -> Result<Box<dyn Destination>, Error> {
        let mut wanted: Remote = serde_json::from_value(what.clone()).unwrap();
        wanted.address.clone_from(&remote.address);
        let stop = Arc::new(AtomicBool::new(false));
        Ok(Box::new(RemoteCopy::open(wanted, code.clone(), medium, state, limits(), stop)?))
    };
    run(folder, source, vec![json!(remote)], until, &mut open)
}

#[test]
fn a_copy_goes_to_a_receiver_beside_a_file_here() {
    let (folder, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = content(5);
    let source = source(folder.path(), &bytes);
    let code = PairingCode::generate().unwrap();
    let (address, _, thread) = receive(there.path(), &code);
    let remote = Remote::new(&address, json!({ "source": "sda" })).unwrap();
    let outcome = send(folder.path(), &source, &remote, &code, None).unwrap();
    assert!(all_verified(&outcome), "{outcome:?}");
    assert!(thread.join().unwrap());
    let facts = &outcome.copies[1].facts;
    assert_eq!(facts["received_by"]["case"], "C-2");
    assert_eq!(facts["receipt"]["act"], "a1");
    assert_eq!(facts["handshake"].as_str().unwrap().len(), 64);
    assert!(fs::read(there.path().join("image.raw")).unwrap() == bytes);
    assert!(fs::read(folder.path().join("image.raw")).unwrap() == bytes);
}

#[test]
fn a_receiver_that_goes_away_does_not_harm_the_file_here() {
    let (folder, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bytes = content(6);
    let source = source(folder.path(), &bytes);
    let code = PairingCode::generate().unwrap();
    let (address, cancel, thread) = receive(there.path(), &code);
    let remote = Remote::new(&address, Value::Null).unwrap();
    let mut open = |what: &Value,
                    medium: &Medium,
                    state: Option<&Value>|
     -> Result<Box<dyn Destination>, Error> {
        let wanted: Remote = serde_json::from_value(what.clone()).unwrap();
        let small = Limits { window_bytes: 256 << 10, keep_every_bytes: 64 << 10, ..limits() };
        let copy = RemoteCopy::open(wanted, code.clone(), medium, state, small, Arc::default())?;
        cancel.store(true, Ordering::Relaxed);
        while !thread.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Box::new(copy))
    };
    let outcome = run(folder.path(), &source, vec![json!(remote)], None, &mut open).unwrap();
    assert!(matches!(outcome.copies[0].end, CopyEnd::Verified));
    assert!(matches!(outcome.copies[1].end, CopyEnd::Failed(_)));
    assert!(fs::read(folder.path().join("image.raw")).unwrap() == bytes);
    assert!(!there.path().join("image.raw").exists());
}

#[test]
fn work_stopped_anywhere_goes_on_at_the_receiver() {
    let bytes = content(7);
    for round in 0..8u64 {
        let (folder, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = source(folder.path(), &bytes);
        let code = PairingCode::generate().unwrap();
        let (address, cancel, thread) = receive(there.path(), &code);
        let mut remote = Remote::new(&address, Value::Null).unwrap();
        let outcome =
            send(folder.path(), &source, &remote, &code, Some(round * 700_001 + 1)).unwrap();
        if !all_verified(&outcome) {
            assert!(outcome.can_resume, "round {round}");
            // Every other time the receiver is another run of the program, with another code.
            let again = PairingCode::generate().unwrap();
            let mut code = code;
            let mut waits = None;
            let is_there = matches!(outcome.copies[1].end, CopyEnd::Verified);
            if round.is_multiple_of(2) && !is_there {
                cancel.store(true, Ordering::Relaxed);
                thread.join().unwrap();
                let (address, _, thread) = receive(there.path(), &again);
                (remote.address, code, waits) = (address, again, Some(thread));
            } else {
                waits.replace(thread);
            }
            let outcome = send(folder.path(), &source, &remote, &code, None).unwrap();
            assert!(all_verified(&outcome), "round {round}: {outcome:?}");
            assert!(waits.unwrap().join().unwrap());
        }
        assert!(fs::read(there.path().join("image.raw")).unwrap() == bytes, "round {round}");
        assert!(fs::read(folder.path().join("image.raw")).unwrap() == bytes, "round {round}");
    }
}
