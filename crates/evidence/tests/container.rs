//! Image containers. Independent tools vouch (tier 1) unless a test says otherwise: libewf's `ewfacquirestream` and
//! qemu-img make the images, and the disk they were made from is what must come out, byte for byte.

mod support;

#[path = "container/aff4.rs"]
mod aff4;
#[path = "container/ewf.rs"]
mod ewf;
#[path = "container/hostile.rs"]
mod hostile;
#[path = "container/qcow2.rs"]
mod qcow2;
#[path = "container/split.rs"]
mod split;

#[path = "container/vhd.rs"]
mod vhd;
#[path = "container/vhdx.rs"]
mod vhdx;
#[path = "container/vmdk.rs"]
mod vmdk;
#[path = "container/zstd.rs"]
mod zstd;

use evidence::container::{Opened, Siblings};
use evidence::{EvidenceError, Problem, Source, container};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::Random;

/// The folder of an image, as a program would give it.
pub(crate) struct Beside(pub(crate) PathBuf);

impl Siblings for Beside {
    fn open(&self, name: &[u8]) -> std::io::Result<Option<Arc<dyn Source>>> {
        use std::os::unix::ffi::OsStrExt;
        assert!(!name.contains(&b'/'), "only plain names reach the folder");
        let path = self.0.join(std::ffi::OsStr::from_bytes(name));
        Ok(path.exists().then(|| support::open(&path)))
    }
}

/// Opens an image with its folder.
pub(crate) fn try_image(path: &Path) -> Result<Opened, EvidenceError> {
    let folder = Beside(path.parent().unwrap().to_path_buf());
    container::open(support::open(path), path.file_name().unwrap().as_encoded_bytes(), &folder)
}

pub(crate) fn image(path: &Path) -> Opened {
    try_image(path).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()))
}

/// A disk with random bytes, text, zeros of all lengths, and an odd number of sectors.
pub(crate) fn disk() -> Vec<u8> {
    let mut random = Random(7);
    let mut disk = random.bytes(600_000);
    disk.resize(1 << 20, 0);
    while disk.len() < 3 << 20 {
        let length = 512 * (1 + random.below(400));
        match random.below(3) {
            0 => disk.extend(random.bytes(length)),
            1 => disk.resize(disk.len() + length, 0),
            _ => disk.extend(b"Every exhibit is read, never written. ".iter().cycle().take(length)),
        }
    }
    disk.resize((3 << 20) + 512 * 1203, 0);
    let end = disk.len();
    disk[end - 512..].fill(0xa5);
    disk
}

/// Whether the image shows exactly `disk`, by one large read, by many small ones, and past the end.
pub(crate) fn assert_shows(opened: &Opened, disk: &[u8], what: &str) {
    let source = &*opened.source;
    assert_eq!(source.size_bytes(), disk.len() as u64, "{what}");
    let whole = source.bytes_at(0, disk.len()).unwrap_or_else(|error| panic!("{what}: {error}"));
    if let Some(at) = (0..disk.len()).find(|at| whole[*at] != disk[*at]) {
        panic!(
            "{what}: differs from {at} on: {:x?}, expected {:x?}",
            &whole[at..at + 8],
            &disk[at..at + 8]
        );
    }
    let mut random = Random(11);
    for _ in 0..400 {
        let at = random.below(disk.len());
        let length = [1, 512, 4096, 70_000][random.below(4)];
        let expected = &disk[at..(at + length).min(disk.len())];
        assert!(
            source.bytes_at(at as u64, length).unwrap() == expected,
            "{what}: {length} at {at}"
        );
    }
    assert_eq!(source.read_at(disk.len() as u64, &mut [0; 9]).unwrap(), 0);
    assert_eq!(source.read_at(u64::MAX, &mut [0; 9]).unwrap(), 0);
}

/// The value of a fact.
pub(crate) fn fact<'a>(opened: &'a Opened, name: &str) -> Option<&'a str> {
    opened.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The texts of all problems, one per line.
pub(crate) fn texts(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// The published test data, beside the checkout.
pub(crate) fn published(name: &str) -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap();
    let set = std::env::var_os("GLOVEBOX_TESTDATA").map(PathBuf::from);
    let path = set.unwrap_or_else(|| shared.join("shared/testdata")).join(name);
    let found = path.exists().then_some(path);
    if found.is_none() {
        eprintln!("skipped: no ../shared/testdata/{name}");
    }
    found
}

/// Writes the disk as a raw file and converts it by qemu-img into `name` with these options.
pub(crate) fn convert(
    directory: &Path,
    disk: &[u8],
    options: &[&str],
    name: &str,
) -> Option<PathBuf> {
    let qemu_img = support::tool("qemu-img")?;
    let raw = directory.join("raw");
    std::fs::write(&raw, disk).unwrap();
    let target = directory.join(name);
    let mut all = vec!["convert", "-f", "raw"];
    all.extend(options);
    all.extend([support::text(&raw), support::text(&target)]);
    support::run(&qemu_img, &all, "");
    std::fs::remove_file(raw).unwrap();
    Some(target)
}

/// What qemu-img shows of an image.
pub(crate) fn shown_by_qemu(image: &Path) -> Vec<u8> {
    let raw = image.with_extension("shown");
    let qemu_img = support::tool("qemu-img").expect("it made the image");
    support::run(
        &qemu_img,
        &["convert", "-O", "raw", support::text(image), support::text(&raw)],
        "",
    );
    let shown = std::fs::read(&raw).unwrap();
    std::fs::remove_file(raw).unwrap();
    shown
}

/// Lets qemu-io run commands on an image.
pub(crate) fn qemu_io(options: &[&str], image: &Path, commands: &[&str]) -> bool {
    let Some(qemu_io) = support::tool("qemu-io") else { return false };
    let mut all = options.to_vec();
    for command in commands {
        all.extend(["-c", command]);
    }
    all.push(support::text(image));
    support::run(&qemu_io, &all, "");
    true
}
