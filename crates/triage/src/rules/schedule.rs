//! What runs by itself at a time or at boot: cron, at, systemd units. Which files belong is [`super::places`]' question;
//! here their commands are read, and those of changed configuration files too.

use crate::context::{Context, Spot};
use crate::finding::{Activation, Severity};
use crate::parse::cron::{self, Layout};
use crate::parse::{contains, lines, unit};
use crate::payload;

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for (pattern, layout) in [("/etc/crontab", Layout::System), ("/etc/cron.d/*", Layout::System)] {
        for item in root.matching(pattern).into_iter().filter(|item| item.is_file()) {
            jobs(context, item.path, layout, "GBX-0302");
        }
    }
    for pattern in [
        "/var/spool/cron/crontabs/*",
        "/var/spool/cron/tabs/*",
        "/var/spool/cron/*",
        "/etc/crontabs/*",
    ] {
        for item in root.matching(pattern).into_iter().filter(|item| item.is_file()) {
            jobs(context, item.path, Layout::Account, "GBX-0301");
        }
    }
    for pattern in ["/var/spool/cron/atjobs/*", "/var/spool/at/*", "/var/spool/atjobs/*"] {
        for item in root
            .matching(pattern)
            .into_iter()
            .filter(|item| item.is_file() && item.name() != b".SEQ")
        {
            at_job(context, item.path);
        }
    }
    units(context);
}

/// Jobs of a file that no package owns or that was changed: each is told, worse if its command is suspicious.
fn jobs(context: &mut Context<'_>, path: &[u8], layout: Layout, rule: &str) {
    let root = context.root;
    let Some(item) = root.item(path) else { return };
    let raw = root.text(path).unwrap_or_default();
    let is_ours = context.is_foreign(item) || context.is_changed_conffile(item);
    // run-parts and cron pass over names with dots.
    let is_ignored = layout == Layout::System && item.name().contains(&b'.');
    for job in cron::parse(&raw, layout) {
        let user = job.user.clone().unwrap_or_else(|| item.name().to_vec());
        let detail = format!(
            "runs as {} at {}",
            evidence::escape_bytes(&user),
            evidence::escape_bytes(&job.times)
        );
        let spot = Spot::line(path, job.line, job.offset_bytes, &job.command);
        let spot =
            spot.activation(if is_ignored { Activation::Inactive } else { Activation::Active });
        if let Some(what) = payload::sign_of(&job.command) {
            context.report(
                rule,
                spot.detail(format!("{detail}; {what}")).severity(Severity::Critical),
            );
        } else if payload::runs_from_shared(&job.command) {
            let detail = format!("{detail}; the program lies where everybody can write");
            context.report(rule, spot.detail(detail).severity(Severity::High));
        } else if layout == Layout::Account && is_ours {
            context.report(rule, spot.detail(detail));
        }
    }
}

fn at_job(context: &mut Context<'_>, path: &[u8]) {
    let raw = context.root.text(path).unwrap_or_default();
    let uid = lines(&raw)
        .find(|(_, _, line)| line.starts_with(b"# atrun"))
        .map_or(&b""[..], |(_, _, line)| line);
    // The environment comes first; the commands are at the end.
    let last = lines(&raw)
        .filter(|(_, _, line)| !line.trim_ascii().is_empty() && !contains(line, b"DELIMITER"))
        .last();
    let (line, offset, text) = last.unwrap_or((1, 0, &[]));
    let spot = Spot::line(path, line, offset, text)
        .detail(evidence::escape_bytes(uid))
        .activation(Activation::Active);
    let sign = payload::signs(&raw).first().map(|sign| sign.what);
    context.report(
        "GBX-0303",
        match sign {
            Some(what) => spot.detail(what).severity(Severity::Critical),
            None => spot,
        },
    );
}

/// Unit files that no package owns: their commands decide how bad. The file itself is told by its place.
fn units(context: &mut Context<'_>) {
    let root = context.root;
    let Some(rule) = context.catalogue.rule("GBX-0401") else { return };
    for pattern in &rule.places {
        for item in root.matching(pattern).into_iter().filter(|item| item.is_file()) {
            if !context.is_foreign(item) {
                continue;
            }
            let raw = root.text(item.path).unwrap_or_default();
            for setting in unit::parse(&raw) {
                let spot = || {
                    let text = [setting.key.as_slice(), b"=", &setting.value].concat();
                    Spot::line(item.path, setting.line, setting.offset_bytes, &text)
                };
                if setting.key == b"Environment" && payload::sign_of(&setting.value).is_some() {
                    context.report("GBX-0503", spot());
                } else if !unit::is_command(&setting.key) {
                    continue;
                } else if let Some(what) = payload::sign_of(&setting.value) {
                    context.report("GBX-0401", spot().detail(what).severity(Severity::Critical));
                } else if payload::runs_from_shared(&setting.value) {
                    let detail = "the program lies where everybody can write";
                    context.report("GBX-0401", spot().detail(detail).severity(Severity::High));
                }
            }
        }
    }
}
