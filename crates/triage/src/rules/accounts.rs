//! Accounts, passwords, groups and sudo.

use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::accounts::{self, Account, is_usable_hash};
use crate::parse::{contains, meaningful};

/// First uid of people on Debian and most others.
const FIRST_PERSON: u32 = 1000;
/// The uid and gid of "nobody".
const NOBODY: u32 = 65_534;
/// System accounts that their packages deliver with a shell.
const SHELLS_BY_DESIGN: &[&str] = &["postgres"];
/// Groups whose members are, or can become, root.
const ROOT_GROUPS: &[&str] =
    &["root", "sudo", "wheel", "admin", "docker", "lxd", "disk", "shadow", "kmem"];

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for account in &root.accounts {
        passwd_line(context, account);
    }
    let shadow = root.text(b"/etc/shadow").unwrap_or_default();
    for entry in accounts::parse_shadow(&shadow) {
        let account = root.accounts.iter().find(|account| account.name == entry.name);
        // The hash itself is no business of a report: the excerpt names the account and the kind of hash.
        let spot = |what: &str| {
            let text = [entry.name.as_slice(), b":", what.as_bytes()].concat();
            Spot::line(b"/etc/shadow", entry.line, entry.offset_bytes, &text)
        };
        if entry.hash.is_empty() {
            context.report("GBX-0103", spot("(empty)"));
        } else if is_usable_hash(&entry.hash) && account.is_some_and(is_system) {
            context.report("GBX-0104", spot("(hash)"));
        }
    }
    for group in accounts::parse_groups(&root.text(b"/etc/group").unwrap_or_default()) {
        if ROOT_GROUPS.iter().any(|known| known.as_bytes() == group.name)
            && !group.members.is_empty()
        {
            let text =
                [group.name.as_slice(), b": ", group.members.join(&b","[..]).as_slice()].concat();
            context.report(
                "GBX-0108",
                Spot::line(b"/etc/group", group.line, group.offset_bytes, &text),
            );
        }
    }
    sudoers(context);
}

fn is_system(account: &Account) -> bool {
    (1..FIRST_PERSON).contains(&account.uid) || account.uid == NOBODY
}

fn passwd_line(context: &mut Context<'_>, account: &Account) {
    let mut shown = account.name.clone();
    for part in [account.uid_text.as_slice(), &account.home, &account.shell] {
        shown.push(b':');
        shown.extend_from_slice(part);
    }
    let spot = || Spot::line(b"/etc/passwd", account.line, account.offset_bytes, &shown);
    let is_nis = matches!(account.name.first(), Some(b'+' | b'-'));
    let is_odd_number = !account.uid_text.iter().all(u8::is_ascii_digit)
        || account.uid_text.is_empty()
        || (account.uid_text.len() > 1 && account.uid_text.first() == Some(&b'0'));
    if is_nis || is_odd_number {
        context.report("GBX-0107", spot());
    }
    if account.uid == 0 && account.name != b"root" && !is_nis {
        context.report("GBX-0101", spot());
    }
    if account.password.is_empty() && !is_nis {
        context.report("GBX-0103", spot().detail("the password field of /etc/passwd is empty"));
    } else if is_usable_hash(&account.password) {
        context.report("GBX-0102", spot());
    }
    let trimmed = account.shell.trim_ascii();
    if trimmed.len() != account.shell.len()
        || account.shell.iter().any(|b| b.is_ascii_control() || *b >= 0x80)
    {
        context.report(
            "GBX-0106",
            spot().detail("the shell's name has blanks at its end or strange bytes"),
        );
    } else if is_system(account) && is_login_shell(trimmed) {
        let is_delivered_so = SHELLS_BY_DESIGN.iter().any(|name| name.as_bytes() == account.name);
        context.report(
            "GBX-0105",
            if is_delivered_so { spot().severity(Severity::Info) } else { spot() },
        );
    }
}

fn is_login_shell(shell: &[u8]) -> bool {
    let name = shell.rsplit(|byte| *byte == b'/').next().unwrap_or(shell);
    matches!(
        name,
        b"sh"
            | b"bash"
            | b"dash"
            | b"zsh"
            | b"ksh"
            | b"mksh"
            | b"fish"
            | b"tcsh"
            | b"csh"
            | b"ash"
            | b"busybox"
    )
}

fn sudoers(context: &mut Context<'_>) {
    let root = context.root;
    let mut files = root.matching("/etc/sudoers");
    files.extend(root.matching("/etc/sudoers.d/*"));
    for item in files.into_iter().filter(|item| item.is_file()) {
        // sudo ignores names with a dot or ending in a tilde.
        let is_ignored = item.path != b"/etc/sudoers"
            && (item.name().contains(&b'.') || item.name().ends_with(b"~"));
        for (line, offset, text) in meaningful(&root.text(item.path).unwrap_or_default()) {
            let is_open = contains(text, b"NOPASSWD") || contains(text, b"!authenticate");
            if is_open && !is_ignored {
                let spot = Spot::line(item.path, line, offset, text);
                let everybody = text.trim_ascii_start().starts_with(b"ALL");
                context.report(
                    "GBX-0121",
                    if everybody { spot.severity(Severity::Critical) } else { spot },
                );
            }
        }
    }
}
