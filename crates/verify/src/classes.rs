//! What explains a file that no package brings: where it stands, and what it is allowed to be there.
//!
//! A place explains only what belongs there: data that cannot run, or links to what packages bring. A program, a library or
//! a set-id file is never explained by its place. Each line names who makes the file; none of it is taken from the system
//! examined. What is too wide on one system is told by comparing with the manifest of a fresh install.

use evidence::fs::glob;
use serde::Serialize;

/// What sort of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// As in the fresh install.
    Golden,
    /// A copy of a packaged file at a place for configuration.
    Copied,
    /// What makes this machine itself: names, keys, accounts.
    Identity,
    /// Made from other files and could be made again.
    Cache,
    /// Written as time goes by.
    Log,
    /// Chosen by the owner or by installation.
    Configuration,
    /// What the machine is for.
    Data,
    /// The package database and what belongs to it.
    Database,
    /// A mount point or an empty directory.
    Empty,
}

impl Class {
    /// As it stands in records.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Golden => "golden",
            Self::Copied => "copied",
            Self::Identity => "identity",
            Self::Cache => "cache",
            Self::Log => "log",
            Self::Configuration => "configuration",
            Self::Data => "data",
            Self::Database => "database",
            Self::Empty => "empty",
        }
    }
}

/// What a place may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    /// Regular files that cannot run, and directories.
    Data,
    /// As [`May::Data`] at one very path, where an execute bit alone makes no program of it.
    Named,
    /// Links to what packages bring or rules explain, to `/dev/null` or `/proc`.
    Links,
    /// Also files with an execute bit or an interpreter line: homes.
    Anything,
}

