//! The work itself, begun or gone on with: run, record, answer.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use casebook::{Item, OpenAct, Outcome, OutcomeKind};
use guard::Guard;
use imaging::{CopyEnd, Ending, Outcome as Imaged, ReadAt, ReadBack, Session, TimedSource, Work};

use super::elsewhere::Doors;
use super::place::Place;
use super::record;
use super::subject::Subject;
use super::told::Told;
use crate::acting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::{Compared, Watched};
use crate::output::{Colour, Format, paint, say};

/// The journal of an imaging under way, in the exhibit.
pub(super) const JOURNAL: &str = "image.journal";

/// As many compressing threads as processors.
pub(super) fn workers() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// The source, with a limit in time for each read if one is wanted.
pub(super) fn timed(source: Arc<dyn ReadAt>, limit_seconds: Option<u64>) -> Arc<dyn ReadAt> {
    match limit_seconds {
        Some(seconds) => Arc::new(TimedSource::new(source, Duration::from_secs(seconds))),
        None => source,
    }
}

/// What an act begins with: the disk with what it said of itself, and the volume if one is meant.
pub(super) fn begin_with(subject: &Subject, watched: Option<&Watched>) -> Vec<Item> {
    let (mut input, mut around) = (subject.item(), subject.around());
    if let Some(watched) = watched {
        watched.note(around.as_mut().unwrap_or(&mut input));
    }
    around.into_iter().chain(subject.beside()).chain([input]).collect()
}

/// Set when Ctrl-C is pressed.
///
/// # Errors
/// If the handler cannot be installed.
pub(super) fn stop_asked() -> Result<Arc<AtomicBool>, Failure> {
    let cancel = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&cancel);
    ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
    Ok(cancel)
}

/// An imaging whose act has begun.
pub(super) struct Imaging<'a> {
    pub(super) guard: &'a Guard,
    pub(super) place: &'a Place,
    /// The source as the act lists it.
    pub(super) input: Item,
    /// The disk around it, if it is a volume.
    pub(super) around: Option<Item>,
    /// The source as people name it.
    pub(super) name: String,
    pub(super) answer: Format,
    pub(super) is_verified: bool,
    /// What was opened for copies that are no files.
    pub(super) doors: Option<Doors<'a>>,
    /// The source, if it is a drive that was asked about itself.
    pub(super) watched: Option<Watched>,
}

