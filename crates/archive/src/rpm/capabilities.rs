//! Capabilities of files, from rpm's text to the attribute that the kernel keeps.
//!
//! The text is that of cap_to_text(3), such as `cap_net_raw=ep` or `= cap_chown,cap_kill+ei`; the attribute is
//! `vfs_cap_data` of version 2 (Linux, include/uapi/linux/capability.h).

/// Capabilities by their numbers (include/uapi/linux/capability.h), without `cap_` in front.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];
/// All of them.
const ALL: u64 = (1 << 41) - 1;
/// Version 2 of the attribute.
const VERSION: u32 = 0x0200_0000;
/// The program has its permitted capabilities from the start.
const EFFECTIVE: u32 = 1;

/// Sets of capabilities, a bit each.
#[derive(Default)]
struct Sets {
    effective: u64,
    permitted: u64,
    inheritable: u64,
}

impl Sets {
    fn of(&mut self, flag: u8) -> Option<&mut u64> {
        match flag {
            b'e' => Some(&mut self.effective),
            b'p' => Some(&mut self.permitted),
            b'i' => Some(&mut self.inheritable),
            _ => None,
        }
    }
}

fn named(word: &str) -> Option<u64> {
    if word.is_empty() || word == "all" {
        return Some(ALL);
    }
    let name = word.strip_prefix("cap_")?;
    let number = NAMES.iter().position(|one| *one == name)?;
    1_u64.checked_shl(u32::try_from(number).ok()?)
}

/// The value of `security.capability` for a text; empty for none. `None` when the text makes no sense.
#[must_use]
pub fn to_attribute(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut sets = Sets::default();
    for clause in text.split_ascii_whitespace() {
        let at = clause.find(['=', '+', '-'])?;
        let (names, mut rest) = clause.split_at(at);
        let bits = names.split(',').try_fold(0_u64, |all, word| Some(all | named(word)?))?;
        while let Some(operator) = rest.chars().next() {
            let flags = rest.get(1..)?;
            let end = flags.find(['=', '+', '-']).unwrap_or(flags.len());
            let (flags, further) = flags.split_at(end);
            if operator == '=' {
                for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
                    *set &= !bits;
                }
            }
            for flag in flags.bytes() {
                let set = sets.of(flag)?;
                *set = if operator == '-' { *set & !bits } else { *set | bits };
            }
            rest = further;
        }
    }
    if sets.permitted | sets.inheritable == 0 {
        return Some(Vec::new());
    }
    let head = VERSION | if sets.effective == 0 { 0 } else { EFFECTIVE };
    let [permitted, inheritable] = [sets.permitted, sets.inheritable].map(u64::to_le_bytes);
    let (low, high) = (permitted.split_at(4), inheritable.split_at(4));
    Some([&head.to_le_bytes()[..], low.0, high.0, low.1, high.1].concat())
}
