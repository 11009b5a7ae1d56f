//! What went wrong, shown on the consoles and kept for the status.

use std::fmt::Display;
use std::io::Write;

/// Problems since start, in order.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<String>);

/// Most problems kept; a flapping device must not fill the memory.
const LIMIT: usize = 1000;

impl Problems {
    /// Shows a problem and keeps it.
    pub(crate) fn add(&mut self, what: impl Display) {
        let text = what.to_string();
        line(&format!("problem: {text}"));
        if self.0.len() < LIMIT {
            self.0.push(text);
        }
    }

    /// Adds the problem of a failed step and goes on.
    pub(crate) fn note<T, E: Display>(&mut self, doing: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problem) => {
                self.add(format_args!("{doing}: {problem}"));
                None
            }
        }
    }

    /// All kept problems.
    pub(crate) fn all(&self) -> &[String] {
        &self.0
    }
}

/// Writes one line to the console; a console that is gone stops nothing.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stderr().lock();
    let _gone = writeln!(out, "glovebox: {text}\r");
}