impl Imaging<'_> {
    /// Runs the session and finishes the act, whatever comes.
    ///
    /// # Errors
    /// If no copy could be written, or the case could not take the record.
    pub(super) fn run(
        mut self,
        session: Session,
        source: &dyn ReadAt,
        act: OpenAct<'_>,
        cancel: &AtomicBool,
    ) -> Result<Exit, Failure> {
        let work = session.work().clone();
        let start_bytes = session.start_bytes();
        let mut told = Told::new(&work, start_bytes, self.answer);
        let read_back = if self.is_verified { ReadBack::Each } else { ReadBack::Never };
        let outcome = session.run(source, read_back, &mut |step| told.step(step), cancel);
        told.end();
        if let Some(doors) = self.doors.take() {
            doors.close();
        }
        let imaged = match outcome {
            Ok(imaged) => imaged,
            Err(problem) => {
                let failure = Failure::from(problem);
                let outcome = Outcome::new(OutcomeKind::Failed, failure.text());
                act.finish(acting::end(self.guard, outcome))?;
                return Err(failure);
            }
        };
        let compared = self.watched.take().map(|watched| watched.end(self.guard));
        let mut recorded = record::outputs(self.place, &work, &imaged);
        if let Some(text) = compared.as_ref().and_then(Compared::file) {
            record::add_health(self.place, &text, &mut recorded);
        }
        let failure = failure(&imaged);
        let hidden_bytes = self.hidden_bytes(compared.as_ref());
        let outcome = outcome_of(&imaged, failure.as_ref(), hidden_bytes);
        let mut end = acting::end(self.guard, outcome);
        let digests = imaged.acquisition.digests.clone();
        let (mut input, mut around) = (Item { digests, ..self.input.clone() }, self.around.clone());
        if let Some(compared) = &compared {
            compared.note(around.as_mut().unwrap_or(&mut input));
        }
        end.inputs = around.into_iter().chain([input]).collect();
        end.outputs.clone_from(&recorded.outputs);
        end.problems = record::problems(&imaged);
        end.problems.extend(recorded.problems.iter().cloned());
        end.problems.extend(compared.iter().flat_map(Compared::problems));
        let signed = act.finish(end);
        if let Some(failure) = failure {
            if let Err(problem) = signed {
                say(&format!("The case could not take the record of this: {problem}"));
            }
            let mut failure = failure
                .hint("what was written keeps the ending .partial and is listed in the case");
            if imaged.can_resume {
                failure = failure.hint(format!("glovebox image resume {}", self.place.name()));
            }
            return Err(failure);
        }
        let signed = signed?;
        self.say(&work, &imaged, compared.as_ref(), signed.hash())
    }

    /// What the drive hides of what was to be copied: of a volume nothing, its range was there.
    fn hidden_bytes(&self, compared: Option<&Compared>) -> u64 {
        match &self.around {
            Some(_) => 0,
            None => compared.map_or(0, Compared::hidden_bytes),
        }
    }

    fn say(
        &self,
        work: &Work,
        imaged: &Imaged,
        compared: Option<&Compared>,
        act: &str,
    ) -> Result<Exit, Failure> {
        let mut shown = record::shown(&self.name, self.place, work, imaged, act);
        shown.health = compared.map(Compared::shown);
        self.answer.record("imaged", &shown, || {
            let mut text = record::text(&shown, imaged);
            if let Some(compared) = compared {
                text.push_str(&format!("\nThe drive, asked again:\n  {}", compared.text()));
                for problem in compared.problems() {
                    text.push_str(&paint(&format!("\nWARNING: {problem}"), Colour::Red));
                }
            }
            text
        })?;
        let all_verified = imaged.copies.iter().all(|copy| matches!(copy.end, CopyEnd::Verified));
        // What is hidden was not read: the image is not the whole drive.
        let is_all = imaged.acquisition.bad.is_empty() && self.hidden_bytes(compared) == 0;
        Ok(match (imaged.acquisition.ending, is_all, all_verified) {
            (Ending::Complete, true, true) => Exit::Clean,
            (Ending::Cancelled, ..) => Exit::NotDone,
            _ => Exit::Partial,
        })
    }
}

/// Why there is no copy at all; `None` as long as one is whole or can be gone on with.
fn failure(imaged: &Imaged) -> Option<Failure> {
    let mut first = None;
    for copy in &imaged.copies {
        match &copy.end {
            CopyEnd::Failed(error) => {
                first.get_or_insert(error);
            }
            _ => return None,
        }
    }
    first.map(record::chain)
}

fn outcome_of(imaged: &Imaged, failure: Option<&Failure>, hidden_bytes: u64) -> Outcome {
    if let Some(failure) = failure {
        return Outcome::new(OutcomeKind::Failed, failure.text());
    }
    let unreadable = imaged.acquisition.bad.total_bytes();
    let count = |is: fn(&CopyEnd) -> bool| imaged.copies.iter().filter(|one| is(&one.end)).count();
    let failed = count(|end| matches!(end, CopyEnd::Failed(_)));
    let unverified = count(|end| matches!(end, CopyEnd::Unverified));
    match imaged.acquisition.ending {
        Ending::Cancelled => Outcome::new(OutcomeKind::Interrupted, "stopped by the examiner"),
        Ending::Complete => {
            let mut parts = Vec::new();
            if failed > 0 {
                parts.push(format!("{failed} of {} copies failed", imaged.copies.len()));
            }
            if unverified > 0 {
                parts.push("the copy was not read back".to_owned());
            }
            if unreadable > 0 {
                parts.push(format!(
                    "{unreadable} bytes could not be read and are zeros in the copy"
                ));
                let silent = record::timed_out_bytes(&imaged.acquisition);
                if silent > 0 {
                    parts.push(format!("of these, {silent} gave no answer in time"));
                }
            }
            if hidden_bytes > 0 {
                parts.push(format!(
                    "{hidden_bytes} bytes of the drive are hidden and were not read"
                ));
            }
            if parts.is_empty() {
                Outcome::done()
            } else {
                Outcome::new(OutcomeKind::Partial, parts.join("; "))
            }
        }
        other => Outcome::new(OutcomeKind::Partial, record::ending_text(other)),
    }
}
