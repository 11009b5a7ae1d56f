//! Rules on a folder that looks like a host: what no test may do to the machine it runs on. Only we vouch for the layout,
//! which is that of proc(5); the same rules on a real kernel: `live` of the program's tests, and the scenario `live/`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use live::{Copies, Host, Layout, ModuleLoading, Nowhere, Options, Report};

fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A process with the namespaces of the host.
fn process(root: &Path, pid: u32, name: &str, flags: u64) {
    let below = format!("proc/{pid}");
    let stat =
        format!("{pid} ({name}) S 1 {pid} {pid} 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0");
    put(root, &format!("{below}/stat"), &stat);
    put(
        root,
        &format!("{below}/status"),
        "Uid:\t0\t0\t0\t0\nCapEff:\t0\nTracerPid:\t0\nTgid:\t1\n",
    );
    put(root, &format!("{below}/cmdline"), &format!("{name}\0"));
    put(root, &format!("{below}/task/{pid}/children"), "");
    put(root, &format!("{below}/cgroup"), "0::/init.scope\n");
    fs::create_dir_all(root.join(&below).join("ns")).unwrap();
    for kind in ["mnt", "net", "pid", "user"] {
        symlink(format!("{kind}:[1]"), root.join(&below).join("ns").join(kind)).unwrap();
    }
}

fn host(root: &Path) {
    process(root, 1, "init", 0);
    process(root, 2, "kthreadd", 0x20_8040);
    put(root, "proc/1/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    put(root, "proc/modules", "ext4 100 1 - Live 0x0\n");
    put(root, "sys/module/ext4/initstate", "live\n");
    put(root, "sys/module/printk/parameters/time", "Y\n");
    put(root, "proc/kallsyms", "0 T do_exit\n0 t ext4_read\t[ext4]\n0 t bpf_prog_1\t[bpf]\n");
    put(root, "proc/sys/kernel/tainted", "0\n");
    put(root, "proc/sys/kernel/hostname", "folder\n");
    put(root, "proc/sys/kernel/core_pattern", "core\n");
    put(root, "proc/sys/kernel/modprobe", "/sbin/modprobe\n");
    put(root, "sys/fs/cgroup/cgroup.procs", "1\n2\n");
    put(root, "sys/kernel/tracing/enabled_functions", "");
}

fn look(root: &Path) -> Report {
    let options = Options {
        now: "2026-01-01T00:00:00Z".to_owned(),
        copies: Copies::None,
        modules: ModuleLoading::Avoided,
        pause: None,
        layout: Layout::Lines,
        largest_hashed_bytes: 1 << 20,
    };
    live::collect(&Host::folder(root), &options, &mut Nowhere).unwrap().report
}

fn rules(report: &Report) -> BTreeSet<&str> {
    report.findings.iter().map(|one| one.rule.as_str()).collect()
}

#[test]
fn a_clean_host_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path());
    let report = look(folder.path());
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!((report.coverage.processes, report.coverage.modules), (2, 1));
}

/// What is planted, and the one rule it must give.
type Plant = (&'static str, fn(&Path));

#[test]
fn each_plant_gives_its_finding_and_no_other() {
    let plants: [Plant; 13] = [
        ("GBX-LIVE-0101", |root| put(root, "sys/fs/cgroup/a/cgroup.procs", "66\n")),
        ("GBX-LIVE-0102", |root| {
            process(root, 77, "sshd", 0);
            put(root, "proc/1/mountinfo", "30 22 0:9 /5 /proc/77 rw - proc proc rw\n");
        }),
        ("GBX-LIVE-0203", |root| process(root, 78, "kworker/0:1", 0)),
        ("GBX-LIVE-0208", |root| put(root, "etc/ld.so.preload", "/lib/libx.so\n")),
        ("GBX-LIVE-0401", |root| put(root, "sys/module/hider/initstate", "live\n")),
        ("GBX-LIVE-0401", |root| {
            put(root, "proc/modules", "ext4 1\nhider 100 0 - Live 0x0 (OE)\n")
        }),
        ("GBX-LIVE-0402", |root| put(root, "proc/sys/kernel/tainted", "12288\n")),
        ("GBX-LIVE-0403", |root| {
            put(root, "sys/kernel/tracing/enabled_functions", "x64_sys_getdents64 (1) R I\n");
        }),
        ("GBX-LIVE-0405", |root| put(root, "proc/sys/kernel/core_pattern", "|/dev/shm/x %p\n")),
        ("GBX-LIVE-0406", |root| {
            put(
                root,
                "proc/self/mountinfo",
                "9 8 0:7 / /proc/sys/fs/binfmt_misc rw - binfmt_misc b rw\n",
            );
            put(root, "proc/sys/fs/binfmt_misc/x", "enabled\ninterpreter /tmp/i\nflags: OC\n");
        }),
        ("GBX-LIVE-0601", |root| {
            put(root, "proc/1/mountinfo", "30 22 8:1 /x /proc/net/tcp rw - ext4 /dev/sda1 rw\n");
        }),
        ("GBX-LIVE-0701", |root| {
            put(root, "run/systemd/transient/a.service", "[Service]\nExecStart=/dev/shm/x\n");
        }),
        ("GBX-LIVE-0702", |root| put(root, "dev/shm/.x", "\u{7f}ELF")),
    ];
    for (rule, plant) in plants {
        let folder = tempfile::tempdir().unwrap();
        host(folder.path());
        // Kernel threads have no program; one that poses as one has.
        plant(folder.path());
        if rule == "GBX-LIVE-0203" {
            symlink("/usr/bin/perl", folder.path().join("proc/78/exe")).unwrap();
        }
        let report = look(folder.path());
        assert_eq!(rules(&report), BTreeSet::from([rule]), "{:#?}", report.findings);
        let one = &report.findings[0];
        assert_eq!(one.finding_id.len(), 16);
        assert!(!one.why.is_empty() && !one.verify_by_hand.is_empty());
        // The same host gives the same report.
        assert_eq!(report, look(folder.path()));
    }
}

/// Bytes of a host are hostile: nothing it says may stop the rest.
#[test]
fn nonsense_in_every_file_stops_nothing() {
    let mut state = 1_u64;
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        host(folder.path());
        for name in [
            "proc/1/stat",
            "proc/1/status",
            "proc/1/cgroup",
            "proc/1/mountinfo",
            "proc/modules",
            "proc/kallsyms",
            "proc/1/net/tcp",
            "proc/1/net/unix",
            "proc/1/net/packet",
            "run/utmp",
            "sys/fs/cgroup/cgroup.procs",
            "proc/1/maps",
            "proc/1/environ",
            "etc/ld.so.preload",
        ] {
            let noise: Vec<u8> = (0..round * 21)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                    let letters = b" \t\n()[]:/-0123456789abcdefx\\\0\xff\x1b";
                    letters[(state >> 33) as usize % letters.len()]
                })
                .collect();
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, noise).unwrap();
        }
        let report = look(folder.path());
        let text = serde_json::to_string(&report).unwrap();
        assert!(!text.contains("\\u001b"), "an escape reached the report");
    }
}
