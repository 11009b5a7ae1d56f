//! Makes the sample disk and looks at it with tools of the host; needs QEMU and a Debian mirror.

use std::process::Command;

/// Vouched for by independent tools: `blkid` and `dumpe2fs` (dirty), `debugfs` (traces).
#[test]
fn the_sample_is_dirty_and_has_its_traces() {
    if std::env::var("GLOVEBOX_VM").is_err() {
        eprintln!("skipped: GLOVEBOX_VM is not set");
        return;
    }
    let disk = machine::sample::disk().unwrap_or_else(|e| panic!("{}", e.chain()));
    eprintln!("sample disk: {}", disk.display());
    let dir = tempfile::tempdir().expect("temporary folder");
    let root = dir.path().join("root.img");
    let copy = format!(
        "dd if={} of={} bs=1M skip=65 conv=sparse status=none",
        disk.display(),
        root.display()
    );
    assert!(Command::new("sh").args(["-c", &copy]).status().expect("dd").success());
    let say = |tool: &str, arguments: &[&str]| {
        let out = Command::new(tool).args(arguments).arg(&root).output().expect("tool");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(say("dumpe2fs", &["-h"]).contains("needs_recovery"), "the journal is clean");
    for trace in ["/etc/ld.so.preload", "/root/.ssh/authorized_keys", "/usr/sbin/sshd", "/autorun"]
    {
        let text = say("debugfs", &["-R", &format!("stat {trace}")]);
        assert!(text.contains("Inode:"), "{trace} is not there");
    }
    let marker = machine::sample::CANARY.as_bytes();
    let bytes = std::fs::read(&root).expect("read");
    assert!(!bytes.windows(marker.len()).any(|w| w == marker), "the marker lies on the disk");
}
