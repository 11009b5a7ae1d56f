//! The image another builds on: a backing file, a parent, a snapshot's base.
//!
//! Without it the upper image still shows what it holds itself; the rest is then unreadable, never zeros.

use super::folder::{Folder, plain_name};
use super::mapped::Stored;
use super::{Opened, Recorded, open_layer, raw};
use crate::escape_bytes;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::io;
use std::sync::Arc;

/// What shows through where an image holds nothing itself.
#[derive(Clone, Default)]
pub(super) enum Below {
    /// Zeros.
    #[default]
    Nothing,
    /// Another image; zeros behind its end.
    Image(Arc<dyn Source>),
    /// An image that is not to be had, and why.
    Missing(String),
}

/// How the image below is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadAs {
    /// By what it contains.
    Content,
    /// As raw bytes, whatever they look like: the image above says so.
    Raw,
}

impl Below {
    /// What shows through from an offset on, and how far.
    pub(super) fn stored(&self, offset_bytes: u64) -> (Stored<'_>, u64) {
        match self {
            Self::Nothing => (Stored::Zeros, u64::MAX),
            Self::Image(image) => match image.size_bytes().saturating_sub(offset_bytes) {
                0 => (Stored::Zeros, u64::MAX),
                left => (Stored::Plain(image, offset_bytes), left),
            },
            Self::Missing(why) => {
                let error = io::Error::new(io::ErrorKind::NotFound, why.clone());
                (Stored::Missing(error), u64::MAX)
            }
        }
    }

    /// Opens the image recorded under this name. Its files and problems join those of the image above; its facts are
    /// handed back, for the image above to compare.
    pub(super) fn open(
        recorded: &[u8],
        read_as: ReadAs,
        folder: &mut Folder<'_>,
        above: &mut Notes,
    ) -> (Self, Vec<(String, String)>) {
        let name = escape_bytes(plain_name(recorded));
        let Some(source) = folder.file(recorded, &mut above.problems) else {
            let text = format!("the image \"{name}\" that this one builds on is missing");
            above.problem(ProblemKind::Io, format!("{text}: what it holds cannot be read"));
            return (Self::Missing(text), Vec::new());
        };
        let plain = plain_name(recorded).to_vec();
        let opened = folder.deeper(&plain, |folder| match read_as {
            ReadAs::Raw => Ok(raw(source, &plain)),
            ReadAs::Content => open_layer(source, &plain, folder),
        });
        match opened {
            Ok(opened) => {
                above.files.extend(opened.files);
                above.problems.extend(opened.problems);
                (Self::Image(opened.source), opened.facts)
            }
            Err(error) => {
                let mut problem = error.to_problem(Place::Source);
                problem.text =
                    format!("the image \"{name}\" that this one builds on: {}", problem.text);
                let text = problem.text.clone();
                above.problems.push(problem);
                (Self::Missing(text), Vec::new())
            }
        }
    }
}

/// What is gathered about an image while it is opened.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) files: Vec<String>,
    pub(super) facts: Vec<(String, String)>,
    pub(super) digests: Vec<Recorded>,
    pub(super) problems: Vec<Problem>,
}

impl Notes {
    /// For an image whose first file has this name.
    pub(super) fn of(name: &[u8]) -> Self {
        Self { files: vec![escape_bytes(name)], ..Self::default() }
    }

    pub(super) fn fact(&mut self, name: &str, value: impl std::fmt::Display) {
        self.facts.push((name.to_owned(), value.to_string()));
    }

    pub(super) fn problem(&mut self, kind: ProblemKind, text: impl Into<String>) {
        self.problems.push(Problem::new(kind, Place::Source, text));
    }

    /// The finished image.
    pub(super) fn opened(self, source: Arc<dyn Source>, format: super::Format) -> Opened {
        let Self { files, facts, digests, problems } = self;
        Opened { source, format, files, facts, digests, as_digested: None, problems }
    }
}
