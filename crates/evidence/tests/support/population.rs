//! An awkward tree: what readers of file systems trip over, planted into a mounted file system or a plain folder.

use super::Random;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, XattrFlags, utimensat};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

/// What a kind of file system can hold.
#[derive(Clone, Copy)]
pub(crate) struct Abilities {
    /// Names in the directory of many names.
    pub(crate) many: usize,
    /// Names of any bytes but `/` and NUL, 255 bytes long.
    pub(crate) any_bytes: bool,
    /// Owners, modes, links, devices, sockets.
    pub(crate) unix: bool,
    /// Extended attributes, as large as this many bytes; 0 for none.
    pub(crate) xattr_bytes: usize,
    /// First and last second that can be recorded.
    pub(crate) times: (i64, i64),
}

impl Abilities {
    /// What the file systems of Linux can.
    pub(crate) const LINUX: Self = Self {
        many: 3000,
        any_bytes: true,
        unix: true,
        xattr_bytes: 3000,
        times: (-(1 << 31), (1 << 34) - (1 << 31) - 1),
    };
}

/// Plants everything `abilities` allow below `root`.
pub(crate) fn plant(root: &Path, abilities: Abilities) {
    contents(root);
    names(root, abilities);
    if abilities.unix {
        unix(root);
    }
    if abilities.xattr_bytes > 0 {
        attributes(root, abilities.xattr_bytes);
    }
    times(root, abilities.times);
}

fn contents(root: &Path) {
    let at = |name: &str| root.join(name);
    std::fs::write(at("empty"), "").unwrap();
    std::fs::write(at("tiny"), "0123456789").unwrap();
    std::fs::write(at("block"), Random(2).bytes(4096)).unwrap();
    std::fs::write(at("odd"), Random(3).bytes(70_001)).unwrap();
    std::fs::write(at("large"), Random(4).bytes(5_000_003)).unwrap();
    std::fs::write(at("text"), "the same line again\n".repeat(50_000)).unwrap();
    std::fs::write(at("zeros"), vec![0; 300_000]).unwrap();
    let sparse = std::fs::File::create(at("sparse")).unwrap();
    for (offset, text) in [(9_000_000, "end"), (5_000_000, "middle"), (65_536, "start")] {
        sparse.write_at(text.as_bytes(), offset).unwrap();
    }
    std::fs::File::create(at("hole")).unwrap().set_len(3_000_001).unwrap();
    // Written in turns, so that their extents are many and interleaved.
    let torn = [
        std::fs::File::create(at("torn-a")).unwrap(),
        std::fs::File::create(at("torn-b")).unwrap(),
    ];
    for piece in 0..60_u64 {
        for (number, file) in torn.iter().enumerate() {
            let bytes = Random(piece * 2 + number as u64 + 1).bytes(8192);
            file.write_at(&bytes, piece * 24_576).unwrap();
            file.sync_data().unwrap();
        }
    }
    let preallocated = std::fs::File::create(at("preallocated")).unwrap();
    preallocated.write_at(b"begin", 0).unwrap();
    // Not every file system can; then it is an ordinary small file.
    let _ = rustix::fs::fallocate(&preallocated, rustix::fs::FallocateFlags::empty(), 0, 500_000);
}

fn names(root: &Path, abilities: Abilities) {
    let mut deep = root.join("deep");
    for level in 0..40 {
        deep.push(format!("level-{level}"));
    }
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("bottom"), "deep").unwrap();
    std::fs::create_dir(root.join("nothing-in-it")).unwrap();
    let many = root.join("many");
    std::fs::create_dir(&many).unwrap();
    for index in 0..abilities.many {
        std::fs::write(many.join(format!("name-number-{index:06}")), "").unwrap();
    }
    for index in (0..abilities.many).step_by(7) {
        std::fs::remove_file(many.join(format!("name-number-{index:06}"))).unwrap();
    }
    std::fs::write(root.join("näme with ünicode \u{1f512}"), "unicode").unwrap();
    if abilities.any_bytes {
        std::fs::write(root.join(OsStr::from_bytes(b"raw \x1b[31m\xff\xfe \n end ")), "odd")
            .unwrap();
        std::fs::write(root.join("n".repeat(255)), "long").unwrap();
        std::fs::write(root.join(OsStr::from_bytes(&[0xc3; 255])), "longest, and no text").unwrap();
    }
}

