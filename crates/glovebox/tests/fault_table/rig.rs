//! A real block device with read errors at chosen sectors, without a virtual machine.
//!
//! QEMU's storage daemon refuses the reads (`blkdebug`), FUSE shows its disk as a file, `losetup` makes that file a block
//! device. Pages of FUSE make every bad place 4 KiB wide, so bad sectors are chosen in eights.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program's path, or a message that the test is skipped.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let is_there = found.is_ok_and(|out| out.status.success());
    if !is_there {
        println!("skipped: no {program}");
    }
    is_there
}

/// What the disk is to be.
pub(crate) struct Shape {
    pub(crate) sectors: u64,
    pub(crate) bad: Vec<u64>,
    pub(crate) sector_bytes: u32,
}

/// The device, until it is dropped.
pub(crate) struct Rig {
    pub(crate) device: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) shape: Shape,
    export: PathBuf,
    daemon: Child,
}

impl Rig {
    /// Sets it up in `folder`; `None` and a message where this machine cannot.
    pub(crate) fn start(folder: &Path, shape: Shape) -> Option<Self> {
        if !["qemu-storage-daemon", "losetup", "fusermount3"].into_iter().all(has) {
            return None;
        }
        let bytes = noise(shape.sectors * 512);
        let (source, export) = (folder.join("source.img"), folder.join("export"));
        fs::write(&source, &bytes).expect("a source");
        fs::write(&export, "").expect("a place for the export");
        let errors: Vec<_> = shape
            .bad
            .iter()
            .map(|sector| {
                serde_json::json!({ "event": "none", "iotype": "read", "sector": sector,
                                    "errno": 5, "once": false })
            })
            .collect();
        let image = serde_json::json!({ "driver": "file", "filename": source });
        let node = serde_json::json!({ "driver": "raw", "node-name": "disk",
            "file": { "driver": "blkdebug", "image": image, "inject-error": errors } });
        let fuse = format!("type=fuse,id=shown,node-name=disk,mountpoint={}", export.display());
        let daemon = Command::new("qemu-storage-daemon")
            .args(["--blockdev", &node.to_string(), "--export", &fuse])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting the storage daemon");
        let mut rig = Self { device: String::new(), bytes, shape, export, daemon };
        let end = Instant::now() + Duration::from_secs(20);
        let size = rig.bytes.len() as u64;
        while fs::metadata(&rig.export).map_or(0, |found| found.len()) != size {
            if Instant::now() > end || rig.daemon.try_wait().is_ok_and(|ended| ended.is_some()) {
                println!("skipped: no FUSE export here");
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let sector = rig.shape.sector_bytes.to_string();
        let looped = Command::new("losetup")
            .args(["--read-only", "--show", "--sector-size", &sector, "--find"])
            .arg(&rig.export)
            .output();
        rig.device = match looped {
            Ok(out) if out.status.success() => {
                String::from_utf8_lossy(&out.stdout).trim().to_owned()
            }
            _ => {
                println!("skipped: no loop device here");
                return None;
            }
        };
        Some(rig)
    }

    /// The bytes with zeros where the bad sectors lie.
    pub(crate) fn perfect(&self) -> Vec<u8> {
        let mut image = self.bytes.clone();
        for sector in &self.shape.bad {
            let start = usize::try_from(sector * 512).expect("small");
            image[start..start + 512].fill(0);
        }
        image
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !self.device.is_empty() {
            let _detached = Command::new("losetup").args(["--detach", &self.device]).status();
        }
        let _killed = self.daemon.kill();
        let _ended = self.daemon.wait();
        let _unmounted = Command::new("fusermount3").args(["-u", "-z"]).arg(&self.export).output();
    }
}

/// Nothing in it repeats, so a shifted sector shows.
fn noise(length: u64) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}
