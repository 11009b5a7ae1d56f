//! Why no report was made. What is wrong *inside* a case is no error: the report says it.

use std::io;

/// Why no report was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no case there, or its list of acts cannot be read at all.
    #[error("reading the case")]
    Case(#[from] casebook::Error),
    /// The report could not be written.
    #[error("writing the report")]
    Write(#[from] io::Error),
    /// What was asked for cannot be made from this case.
    #[error("{reason}")]
    Refused {
        /// Why, and the way out.
        reason: String,
    },
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Write(error.into())
    }
}