/// Pattern, class, what it may be.
const PLACES: &[(&str, Class, May)] = &[
    // Accounts and names (base-passwd, passwd, hostname, systemd).
    ("/etc/passwd", Class::Identity, May::Data),
    ("/etc/passwd-", Class::Identity, May::Data),
    ("/etc/group", Class::Identity, May::Data),
    ("/etc/group-", Class::Identity, May::Data),
    ("/etc/shadow", Class::Identity, May::Data),
    ("/etc/shadow-", Class::Identity, May::Data),
    ("/etc/gshadow", Class::Identity, May::Data),
    ("/etc/gshadow-", Class::Identity, May::Data),
    ("/etc/subuid", Class::Identity, May::Data),
    ("/etc/subuid-", Class::Identity, May::Data),
    ("/etc/subgid", Class::Identity, May::Data),
    ("/etc/subgid-", Class::Identity, May::Data),
    ("/etc/.pwd.lock", Class::Identity, May::Data),
    ("/etc/hostname", Class::Identity, May::Data),
    ("/etc/mailname", Class::Identity, May::Data),
    ("/etc/machine-id", Class::Identity, May::Data),
    ("/var/lib/dbus/machine-id", Class::Identity, May::Data),
    ("/var/lib/dbus/machine-id", Class::Identity, May::Links),
    ("/etc/machine-info", Class::Identity, May::Data),
    ("/etc/ssh/ssh_host_*_key", Class::Identity, May::Data),
    ("/etc/ssh/ssh_host_*_key.pub", Class::Identity, May::Data),
    // Installation and its programs (debian-installer, mmdebstrap, debconf, ucf, pam-auth-update, update-rc.d).
    ("/etc/fstab", Class::Configuration, May::Data),
    ("/etc/crypttab", Class::Configuration, May::Data),
    ("/etc/hosts", Class::Configuration, May::Data),
    ("/etc/adjtime", Class::Configuration, May::Data),
    ("/etc/timezone", Class::Configuration, May::Data),
    ("/etc/locale.conf", Class::Configuration, May::Data),
    ("/etc/locale.gen", Class::Configuration, May::Data),
    ("/etc/default/*", Class::Configuration, May::Data),
    ("/etc/vconsole.conf", Class::Configuration, May::Data),
    ("/etc/vconsole.conf", Class::Configuration, May::Links),
    ("/etc/networks", Class::Configuration, May::Data),
    ("/etc/environment", Class::Configuration, May::Data),
    ("/etc/shells", Class::Configuration, May::Data),
    ("/etc/resolv.conf", Class::Configuration, May::Data),
    ("/etc/motd", Class::Configuration, May::Data),
    ("/etc/papersize", Class::Configuration, May::Data),
    ("/etc/inputrc", Class::Configuration, May::Data),
    ("/etc/modules", Class::Configuration, May::Data),
    ("/etc/nsswitch.conf", Class::Configuration, May::Data),
    ("/etc/kernel-img.conf", Class::Configuration, May::Data),
    ("/etc/network/interfaces", Class::Configuration, May::Data),
    ("/etc/ca-certificates.conf", Class::Configuration, May::Data),
    ("/etc/ca-certificates.conf.dpkg-old", Class::Configuration, May::Data),
    ("/etc/apt/sources.list", Class::Configuration, May::Data),
    ("/etc/apt/sources.list.d/*", Class::Configuration, May::Data),
    ("/etc/apt/sources.list~", Class::Configuration, May::Data),
    ("/etc/apt/apt.conf.d/99mmdebstrap", Class::Configuration, May::Data),
    ("/etc/apparmor.d/local/*", Class::Configuration, May::Data),
    ("/etc/pam.d/common-*", Class::Configuration, May::Data),
    ("/etc/console-setup/cached_*", Class::Cache, May::Data),
    ("/etc/sysctl.conf", Class::Configuration, May::Data),
    ("/etc/audit/audit.rules", Class::Configuration, May::Data),
    ("/etc/hosts.allow", Class::Configuration, May::Data),
    ("/etc/hosts.deny", Class::Configuration, May::Data),
    ("/etc/initramfs-tools/modules", Class::Configuration, May::Data),
    ("/etc/python3/debian_config", Class::Configuration, May::Data),
    ("/etc/security/opasswd", Class::Identity, May::Data),
    ("/etc/xml/**", Class::Cache, May::Data),
    ("/var/spool/cron/atjobs/.SEQ", Class::Data, May::Data),
    ("/var/mail", Class::Data, May::Data),
    ("/usr/local/share/man", Class::Empty, May::Data),
    // Links that installation and `systemctl` make; what they lead to must be packaged.
    ("/etc/alternatives/*", Class::Configuration, May::Links),
    ("/etc/rc?.d/*", Class::Configuration, May::Links),
    ("/etc/systemd/system/**", Class::Configuration, May::Links),
    ("/etc/systemd/user/**", Class::Configuration, May::Links),
    ("/etc/ssl/certs/*", Class::Cache, May::Links),
    ("/etc/localtime", Class::Configuration, May::Links),
    ("/etc/mtab", Class::Configuration, May::Links),
    ("/etc/resolv.conf", Class::Configuration, May::Links),
    ("/etc/motd", Class::Configuration, May::Links),
    ("/etc/rmt", Class::Configuration, May::Links),
    ("/etc/environment", Class::Configuration, May::Links),
    ("/etc/default/locale", Class::Configuration, May::Links),
    ("/etc/vtrgb", Class::Configuration, May::Links),
    ("/etc/dpkg/origins/default", Class::Configuration, May::Links),
    ("/etc/sgml/catalog", Class::Configuration, May::Links),
    ("/etc/runit/runsvdir/default/*", Class::Configuration, May::Links),
    ("/var/log/README", Class::Log, May::Links),
    ("/etc/dhcp/**", Class::Configuration, May::Links),
    ("/vmlinuz*", Class::Configuration, May::Links),
    ("/initrd.img*", Class::Configuration, May::Links),
    ("/boot/vmlinuz*", Class::Configuration, May::Links),
    ("/boot/initrd.img*", Class::Configuration, May::Links),
    // Links that alternatives make in the places of programs and manuals.
    ("/usr/**", Class::Configuration, May::Links),
    ("/var/run", Class::Configuration, May::Links),
    ("/var/lock", Class::Configuration, May::Links),
    ("/var/mail", Class::Configuration, May::Links),
    ("/var/spool/mail", Class::Configuration, May::Links),
    // Made from packaged files (ldconfig, depmod, update-initramfs, systemd, triggers).
    ("/etc/ld.so.cache", Class::Cache, May::Data),
    ("/etc/udev/hwdb.bin", Class::Cache, May::Data),
    ("/usr/lib/udev/hwdb.bin", Class::Cache, May::Data),
    ("/etc/ssl/certs/ca-certificates.crt", Class::Cache, May::Data),
    ("/boot/initrd.img-*", Class::Cache, May::Data),
    ("/boot/grub/grub.cfg", Class::Cache, May::Data),
    ("/boot/grub/grubenv", Class::Cache, May::Data),
    ("/usr/lib/modules/*/modules.*", Class::Cache, May::Data),
    ("/lib/modules/*/modules.*", Class::Cache, May::Data),
    ("/usr/lib/locale/locale-archive", Class::Cache, May::Data),
    ("/usr/lib/*/gconv/gconv-modules.cache", Class::Cache, May::Data),
    ("/usr/lib/*/gio/modules/giomodule.cache", Class::Cache, May::Data),
    ("/usr/lib/*/gdk-pixbuf-2.0/**/loaders.cache", Class::Cache, May::Data),
    ("/usr/share/glib-2.0/schemas/gschemas.compiled", Class::Cache, May::Data),
    ("/usr/share/mime/**", Class::Cache, May::Data),
    ("/usr/share/info/dir", Class::Cache, May::Data),
    ("/usr/share/info/dir.old", Class::Cache, May::Data),
    ("/usr/share/applications/mimeinfo.cache", Class::Cache, May::Data),
    ("/usr/share/icons/**/icon-theme.cache", Class::Cache, May::Data),
    ("/var/cache/**", Class::Cache, May::Data),
    ("/var/lib/systemd/catalog/database", Class::Cache, May::Data),
    // The package database.
    ("/var/lib/dpkg/status", Class::Database, May::Data),
    ("/var/lib/dpkg/status-old", Class::Database, May::Data),
    ("/var/lib/dpkg/available", Class::Database, May::Data),
    ("/var/lib/dpkg/available-old", Class::Database, May::Data),
    ("/var/lib/dpkg/arch", Class::Database, May::Data),
    ("/var/lib/dpkg/arch-native", Class::Database, May::Data),
    ("/var/lib/dpkg/cmethopt", Class::Database, May::Data),
    ("/var/lib/dpkg/diversions", Class::Database, May::Data),
    ("/var/lib/dpkg/diversions-old", Class::Database, May::Data),
    ("/var/lib/dpkg/statoverride", Class::Database, May::Data),
    ("/var/lib/dpkg/statoverride-old", Class::Database, May::Data),
    ("/var/lib/dpkg/lock", Class::Database, May::Data),
    ("/var/lib/dpkg/lock-frontend", Class::Database, May::Data),
    ("/var/lib/dpkg/triggers/*", Class::Database, May::Data),
    ("/var/lib/dpkg/alternatives/*", Class::Database, May::Data),
    ("/var/lib/dpkg/info/format", Class::Database, May::Data),
    ("/var/lib/rpm/**", Class::Database, May::Data),
    ("/usr/lib/sysimage/rpm/**", Class::Database, May::Data),
    // Written as time goes by.
    ("/var/log/**", Class::Log, May::Data),
    ("/var/backups/**", Class::Log, May::Data),
    ("/var/spool/anacron/cron.*", Class::Log, May::Data),
    ("/var/mail/*", Class::Data, May::Data),
    // State of packages.
    ("/var/lib/dpkg/**", Class::Database, May::Links),
    ("/var/lib/**", Class::Data, May::Data),
    ("/var/lib/**", Class::Data, May::Links),
    ("/var/www/**", Class::Data, May::Data),
    ("/srv/**", Class::Data, May::Anything),
    ("/home/**", Class::Data, May::Anything),
    ("/root/**", Class::Data, May::Anything),
    ("/lost+found", Class::Empty, May::Data),
    // In memory on a running system; on the disk only what installation left. /proc and /sys must be empty there.
    ("/run/**", Class::Cache, May::Data),
    ("/run/**", Class::Cache, May::Links),
    ("/dev/**", Class::Empty, May::Links),
];

/// Places below that no wider line explains: what stands here runs or is obeyed.
const NEVER: &[&str] = &[
    "/var/lib/dpkg/info/*",
    "/var/lib/dpkg/parts/**",
    "/var/lib/apt/periodic/*.sh",
    "/var/lib/systemd/system/**",
    "/usr/local/**",
    "/usr/lib/systemd/**",
    "/usr/lib/udev/**",
];

/// The classes that explain something at this place.
pub(crate) fn of(path: &[u8], is_link: bool) -> impl Iterator<Item = (Class, May)> + '_ {
    let is_barred = NEVER.iter().any(|pattern| glob::matches(pattern.as_bytes(), path));
    PLACES
        .iter()
        .filter(move |(pattern, _, may)| {
            let fits_kind = match may {
                May::Data | May::Named => !is_link,
                May::Links => is_link,
                May::Anything => true,
            };
            // A line for exactly this path stands above what is barred.
            let is_exact = !pattern.contains('*');
            fits_kind
                && (is_exact || !is_barred || *may == May::Links)
                && glob::matches(pattern.as_bytes(), path)
        })
        .map(|(pattern, class, may)| {
            let is_named = *may == May::Data && !pattern.contains('*');
            (*class, if is_named { May::Named } else { *may })
        })
}
