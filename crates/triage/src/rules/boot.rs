//! What the kernel is told before the system runs: its parameters in every boot menu.

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::parse::{meaningful, words};

/// Files with kernel parameters, and the words that begin a line of them (all lines where none is given).
const MENUS: &[(&str, &[&str])] = &[
    ("/boot/grub/grub.cfg", &["linux"]),
    ("/boot/grub2/grub.cfg", &["linux"]),
    ("/boot/grub/custom.cfg", &["linux"]),
    ("/boot/efi/EFI/*/grub.cfg", &["linux"]),
    ("/boot/grub2/grubenv", &["kernelopts="]),
    ("/boot/loader/entries/*.conf", &["options"]),
    ("/boot/efi/loader/entries/*.conf", &["options"]),
    ("/efi/loader/entries/*.conf", &["options"]),
    ("/etc/default/grub", &["GRUB_CMDLINE_LINUX"]),
    ("/etc/default/grub.d/*.cfg", &["GRUB_CMDLINE_LINUX"]),
    ("/etc/kernel/cmdline", &[]),
    ("/usr/lib/kernel/cmdline", &[]),
    ("/boot/cmdline.txt", &[]),
    ("/boot/firmware/cmdline.txt", &[]),
    ("/boot/syslinux/syslinux.cfg", &["append", "APPEND"]),
    ("/boot/extlinux/extlinux.conf", &["append", "APPEND"]),
    ("/boot/extlinux.conf", &["append", "APPEND"]),
];
/// First programs that systems are delivered with.
const FIRST_PROGRAMS: &[&str] = &[
    "/sbin/init",
    "/usr/sbin/init",
    "/bin/systemd",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd",
    "/bin/init",
    "/init",
];
/// Parameters that switch a protection off.
const WEAKENING: &[&str] = &[
    "apparmor=0",
    "selinux=0",
    "enforcing=0",
    "audit=0",
    "module.sig_enforce=0",
    "lockdown=none",
    "ima_appraise=off",
    "systemd.debug-shell",
    "systemd.debug-shell=1",
    "systemd.debug_shell",
    "systemd.debug_shell=1",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for (pattern, starts) in MENUS {
        for item in root.matching(pattern).into_iter().filter(|item| item.is_file()) {
            for (line, offset, text) in meaningful(&root.text(item.path).unwrap_or_default()) {
                let start = text.trim_ascii_start();
                if !starts.is_empty() && !starts.iter().any(|one| start.starts_with(one.as_bytes()))
                {
                    continue;
                }
                parameters(context, item.path, (line, offset, text));
            }
        }
    }
}

/// Judges the parameters of one line: its number, its offset in the file, and the line.
pub(super) fn parameters(context: &mut Context<'_>, path: &[u8], found: (usize, usize, &[u8])) {
    let (line, offset, text) = found;
    let separated: Vec<u8> =
        text.iter().map(|b| if matches!(b, b'"' | b'\'') { b' ' } else { *b }).collect();
    for word in words(&separated) {
        // GRUB_CMDLINE_LINUX=… leaves the name of the variable in front of the first parameter.
        let word = word.strip_prefix(b"GRUB_CMDLINE_LINUX_DEFAULT=").unwrap_or(word);
        let word = word.strip_prefix(b"GRUB_CMDLINE_LINUX=").unwrap_or(word);
        let first = word.strip_prefix(b"init=").or_else(|| word.strip_prefix(b"rdinit="));
        let is_foreign_first = first
            .is_some_and(|program| !FIRST_PROGRAMS.iter().any(|one| one.as_bytes() == program));
        let command = word.strip_prefix(b"systemd.run=");
        if is_foreign_first || command.is_some() {
            let run = Run::active("root", "at boot with this entry")
                .what(first.or(command).unwrap_or(word));
            context.report("GBX-1201", Spot::line(path, line, offset, text).run(run));
        } else if WEAKENING.iter().any(|one| one.as_bytes() == word) {
            let detail = evidence::escape_bytes(word);
            let run = Run::active("the kernel", "at boot with this entry");
            context
                .report("GBX-1202", Spot::line(path, line, offset, text).detail(detail).run(run));
        }
    }
}
