//! Logs that somebody emptied, edited or led nowhere: what is missing tells of itself.
//!
//! Only what leaves a contradiction inside the files is told. A log that is simply not there, or was deleted whole, looks
//! like one that was never kept.

mod journals;
mod lines;
mod logins;

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::Severity;

/// Logs of the system, which are files wherever they are kept at all.
const SYSTEM_LOGS: &[&str] = &[
    "/var/log/wtmp",
    "/var/log/btmp",
    "/var/log/lastlog",
    "/var/log/auth.log",
    "/var/log/secure",
    "/var/log/syslog",
    "/var/log/messages",
    "/var/log/kern.log",
    "/var/log/cron",
    "/var/log/cron.log",
    "/var/log/daemon.log",
    "/var/log/audit/audit.log",
    "/var/log/apache2/access.log",
    "/var/log/nginx/access.log",
    "/var/log/httpd/access_log",
];
/// What people typed.
const HISTORIES: &[&str] = &[
    "~/.bash_history",
    "~/.zsh_history",
    "~/.zhistory",
    "~/.sh_history",
    "~/.ash_history",
    "~/.ksh_history",
    "~/.history",
    "~/.local/share/fish/fish_history",
    "~/.mysql_history",
    "~/.psql_history",
    "~/.python_history",
    "~/.lesshst",
    "~/.viminfo",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    nowhere(context);
    logins::apply(context);
    journals::apply(context);
    lines::apply(context);
}

/// Logs and histories that are links to nothing.
fn nowhere(context: &mut Context<'_>) {
    let root = context.root;
    for (patterns, severity) in [(SYSTEM_LOGS, None), (HISTORIES, Some(Severity::Medium))] {
        for item in patterns.iter().flat_map(|pattern| root.matching(pattern)) {
            let Some(target) = root.link_target(item.path).filter(|_| item.is_link()) else {
                continue;
            };
            if !matches!(target.as_slice(), b"/dev/null" | b"/dev/zero" | b"/dev/full") {
                continue;
            }
            let run = Run::active("every program that writes it", "at each entry");
            let text = [b"-> ", target.as_slice()].concat();
            let mut spot = Spot { excerpt: text, ..Spot::file(item.path) }.run(run);
            spot.severity = severity;
            context.report("GBX-1601", spot);
        }
    }
}
