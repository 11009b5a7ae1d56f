//! Why a verb was not done: the chain of causes, and what can be typed next.

use std::error::Error;
use std::io;

use crate::exit::Exit;

/// A verb that was not done.
#[derive(Debug)]
pub(crate) struct Failure {
    chain: Vec<String>,
    hints: Vec<String>,
    exit: Exit,
    broken_pipe: bool,
}

impl Failure {
    /// A failure that needs no cause below it.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            chain: vec![text.into()],
            hints: Vec::new(),
            exit: Exit::NotDone,
            broken_pipe: false,
        }
    }

    /// Adds a line that can be typed.
    #[must_use]
    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.hints.push(text.into());
        self
    }

    /// Says what was being done.
    #[must_use]
    pub(crate) fn while_doing(mut self, doing: impl Into<String>) -> Self {
        self.chain.insert(0, doing.into());
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// True if standard output was closed by its reader.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.broken_pipe
    }

    /// The whole chain on one line, for the record of an act.
    pub(crate) fn text(&self) -> String {
        self.chain.join(": ")
    }

    /// Shows it on standard error.
    pub(crate) fn show(&self) {
        use std::io::Write;
        let mut out = io::stderr().lock();
        let _closed = writeln!(out, "Error: {}", self.text());
        for hint in &self.hints {
            let _closed = writeln!(out, "Hint: {hint}");
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut chain = Vec::new();
        let mut broken_pipe = false;
        let mut next: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(one) = next {
            if let Some(problem) = one.downcast_ref::<io::Error>() {
                broken_pipe |= problem.kind() == io::ErrorKind::BrokenPipe;
            }
            chain.push(one.to_string());
            next = one.source();
        }
        Self { chain, hints: Vec::new(), exit: Exit::NotDone, broken_pipe }
    }
}
