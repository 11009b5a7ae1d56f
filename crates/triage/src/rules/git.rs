//! Hooks and settings of git that run programs (githooks(5), git-config(1)).

use crate::activation::{Run, person};
use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::git;
use crate::payload;
use crate::root::Item;

const HOOKS: &[&str] = &[
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "post-index-change",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for item in root.items().filter(|item| item.is_file()) {
        let folder = item.path.rsplit(|byte| *byte == b'/').nth(1).unwrap_or(&[]);
        if folder == b"hooks" && HOOKS.iter().any(|name| name.as_bytes() == item.name()) {
            hook(context, item);
        } else if matches!(item.name(), b"config" | b"config.worktree")
            && is_repository(context, item, 1)
        {
            config(context, item);
        }
    }
    for pattern in ["~/.gitconfig", "~/.config/git/config", "/etc/gitconfig"] {
        for item in root.matching(pattern).into_iter().filter(|item| item.is_file()) {
            config(context, item);
        }
    }
}

/// Whether the directory so many names above the file's own holds a repository.
fn is_repository(context: &Context<'_>, item: Item<'_>, up: usize) -> bool {
    let mut path = item.path;
    for _ in 0..up {
        path = path.get(..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)).unwrap_or(&[]);
    }
    ["/HEAD", "/objects"]
        .iter()
        .all(|name| context.root.item(&[path, name.as_bytes()].concat()).is_some())
        || path.ends_with(b"/.git")
}

fn hook(context: &mut Context<'_>, item: Item<'_>) {
    if !is_repository(context, item, 2) || !context.is_foreign(item) {
        return;
    }
    let raw = context.root.text(item.path).unwrap_or_default();
    let when = format!("at git's {}", evidence::escape_bytes(item.name()));
    let run = Run::active("whoever uses the repository", when)
        .what(item.path)
        .but((!item.is_executable()).then_some("inactive: it is not executable"));
    let spot = match payload::signs(&raw).into_iter().next() {
        Some(sign) => Spot::line(item.path, sign.line, sign.offset_bytes, &sign.text)
            .detail(sign.what)
            .severity(Severity::Critical),
        None => Spot::file(item.path),
    };
    let spot = if item.is_executable() { spot } else { spot.severity(Severity::Low) };
    context.report("GBX-1301", spot.run(run));
}

fn config(context: &mut Context<'_>, item: Item<'_>) {
    let raw = context.root.text(item.path).unwrap_or_default();
    for setting in git::parse(&raw) {
        if !git::runs_program(&setting) {
            continue;
        }
        let text = [setting.key.as_slice(), b" = ", &setting.value].concat();
        let who = person(context.root, "~", item.path);
        let run = Run::active(who, "when git is used there").what(&setting.value);
        let spot = Spot::line(item.path, setting.line, setting.offset_bytes, &text).run(run);
        let is_alias = setting.key.starts_with(b"alias.");
        let spot = match payload::sign_of(&setting.value) {
            Some(what) => spot.detail(what).severity(Severity::Critical),
            None if payload::runs_from_shared(&setting.value) => spot.severity(Severity::High),
            None if is_alias => spot.severity(Severity::Low),
            None => spot,
        };
        context.report("GBX-1302", spot);
    }
}
