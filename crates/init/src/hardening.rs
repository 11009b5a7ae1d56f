//! Kernel settings that close what no tool needs, and the check that they are in force.
//!
//! Why each: `docs/threat-model.md`. They are set before the first module is loaded.

use std::fs;

use guard::{Layer, LayerState};

use crate::log::Problems;

/// Path below `/proc/sys`, value, and whether an older or smaller kernel may lack it.
const SETTINGS: [(&str, &str); 14] = [
    // No module is loaded because something asked the kernel for it by name.
    ("kernel/modprobe", ""),
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/io_uring_disabled", "2"),
    ("kernel/unprivileged_bpf_disabled", "2"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/core_pattern", ""),
    ("kernel/sysrq", "0"),
    ("kernel/yama/ptrace_scope", "2"),
    // Files in memory cannot be executed.
    ("vm/memfd_noexec", "2"),
    ("user/max_user_namespaces", "0"),
    ("fs/suid_dumpable", "0"),
    // An interface that is brought up would announce itself by IPv6 unasked.
    ("net/ipv6/conf/all/disable_ipv6", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    // The kernel's messages help the examiner (a dying disk) but not on top of the prompt.
    ("kernel/dmesg_restrict", "0"),
];

/// Names of code that must not be in the kernel.
const FORBIDDEN_MODULES: [&str; 14] = [
    "dm_mod",
    "md_mod",
    "raid0",
    "raid1",
    "raid10",
    "raid456",
    "bcache",
    "zfs",
    "xfs",
    "btrfs",
    "f2fs",
    "ntfs3",
    "loop",
    "efi_pstore",
];

/// Puts the settings in force.
pub(crate) fn apply(problems: &mut Problems) {
    for (name, value) in SETTINGS {
        problems.note(
            &format!("setting {name} to {value:?}"),
            fs::write(format!("/proc/sys/{name}"), format!("{value}\n")),
        );
    }
    let _quiet = fs::write("/proc/sys/kernel/printk", "3 4 1 3\n");
}

/// What the kernel says of the layers that are its own.
pub(crate) fn layers(modules_sealed: usize) -> Vec<Layer> {
    let kernel_line = read("/proc/cmdline");
    let lockdown = read("/sys/kernel/security/lockdown");
    let word = |word: &str| kernel_line.split_ascii_whitespace().any(|one| one == word);
    let modules = read("/proc/modules");
    let present = loaded_of(&modules);
    let swaps = read("/proc/swaps").lines().count().saturating_sub(1);
    let wrong: Vec<&str> = SETTINGS
        .iter()
        .filter(|(name, value)| read(&format!("/proc/sys/{name}")).trim() != *value)
        .map(|(name, _)| *name)
        .collect();
    vec![
        layer(
            "absent-code",
            present.is_empty() && swaps == 0,
            if present.is_empty() {
                format!(
                    "no device mapper, RAID, swap or evidence file system; {modules_sealed} modules on the sealed list"
                )
            } else {
                format!("in the kernel: {}", present.join(" "))
            },
        ),
        layer(
            "kernel-line",
            word("nohibernate") && lockdown.contains("[integrity]")
                || lockdown.contains("[confidentiality]"),
            format!(
                "nohibernate {}, lockdown {}",
                if word("nohibernate") { "set" } else { "MISSING" },
                lockdown.trim()
            ),
        ),
        layer(
            "kernel-settings",
            wrong.is_empty(),
            if wrong.is_empty() {
                format!("{} settings in force", SETTINGS.len())
            } else {
                format!("not in force: {}", wrong.join(" "))
            },
        ),
    ]
}

/// Builds one line of the status.
pub(crate) fn layer(name: &str, holds: bool, detail: String) -> Layer {
    let state = if holds { LayerState::Active } else { LayerState::Failed };
    Layer { name: name.to_owned(), state, detail }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn loaded_of(modules: &str) -> Vec<&str> {
    modules
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().next())
        .filter(|name| FORBIDDEN_MODULES.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidden_code_is_seen() {
        let modules = "ahci 1 0 - Live 0x0\nmd_mod 1 0 - Live 0x0\nlibata 1 1 ahci, Live 0x0\n";
        assert_eq!(loaded_of(modules), ["md_mod"]);
        assert!(loaded_of("ahci 1 0 - Live 0x0\n").is_empty());
    }
}
