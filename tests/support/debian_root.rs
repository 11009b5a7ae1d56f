//! Real Debian systems for tests: made once by mmdebstrap, kept in the project's cache with the signed lists and the package
//! files they were made from, and shared by all tests that include this file. Nobody changes them: tests copy.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a small server has.
const PACKAGES: &str = "systemd-sysv,cron,at,anacron,openssh-server,udev,dbus,sudo,polkitd,network-manager,\
    linux-image-cloud-amd64,initramfs-tools,busybox,zstd,logrotate,python3,git,ifupdown,rsyslog,auditd,vim-tiny,\
    x11-common,unattended-upgrades,e2fsprogs";
/// Raised when the recipe changes, so that older ones are made anew.
const RECIPE: u32 = 1;

/// A system and what it was made from.
pub(crate) struct DebianRoot {
    /// Its root.
    pub(crate) root: PathBuf,
    /// `InRelease` and `Packages` as apt keeps them, unpacked.
    #[allow(dead_code, reason = "each test uses its part")]
    pub(crate) lists: PathBuf,
    /// Its package files.
    #[allow(dead_code, reason = "each test uses its part")]
    pub(crate) debs: PathBuf,
}

/// The system of this suite; `None` and a message where it cannot be made.
pub(crate) fn debian(suite: &str) -> Option<DebianRoot> {
    kept(suite, &format!("debian-{suite}-{RECIPE}"))
}

/// A second install of the same packages, made apart from the first; `None` and a message where it cannot be made, or the
/// mirror has other versions than at the time of the first.
#[allow(dead_code, reason = "each test uses its part")]
pub(crate) fn debian_again(suite: &str) -> Option<DebianRoot> {
    let again = kept(suite, &format!("debian-{suite}-{RECIPE}-again"))?;
    let versions = |system: &DebianRoot| {
        let status = std::fs::read_to_string(system.root.join("var/lib/dpkg/status")).ok()?;
        let lines = status
            .lines()
            .filter(|line| line.starts_with("Package: ") || line.starts_with("Version: "));
        Some(lines.map(str::to_owned).collect::<Vec<_>>())
    };
    if versions(&again)? != versions(&debian(suite)?)? {
        eprintln!("skipped: the mirror has other versions than at the time of the first install");
        return None;
    }
    Some(again)
}

fn kept(suite: &str, name: &str) -> Option<DebianRoot> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let roots = cache.join("glovebox/roots");
    let kept = roots.join(name);
    let found = DebianRoot {
        root: kept.join("root"),
        lists: kept.join("lists"),
        debs: kept.join("archives"),
    };
    std::fs::create_dir_all(&roots).ok()?;
    // Tests of several programs run at the same time.
    let lock = std::fs::File::create(roots.join(format!("{suite}.lock"))).ok()?;
    lock.lock().ok()?;
    if kept.exists() {
        return Some(found);
    }
    if !Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n") {
        eprintln!("skipped: not root");
        return None;
    }
    let making = roots.join(format!("{name}.making"));
    let _ = std::fs::remove_dir_all(&making);
    std::fs::create_dir_all(&making).ok()?;
    make(suite, &making)?;
    std::fs::rename(&making, &kept).expect("renaming the finished root");
    Some(found)
}

fn make(suite: &str, into: &Path) -> Option<()> {
    let copy_out = |what: &str| format!("--customize-hook=copy-out {what} {}", into.display());
    let made = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=minbase", "--aptopt=Acquire::Languages \"none\""])
        // Indices as the release lists them, and package files kept, so that an archive can be made of both.
        .args(["--aptopt=Acquire::GzipIndexes \"false\"", "--skip=essential/unlink"])
        .arg("--aptopt=Binary::apt::APT::Keep-Downloaded-Packages \"1\"")
        .arg(format!("--include={}", PACKAGES.replace([' ', '\n'], "")))
        .args([copy_out("/var/cache/apt/archives"), copy_out("/var/lib/apt/lists")])
        .arg(suite)
        .arg(into.join("root"))
        .output();
    if made.is_ok_and(|out| out.status.success()) {
        return Some(());
    }
    eprintln!("skipped: no mmdebstrap or no mirror");
    None
}
