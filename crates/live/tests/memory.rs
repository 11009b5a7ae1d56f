//! Images of memory. Independent tools vouch: volatility3 reads both forms back byte by byte, `readelf` the core files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use hashing::{Algorithms, Digests, digest_bytes};
use live::memory::{Chosen, Form, Plan, processes, take};
use live::{Host, Sink};

/// Files in a folder.
struct Folder {
    path: PathBuf,
    open: Option<File>,
}

impl Sink for Folder {
    fn begin(&mut self, name: &str) -> io::Result<()> {
        self.open = Some(File::create_new(self.path.join(name))?);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(self.open.as_mut().unwrap(), bytes)
    }

    fn end(&mut self, _digests: &Digests) -> io::Result<()> {
        self.open = None;
        Ok(())
    }
}

/// Physical address, offset in the file, length: apart, out of order in the file, one longer than a part of the packed form.
const PIECES: [(u64, u64, u64); 3] =
    [(0x1000, 0x0, 0x9e000), (0x10_0000, 0x9e000, 0x120_0000), (0x1_0000_0000, 0x129_e000, 0x3000)];

/// Zeros, text and noise, as memory has them.
fn memory() -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = vec![0; 0x12a_1000];
    for (number, page) in bytes.chunks_mut(4096).enumerate() {
        match number % 4 {
            0 | 1 => {}
            2 => page.copy_from_slice(&b"the same words again and again; ".repeat(128)),
            _ => page.iter_mut().for_each(|byte| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }),
        }
    }
    bytes
}

const JUDGE: &str = r#"
import sys, hashlib
sys.path.insert(0, sys.argv[1])
from volatility3.framework import contexts
from volatility3.framework.layers import physical, lime, avml
context = contexts.Context()
context.config["base.location"] = "file://" + sys.argv[3]
context.add_layer(physical.FileLayer(context, "base", "base"))
context.config["top.base_layer"] = "base"
kind = lime.LimeLayer if sys.argv[2] == "lime" else avml.AVMLLayer
if sys.argv[2] != "lime" and not avml.HAS_SNAPPY:
    print("no snappy"); sys.exit(0)
layer = kind(context, "top", "top")
for word in sys.argv[4:]:
    first, length = (int(part, 16) for part in word.split("+"))
    digest = hashlib.sha256()
    for at in range(first, first + length, 1 << 16):
        digest.update(layer.read(at, min(1 << 16, first + length - at)))
    print(digest.hexdigest())
"#;

/// What volatility3 reads of the ranges; `None` without it.
fn judged(form: &str, image: &Path) -> Option<Vec<String>> {
    let Some(published) = std::env::var_os("GLOVEBOX_PUBLISHED").map(PathBuf::from) else {
        eprintln!("skipped: no published sources (GLOVEBOX_PUBLISHED)");
        return None;
    };
    let is_it = |path: &PathBuf| {
        path.is_dir()
            && path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("volatility3"))
    };
    let mut folders = std::fs::read_dir(published).unwrap().map(|entry| entry.unwrap().path());
    let Some(volatility) = folders.find(is_it) else {
        eprintln!("skipped: no volatility3");
        return None;
    };
    let ranges = PIECES.iter().map(|(first, _, length)| format!("{first:x}+{length:x}"));
    let out = Command::new("python3")
        .args(["-c", JUDGE])
        .args([volatility.as_os_str(), form.as_ref(), image.as_os_str()])
        .args(ranges)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines: Vec<String> =
        String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect();
    if lines == ["no snappy"] {
        eprintln!("skipped: no libsnappy");
        return None;
    }
    Some(lines)
}

