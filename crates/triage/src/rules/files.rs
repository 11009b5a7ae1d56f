//! What the inventory alone shows: rights, capabilities, names, programs and files where none belong; web shells.

use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::{contains, lines, meaningful};
use crate::root::Item;
use evidence::fs::FileKind;

/// Set-ID programs that packages of Debian and Ubuntu deliver; the package database records no modes.
const SET_ID: &[&str] = &[
    "at",
    "batch",
    "bsd-write",
    "chage",
    "chfn",
    "chrome-sandbox",
    "chsh",
    "crontab",
    "dbus-daemon-launch-helper",
    "dotlockfile",
    "doas",
    "exim4",
    "expiry",
    "fusermount",
    "fusermount3",
    "gpasswd",
    "kismet_capture",
    "lockfile",
    "locate",
    "mail-lock",
    "mail-touchlock",
    "mail-unlock",
    "mlocate",
    "mount",
    "mount.cifs",
    "mount.davfs",
    "mount.nfs",
    "mtr-packet",
    "newgidmap",
    "newgrp",
    "newuidmap",
    "ntfs-3g",
    "passwd",
    "ping",
    "ping6",
    "pkexec",
    "plocate",
    "polkit-agent-helper-1",
    "postdrop",
    "postqueue",
    "pppd",
    "procmail",
    "screen",
    "sg",
    "slock",
    "snap-confine",
    "spice-client-glib-usb-acl-helper",
    "ssh-agent",
    "ssh-keysign",
    "su",
    "sudo",
    "sudoedit",
    "traceroute6.iputils",
    "umount",
    "unix_chkpwd",
    "utempter",
    "vmware-user-suid-wrapper",
    "wall",
    "write",
    "write.ul",
    "Xorg.wrap",
    "pam_extrausers_chkpwd",
    "camel-lock-helper-1.2",
    "bwrap",
    "sensible-mda",
    "staprun",
    "virtualbox",
    "pam-tmpdir-helper",
    "userhelper",
];
/// Packaged programs that carry capabilities.
const CAPABLE: &[&str] = &[
    "ping",
    "ping4",
    "ping6",
    "arping",
    "clockdiff",
    "mtr-packet",
    "newuidmap",
    "newgidmap",
    "dumpcap",
    "fping",
    "traceroute6",
    "traceroute6.iputils",
    "gst-ptp-helper",
    "gnome-keyring-daemon",
    "kwin_wayland",
    "systemd-detect-virt",
    "snap-confine",
];
/// Directories where every account can write.
const SHARED: &[&str] =
    &["/tmp/", "/var/tmp/", "/dev/shm/", "/run/lock/", "/var/lock/", "/var/crash/"];
const SYSTEM: &[&str] = &["/etc/", "/usr/", "/boot/", "/root/", "/opt/"];
const WEB_ROOTS: &[&str] =
    &["/var/www/", "/srv/", "/usr/share/nginx/", "/usr/lib/cgi-bin/", "/opt/", "/home/"];

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for item in root.items() {
        names(context, item);
        match item.metadata.kind {
            FileKind::File => file(context, item),
            FileKind::BlockDevice | FileKind::CharDevice if !item.path.starts_with(b"/dev/") => {
                device(context, item);
            }
            _ => {}
        }
        if item.metadata.is_sealed() && !item.path.starts_with(b"/var/log/journal") {
            context.report("GBX-0607", Spot::file(item.path));
        }
    }
    python(context);
}

fn starts_with_any(path: &[u8], places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place.as_bytes()))
}

fn file(context: &mut Context<'_>, item: Item<'_>) {
    let mode = item.metadata.mode;
    if mode & 0o6000 != 0 && item.is_executable() {
        set_id(context, item);
    }
    capabilities(context, item);
    if starts_with_any(item.path, SHARED) {
        program_in_shared(context, item);
    }
    if mode & 0o002 != 0 && starts_with_any(item.path, SYSTEM) {
        context.report("GBX-0605", Spot::file(item.path));
    }
    if item.path.starts_with(b"/dev/")
        && !item.path.starts_with(b"/dev/shm/")
        && item.metadata.size_bytes > 0
    {
        context.report("GBX-1003", Spot::file(item.path));
    }
    web_shell(context, item);
}

