//! Accounts, passwords, groups and sudo.

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::accounts::{self, Account, is_usable_hash};
use crate::parse::{contains, meaningful, words};

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
    let old_shadow = root.text(b"/etc/shadow-").map(|raw| accounts::parse_shadow(&raw));
    newcomers(context);
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
        } else if is_usable_hash(&entry.hash)
            && old_shadow.as_ref().is_some_and(|old| old.iter().all(|one| one.hash != entry.hash))
        {
            context.report("GBX-0110", spot("(hash)"));
        }
    }
    for group in accounts::parse_groups(&root.text(b"/etc/group").unwrap_or_default()) {
        if ROOT_GROUPS.iter().any(|known| known.as_bytes() == group.name)
            && !group.members.is_empty()
        {
            let text =
                [group.name.as_slice(), b": ", group.members.join(&b","[..]).as_slice()].concat();
            let spot = Spot::line(b"/etc/group", group.line, group.offset_bytes, &text);
            let is_service = |member: &&Vec<u8>| {
                root.accounts.iter().any(|account| account.name == **member && is_system(account))
            };
            let spot = match group.members.iter().find(is_service) {
                // Backup software reads disks and shadow; a service among the administrators is another matter.
                Some(member) if !matches!(group.name.as_slice(), b"shadow" | b"disk") => spot
                    .detail(format!(
                        "{} is the account of a service",
                        evidence::escape_bytes(member)
                    ))
                    .severity(Severity::High),
                Some(_) => spot.severity(Severity::Medium),
                None => spot,
            };
            context.report("GBX-0108", spot);
        }
    }
    sudoers(context);
}

/// Accounts of people, or with uid 0, that `/etc/passwd-` lacks.
fn newcomers(context: &mut Context<'_>) {
    let root = context.root;
    let Some(old) = root.text(b"/etc/passwd-").map(|raw| accounts::parse(&raw)) else { return };
    for account in root.accounts.iter().filter(|account| !is_system(account)) {
        if account.uid >= FIRST_PERSON && old.iter().all(|one| one.name != account.name) {
            let shown = [account.name.as_slice(), b":", &account.uid_text, b":", &account.home];
            let spot =
                Spot::line(b"/etc/passwd", account.line, account.offset_bytes, &shown.concat());
            context.report("GBX-0109", spot);
        }
    }
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
                let who =
                    words(text).first().map_or_else(String::new, |who| evidence::escape_bytes(who));
                let run = Run::active(who, "whenever it likes, by sudo");
                let spot = Spot::line(item.path, line, offset, text).run(run);
                let everybody = text.trim_ascii_start().starts_with(b"ALL");
                context.report(
                    "GBX-0121",
                    if everybody { spot.severity(Severity::Critical) } else { spot },
                );
            }
        }
    }
}
