//! Local accounts: what the Security Accounts Manager keeps of each, who is an administrator, who has a profile.

use super::Windows;
use super::hives::{Loaded, Told, below, number_of, text_of, texts};
use crate::Severity;
use crate::context::Context;
use crate::parse::windows::sam;
use evidence::registry::{Key, ValueKind};
use std::collections::{BTreeMap, BTreeSet};

/// Where accounts lie.
const USERS: &str = "SAM\\Domains\\Account\\Users";
/// Groups that come with every Windows.
const GROUPS: &str = "SAM\\Domains\\Builtin\\Aliases";
const ADMINISTRATOR: u32 = 500;
const GUEST: u32 = 501;
const ADMINISTRATORS: &str = "00000220";
/// Members of these can log in from the network's side.
const REMOTE_USERS: &str = "0000022B";
const PROFILES: &str = "Microsoft\\Windows NT\\CurrentVersion\\ProfileList";

/// An account as its values tell it.
struct Account {
    rid: u32,
    name: String,
    fixed: sam::Fixed,
    comment: Option<String>,
}

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    let mut names = BTreeMap::new();
    let mut machine = None;
    if let Some(loaded) = &windows.hives.sam {
        machine = loaded.key("SAM\\Domains\\Account").and_then(|key| machine_sid(&key));
        names = accounts(context, loaded);
        groups(context, loaded, &names);
    }
    if let Some(loaded) = &windows.hives.software {
        profiles(context, loaded, machine.as_deref(), &names);
        hidden(context, loaded);
        automatic(context, loaded);
    }
}

/// The identifier all local accounts begin with: the last three numbers of `V`.
fn machine_sid(key: &Key<'_>) -> Option<String> {
    let raw = key.value("V").ok()??.data().ok()?;
    let tail = raw.get(raw.len().checked_sub(12)?..)?;
    let parts = tail.as_chunks::<4>().0.iter().map(|part| u32::from_le_bytes(*part).to_string());
    Some(format!("S-1-5-21-{}", parts.collect::<Vec<_>>().join("-")))
}

fn data(key: &Key<'_>, name: &str) -> Option<Vec<u8>> {
    key.value(name).ok()??.data().ok()
}

/// Judges each account; the names by relative identifier.
fn accounts(context: &mut Context<'_>, loaded: &Loaded<'_>) -> BTreeMap<u32, String> {
    let mut found = Vec::new();
    let Some(users) = loaded.key(USERS) else { return BTreeMap::new() };
    for (key_name, key) in below(&users) {
        let Ok(rid) = u32::from_str_radix(&key_name, 16) else { continue };
        let Some(v) = data(&key, "V") else { continue };
        let fixed = data(&key, "F").and_then(|raw| sam::fixed(&raw)).unwrap_or_default();
        let name = sam::name(&v).unwrap_or_default();
        let account = Account { rid, name, fixed, comment: sam::comment(&v) };
        let path = format!("{USERS}\\{key_name}");
        one(context, loaded, &account, &path, key.last_written());
        found.push(account);
    }
    let listed: BTreeMap<u32, String> = loaded
        .key(&format!("{USERS}\\Names"))
        .map(|key| below(&key))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, key)| {
            // The identifier stands where the type of the value would.
            match key.value("").ok()??.kind() {
                ValueKind::Other(rid) => Some((rid, name)),
                _ => None,
            }
        })
        .collect();
    let rids: BTreeSet<u32> = found.iter().map(|account| account.rid).collect();
    for account in found.iter().filter(|account| !listed.contains_key(&account.rid)) {
        let path = format!("{USERS}\\{:08X}", account.rid);
        let told = Told {
            detail: "no name leads to this account, so lists of accounts do not show it".to_owned(),
            ..Told::new(&path, "", &account.name)
        };
        loaded.report(context, "GBX-WIN-0103", told);
    }
    for (rid, name) in listed.iter().filter(|(rid, _)| !rids.contains(*rid)) {
        let path = format!("{USERS}\\Names\\{name}");
        let told = Told {
            detail: format!("it leads to {rid}, which is no account"),
            severity: Some(Severity::Medium),
            ..Told::new(&path, "", name)
        };
        loaded.report(context, "GBX-WIN-0103", told);
    }
    found.into_iter().map(|account| (account.rid, account.name)).collect()
}

fn shown(time: Option<evidence::Time>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}

