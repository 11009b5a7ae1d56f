//! Crontabs (crontab(5)): times, optionally a user, and a command; `@reboot` and the like; settings of variables.

use super::{meaningful, words};

/// Whether the lines name the user who runs them: those of `/etc/crontab` and `/etc/cron.d` do, account crontabs do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Times, user, command.
    System,
    /// Times, command.
    Account,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// When, as written.
    pub times: Vec<u8>,
    /// The user named in the line.
    pub user: Option<Vec<u8>>,
    /// The command, raw.
    pub command: Vec<u8>,
    /// Line number from 1.
    pub line: usize,
    /// Byte offset of the line.
    pub offset_bytes: usize,
}

/// The jobs of a crontab; settings and lines without a command are left out.
#[must_use]
pub fn parse(raw: &[u8], layout: Layout) -> Vec<Job> {
    let jobs = meaningful(raw).filter_map(|(line, offset_bytes, text)| {
        let text = text.trim_ascii();
        let first = text.first()?;
        // A setting begins with a letter; times begin with a digit, a star or an at sign.
        if !(first.is_ascii_digit() || matches!(first, b'*' | b'@' | b'-')) {
            return None;
        }
        let time_fields = if *first == b'@' { 1 } else { 5 };
        let user_fields = usize::from(layout == Layout::System);
        let all = words(text);
        let times = all.get(..time_fields)?.join(&b' ');
        let user =
            all.get(time_fields).filter(|_| layout == Layout::System).map(|user| user.to_vec());
        let command = all.get(time_fields.saturating_add(user_fields)..)?.join(&b' ');
        (!command.is_empty()).then_some(Job { times, user, command, line, offset_bytes })
    });
    jobs.collect()
}
