//! Does it run, as whom, when, and what: the answers a finding carries beside the file itself.
//!
//! Only what the files say: a unit that nothing starts, a script without its execute bit, a name cron passes over are
//! told as inactive, because an intruder's left-over and a live back door ask for different haste.

pub(crate) mod units;

use crate::catalogue::{Needs, WatchedPlace};
use crate::finding::Activation;
use crate::root::{Item, Root};
use evidence::escape_bytes;

/// Longest command told, in bytes of evidence.
const MAX_COMMAND_BYTES: usize = 240;

/// Who runs what when, as far as the files tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) activation: Activation,
    pub(crate) who: Option<String>,
    pub(crate) when: Option<String>,
    pub(crate) what: Option<String>,
    /// Why it would not act.
    pub(crate) hindrance: Option<&'static str>,
}

impl Default for Run {
    fn default() -> Self {
        Self { activation: Activation::Unknown, who: None, when: None, what: None, hindrance: None }
    }
}

impl Run {
    /// Something the system acts on.
    pub(crate) fn active(who: impl Into<String>, when: impl Into<String>) -> Self {
        let (who, when) = (Some(who.into()), Some(when.into()));
        Self { activation: Activation::Active, who, when, ..Self::default() }
    }

    pub(crate) fn what(mut self, command: &[u8]) -> Self {
        self.what = (!command.is_empty()).then(|| shown(command));
        self
    }

    /// The same, but it lacks something.
    pub(crate) fn but(mut self, hindrance: Option<&'static str>) -> Self {
        if hindrance.is_some() {
            self.activation = Activation::Inactive;
            self.hindrance = hindrance;
        }
        self
    }
}

/// A command as a report shows it.
pub(crate) fn shown(command: &[u8]) -> String {
    let mut text = escape_bytes(command.get(..MAX_COMMAND_BYTES).unwrap_or(command));
    if command.len() > MAX_COMMAND_BYTES {
        text.push('…');
    }
    text
}

/// Whether run-parts(8) takes the name: letters, digits, underscores and hyphens.
pub(crate) fn is_run_parts_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Who runs a file in a watched place, and whether it can act there.
pub(crate) fn of_place(root: &Root<'_>, place: &WatchedPlace, item: Item<'_>) -> Run {
    let who = place.who.as_ref().map(|who| person(root, who, item.path));
    let has_end =
        place.ends.is_empty() || place.ends.iter().any(|end| item.name().ends_with(end.as_bytes()));
    let is_run = item.is_executable() || item.is_link();
    let hindrance = if !has_end {
        Some("inactive: its name does not end as it must to be read")
    } else {
        match place.needs {
            Needs::Executable | Needs::RunParts if !is_run => {
                Some("inactive: it is not executable")
            }
            Needs::RunParts if !is_run_parts_name(item.name()) => {
                Some("inactive: run-parts passes over its name")
            }
            Needs::PlainName if item.name().contains(&b'.') || item.name().ends_with(b"~") => {
                Some("inactive: sudo passes over its name")
            }
            _ => None,
        }
    };
    let run =
        Run { activation: Activation::Active, who, when: place.when.clone(), ..Run::default() };
    let run = if matches!(place.needs, Needs::Executable | Needs::RunParts) {
        run.what(item.path)
    } else {
        run
    };
    run.but(hindrance)
}

/// `~` replaced by the accounts whose home the path lies in.
pub(crate) fn person(root: &Root<'_>, who: &str, path: &[u8]) -> String {
    if who != "~" {
        return who.to_owned();
    }
    let lies_in = |home: &[u8]| {
        path.strip_prefix(home).is_some_and(|rest| home.len() > 1 && rest.first() == Some(&b'/'))
    };
    let names: Vec<String> = root
        .accounts
        .iter()
        .filter(|account| lies_in(account.home.trim_ascii()))
        .map(|account| escape_bytes(&account.name))
        .take(4)
        .collect();
    if names.is_empty() { "the owner of the home".to_owned() } else { names.join(", ") }
}
