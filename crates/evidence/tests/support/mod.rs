//! Help for tests that build real images with the platform's own tools.
//!
//! A test whose tool is missing says "skipped: no TOOL" and passes; nothing else lets it pass untested.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub(crate) mod bounded;
pub(crate) mod facts;
pub(crate) mod hostile;
pub(crate) mod kernel;
pub(crate) mod nasty;
pub(crate) mod pages;
pub(crate) mod population;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use evidence::{FileSource, Source};

/// The tool's path, or a message that the test is skipped.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no {name}");
    }
    found
}

/// Unmounts, trying again for five seconds: a program that another test starts at the same moment holds our descriptors
/// until it runs. Whether it came off.
pub(crate) fn unmount(at: &Path) -> bool {
    (0..100).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let done = Command::new("umount").arg(at).output();
        done.is_ok_and(|output| output.status.success())
    })
}

/// Runs a tool to success and returns what it printed.
pub(crate) fn run(program: &Path, arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting the tool");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("feeding the tool");
    let out = child.wait_with_output().expect("waiting for the tool");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{} {arguments:?}: {errors}", program.display());
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// An empty image of `size` bytes.
pub(crate) fn blank(directory: &Path, name: &str, size: u64) -> PathBuf {
    let path = directory.join(name);
    std::fs::File::create(&path).and_then(|file| file.set_len(size)).expect("making a blank image");
    path
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// The image as a source.
pub(crate) fn open(path: &Path) -> Arc<dyn Source> {
    let file = std::fs::File::open(path).expect("opening the image");
    Arc::new(FileSource::new(file, 512).expect("sizing the image"))
}

/// Images `STEM.bin.gz` or `STEM-1.bin.gz` to `STEM-COUNT.bin.gz` of the folder named by `DISSECT_<package>_DATA`,
/// unpacked; `None` and a message where there is none. They are fetched at test time because of their licence.
pub(crate) fn dissect(
    package: &str,
    folder: &str,
    stem: &str,
    count: usize,
) -> Option<Vec<Vec<u8>>> {
    use std::io::Read;
    let variable = format!("DISSECT_{package}_DATA");
    let Some(root) = std::env::var_os(&variable) else {
        eprintln!("skipped: no {variable}");
        return None;
    };
    let names = match count {
        1 => vec![format!("{stem}.bin.gz")],
        _ => (1..=count).map(|number| format!("{stem}-{number}.bin.gz")).collect(),
    };
    let read = |name: &String| {
        let packed = std::fs::read(Path::new(&root).join(folder).join(name)).expect("test image");
        let mut bytes = Vec::new();
        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut bytes).expect("unpacking");
        bytes
    };
    Some(names.iter().map(read).collect())
}

/// A small generator with a fixed seed (xorshift64*), so that a failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}
