//! The two ways a scenario ends badly: the machine failed, or the test failed.
//!
//! They are kept apart because they ask for different people: a missing QEMU or a firmware that
//! never came says nothing about Glovebox, and must not be read as a failed promise.

use std::path::{Path, PathBuf};

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Exit code of a test program whose machine failed (`EX_UNAVAILABLE`).
pub const EXIT_MACHINE: i32 = 69;

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// QEMU, the host or a host tool did not do its part; nothing was learnt about the guest.
    #[error("the machine failed: {0}")]
    Machine(String),
    /// The guest did something other than promised.
    #[error("the test failed: {0}")]
    Test(String),
    /// A file of the host could not be used.
    #[error("the machine failed: {doing} {}", path.display())]
    File {
        /// What was being done, as a participle.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
}

impl Error {
    /// True when the machine rather than the guest is to blame.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        !matches!(self, Self::Test(_))
    }

    /// The whole chain in one line, for a report.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}

/// A machine failure with a text.
pub fn machine<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Machine(text.into()))
}

/// A test failure with a text.
pub fn test<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Test(text.into()))
}

/// Adds what was done to which file to an I/O result.
pub trait Doing<T> {
    /// Names the act and the file.
    fn doing(self, doing: &'static str, path: &Path) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File { doing, path: path.to_owned(), source })
    }
}
