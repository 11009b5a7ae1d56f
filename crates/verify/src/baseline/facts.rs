//! What a baseline holds beside the files: lists of names with one line of text each, so that any two are compared alike.

use std::collections::BTreeMap;

use archive::debian::database;
use archive::store::{FileRecord, Item, ItemKind};
use evidence::escape_bytes;
use evidence::fs::{FileKind, glob};
use serde::{Deserialize, Serialize};

use super::Taking;
use crate::Error;
use crate::inventory::Inventory;

const FORMAT: u32 = 1;
/// Longest copy of a configuration file.
const MAX_COPY_BYTES: usize = 128 << 10;
/// All copies together.
const MAX_COPIES_BYTES: usize = 64 << 20;
/// Names of one list.
const MAX_NAMES: usize = 1_000_000;

/// Files of `/etc` that are secrets: their digest stands in the listing, their text nowhere.
const SECRETS: &[&str] = &[
    "/etc/shadow*",
    "/etc/gshadow*",
    "/etc/security/opasswd",
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssl/private/**",
    "/etc/letsencrypt/**",
    "/etc/wireguard/**",
    "/etc/NetworkManager/system-connections/**",
    "/etc/wpa_supplicant/**",
    "/etc/ppp/*-secrets",
    "/etc/**.key",
    "/etc/**.keytab",
    "/etc/**.p12",
];

/// Places of links by which something is started (`systemctl enable`, `update-rc.d`).
const SERVICES: &[&str] = &["/etc/systemd/system/**", "/etc/systemd/user/**", "/etc/rc?.d/*"];

/// A list of a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Name and architecture of a package: its version, by the system's own database.
    Packages,
    /// Name of an account: number, group, home and shell.
    Accounts,
    /// Name of a group: number and members.
    Groups,
    /// Link by which something is started: where it leads.
    Services,
    /// Protocol, address and port that the machine listens on.
    Ports,
    /// Configuration file: its text.
    Configuration,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Packages,
        Self::Accounts,
        Self::Groups,
        Self::Services,
        Self::Ports,
        Self::Configuration,
    ];

    /// A place on the system that the list is taken from.
    pub(super) fn place(self) -> &'static [u8] {
        match self {
            Self::Packages => b"/var/lib/dpkg/status",
            Self::Accounts => b"/etc/passwd",
            Self::Groups => b"/etc/group",
            Self::Services => b"/etc/systemd/system/",
            Self::Ports => b"/proc/net",
            Self::Configuration => b"/etc/",
        }
    }

    /// As it stands in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Accounts => "accounts",
            Self::Groups => "groups",
            Self::Services => "services",
            Self::Ports => "ports",
            Self::Configuration => "configuration",
        }
    }
}

/// A baseline without its files. Names from the system are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    baseline: u32,
    /// What it is called.
    pub name: String,
    /// When it was taken: seconds since 1970 UTC.
    pub taken_seconds: u64,
    /// The system by its own name.
    pub system: Option<String>,
    /// The name of its host.
    pub hostname: Option<String>,
    /// The listing of its files.
    pub files: FileRecord,
    /// The lists; one that is not there was not taken.
    pub sections: BTreeMap<Section, BTreeMap<String, String>>,
}

impl Facts {
    pub(super) fn read(inventory: &Inventory<'_>, taking: &Taking<'_>, files: FileRecord) -> Self {
        let system = evidence::os::find(inventory.fs);
        Self {
            baseline: FORMAT,
            name: taking.name.to_owned(),
            taken_seconds: taking.taken_seconds,
            hostname: system.as_ref().and_then(|system| system.hostname.clone()),
            system: system.map(|system| system.name),
            files,
            sections: sections(inventory, taking.ports),
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| odd(&error))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let facts: Self = serde_json::from_slice(bytes).map_err(|error| odd(&error))?;
        if facts.baseline != FORMAT {
            let reason = format!("form {} of baselines is not known", facts.baseline);
            return Err(Error::Baseline { reason });
        }
        Ok(facts)
    }
}

fn odd(error: &serde_json::Error) -> Error {
    Error::Baseline { reason: format!("its facts are not understood: {error}") }
}

/// The lists as they are on the system now.
pub(super) fn sections(
    inventory: &Inventory<'_>,
    ports: Option<&[String]>,
) -> BTreeMap<Section, BTreeMap<String, String>> {
    let mut sections = BTreeMap::new();
    if let Some(status) = inventory.text(b"/var/lib/dpkg/status") {
        let installed = database::parse_status(&status).into_iter().filter(|one| one.is_unpacked);
        let pairs = installed.map(|one| {
            let name = [one.name.as_slice(), b":", &one.architecture].concat();
            (escape_bytes(&name), escape_bytes(&one.version))
        });
        sections.insert(Section::Packages, list(pairs));
    }
    if let Some(text) = inventory.text(b"/etc/passwd") {
        sections.insert(Section::Accounts, list(lines(&text).filter_map(account)));
    }
    if let Some(text) = inventory.text(b"/etc/group") {
        sections.insert(Section::Groups, list(lines(&text).filter_map(group)));
    }
    let links = inventory
        .entries
        .iter()
        .filter(|(path, metadata)| metadata.kind == FileKind::Symlink && fits(SERVICES, path));
    let services = links
        .filter_map(|(path, _)| Some((escape_bytes(path), escape_bytes(&inventory.link(path)?))));
    sections.insert(Section::Services, list(services));
    if let Some(ports) = ports {
        let ports = ports.iter().map(|port| (port.clone(), String::new()));
        sections.insert(Section::Ports, list(ports));
    }
    sections.insert(Section::Configuration, configuration(inventory));
    sections
}

/// Whether it is a link by which something is started.
pub(super) fn is_service(item: &Item) -> bool {
    matches!(item.kind, ItemKind::Symlink(_)) && fits(SERVICES, &item.path)
}

fn fits(patterns: &[&str], path: &[u8]) -> bool {
    patterns.iter().any(|pattern| glob::matches(pattern.as_bytes(), path))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// `passwd(5)`: the field of the password is left out.
fn account(line: &[u8]) -> Option<(String, String)> {
    let fields: Vec<String> = line.split(|byte| *byte == b':').map(escape_bytes).collect();
    let [name, _, uid, gid, _, home, shell] = fields.as_slice() else {
        return Some((escape_bytes(line), "a line that is no account".to_owned()));
    };
    Some((name.clone(), format!("uid {uid}, gid {gid}, home {home}, shell {shell}")))
}

/// `group(5)`.
fn group(line: &[u8]) -> Option<(String, String)> {
    let fields: Vec<String> = line.split(|byte| *byte == b':').map(escape_bytes).collect();
    let [name, _, gid, members] = fields.as_slice() else {
        return Some((escape_bytes(line), "a line that is no group".to_owned()));
    };
    Some((name.clone(), format!("gid {gid}, members {members}")))
}

/// A second line of the same name is another entry: an intruder may add a second `root`.
fn list(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let mut list: BTreeMap<String, String> = BTreeMap::new();
    let mut met: BTreeMap<String, usize> = BTreeMap::new();
    for (name, text) in pairs.take(MAX_NAMES) {
        let count = met.entry(name.clone()).or_default();
        *count = count.saturating_add(1);
        let own = if *count == 1 { name } else { format!("{name} ({count})") };
        list.insert(own, text);
    }
    list
}

/// Texts of configuration files that are no secrets and are text.
fn configuration(inventory: &Inventory<'_>) -> BTreeMap<String, String> {
    let mut copies = BTreeMap::new();
    let mut left = MAX_COPIES_BYTES;
    for (path, metadata) in inventory.entries.range(b"/etc/".to_vec()..) {
        if !path.starts_with(b"/etc/") {
            break;
        }
        let length = usize::try_from(metadata.size_bytes).unwrap_or(usize::MAX);
        let is_copied = metadata.kind == FileKind::File
            && length <= MAX_COPY_BYTES.min(left)
            && !fits(SECRETS, path);
        if !is_copied {
            continue;
        }
        // What cannot be read is told by the listing of the files.
        let Ok((raw, true)) = inventory.fs.read_head(metadata.node, MAX_COPY_BYTES) else {
            continue;
        };
        if let Ok(text) = String::from_utf8(raw)
            && !text.contains('\0')
        {
            left = left.saturating_sub(text.len());
            copies.insert(escape_bytes(path), text);
        }
    }
    copies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_root_is_another_account() {
        let text = b"root:x:0:0::/root:/bin/sh\n# x\nroot:x:0:0::/tmp:/bin/sh\nodd\n";
        let accounts = list(lines(text).filter_map(account));
        let names: Vec<&str> = accounts.keys().map(String::as_str).collect();
        assert_eq!(names, ["odd", "root", "root (2)"]);
        assert_eq!(accounts["root (2)"], "uid 0, gid 0, home /tmp, shell /bin/sh");
    }

    #[test]
    fn secrets_are_not_copied() {
        for path in
            ["/etc/shadow-", "/etc/ssh/ssh_host_rsa_key", "/etc/ssl/private/a", "/etc/x/y.key"]
        {
            assert!(fits(SECRETS, path.as_bytes()), "{path}");
        }
        assert!(!fits(SECRETS, b"/etc/ssh/sshd_config"));
    }
}