fn one(
    context: &mut Context<'_>,
    loaded: &Loaded<'_>,
    account: &Account,
    path: &str,
    time: Option<evidence::Time>,
) {
    let fixed = &account.fixed;
    let is_on = fixed.flags & sam::DISABLED == 0;
    let state = format!(
        "{}; last log-on {}, {} counted; password set {}",
        if is_on { "enabled" } else { "disabled" },
        shown(fixed.last_logon),
        fixed.logons,
        shown(fixed.password_set)
    );
    let report = |context: &mut Context<'_>, rule: &str, detail: String| {
        let told = Told { detail, time, ..Told::new(path, "", &account.name) };
        loaded.report(context, rule, told);
    };
    let comment = account.comment.as_ref().map_or(String::new(), |text| format!("; \"{text}\""));
    report(
        context,
        "GBX-WIN-0101",
        format!("relative identifier {}; {state}{comment}", account.rid),
    );
    if fixed.rid != account.rid {
        let text = format!(
            "whoever logs in as {} becomes the account with the relative identifier {}{}; {state}",
            account.rid,
            fixed.rid,
            if fixed.rid == ADMINISTRATOR { ", the built-in administrator" } else { "" }
        );
        report(context, "GBX-WIN-0102", text);
    }
    if account.name.ends_with('$') {
        report(
            context,
            "GBX-WIN-0104",
            format!("net user does not list names that end so; {state}"),
        );
    }
    if account.rid == GUEST && is_on {
        report(context, "GBX-WIN-0105", state.clone());
    }
    if is_on && fixed.flags & sam::NO_PASSWORD_NEEDED != 0 && account.rid != GUEST {
        report(context, "GBX-WIN-0106", state);
    }
}

fn groups(context: &mut Context<'_>, loaded: &Loaded<'_>, names: &BTreeMap<u32, String>) {
    for group in [ADMINISTRATORS, REMOTE_USERS] {
        let path = format!("{GROUPS}\\{group}");
        let Some(key) = loaded.key(&path) else { continue };
        let Some((name, members)) = data(&key, "C").and_then(|raw| sam::group(&raw)) else {
            continue;
        };
        if members.is_empty() {
            continue;
        }
        let named = members.iter().map(|sid| {
            let rid = sid.rsplit('-').next().and_then(|rid| rid.parse::<u32>().ok());
            match rid.and_then(|rid| names.get(&rid)).filter(|_| sid.starts_with("S-1-5-21-")) {
                Some(name) => format!("{name} ({sid})"),
                None => sid.clone(),
            }
        });
        let text = named.collect::<Vec<_>>().join(", ");
        let told = Told { time: key.last_written(), ..Told::new(&path, &name, &text) };
        let open = ["S-1-1-0", "S-1-5-7", "S-1-5-11", "S-1-5-32-545", "S-1-5-32-546"];
        let is_open = members.iter().any(|sid| open.contains(&sid.as_str()));
        let guest = members.iter().any(|sid| sid.starts_with("S-1-5-21-") && sid.ends_with("-501"));
        let severity = (is_open || guest).then_some(Severity::High);
        loaded.report(context, "GBX-WIN-0107", Told { severity, ..told });
    }
}

/// Profiles of local accounts that are no more.
fn profiles(
    context: &mut Context<'_>,
    loaded: &Loaded<'_>,
    machine: Option<&str>,
    names: &BTreeMap<u32, String>,
) {
    let (Some(list), Some(machine)) = (loaded.key(PROFILES), machine) else { return };
    for (sid, key) in below(&list) {
        let rid = sid.strip_prefix(machine).and_then(|rest| rest.strip_prefix('-'));
        let Some(rid) = rid.and_then(|rid| rid.parse::<u32>().ok()) else { continue };
        if !names.contains_key(&rid) {
            let text = text_of(&key, "ProfileImagePath").unwrap_or_default();
            let path = format!("{PROFILES}\\{sid}");
            let told =
                Told { time: key.last_written(), ..Told::new(&path, "ProfileImagePath", &text) };
            loaded.report(context, "GBX-WIN-0108", told);
        }
    }
}

/// Accounts that the log-on screen does not show.
fn hidden(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    let path = "Microsoft\\Windows NT\\CurrentVersion\\Winlogon\\SpecialAccounts\\UserList";
    let Some(key) = loaded.key(path) else { return };
    for (name, text) in texts(&key).into_iter().filter(|(_, text)| text == "0") {
        let told = Told { time: key.last_written(), ..Told::new(path, &name, &text) };
        loaded.report(context, "GBX-WIN-0109", told);
    }
}

/// Logging in by itself with a password that stands in the registry; the password is no business of a report.
fn automatic(context: &mut Context<'_>, loaded: &Loaded<'_>) {
    let path = "Microsoft\\Windows NT\\CurrentVersion\\Winlogon";
    let Some(key) = loaded.key(path) else { return };
    let is_on = text_of(&key, "AutoAdminLogon").as_deref() == Some("1")
        || number_of(&key, "AutoAdminLogon") == Some(1);
    if is_on && text_of(&key, "DefaultPassword").is_some_and(|text| !text.is_empty()) {
        let user = text_of(&key, "DefaultUserName").unwrap_or_default();
        let told = Told { time: key.last_written(), ..Told::new(path, "DefaultUserName", &user) };
        loaded.report(context, "GBX-WIN-0110", told);
    }
}
