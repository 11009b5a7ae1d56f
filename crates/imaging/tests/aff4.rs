//! AFF4 as we write it. Vouched for by pyaff4, an independent implementation: size, content and digests (`GLOVEBOX_AFF4_PYTHON`
//! is an interpreter that has it; the test command of the project sets it), by `unzip` for the container, and by an
//! independent path: `evidence` reads back what the source's bytes and its list of bad sectors say must be there.

mod common;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use common::{Disk, run, tool};
use evidence::Source;
use evidence::container::{Counted, NoSiblings, Opened, open};
use hashing::{Algorithm, Algorithms, digest_bytes};
use imaging::{
    About, Acquisition, Compression, Encoding, Ending, Error, Extents, Format, ImageFile,
    ImageWriter, Medium, Part, Plan, Request, Start, create, image, publish, reopen, verify_copy,
};

const CHUNK: usize = 128 * 1024;

fn plan() -> Plan {
    Plan {
        algorithms: Algorithms::sha256().with(Algorithm::Md5).with(Algorithm::Sha1),
        chunk_bytes: CHUNK,
        buffers: 4,
        workers: NonZeroUsize::new(2).unwrap(),
        ..Plan::default()
    }
}

fn request(folder: &Path) -> Request {
    Request {
        format: Format::Aff4,
        folder: folder.to_path_buf(),
        stem: "image".to_owned(),
        split_bytes: None,
        compression: Compression::Fast,
        about: About {
            case: "2026-014".to_owned(),
            description: "the \"machine\" under the desk, größer\\".to_owned(),
            examiner: "E. Examiner".to_owned(),
            notes: "a\tb".to_owned(),
            serial: "S3R1AL".to_owned(),
            begun_unix_seconds: 1_798_761_599,
            set_identifier: *b"0123456789abcdef",
            ..About::default()
        },
    }
}

fn medium(disk: &Disk) -> Medium {
    let size_bytes = disk.bytes.len() as u64;
    Medium { size_bytes, sector_bytes: disk.sector, chunk_bytes: CHUNK as u64 }
}

/// Images, reads back, names.
fn make(disk: &Disk, request: &Request) -> PathBuf {
    let (plan, never) = (plan(), AtomicBool::new(false));
    let writers = vec![create(request, &medium(disk)).unwrap()];
    let mut done =
        image(disk, writers, &plan, Start::new(&plan), None, &mut |_| {}, &never).unwrap();
    assert_eq!(done.acquisition.ending, Ending::Complete);
    let copy = done.copies.first_mut().unwrap();
    assert!(copy.failure.is_none(), "{:?}", copy.failure);
    let verified = verify_copy(&*copy.writer, &done.acquisition, &mut |_| {}, &never).unwrap();
    publish(&mut *copy.writer, &verified).unwrap().remove(0)
}

fn opened(path: &Path) -> Opened {
    let file = std::fs::File::open(path).unwrap();
    let source: Arc<dyn Source> = Arc::new(evidence::FileSource::new(file, 512).unwrap());
    let opened = open(source, path.file_name().unwrap().as_encoded_bytes(), &NoSiblings).unwrap();
    assert_eq!(opened.format, evidence::container::Format::Aff4);
    opened
}