fn set_id(context: &mut Context<'_>, item: Item<'_>) {
    let is_root = item.metadata.uid == 0 && item.metadata.mode & 0o4000 != 0;
    if context.ownership.is_none() || !context.is_owned(item.path) {
        let is_copy = context.hashes(item).is_some_and(|hashes| {
            context
                .ownership
                .as_ref()
                .is_some_and(|ownership| ownership.knows_digest(hashes.native.as_bytes()))
        });
        let is_known =
            SET_ID.iter().any(|name| name.as_bytes() == item.name()) && context.ownership.is_none();
        let spot = Spot::file(item.path);
        if is_copy {
            let detail = "the same bytes as a packaged program, which has no such right";
            context.report("GBX-0601", spot.detail(detail).severity(Severity::Critical));
        } else if !is_known {
            context
                .report("GBX-0601", if is_root { spot } else { spot.severity(Severity::Medium) });
        }
    } else if let Some(rights) = context.ownership.as_ref().and_then(|all| all.rights(item.path)) {
        // This database records modes, so no list of ours is needed.
        if item.metadata.mode & 0o6000 & !rights.mode != 0 {
            let detail = format!("the package gives mode {:04o}", rights.mode);
            context.report("GBX-0602", Spot::file(item.path).detail(detail));
        }
    } else if !SET_ID.iter().any(|name| name.as_bytes() == item.name()) {
        context.report("GBX-0602", Spot::file(item.path));
    }
}

/// `security.capability`, revisions 2 and 3 (linux/capability.h): permitted and inheritable sets in two halves.
fn capabilities(context: &mut Context<'_>, item: Item<'_>) {
    if !item.is_executable() {
        return;
    }
    let Ok(all) = context.root.fs.xattrs(item.metadata.node) else { return };
    let Some(value) = all.into_iter().find(|attribute| attribute.name.0 == b"security.capability")
    else {
        return;
    };
    let word = |at: usize| {
        let raw = value.value.get(at..).and_then(<[u8]>::first_chunk::<4>);
        u64::from(u32::from_le_bytes(raw.copied().unwrap_or_default()))
    };
    let permitted = word(4) | word(12) << 32;
    let recorded = context.ownership.as_ref().and_then(|all| all.rights(item.path));
    if recorded.is_some_and(|rights| rights.has_capabilities) {
        return;
    }
    let is_usual =
        context.is_owned(item.path) && CAPABLE.iter().any(|name| name.as_bytes() == item.name());
    // chown, dac_override, dac_read_search, fowner, setgid, setuid, sys_module, sys_rawio, sys_ptrace, sys_admin, setfcap.
    let dangerous =
        [0_u32, 1, 2, 3, 6, 7, 16, 17, 19, 21, 31].iter().any(|bit| permitted & (1 << bit) != 0);
    if !is_usual
        || (dangerous && !item.name().starts_with(b"new") && item.name() != b"snap-confine")
    {
        let spot = Spot::file(item.path).detail(format!("permitted capabilities {permitted:#x}"));
        context.report("GBX-0603", if dangerous { spot } else { spot.severity(Severity::Medium) });
    }
}

fn program_in_shared(context: &mut Context<'_>, item: Item<'_>) {
    let Ok((head, _)) = context.root.fs.read_head(item.metadata.node, 128) else { return };
    let is_elf = head.starts_with(b"\x7fELF");
    if is_elf || (head.starts_with(b"#!") && item.is_executable()) {
        let first = lines(&head).next().map_or(&b""[..], |(_, _, line)| line);
        let text = if is_elf { b"ELF program" } else { first };
        context.report("GBX-0604", Spot { excerpt: text.to_vec(), ..Spot::file(item.path) });
    }
}

