//! What the exit code says.

use std::process::ExitCode;

/// The four answers a verb can end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, nothing adverse.
    Clean,
    /// Done; there are findings or mismatches.
    Findings,
    /// Not done: usage, refused, or a read or write that did not go through.
    NotDone,
    /// Done in part: some of the source could not be read, and it was said where.
    Partial,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Clean => 0,
            Exit::Findings => 1,
            Exit::NotDone => 2,
            Exit::Partial => 3,
        })
    }
}