/// Every sector that was read is what it was, and the others are read errors.
fn assert_holds(path: &Path, disk: &Disk) {
    let opened = opened(path);
    assert_eq!(opened.source.size_bytes(), disk.bytes.len() as u64);
    assert_eq!(opened.source.sector_bytes(), disk.sector);
    if disk.bad.is_empty() {
        assert!(opened.source.bytes_at(0, disk.bytes.len()).unwrap() == disk.bytes);
        assert!(opened.problems.is_empty(), "{:?}", opened.problems);
        return;
    }
    let sector = disk.sector as usize;
    for (number, expected) in disk.bytes.chunks(sector).enumerate() {
        let got = opened.source.bytes_at((number * sector) as u64, sector);
        match disk.bad.contains(&(number as u64)) {
            true => assert!(got.is_err(), "sector {number} could not be read"),
            false => assert!(got.unwrap() == expected, "sector {number}"),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    digest_bytes(bytes, &Algorithms::sha256()).sha256_hex()
}

/// What pyaff4 shows: what was read, and the Standard's text where it was not.
fn judge(path: &Path, disk: &Disk) {
    let (is_good, said) = run("unzip", &["-qt", path.to_str().unwrap()], Path::new("/"));
    assert!(is_good || said.contains("not found"), "{said}");
    let Some(python) = std::env::var_os("GLOVEBOX_AFF4_PYTHON") else {
        eprintln!("skipped: GLOVEBOX_AFF4_PYTHON is not set");
        return;
    };
    let judge = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/aff4_judge.py");
    let arguments = [judge.to_str().unwrap(), "read", path.to_str().unwrap()];
    let (is_good, said) = run(python.to_str().unwrap(), &arguments, Path::new("/"));
    assert!(is_good, "{said}");
    let mut expected = disk.bytes.clone();
    let text: Vec<u8> = b"UNREADABLEDATA".iter().copied().cycle().take(1 << 20).collect();
    for sector in &disk.bad {
        let start = *sector as usize * disk.sector as usize;
        for at in start..(start + disk.sector as usize).min(expected.len()) {
            expected[at] = text[at % text.len()];
        }
    }
    let content = sha256(&expected);
    assert!(said.contains(&format!("size {}\n", expected.len())), "{said}");
    assert!(said.contains(&format!("sha256 {content}\n")), "{said}, expected {content}");
    let recorded = format!("recorded http://aff4.org/Schema#SHA256 {}\n", sha256(&disk.bytes));
    assert_eq!(said.contains(&recorded), disk.bad.is_empty(), "{said}");
}

#[test]
fn pyaff4_reads_what_we_write() {
    for (size, sector, bad) in [
        (3_000_832, 512, vec![]),
        (CHUNK * 3, 4096, vec![]),
        (32_768, 512, vec![]),
        (5, 512, vec![]),
        // In data, in zeros, over the border of both, and the last one.
        (3_000_832, 512, vec![7, 8, 250, 500, 1171, 1172, 5860]),
        (2_000_384, 4096, vec![0, 30, 488]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::new(size, sector).with_bad(bad);
        let path = make(&disk, &request(directory.path()));
        assert_holds(&path, &disk);
        judge(&path, &disk);
    }
}

/// More than one bevy, one of them only zeros and so not there; text that compresses.
#[test]
fn bevies_of_zeros_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = Disk::new(0, 512);
    disk.bytes = vec![0; (64 << 20) * 3 + 512];
    disk.bytes[(64 << 20) * 2 - 512 + 900_000..][..200_000].fill(b'x');
    disk.bytes[(64 << 20) * 2 + 5_000_000] = 1;
    let path = make(&disk, &request(directory.path()));
    assert_holds(&path, &disk);
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length < 100_000, "{length}");
    judge(&path, &disk);
}

#[test]
fn facts_and_digests_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut disk = Disk::new(700_416, 512);
    let shown = opened(&make(&disk, &request(directory.path())));
    let fact = |name: &str| {
        shown.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(fact("case number"), Some("2026-014"));
    assert_eq!(fact("serial number"), Some("S3R1AL"));
    assert_eq!(fact("acquired"), Some("2026-12-31T23:59:59Z"));
    assert_eq!(fact("volume"), Some("aff4://30313233-3435-8637-b839-616263646566"));
    assert_eq!(fact("sha256"), Some(sha256(&disk.bytes).as_str()));
    assert_eq!(shown.digests.len(), 3);
    disk.bad.insert(3);
    let directory = tempfile::tempdir().unwrap();
    let shown = opened(&make(&disk, &request(directory.path())));
    assert!(shown.digests.iter().all(|one| one.counted == Counted::AsZeros));
    let expected = sha256(&disk.perfect_image());
    assert!(shown.digests.iter().any(|one| one.hex == expected));
}

/// Feeds chunks by hand, as the pipeline does.
fn feed(writer: &mut dyn ImageFile, encoding: &dyn Encoding, bytes: &[u8], from: usize, to: usize) {
    let mut encoder = encoding.start();
    for (number, chunk) in bytes[from..to].chunks(CHUNK).enumerate() {
        let encoded = encoder.encode(chunk).unwrap();
        let offset_bytes = (from + number * CHUNK) as u64;
        writer.write(Part { offset_bytes, bytes: chunk, encoded: Some(&encoded) }).unwrap();
    }
}

#[test]
fn a_writer_goes_on_from_any_checkpoint() {
    let mut disk = Disk::new(66 << 20, 512);
    disk.bytes[5_000_000..64_000_000].fill(0);
    let plain = {
        let directory = tempfile::tempdir().unwrap();
        std::fs::read(make(&disk, &request(directory.path()))).unwrap()
    };
    for stop in [0, 7, 512, 520] {
        let directory = tempfile::tempdir().unwrap();
        let request = request(directory.path());
        let mut writer = create(&request, &medium(&disk)).unwrap();
        let encoding = writer.encoding().unwrap();
        let stop = stop * CHUNK;
        feed(&mut *writer, &*encoding, &disk.bytes, 0, stop);
        let checkpoint = writer.checkpoint().unwrap();
        let said = checkpoint.state.to_string();
        assert!(said.len() < 20_000, "{} bytes of state", said.len());
        // What came after the checkpoint is lost with the process.
        let further = (stop + 3 * CHUNK).min(disk.bytes.len());
        feed(&mut *writer, &*encoding, &disk.bytes, stop, further);
        drop(writer);
        let mut writer = reopen(&request, &medium(&disk), &checkpoint.state).unwrap();
        let back = writer.read_back().unwrap();
        let mut got = vec![0; stop];
        let mut at = 0;
        while at < stop {
            at += back.read_at(at as u64, &mut got[at..]).unwrap();
        }
        assert!(got == disk.bytes[..stop], "read back to {stop}");
        feed(&mut *writer, &*encoding, &disk.bytes, stop, disk.bytes.len());
        let acquisition = Acquisition {
            size_bytes: disk.bytes.len() as u64,
            sector_bytes: 512,
            copied_bytes: disk.bytes.len() as u64,
            digests: digest_bytes(&disk.bytes, &plan().algorithms),
            bad: Extents::default(),
            ending: Ending::Complete,
        };
        writer.complete(&acquisition).unwrap();
        let path = writer.parts().paths().remove(0);
        assert_holds(&path, &disk);
        judge_container(&path);
        if stop == 0 {
            assert!(std::fs::read(path).unwrap() == plain);
        }
    }
}

fn judge_container(path: &Path) {
    if tool("unzip") {
        let (is_good, said) = run("unzip", &["-qt", path.to_str().unwrap()], Path::new("/"));
        assert!(is_good, "{said}");
    }
}

#[test]
fn what_the_format_cannot_do_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(100_000, 512);
    let split = Request { split_bytes: Some(50_000), ..request(directory.path()) };
    assert!(matches!(create(&split, &medium(&disk)), Err(Error::Format { .. })));
    let odd = Medium { chunk_bytes: 4096, ..medium(&disk) };
    assert!(matches!(create(&request(directory.path()), &odd), Err(Error::Format { .. })));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
