//! Changes an intruder with root makes, each at a place of its own, so that all can stand on one system together.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

mod others;

pub(crate) use others::others;

/// One change.
pub(crate) struct Tamper {
    pub(crate) name: &'static str,
    /// Makes it; false where this machine cannot.
    pub(crate) make: fn(&Path) -> bool,
    /// Rules and paths (patterns) that must be told.
    pub(crate) expect: &'static [(&'static str, &'static str)],
    /// Only the manifest of a fresh install can tell it.
    pub(crate) needs_golden: bool,
    /// What of it debsums and `dpkg --verify` would have to name.
    pub(crate) named: &'static str,
}

const fn plain(
    name: &'static str,
    named: &'static str,
    expect: &'static [(&'static str, &'static str)],
    make: fn(&Path) -> bool,
) -> Tamper {
    Tamper { name, make, expect, needs_golden: false, named }
}

fn append(path: PathBuf, bytes: &[u8]) -> bool {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
    true
}

fn put(path: PathBuf, bytes: &[u8], mode: u32) -> bool {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    true
}

fn mode(path: PathBuf, mode: u32) -> bool {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    true
}

fn replace(path: PathBuf, target: &str) -> bool {
    let _ = fs::remove_file(&path);
    symlink(target, path).unwrap();
    true
}

fn md5(path: &Path) -> String {
    let out = Command::new("md5sum").arg(path).output().unwrap();
    String::from_utf8(out.stdout).unwrap()[..32].to_owned()
}

