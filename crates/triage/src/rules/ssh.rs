//! Ways in by SSH: keys of accounts, and what the server's configuration adds.

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::{contains, lines, meaningful, words};
use crate::root::Item;

/// Starts of the words that name a key's type.
const KEY_TYPES: &[&str] = &["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for pattern in ["~/.ssh/authorized_keys", "~/.ssh/authorized_keys2"] {
        for item in root.matching(pattern) {
            authorized_keys(context, item.path);
        }
    }
    for item in root.matching("~/.ssh/*").into_iter().filter(|item| item.is_file()) {
        private_key(context, item);
    }
    let mut files = root.matching("/etc/ssh/sshd_config");
    files.extend(root.matching("/etc/ssh/sshd_config.d/*.conf"));
    for item in files {
        server(context, item.path);
    }
}

fn authorized_keys(context: &mut Context<'_>, path: &[u8]) {
    let root = context.root;
    let home = path
        .strip_suffix(b"2")
        .unwrap_or(path)
        .strip_suffix(b"/.ssh/authorized_keys")
        .unwrap_or(path);
    let owner = root
        .accounts
        .iter()
        .find(|account| account.home.trim_ascii_end().trim_ascii_start() == home);
    for (line, offset, text) in meaningful(&root.text(path).unwrap_or_default()) {
        let all = words(text);
        let Some(at) = all
            .iter()
            .position(|word| KEY_TYPES.iter().any(|kind| word.starts_with(kind.as_bytes())))
        else {
            continue;
        };
        // The key itself is long and public; type, comment and options tell more.
        let options = all.get(..at).unwrap_or(&[]).join(&b' ');
        let comment = all.get(at.saturating_add(2)..).unwrap_or(&[]).join(&b' ');
        let kind = all.get(at).copied().unwrap_or(&[]);
        let shown = [
            options.as_slice(),
            if options.is_empty() { b"" } else { b" " },
            kind,
            b" \xe2\x80\xa6 ",
            &comment,
        ]
        .concat();
        let spot = || Spot::line(path, line, offset, &shown);
        let (rule, who) = match owner {
            Some(account) if account.uid == 0 => {
                ("GBX-0201", format!("account {}", evidence::escape_bytes(&account.name)))
            }
            Some(account) if account.uid < 1000 || account.uid == 65_534 => {
                ("GBX-0202", format!("account {}", evidence::escape_bytes(&account.name)))
            }
            Some(account) => {
                ("GBX-0203", format!("account {}", evidence::escape_bytes(&account.name)))
            }
            None => ("GBX-0203", "the home of no account".to_owned()),
        };
        let holder =
            owner.map_or_else(|| "nobody".to_owned(), |one| evidence::escape_bytes(&one.name));
        let run = Run::active(holder, "when somebody logs in with the key");
        context.report(rule, spot().detail(who).run(run));
        if contains(&options, b"command=") || contains(&options, b"environment=") {
            context.report("GBX-0204", spot());
        }
    }
}

/// A private key that needs no passphrase: `none` as cipher in OpenSSH's form (PROTOCOL.key), no "ENCRYPTED" in older ones.
fn private_key(context: &mut Context<'_>, item: Item<'_>) {
    let Ok((head, _)) = context.root.fs.read_head(item.metadata.node, 400) else { return };
    let Some(first) = lines(&head).next().map(|(_, _, line)| line.to_vec()) else { return };
    if !first.starts_with(b"-----BEGIN ") || !contains(&first, b"PRIVATE KEY-----") {
        return;
    }
    let is_open = if contains(&first, b"OPENSSH") {
        // "openssh-key-v1\0" and the four-byte length of "none", in base 64.
        contains(&head, b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU")
    } else {
        !contains(&head, b"ENCRYPTED")
    };
    if is_open {
        context.report("GBX-0205", Spot { excerpt: first, ..Spot::file(item.path) });
    }
}

fn server(context: &mut Context<'_>, path: &[u8]) {
    for (line, offset, text) in meaningful(&context.root.text(path).unwrap_or_default()) {
        let spaced: Vec<u8> =
            text.iter().map(|byte| if *byte == b'=' { b' ' } else { *byte }).collect();
        let all = words(&spaced);
        let (Some(key), Some(value)) =
            (all.first().map(|key| key.to_ascii_lowercase()), all.get(1))
        else {
            continue;
        };
        let value = value.to_ascii_lowercase();
        let spot = || Spot::line(path, line, offset, text);
        match (key.as_slice(), value.as_slice()) {
            (b"permitemptypasswords", b"yes") => {
                context.report("GBX-0211", spot().severity(Severity::High));
            }
            (b"permitrootlogin", b"yes") | (b"permituserenvironment", b"yes") => {
                context.report("GBX-0211", spot());
            }
            (
                b"authorizedkeyscommand" | b"trustedusercakeys" | b"authorizedprincipalscommand",
                value,
            ) if value != b"none" => {
                context.report("GBX-0212", spot());
            }
            (b"forcecommand", value) if !matches!(value, b"none" | b"internal-sftp") => {
                context.report("GBX-0212", spot());
            }
            (b"authorizedkeysfile", _) => {
                let usual = |word: &&[u8]| {
                    matches!(*word, b".ssh/authorized_keys" | b".ssh/authorized_keys2" | b"none")
                };
                if !all.iter().skip(1).take_while(|word| !word.starts_with(b"#")).all(usual) {
                    context.report("GBX-0212", spot());
                }
            }
            _ => {}
        }
    }
}
