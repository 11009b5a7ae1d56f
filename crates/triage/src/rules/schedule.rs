//! What runs by itself at a time: cron, anacron, at. Which files belong is [`super::places`]' question;
//! here their commands are read, and those of changed configuration files too.

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::Severity;
use crate::parse::cron::{self, Layout};
use crate::parse::{contains, lines, meaningful, words};
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
    anacron(context);
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
        let run = Run::active(
            evidence::escape_bytes(&user),
            format!("cron: {}", evidence::escape_bytes(&job.times)),
        )
        .what(&job.command)
        .but(is_ignored.then_some("inactive: cron passes over names with dots"));
        let spot = spot.run(run);
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
    let header = lines(&raw)
        .find(|(_, _, line)| line.starts_with(b"# atrun"))
        .map_or(&b""[..], |(_, _, line)| line);
    // The environment comes first; the commands are at the end.
    let last = lines(&raw)
        .filter(|(_, _, line)| !line.trim_ascii().is_empty() && !contains(line, b"DELIMITER"))
        .last();
    let (line, offset, text) = last.unwrap_or((1, 0, &[]));
    let uid = words(header).iter().find_map(|word| word.strip_prefix(b"uid=").map(<[u8]>::to_vec));
    let who = uid.map_or_else(
        || "the account in its header".to_owned(),
        |uid| format!("uid {}", evidence::escape_bytes(&uid)),
    );
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(&[]);
    let when = at_minute(name).map_or_else(
        || "at the time in its name".to_owned(),
        |minute| {
            let seconds = i64::from(minute).saturating_mul(60);
            format!("once, at {}", evidence::Time { seconds, nanoseconds: 0 })
        },
    );
    let spot = Spot::line(path, line, offset, text)
        .detail(evidence::escape_bytes(header))
        .run(Run::active(who, when).what(text));
    let sign = payload::signs(&raw).first().map(|sign| sign.what);
    context.report(
        "GBX-0303",
        match sign {
            Some(what) => spot.detail(what).severity(Severity::Critical),
            None => spot,
        },
    );
}

/// The minutes since 1970 in a job's name: queue, five digits of job number, eight of minutes, hexadecimal.
fn at_minute(name: &[u8]) -> Option<u32> {
    let digits = name.get(6..14).filter(|_| name.len() == 14)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Lines of a changed or foreign anacrontab that are not the delivered calls of run-parts.
fn anacron(context: &mut Context<'_>) {
    let root = context.root;
    let path = b"/etc/anacrontab";
    let Some(item) = root.item(path).filter(|item| item.is_file()) else { return };
    if !context.is_foreign(item) && !context.is_changed_conffile(item) {
        return;
    }
    for (line, offset, text) in meaningful(&root.text(path).unwrap_or_default()) {
        let all = words(text);
        let [period, _, _, command @ ..] = all.as_slice() else { continue };
        let is_setting = period.contains(&b'=') || all.get(1) == Some(&&b"="[..]);
        let command = command.join(&b' ');
        if is_setting || command.is_empty() || contains(&command, b"run-parts") {
            continue;
        }
        let when = format!("once in {} days, after boot", evidence::escape_bytes(period));
        let spot =
            Spot::line(path, line, offset, text).run(Run::active("root", when).what(&command));
        context.report(
            "GBX-0304",
            match payload::sign_of(&command) {
                Some(what) => spot.detail(what).severity(Severity::Critical),
                None => spot,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_minute_stands_in_the_name() {
        assert_eq!(super::at_minute(b"a0000101b2c3d4"), Some(0x01b2_c3d4));
        assert_eq!(super::at_minute(b".SEQ"), None);
    }
}
