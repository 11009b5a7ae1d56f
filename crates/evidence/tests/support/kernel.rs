//! The running kernel as a judge: images are mounted through a loop device, always from a file made for the test.
//!
//! Needs root, loop devices and the file system in the kernel; where one is missing the test says "skipped".

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A mounted image; unmounted when dropped.
pub(crate) struct Mounted {
    directory: tempfile::TempDir,
}

/// Mounts `image` with `options` (`ro`, or `rw` and what the file system knows); `None`, said, when that is not possible.
pub(crate) fn mount(image: &Path, kind: &str, options: &str) -> Option<Mounted> {
    let directory = tempfile::tempdir().unwrap();
    let once = || {
        Command::new("mount")
            .args(["-t", kind, "-o", &format!("loop,{options}")])
            .arg(image)
            .arg(directory.path())
            .stdin(Stdio::null())
            .output()
    };
    let mut out = once();
    for _ in 0..5 {
        // A loop device that another test has just given up is held for a moment longer.
        let is_busy = |out: &Output| String::from_utf8_lossy(&out.stderr).contains("busy");
        if !out.as_ref().is_ok_and(is_busy) {
            break;
        }
        std::thread::sleep(Duration::from_millis(300));
        out = once();
    }
    match out {
        Ok(out) if out.status.success() => Some(Mounted { directory }),
        Ok(out) => {
            let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
            assert!(!supports(kind), "the kernel knows {kind} but does not mount it: {why}");
            eprintln!("skipped: the kernel does not mount {kind}: {why}");
            None
        }
        Err(error) => {
            eprintln!("skipped: mount: {error}");
            None
        }
    }
}

/// Whether a mount should work here: root, a loop device, and the file system in the kernel.
fn supports(kind: &str) -> bool {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.lines().any(|line| line.trim().rsplit('\t').next() == Some(kind))
        && Path::new("/dev/loop-control").exists()
        && rustix::process::geteuid().is_root()
}

impl Mounted {
    /// Where the root of the file system stands.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    /// Unmounts and waits for the loop device to be given up.
    pub(crate) fn unmount(self) {
        drop(self);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !super::unmount(self.directory.path()) {
            // Lazily, so that no test leaves a mount behind.
            let _ = Command::new("umount").arg("-l").arg(self.directory.path()).status();
        }
    }
}

/// A copy of an image as it stands now, mounted or not: what a power cut would leave.
pub(crate) fn snapshot(image: &Path, name: &str) -> PathBuf {
    let copy = image.with_file_name(name);
    let done = Command::new("cp").arg("--sparse=always").arg(image).arg(&copy).status().unwrap();
    assert!(done.success(), "copying {}", image.display());
    copy
}