fn unix(root: &Path) {
    let at = |name: &str| root.join(name);
    symlink("tiny", at("short-link")).unwrap();
    symlink("x".repeat(59), at("link-59")).unwrap();
    symlink("x".repeat(60), at("link-60")).unwrap();
    symlink(format!("{}/y", "x".repeat(900)), at("long-link")).unwrap();
    symlink("y".repeat(1023), at("longest-link")).unwrap();
    symlink("/etc/../../../etc/hostname", at("climbing-link")).unwrap();
    symlink("loop-b", at("loop-a")).unwrap();
    symlink("loop-a", at("loop-b")).unwrap();
    for name in ["hard-1", "hard-2", "deep/hard-3"] {
        std::fs::hard_link(at("odd"), at(name)).unwrap();
    }
    let modes = [("setuid", 0o4755), ("setgid", 0o2711), ("sticky", 0o1777), ("none", 0)];
    for (name, mode) in modes {
        std::fs::write(at(name), name).unwrap();
        std::fs::set_permissions(at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    std::fs::write(at("owned"), "by others").unwrap();
    // Only root may give files away or make devices; as another user they stay plain.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(at("owned"), Some(70_000), Some(4_000_000_000)).unwrap();
        let nodes = [
            ("fifo", rustix::fs::FileType::Fifo, (0, 0)),
            ("socket", rustix::fs::FileType::Socket, (0, 0)),
            ("disk", rustix::fs::FileType::BlockDevice, (8, 17)),
            ("large-numbers", rustix::fs::FileType::CharacterDevice, (300, 70_000)),
        ];
        for (name, kind, (major, minor)) in nodes {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(CWD, at(name), kind, 0o640.into(), device).unwrap();
        }
    }
}

fn attributes(root: &Path, largest: usize) {
    let file = root.join("attributes");
    std::fs::write(&file, "attributed").unwrap();
    let guarded = root.join("guarded");
    std::fs::write(&guarded, "guarded").unwrap();
    let set_on = |path: &Path, name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    let set = |name: &str, value: &[u8]| set_on(&file, name, value);
    set("user.empty", b"");
    set("user.small", b"value");
    set("user.binary", &[0, 1, 2, 255]);
    set("user.large", &Random(9).bytes(largest));
    for index in 0..8 {
        set(&format!("user.number-{index:02}-{}", "n".repeat(index)), &[index as u8; 20]);
    }
    // An access list and a capability as the kernel itself stores them: version 2, one user entry; cap_net_raw=ep.
    if rustix::process::geteuid().is_root() {
        let mut acl = vec![2, 0, 0, 0];
        for (tag, permissions, id) in [
            (1_u16, 6_u16, u32::MAX),
            (2, 4, 1234),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 4, u32::MAX),
        ] {
            acl.extend(tag.to_le_bytes());
            acl.extend(permissions.to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
        set_on(&guarded, "system.posix_acl_access", &acl);
        let mut capability = vec![1, 0, 0, 2];
        capability.extend((1_u32 << 13).to_le_bytes());
        capability.extend([0; 12]);
        set_on(&guarded, "security.capability", &capability);
        set_on(&guarded, "trusted.glovebox", b"only root sees this");
        set_on(&guarded, "security.selinux", b"system_u:object_r:bin_t:s0\0");
    }
}

fn times(root: &Path, (first, last): (i64, i64)) {
    let moments = [
        ("time-1901", first, 0),
        ("time-1969", -1, 999_999_999),
        ("time-epoch", 0, 1),
        ("time-2038", 1 << 31, 123_456_789),
        ("time-2106", (1 << 32) + 5, 999_999_999),
        ("time-last", last, 500_000_000),
    ];
    for (name, seconds, nanoseconds) in moments {
        let path = root.join(name);
        std::fs::write(&path, name).unwrap();
        if seconds < first || seconds > last {
            continue;
        }
        let moment = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let both = Timestamps { last_access: moment, last_modification: moment };
        utimensat(CWD, &path, &both, AtFlags::empty()).unwrap();
    }
}
