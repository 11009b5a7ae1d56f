//! Scheduled tasks: what the registry makes the service do, what the files show people, and where the two disagree.

use super::Windows;
use super::autostart::judged;
use super::command;
use super::hives::{Loaded, Told, number_of, text_of};
use super::tree::folded;
use crate::Severity;
use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::parse::windows::{file_text, task};
use crate::root::Item;
use std::collections::BTreeMap;

const CACHE: &str = "Microsoft\\Windows NT\\CurrentVersion\\Schedule\\TaskCache";
/// Tasks of one system that are read.
const MAX_TASKS: usize = 1 << 16;

/// A task as the registry has it.
struct Kept {
    /// Its path below `Tree`, as written.
    path: String,
    id: Option<String>,
    is_guarded: bool,
    index: Option<u64>,
    time: Option<evidence::Time>,
}

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    let folder = format!("{}/system32/tasks", String::from_utf8_lossy(&windows.folder));
    let prefix = format!("{folder}/");
    let mut files: BTreeMap<Vec<u8>, Item<'_>> = BTreeMap::new();
    for (path, item) in windows.tree.all() {
        if let Some(name) = path.strip_prefix(prefix.as_bytes()).filter(|_| item.is_file()) {
            files.insert(name.to_vec(), item);
        }
    }
    let mut actions_by_name: BTreeMap<Vec<u8>, Vec<task::Action>> = BTreeMap::new();
    let cache = windows.hives.software.as_ref();
    let has_cache = cache.is_some_and(|loaded| loaded.key(CACHE).is_some());
    if let Some(loaded) = cache {
        for kept in kept(loaded) {
            let name = folded(kept.path.replace('\\', "/").as_bytes());
            let file = files.get(&name).copied();
            if let Some(actions) = one(context, windows, loaded, &kept, file.is_some()) {
                actions_by_name.insert(name.clone(), actions);
            } else {
                actions_by_name.insert(name, Vec::new());
            }
        }
    }
    for (name, item) in files {
        let known = actions_by_name.get(&name);
        file(context, windows, item, known.map(Vec::as_slice), has_cache);
    }
}

/// What stands below `Tree`.
fn kept(loaded: &Loaded<'_>) -> Vec<Kept> {
    let mut out = Vec::new();
    let Some(tree) = loaded.key(&format!("{CACHE}\\Tree")) else { return out };
    let _problems = tree.walk(MAX_TASKS, &mut |visit| {
        let id = text_of(visit.key, "Id");
        let has_tasks_below = visit.key.subkeys().is_ok_and(|found| !found.keys.is_empty());
        if visit.path.0.is_empty() || (id.is_none() && has_tasks_below) {
            return;
        }
        let Some(id) = id else { return };
        out.push(Kept {
            path: String::from_utf8_lossy(&visit.path.0).into_owned(),
            id: Some(id),
            is_guarded: visit.key.value("SD").is_ok_and(|found| found.is_some()),
            index: number_of(visit.key, "Index"),
            time: visit.key.last_written(),
        });
    });
    out
}