fn tool(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

/// The first file below `folder` whose name fits.
fn first(root: &Path, folder: &str, pattern: &str) -> PathBuf {
    let out = Command::new("find")
        .arg(root.join(folder))
        .args(["-type", "f", "-name"])
        .arg(pattern)
        .output();
    let text = String::from_utf8(out.unwrap().stdout).unwrap();
    let mut paths: Vec<&str> = text.lines().collect();
    paths.sort_unstable();
    PathBuf::from(paths[0])
}

pub(crate) fn all() -> Vec<Tamper> {
    let mut all = vec![
        // The twelve of the research.
        plain(
            "passwd altered, its MD5 with it",
            "/usr/bin/passwd",
            &[("GBV-0101", "/usr/bin/passwd"), ("GBV-0501", "/var/lib/dpkg/info/passwd.md5sums")],
            |root| {
                let list = root.join("var/lib/dpkg/info/passwd.md5sums");
                let old = md5(&root.join("usr/bin/passwd"));
                append(root.join("usr/bin/passwd"), b"x");
                let text = fs::read_to_string(&list).unwrap();
                fs::write(list, text.replace(&old, &md5(&root.join("usr/bin/passwd")))).unwrap();
                true
            },
        ),
        plain("login altered", "/bin/login", &[("GBV-0101", "/usr/bin/login")], |root| {
            append(root.join("usr/bin/login"), b"x")
        }),
        plain(
            "ls altered, list of MD5 deleted",
            "/bin/ls",
            &[("GBV-0101", "/usr/bin/ls"), ("GBV-0108", "/var/lib/dpkg/info/coreutils.md5sums")],
            |root| {
                fs::remove_file(root.join("var/lib/dpkg/info/coreutils.md5sums")).unwrap();
                append(root.join("usr/bin/ls"), b"x")
            },
        ),
        plain("set-user-ID on find", "/usr/bin/find", &[("GBV-0104", "/usr/bin/find")], |root| {
            mode(root.join("usr/bin/find"), 0o4755)
        }),
        plain(
            "group of chage changed",
            "/usr/bin/chage",
            &[("GBV-0105", "/usr/bin/chage")],
            |root| {
                chown(root.join("usr/bin/chage"), None, Some(33)).unwrap();
                // The kernel takes set-group-ID away with the group.
                mode(root.join("usr/bin/chage"), 0o2755)
            },
        ),
        plain("last deleted", "/usr/bin/last", &[("GBV-0108", "/usr/bin/last")], |root| {
            fs::remove_file(root.join("usr/bin/last")).unwrap();
            true
        }),
        plain(
            "capability on perl",
            "/usr/bin/perl",
            &[("GBV-0107", "/usr/bin/perl"), ("GBV-0107", "/usr/bin/perl5*")],
            |root| {
                let perl = root.join("usr/bin/perl");
                let value = [1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                rustix::fs::setxattr(
                    perl,
                    "security.capability",
                    &value,
                    rustix::fs::XattrFlags::empty(),
                )
                .is_ok()
            },
        ),
        plain(
            "link of libz leads elsewhere",
            "libz.so.1",
            &[("GBV-0106", "/usr/lib/x86_64-linux-gnu/libz.so.1")],
            |root| replace(root.join("usr/lib/x86_64-linux-gnu/libz.so.1"), "/tmp/libz.so.1"),
        ),
        plain(
            "ld.so.preload",
            "/etc/ld.so.preload",
            &[("GBV-0301", "/etc/ld.so.preload")],
            |root| put(root.join("etc/ld.so.preload"), b"/usr/lib/libx.so\n", 0o644),
        ),
        plain("rogue program", "/usr/bin/kworkerd", &[("GBV-0302", "/usr/bin/kworkerd")], |root| {
            put(root.join("usr/bin/kworkerd"), b"\x7fELF", 0o755)
        }),
        plain(
            "rogue unit",
            "rogue.service",
            &[
                ("GBV-0301", "/etc/systemd/system/rogue.service"),
                ("GBV-0401", "/etc/systemd/system/multi-user.target.wants/rogue.service"),
            ],
            |root| {
                put(
                    root.join("etc/systemd/system/rogue.service"),
                    b"[Service]\nExecStart=/x\n",
                    0o644,
                );
                let link = "etc/systemd/system/multi-user.target.wants/rogue.service";
                replace(root.join(link), "/etc/systemd/system/rogue.service")
            },
        ),
        plain(
            "bash.bashrc edited",
            "/etc/bash.bashrc",
            &[("GBV-0201", "/etc/bash.bashrc")],
            |root| append(root.join("etc/bash.bashrc"), b"/x &\n"),
        ),
        // Ours.
        plain(
            "rogue program, package database edited to match",
            "/usr/bin/grepd",
            &[
                ("GBV-0302", "/usr/bin/grepd"),
                ("GBV-0502", "/var/lib/dpkg/info/grep.list"),
                ("GBV-0501", "/var/lib/dpkg/info/grep.md5sums"),
            ],
            |root| {
                put(root.join("usr/bin/grepd"), b"#!/bin/sh\n", 0o755);
                append(root.join("var/lib/dpkg/info/grep.list"), b"/usr/bin/grepd\n");
                let line = format!("{}  usr/bin/grepd\n", md5(&root.join("usr/bin/grepd")));
                append(root.join("var/lib/dpkg/info/grep.md5sums"), line.as_bytes())
            },
        ),
        plain(
            "hard link to a set-id program",
            "/var/tmp/su",
            &[("GBV-0110", "/usr/bin/su"), ("GBV-0303", "/var/tmp/su")],
            |root| fs::hard_link(root.join("usr/bin/su"), root.join("var/tmp/su")).is_ok(),
        ),
        plain("access list only", "/usr/bin/env", &[("GBV-0107", "/usr/bin/env")], |root| {
            // Version 2; owner rwx, user 33 rwx, group r-x, mask rwx, others r-x. The mask shows as the group's mode.
            let mut value = vec![2, 0, 0, 0];
            for (tag, permissions, id) in [
                (1_u16, 7_u16, u32::MAX),
                (2, 7, 33),
                (4, 5, u32::MAX),
                (16, 5, u32::MAX),
                (32, 5, u32::MAX),
            ] {
                value.extend(tag.to_le_bytes());
                value.extend(permissions.to_le_bytes());
                value.extend(id.to_le_bytes());
            }
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(root.join("usr/bin/env"), "system.posix_acl_access", &value, flags)
                .is_ok()
        }),
        plain(
            "directory replaced by a link",
            "/usr/share/pam",
            &[
                ("GBV-0102", "/usr/share/pam"),
                ("GBV-0108", "/usr/share/pam/*"),
                ("GBV-0301", "/opt/pam/*"),
            ],
            |root| {
                fs::rename(root.join("usr/share/pam"), root.join("opt/pam")).unwrap();
                replace(root.join("usr/share/pam"), "/opt/pam")
            },
        ),
        plain("file under a mount point", "/proc/x", &[("GBV-0302", "/proc/x")], |root| {
            put(root.join("proc/x"), b"#!/bin/sh\n", 0o755)
        }),
        plain("immutable mark", "/etc/crontab", &[("GBV-0109", "/etc/crontab")], |root| {
            tool("chattr", &["+i", root.join("etc/crontab").to_str().unwrap()])
        }),
        plain(
            "program added to the boot image",
            "initrd",
            &[("GBV-0701", "/boot/initrd.img-*")],
            |root| {
                let image = first(root, "boot", "initrd.img-*");
                let tree = root.join("var/tmp/member");
                put(tree.join("scripts/init-top/x"), b"#!/bin/sh\n/x\n", 0o755);
                let made = Command::new("sh")
                    .arg("-c")
                    .arg(format!(
                        "cd {} && find . -type f | cpio -o -H newc --quiet >> {}",
                        tree.display(),
                        image.display()
                    ))
                    .status();
                fs::remove_dir_all(tree).unwrap();
                made.is_ok_and(|status| status.success())
                    && Command::new("cpio").arg("--version").output().is_ok()
            },
        ),
        plain(
            "identical bytes, other owner",
            "/usr/bin/sort",
            &[("GBV-0105", "/usr/bin/sort")],
            |root| {
                chown(root.join("usr/bin/sort"), Some(1000), None).unwrap();
                true
            },
        ),
        plain(
            "maintainer script altered",
            "dash.postinst",
            &[("GBV-0501", "/var/lib/dpkg/info/dash.postinst")],
            |root| append(root.join("var/lib/dpkg/info/dash.postinst"), b"/x\n"),
        ),
        plain(
            "maintainer script planted",
            "dash.prerm",
            &[("GBV-0302", "/var/lib/dpkg/info/coreutils.prerm")],
            |root| put(root.join("var/lib/dpkg/info/coreutils.prerm"), b"#!/bin/sh\n/x\n", 0o755),
        ),
        plain(
            "alternative leads elsewhere",
            "awk",
            &[("GBV-0401", "/etc/alternatives/awk"), ("GBV-0401", "/usr/bin/awk")],
            |root| replace(root.join("etc/alternatives/awk"), "/var/tmp/awk"),
        ),
        plain(
            "diversion",
            "diversions",
            &[
                ("GBV-0503", "/var/lib/dpkg/diversions"),
                ("GBV-0101", "/usr/bin/id"),
                ("GBV-0302", "/usr/bin/id.real"),
            ],
            |root| {
                fs::copy(root.join("usr/bin/id"), root.join("usr/bin/id.real")).unwrap();
                append(root.join("usr/bin/id"), b"x");
                let lines = b"/usr/bin/id\n/usr/bin/id.real\ndash\n";
                append(root.join("var/lib/dpkg/diversions"), lines)
            },
        ),
        plain("everybody may write", "/usr/bin/mv", &[("GBV-0103", "/usr/bin/mv")], |root| {
            mode(root.join("usr/bin/mv"), 0o777)
        }),
        plain("device file", "/var/lib/x", &[("GBV-0304", "/var/lib/x")], |root| {
            tool("mknod", &[root.join("var/lib/x").to_str().unwrap(), "b", "8", "0"])
        }),
        plain(
            "configuration file deleted",
            "/etc/logrotate.conf",
            &[("GBV-0202", "/etc/logrotate.conf")],
            |root| fs::remove_file(root.join("etc/logrotate.conf")).is_ok(),
        ),
        plain("package nobody signed", "rogue", &[("GBV-0601", "/var/lib/dpkg/status")], |root| {
            let text =
                b"\nPackage: zz-rogue\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n";
            append(root.join("var/lib/dpkg/status"), text)
        }),
        plain(
            "library nobody loads yet",
            "libx.so.1",
            &[("GBV-0302", "/usr/lib/x86_64-linux-gnu/libx.so.1")],
            |root| put(root.join("usr/lib/x86_64-linux-gnu/libx.so.1"), b"\x7fELF", 0o644),
        ),
        plain("kernel module", "x.ko", &[("GBV-0302", "/usr/lib/modules/*/x.ko")], |root| {
            let kernel =
                fs::read_dir(root.join("usr/lib/modules")).unwrap().next().unwrap().unwrap();
            put(kernel.path().join("x.ko"), b"\x7fELF", 0o644)
        }),
        plain(
            "program among data",
            "/var/lib/misc/x",
            &[("GBV-0302", "/var/lib/misc/x")],
            |root| put(root.join("var/lib/misc/x"), b"#!/bin/sh\n", 0o644),
        ),
        plain("set-id program at home", "/root/sh", &[("GBV-0303", "/root/sh")], |root| {
            put(root.join("root/sh"), b"\x7fELF", 0o4755)
        }),
        plain(
            "compiled Python without its source",
            "x.pyc",
            &[("GBV-0801", "/usr/lib/python3/dist-packages/__pycache__/x.cpython-311.pyc")],
            |root| {
                put(
                    root.join("usr/lib/python3/dist-packages/__pycache__/x.cpython-311.pyc"),
                    &[0; 64],
                    0o644,
                )
            },
        ),
    ];
    all.push(Tamper {
        name: "compiled Python altered behind its header",
        named: ".pyc",
        needs_golden: true,
        expect: &[("GBV-0802", "/usr/lib/python3.11/__pycache__/abc.cpython-311.pyc")],
        make: |root| append(root.join("usr/lib/python3.11/__pycache__/abc.cpython-311.pyc"), b"x"),
    });
    all
}

/// Takes away what would keep the copy from being deleted.
pub(crate) fn clear(root: &Path) {
    let crontab = root.join("etc/crontab");
    if crontab.symlink_metadata().is_ok_and(|found| found.mode() > 0) {
        let _ = tool("chattr", &["-i", crontab.to_str().unwrap()]);
    }
}
