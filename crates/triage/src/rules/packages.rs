//! What belongs to packages: files that differ from their digests, and programs, libraries and modules that belong to none.

use crate::Digests;
use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::contains;
use crate::payload;
use crate::root::Item;
use std::collections::BTreeSet;

/// Directories of the search path that belong to packages.
const PROGRAM_PLACES: &[&str] = &[
    "/usr/bin/*",
    "/usr/sbin/*",
    "/usr/games/*",
    "/bin/*",
    "/sbin/*",
    "/usr/libexec/**",
    "/usr/lib/openssh/*",
];
/// Directories searched before them.
const LOCAL_PLACES: &[&str] =
    &["/usr/local/bin/*", "/usr/local/sbin/*", "~/bin/*", "~/.local/bin/*"];
/// Configuration from which the system runs commands or decides who may enter.
const ACTING_CONFIG: &[&str] = &[
    "/etc/crontab",
    "/etc/cron.",
    "/etc/pam.d/",
    "/etc/sudoers",
    "/etc/ssh/",
    "/etc/profile",
    "/etc/bash.bashrc",
    "/etc/init.d/",
    "/etc/logrotate.",
    "/etc/network/if-",
    "/etc/update-motd.d/",
    "/etc/udev/",
    "/etc/systemd/",
    "/etc/apt/apt.conf",
    "/etc/X11/Xsession",
    "/etc/dbus-1/",
    "/etc/polkit-1/",
    "/etc/NetworkManager/",
    "/etc/grub.d/",
    "/etc/kernel/",
    "/etc/initramfs-tools/",
    "/etc/skel/",
    "/etc/security/",
    "/etc/ld.so.conf",
    "/etc/modprobe.d/",
    "/etc/default/",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    if context.ownership.is_none() {
        return;
    }
    if context.options.digests == Digests::Compare {
        digests(context);
    }
    conffiles(context);
    strangers(context);
    scripts(context);
    loader(context);
}

/// Scripts of packages that do something suspicious, and packages that are nothing but scripts.
fn scripts(context: &mut Context<'_>) {
    let root = context.root;
    let has_files = context.ownership.as_ref().map(|ownership| ownership.with_files(root));
    for item in root.matching("/var/lib/dpkg/info/*") {
        let name = item.name();
        let is_script = [&b".preinst"[..], b".postinst", b".prerm", b".postrm", b".config"]
            .iter()
            .any(|end| name.ends_with(end));
        if !is_script || !item.is_file() {
            continue;
        }
        let raw = root.text(item.path).unwrap_or_default();
        let run = Run::active("root", "when the package is installed, updated or removed");
        let run = run.what(item.path);
        let at = name.iter().rposition(|byte| *byte == b'.').unwrap_or(0);
        let package = name.get(..at).unwrap_or(&[]).split(|b| *b == b':').next().unwrap_or(&[]);
        // Honest scripts set rights and variables; only what reaches out or hides counts here.
        let sign = payload::signs(&raw).into_iter().find(|sign| payload::is_attack(sign.what));
        if let Some(sign) = sign {
            let spot = Spot::line(item.path, sign.line, sign.offset_bytes, &sign.text);
            context.report("GBX-0709", spot.detail(sign.what).run(run));
        } else if has_files.as_ref().is_some_and(|all| all.get(package) == Some(&false))
            && name.ends_with(b"inst")
        {
            context.report("GBX-0708", Spot::file(item.path).run(run));
        }
    }
}

/// Loaders of the GNU C library that do not name `/etc/ld.so.preload`: they read another file instead.
fn loader(context: &mut Context<'_>) {
    let root = context.root;
    let patterns = [
        "/usr/lib/*/ld-linux*.so*",
        "/usr/lib64/ld-linux*.so*",
        "/usr/lib/ld-linux*.so*",
        "/usr/lib32/ld-linux*.so*",
    ];
    for item in patterns.iter().flat_map(|pattern| root.matching(pattern)) {
        let Some(raw) = root.text(item.path).filter(|_| item.is_file()) else { continue };
        if raw.starts_with(b"\x7fELF") && !contains(&raw, b"/etc/ld.so.preload") {
            let run = Run::active("each account", "at each start of a program");
            context.report("GBX-0504", Spot::file(item.path).run(run));
        }
    }
}