/// Judges a task of the registry; its actions where they can be read.
fn one(
    context: &mut Context<'_>,
    windows: &Windows<'_>,
    loaded: &Loaded<'_>,
    kept: &Kept,
    has_file: bool,
) -> Option<Vec<task::Action>> {
    let tree_path = format!("{CACHE}\\Tree\\{}", kept.path);
    let id = kept.id.clone().unwrap_or_default();
    let path = format!("{CACHE}\\Tasks\\{id}");
    let key = loaded.key(&path);
    let raw = key.as_ref().and_then(|key| key.value("Actions").ok()??.data().ok());
    let actions = raw.as_ref().and_then(|raw| task::actions(raw));
    let shown = actions.as_ref().map_or_else(String::new, |all| {
        all.iter().map(task::Action::line).collect::<Vec<_>>().join("; ")
    });
    let run = Run::active("the account in the task", "by the triggers of the task")
        .what(shown.as_bytes());
    let mut tell = |rule: &str, severity: Option<Severity>, detail: String| {
        let told = Told {
            time: kept.time,
            detail,
            severity,
            run: run.clone(),
            ..Told::new(&tree_path, "Id", &id)
        };
        loaded.report(context, rule, told);
    };
    if !kept.is_guarded {
        let text = format!("it has no security descriptor, so no tool lists it; it does: {shown}");
        tell("GBX-WIN-0402", None, text);
    } else if kept.index == Some(0) {
        let text = format!("its index is 0, so no tool lists it; it does: {shown}");
        tell("GBX-WIN-0402", None, text);
    }
    if !has_file {
        let severity = command_severity(actions.as_deref()).unwrap_or(Severity::Low);
        tell("GBX-WIN-0403", Some(severity), format!("it does: {shown}"));
    }
    for action in actions.iter().flatten() {
        let line = action.line();
        let (severity, detail) = judged(windows, &line);
        if matches!(action, task::Action::Run(..))
            && severity.is_some_and(|one| one < Severity::Info)
        {
            let told = Told {
                time: kept.time,
                detail,
                severity,
                run: run.clone(),
                ..Told::new(&path, "Actions", &line)
            };
            loaded.report(context, "GBX-WIN-0401", told);
        }
    }
    actions
}

fn command_severity(actions: Option<&[task::Action]>) -> Option<Severity> {
    actions?
        .iter()
        .filter_map(|action| command::sign(&action.line()))
        .map(|sign| sign.severity)
        .min()
}

/// Judges the file of a task, and compares it with what the registry has under its name.
fn file(
    context: &mut Context<'_>,
    windows: &Windows<'_>,
    item: Item<'_>,
    known: Option<&[task::Action]>,
    has_cache: bool,
) {
    let Some(raw) = context.root.text(item.path) else { return };
    let text = file_text(&raw);
    let found = task::parse(&text);
    if !text.contains("<Task") {
        return;
    }
    let lines: Vec<String> = found.actions.iter().map(task::Action::line).collect();
    let shown = lines.join("; ");
    let who = found.user.clone().unwrap_or_else(|| "the account in the task".to_owned());
    let when =
        if found.triggers.is_empty() { "on demand".to_owned() } else { found.triggers.join(", ") };
    let run = Run::active(
        evidence::escape_bytes(who.as_bytes()),
        evidence::escape_bytes(when.as_bytes()),
    )
    .what(shown.as_bytes())
    .but(found.is_disabled.then_some("the task is switched off"));
    let spot = |text: &str, detail: String| {
        let mut spot = Spot::file(item.path).detail(detail).run(run.clone());
        spot.excerpt = text.as_bytes().to_vec();
        spot
    };
    for (action, line) in found.actions.iter().zip(&lines) {
        let (severity, detail) = judged(windows, line);
        if let Some(severity) = severity.filter(|one| *one < Severity::Info)
            && matches!(action, task::Action::Run(..))
        {
            let hidden = if found.is_hidden { "; the task is hidden" } else { "" };
            context
                .report("GBX-WIN-0401", spot(line, format!("{detail}{hidden}")).severity(severity));
        }
    }
    match known {
        None if has_cache => {
            let severity = command_severity(Some(&found.actions)).unwrap_or(Severity::Low);
            let detail = "the registry does not know it: it was deleted there, or put here by hand"
                .to_owned();
            context.report("GBX-WIN-0404", spot(&shown, detail).severity(severity));
        }
        Some(known) if !known.is_empty() && !is_same(known, &found.actions) => {
            let theirs = known.iter().map(task::Action::line).collect::<Vec<_>>().join("; ");
            let detail = format!(
                "the registry, which counts, has: {}",
                evidence::escape_bytes(theirs.as_bytes())
            );
            context.report("GBX-WIN-0405", spot(&shown, detail));
        }
        _ => {}
    }
}

/// Whether two lists of actions do the same, apart from case and quotation marks.
fn is_same(one: &[task::Action], other: &[task::Action]) -> bool {
    let plain = |all: &[task::Action]| -> Vec<String> {
        all.iter().map(|action| action.line().replace('"', "").trim().to_lowercase()).collect()
    };
    plain(one) == plain(other)
}
