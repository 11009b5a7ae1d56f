//! Owners and modes that Debian's packages set with their scripts, so that no archive of files records them.
//!
//! Each line was read in the package's own maintainer script or `tmpfiles.d` file. The group is by name because its number
//! is given out on each system; that name is looked up on the system examined, which can only make a right narrower or
//! belong to a group of the same name.

use std::collections::HashMap;

use archive::store::Item;

use crate::inventory::Inventory;

/// Path, mode, owner, group.
type Line = (&'static str, u32, &'static str, &'static str);

const LINES: &[Line] = &[
    ("/usr/lib/dbus-1.0/dbus-daemon-launch-helper", 0o4754, "root", "messagebus"),
    ("/usr/bin/crontab", 0o2755, "root", "crontab"),
    ("/usr/bin/ssh-agent", 0o2755, "root", "_ssh"),
    ("/usr/bin/dotlockfile", 0o2755, "root", "mail"),
    ("/usr/bin/bsd-write", 0o2755, "root", "tty"),
    ("/usr/bin/wall", 0o2755, "root", "tty"),
    ("/usr/bin/write.ul", 0o2755, "root", "tty"),
    ("/usr/bin/screen", 0o2755, "root", "utmp"),
    ("/usr/bin/locate", 0o2755, "root", "plocate"),
    ("/usr/bin/plocate", 0o2755, "root", "plocate"),
    ("/usr/lib/x86_64-linux-gnu/utempter/utempter", 0o2755, "root", "utmp"),
    ("/var/spool/cron/crontabs", 0o1730, "root", "crontab"),
    ("/var/log/journal", 0o2755, "root", "systemd-journal"),
    ("/var/log/apt", 0o755, "root", "root"),
    ("/var/mail", 0o2775, "root", "mail"),
    ("/var/local", 0o2775, "root", "staff"),
    ("/etc/polkit-1/rules.d", 0o750, "root", "polkitd"),
    ("/etc/polkit-1/rules.d", 0o700, "polkitd", "root"),
    ("/usr/share/polkit-1/rules.d", 0o755, "root", "root"),
    ("/usr/share/polkit-1/rules.d", 0o700, "polkitd", "root"),
    ("/var/lib/polkit-1", 0o700, "polkitd", "polkitd"),
    ("/var/lib/polkit-1", 0o700, "polkitd", "root"),
    ("/etc/credstore", 0o700, "root", "root"),
    ("/etc/credstore.encrypted", 0o700, "root", "root"),
    ("/etc/sudoers", 0o440, "root", "root"),
    ("/usr/lib/polkit-1/polkit-agent-helper-1", 0o4755, "root", "root"),
    ("/var/lib/NetworkManager", 0o700, "root", "root"),
    ("/var/cache/apt/archives/partial", 0o700, "root", "root"),
    ("/var/cache/apt/archives/partial", 0o700, "_apt", "root"),
    ("/var/lib/apt/lists/partial", 0o700, "root", "root"),
    ("/var/lib/apt/lists/partial", 0o700, "_apt", "root"),
    ("/var/log/unattended-upgrades", 0o750, "root", "adm"),
    ("/var/spool/rsyslog", 0o700, "root", "root"),
    ("/etc/ppp/peers", 0o2750, "root", "dip"),
    ("/etc/chatscripts", 0o2750, "root", "dip"),
    ("/usr/sbin/pppd", 0o4754, "root", "dip"),
    ("/etc/ssl/private", 0o710, "root", "ssl-cert"),
    ("/var/lib/postgresql", 0o755, "postgres", "postgres"),
    ("/etc/postgresql", 0o755, "postgres", "postgres"),
];

/// Directories that scripts replace by links: `base-files` moves what is kept while the system runs.
const LINKS: [(&str, &str); 2] = [("/var/run", "/run"), ("/var/lock", "/run/lock")];

/// Whether a script of the vendor makes this very link in place of a directory.
pub(crate) fn is_scripted_link(path: &[u8], target: &[u8]) -> bool {
    LINKS.iter().any(|(own, to)| own.as_bytes() == path && to.as_bytes() == target)
}

/// Capabilities that scripts set on programs: path, and the value the kernel keeps (version 2, effective).
const CAPABILITIES: &[(&str, [u8; 20])] = &[(
    // iputils-ping: `setcap cap_net_raw+ep`, capability 13.
    "/usr/bin/ping",
    [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
)];

/// Numbers of the accounts of the system examined.
pub(crate) struct Accounts {
    users: HashMap<Vec<u8>, u32>,
    groups: HashMap<Vec<u8>, u32>,
}

impl Accounts {
    pub(crate) fn read(inventory: &Inventory<'_>) -> Self {
        let numbers = |path: &str| {
            let text = inventory.text(path.as_bytes()).unwrap_or_default();
            let lines = text.split(|byte| *byte == b'\n');
            lines
                .filter_map(|line| {
                    let mut fields = line.split(|byte| *byte == b':');
                    let name = fields.next()?.to_vec();
                    let number = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
                    Some((name, number))
                })
                .collect()
        };
        Self { users: numbers("/etc/passwd"), groups: numbers("/etc/group") }
    }

    /// Numbers of the owner and group that an item must have. Where the vendor gives names, those but `root` are looked up on
    /// the system examined; `None` for a name that no account has, or one that was given root's own number.
    pub(crate) fn owner(&self, item: &Item) -> Option<(u64, u64)> {
        let Some(owner) = &item.owner else { return Some((item.uid, item.gid)) };
        let number = |name: &str, all: &HashMap<Vec<u8>, u32>| match name {
            "root" => Some(0),
            name => {
                all.get(name.as_bytes()).filter(|number| **number != 0).map(|one| u64::from(*one))
            }
        };
        Some((number(&owner.user, &self.users)?, number(&owner.group, &self.groups)?))
    }

    /// Whether a script of the vendor gives this object exactly this mode and owner.
    pub(crate) fn are_scripted(&self, path: &[u8], mode: u32, uid: u32, gid: u32) -> bool {
        LINES.iter().any(|(own, of_mode, user, group)| {
            own.as_bytes() == path
                && *of_mode == mode
                && self.users.get(user.as_bytes()) == Some(&uid)
                && self.groups.get(group.as_bytes()) == Some(&gid)
        })
    }
}

/// Whether a script of the vendor gives this file exactly this capability.
pub(crate) fn is_scripted_capability(path: &[u8], value: &[u8]) -> bool {
    CAPABILITIES.iter().any(|(own, want)| own.as_bytes() == path && want == value)
}