#[test]
fn volatility_reads_back_what_was_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let memory = memory();
    std::fs::write(&source, &memory).unwrap();
    let expected: Vec<String> = PIECES
        .iter()
        .map(|(_, offset, length)| {
            let (from, to) = (*offset as usize, (offset + length) as usize);
            digest_bytes(&memory[from..to], &Algorithms::sha256()).sha256_hex()
        })
        .collect();
    let mut sizes = Vec::new();
    for (form, word) in [(Form::Lime, "lime"), (Form::Compressed, "compressed")] {
        let path = folder.path().join(word);
        std::fs::create_dir(&path).unwrap();
        let plan = Plan::of_file(File::open(&source).unwrap(), &PIECES);
        let mut sink = Folder { path: path.clone(), open: None };
        let taken = take(&plan, form, None, &mut sink, &mut |_, _| {}).unwrap();
        assert_eq!((taken.memory_bytes, taken.unreadable_bytes), (0x12a_1000, 0));
        let image = path.join(form.file_name());
        sizes.push(std::fs::metadata(&image).unwrap().len());
        if let Some(read) = judged(word, &image) {
            assert_eq!(read, expected, "{word}");
        }
    }
    // By the format: a header for each range, and nothing else.
    assert_eq!(sizes[0], 0x12a_1000 + 3 * 32);
    assert!(sizes[1] < sizes[0] / 2, "{sizes:?}");
}

/// A part of the source that is not there is zeros, counted and named; the rest is whole.
#[test]
fn what_cannot_be_read_is_zeros_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    std::fs::write(&source, vec![7; 0x3000]).unwrap();
    let plan = Plan::of_file(File::open(&source).unwrap(), &[(0x1000, 0, 0x5000)]);
    let mut sink = Folder { path: folder.path().to_owned(), open: None };
    let taken = take(&plan, Form::Lime, None, &mut sink, &mut |_, _| {}).unwrap();
    assert_eq!((taken.memory_bytes, taken.unreadable_bytes), (0x5000, 0x2000));
    assert_eq!(taken.problems.len(), 2, "{:?}", taken.problems);
    let image = std::fs::read(folder.path().join("memory.lime")).unwrap();
    assert_eq!(image.len(), 32 + 0x5000);
    assert!(image[32..32 + 0x3000].iter().all(|byte| *byte == 7));
    assert!(image[32 + 0x3000..].iter().all(|byte| *byte == 0));
}

/// Our own child's memory: a value it holds stands at its address, as `readelf` finds the part; and a page it never touched
/// was not put there by looking.
#[test]
fn a_process_is_a_core_file() {
    let script = "import ctypes,mmap,sys\nm=mmap.mmap(-1,1<<20)\nm[8192:8200]=b'MARKMARK'\n\
                  print(ctypes.addressof(ctypes.c_char.from_buffer(m)),flush=True)\nsys.stdin.read()";
    let child = Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: no python3");
        return;
    };
    let mut line = String::new();
    let mut reader = io::BufReader::new(child.stdout.as_mut().unwrap());
    io::BufRead::read_line(&mut reader, &mut line).unwrap();
    let address: u64 = line.trim().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Folder { path: folder.path().to_owned(), open: None };
    let chosen = Chosen::Numbers(vec![child.id(), 4_000_000]);
    let taken = processes(&Host::running(), &chosen, &mut sink, &mut |_| {}).unwrap();
    let name = format!("process-{}.core", child.id());
    let _ = (child.kill(), child.wait());
    assert!(taken.problems.iter().any(|one| one.contains("4000000")), "{:?}", taken.problems);
    let core = folder.path().join(name);
    let Ok(out) = Command::new("readelf").args(["-lnW"]).arg(&core).output() else {
        eprintln!("skipped: no readelf");
        return;
    };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && text.contains("NT_FILE") && text.contains("CORE"), "{text}");
    let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
    let loads: Vec<(u64, u64, u64)> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("LOAD"))
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (number(words[1]), number(words[2]), number(words[4]))
        })
        .collect();
    let holding = |at: u64| loads.iter().find(|(_, start, size)| *start <= at && at < start + size);
    let (offset, start, _) = holding(address + 8192).expect("the page that was written");
    let bytes = std::fs::read(&core).unwrap();
    let at = (offset + address + 8192 - start) as usize;
    assert_eq!(&bytes[at..at + 8], b"MARKMARK");
    assert!(holding(address + (1 << 19)).is_none(), "a page that was never touched");
}