fn digests(context: &mut Context<'_>) {
    let root = context.root;
    let expected: Vec<(Vec<u8>, Vec<u8>)> = {
        let Some(ownership) = &context.ownership else { return };
        let mut all: Vec<_> =
            ownership.digests.iter().map(|(path, digest)| (path.clone(), digest.clone())).collect();
        all.sort();
        all
    };
    for (path, digest) in expected {
        let Some(item) = root.item(&path).filter(|item| item.is_file()) else { continue };
        if item.metadata.size_bytes > context.options.largest_hashed_bytes {
            context.coverage.digests_skipped = context.coverage.digests_skipped.saturating_add(1);
            continue;
        }
        let Some(hashes) = context.hashes(item) else { continue };
        context.coverage.digests_compared = context.coverage.digests_compared.saturating_add(1);
        if hashes.native.as_bytes().eq_ignore_ascii_case(&digest) {
            continue;
        }
        let rule = if is_program(context, item) { "GBX-0701" } else { "GBX-0702" };
        let name = context.ownership.as_ref().map_or("", |found| found.algorithm.name());
        let detail =
            format!("{name} is {}, expected {}", hashes.native, evidence::escape_bytes(&digest));
        context.report(rule, Spot::file(item.path).detail(detail));
    }
}

/// Executable, a library or module, or a script of an interpreter.
fn is_program(context: &Context<'_>, item: Item<'_>) -> bool {
    let name = item.name();
    let by_name = [
        &b".so"[..],
        b".ko",
        b".ko.xz",
        b".ko.zst",
        b".py",
        b".pl",
        b".pm",
        b".sh",
        b".service",
        b".socket",
        b".timer",
        b".rules",
    ];
    if item.is_executable()
        || by_name.iter().any(|end| name.ends_with(end))
        || name.windows(4).any(|part| part == b".so.")
    {
        return true;
    }
    context
        .root
        .fs
        .read_head(item.metadata.node, 4)
        .is_ok_and(|(head, _)| head.starts_with(b"\x7fELF"))
}

fn conffiles(context: &mut Context<'_>) {
    let root = context.root;
    let mut paths: Vec<Vec<u8>> = context
        .ownership
        .as_ref()
        .map(|ownership| ownership.conffiles.keys().cloned().collect())
        .unwrap_or_default();
    paths.sort();
    for path in paths {
        let acts = ACTING_CONFIG.iter().any(|place| path.starts_with(place.as_bytes()));
        let Some(item) = root.item(&path).filter(|item| acts && item.is_file()) else { continue };
        if !context.is_changed_conffile(item) {
            continue;
        }
        let raw = root.text(item.path).unwrap_or_default();
        match payload::signs(&raw).first() {
            Some(sign) => {
                let spot = Spot::line(item.path, sign.line, sign.offset_bytes, &sign.text)
                    .detail(sign.what);
                context.report("GBX-0703", spot.severity(Severity::Critical));
            }
            None => context.report("GBX-0703", Spot::file(item.path)),
        }
    }
}

/// Programs, modules and shadows that no package owns.
fn strangers(context: &mut Context<'_>) {
    let root = context.root;
    let mut commands: BTreeSet<Vec<u8>> = BTreeSet::new();
    for item in PROGRAM_PLACES.iter().flat_map(|place| root.matching(place)) {
        if context.is_owned(item.path) {
            commands.insert(item.name().to_vec());
        } else if item.is_file()
            && !item.name().starts_with(b"__pycache__")
            && !item.name().ends_with(b".pyc")
            && item.metadata.size_bytes > 0
        {
            context.report("GBX-0704", Spot::file(item.path));
        }
    }
    for item in LOCAL_PLACES.iter().flat_map(|place| root.matching(place)) {
        if commands.contains(item.name()) && !context.is_owned(item.path) {
            context.report("GBX-0707", Spot::file(item.path));
        }
    }
    for item in
        root.matching("/usr/lib/modules/**").into_iter().chain(root.matching("/lib/modules/**"))
    {
        let is_module = [&b".ko"[..], b".ko.xz", b".ko.zst", b".ko.gz"]
            .iter()
            .any(|end| item.name().ends_with(end));
        if is_module && item.is_file() && !context.is_owned(item.path) {
            let is_dkms = item.path.windows(14).any(|part| part == b"/updates/dkms/");
            let spot = Spot::file(item.path);
            context
                .report("GBX-0706", if is_dkms { spot.severity(Severity::Medium) } else { spot });
        }
    }
}