fn device(context: &mut Context<'_>, item: Item<'_>) {
    // Character device 0/0 is how overlay file systems mark a removed file.
    let numbers = item.metadata.device.unwrap_or_default();
    if numbers != (0, 0) {
        context.report(
            "GBX-0606",
            Spot::file(item.path).detail(format!("device {}:{}", numbers.0, numbers.1)),
        );
    }
}

fn names(context: &mut Context<'_>, item: Item<'_>) {
    let name = item.name();
    let only_dots = name.len() > 2 && name.iter().all(|byte| matches!(byte, b'.' | b' '));
    let blank_border = name.first() == Some(&b' ') || name.last() == Some(&b' ');
    let is_odd =
        name.iter().any(u8::is_ascii_control) || evidence::escape_bytes(name).contains("\\u{");
    if only_dots || blank_border || is_odd || name.starts_with(b".. ") {
        context.report("GBX-1002", Spot::file(item.path));
    }
}

fn web_shell(context: &mut Context<'_>, item: Item<'_>) {
    let extension =
        item.name().rsplit(|byte| *byte == b'.').next().unwrap_or(&[]).to_ascii_lowercase();
    let is_page = matches!(
        extension.as_slice(),
        b"php" | b"phtml" | b"php5" | b"php7" | b"phar" | b"inc" | b"jsp" | b"jspx" | b"aspx"
    );
    if !is_page
        || !starts_with_any(item.path, WEB_ROOTS)
        || item.metadata.size_bytes > 1 << 20
        || context.is_owned_strictly(item.path)
    {
        return;
    }
    let raw = context.root.text(item.path).unwrap_or_default();
    let runners: [&[u8]; 11] = [
        b"eval(",
        b"assert(",
        b"system(",
        b"exec(",
        b"passthru(",
        b"popen(",
        b"proc_open(",
        b"create_function(",
        b"include(",
        b"getRuntime().exec",
        b"Process.Start",
    ];
    let inputs: [&[u8]; 8] = [
        b"$_GET",
        b"$_POST",
        b"$_REQUEST",
        b"$_COOKIE",
        b"$_SERVER['HTTP",
        b"php://input",
        b"request.getParameter",
        b"Request[",
    ];
    let unpackers: [&[u8]; 4] = [b"base64_decode(", b"gzinflate(", b"str_rot13(", b"gzuncompress("];
    for (line, offset, text) in lines(&raw) {
        let squeezed: Vec<u8> =
            text.iter().copied().filter(|byte| !matches!(byte, b' ' | b'\t' | b'@')).collect();
        let runs =
            runners.iter().any(|word| contains(&squeezed, word)) || contains(&squeezed, b"`$_");
        let input = inputs.iter().any(|word| contains(&squeezed, word));
        let unpacks = unpackers.iter().any(|word| contains(&squeezed, word));
        if runs && (input || (unpacks && contains(&squeezed, b"eval("))) {
            context.report("GBX-1001", Spot::line(item.path, line, offset, text));
            return;
        }
    }
}

fn python(context: &mut Context<'_>) {
    let root = context.root;
    let bases = ["/usr/lib/python*/**", "/usr/local/lib/python*/**", "~/.local/lib/python*/**"];
    for item in bases.iter().flat_map(|base| root.matching(base)).filter(|item| item.is_file()) {
        let is_start = matches!(item.name(), b"sitecustomize.py" | b"usercustomize.py");
        if !(is_start || item.name().ends_with(b".pth")) || !context.is_foreign(item) {
            continue;
        }
        let raw = root.text(item.path).unwrap_or_default();
        let found = meaningful(&raw).find(|(_, _, text)| {
            is_start || text.starts_with(b"import ") || text.starts_with(b"import\t")
        });
        if let Some((line, offset, text)) = found {
            context.report("GBX-1004", Spot::line(item.path, line, offset, text));
        }
    }
}
