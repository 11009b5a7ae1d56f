//! An act around a verb that reads: begun before the evidence is opened, ended whatever happens.
//!
//! With a case in use, looking is an act too: what was looked at, through which volume of which
//! disk, opened with what kind of key, and how it ended. Without one nothing is recorded and
//! nothing refused. A case that is in use and cannot take the act stops the verb before it reads:
//! better not to look than to look unrecorded.

use std::sync::{Arc, Mutex, PoisonError};

use casebook::{Case, ExhibitDir, Item, Mode, OpenAct, Outcome, OutcomeKind, Signer};
use guard::Guard;
use serde_json::{Value, json};

use crate::acting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::say;
use crate::session::Chosen;

/// Problems spelled out in an act; the verb itself shows all of them.
const SPELLED_OUT: usize = 1000;

/// What a verb learns on its way and its act should hold.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    inputs: Vec<Item>,
    outputs: Vec<Item>,
    problems: Vec<String>,
    further_problems: u64,
    /// How a verb that was done judges itself; else its exit code tells.
    conclusion: Option<Outcome>,
}

/// What a verb that is stopped still has to say.
type LastWords = Box<dyn FnOnce(&Recording) -> Result<(), Failure> + Send>;

/// The act of a verb; empty without a case.
#[derive(Clone, Default)]
pub(crate) struct Recording {
    notes: Arc<Mutex<Notes>>,
    last_words: Arc<Mutex<Option<LastWords>>>,
    act: Arc<Mutex<Option<OpenAct<'static>>>>,
}

impl Recording {
    /// Disks, images and volumes that were opened.
    pub(crate) fn inputs(&self, items: Vec<Item>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).inputs.extend(items);
    }

    /// Whether there is an act: without one nothing need be kept for it.
    pub(crate) fn is_on(&self) -> bool {
        self.act.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Makes an exhibit of the act.
    ///
    /// # Errors
    /// If there is no act, it was stopped meanwhile, or the medium does not take it.
    pub(crate) fn new_exhibit(&self, label: &str) -> Result<ExhibitDir, Failure> {
        let act = self.act.lock().unwrap_or_else(PoisonError::into_inner);
        let act = act.as_ref().ok_or_else(|| Failure::new("the act has ended already"))?;
        Ok(act.new_exhibit(label)?)
    }

    /// Goes on with an exhibit of an earlier act; before anything in it is touched.
    ///
    /// # Errors
    /// If there is no act, the exhibit is not in the case, or another act is at work on it.
    pub(crate) fn go_on_with(&self, exhibit: &str) -> Result<(), Failure> {
        let act = self.act.lock().unwrap_or_else(PoisonError::into_inner);
        let act = act.as_ref().ok_or_else(|| Failure::new("the act has ended already"))?;
        Ok(act.go_on_with(exhibit)?)
    }

    /// A file of the act's exhibits, finished.
    pub(crate) fn output(&self, item: Item) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).outputs.push(item);
    }

    /// What a verb that was done says of its outcome.
    pub(crate) fn concludes(&self, outcome: Outcome) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).conclusion = Some(outcome);
    }

    /// What is to be added to the act should the verb be stopped before it does so itself.
    pub(crate) fn if_stopped(
        &self,
        last_words: impl FnOnce(&Self) -> Result<(), Failure> + Send + 'static,
    ) {
        let mut place = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Box::new(last_words));
    }

    /// Ends the act of a verb that is stopped.
    fn stop(&self, outcome: Outcome) -> Result<(), Failure> {
        let last_words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(failure)) = last_words.filter(|_| self.is_on()).map(|words| words(self)) {
            self.problem(format!("what was done so far is not in the case: {}", failure.text()));
        }
        self.finish(&Guard::connect()?, outcome)
    }

    /// Something that could not be read.
    #[expect(clippy::needless_pass_by_value, reason = "texts and borrowed problems alike")]
    pub(crate) fn problem(&self, text: impl ToString) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.problems.len() < SPELLED_OUT {
            notes.problems.push(text.to_string());
        } else {
            notes.further_problems = notes.further_problems.saturating_add(1);
        }
    }

    /// Ends the act; `asked` is how the verb ended if it does not say so better itself.
    fn finish(&self, guard: &Guard, asked: Outcome) -> Result<(), Failure> {
        let act = self.act.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(act) = act else { return Ok(()) };
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let was_done = matches!(asked.result, OutcomeKind::Done | OutcomeKind::Partial);
        let outcome = notes.conclusion.filter(|_| was_done).unwrap_or(asked);
        let mut end = acting::end(guard, outcome);
        end.inputs = notes.inputs;
        end.outputs = notes.outputs;
        end.problems = notes.problems;
        if notes.further_problems > 0 {
            end.problems.push(format!("{} further problems", notes.further_problems));
        }
        act.finish(end)?;
        Ok(())
    }
}

/// Does the work of a verb as an act of the case in use, if there is one.
///
/// # Errors
/// Those of the work; and if the case in use cannot take the act.
pub(crate) fn recorded(
    chosen: &Chosen,
    verb: &str,
    arguments: &Value,
    work: impl FnOnce(&Guard, &Recording) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    recorded_in(None, chosen, verb, arguments, work)
}

/// The same for a verb that looks at the running system of the machine itself.
///
/// # Errors
/// As [`recorded`].
pub(crate) fn recorded_live(
    chosen: &Chosen,
    verb: &str,
    arguments: &Value,
    work: impl FnOnce(&Guard, &Recording) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    recorded_in(Some(Mode::Live), chosen, verb, arguments, work)
}

fn recorded_in(
    mode: Option<Mode>,
    chosen: &Chosen,
    verb: &str,
    arguments: &Value,
    work: impl FnOnce(&Guard, &Recording) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let guard = Guard::connect()?;
    let recording = Recording::default();
    if chosen.path().is_none() {
        return work(&guard, &recording);
    }
    let (case, signer) = chosen.open()?;
    // One verb is one run of the program: case and key live as long as it does, so that the
    // handler of Ctrl-C can end the act from its own thread.
    let case: &'static Case = Box::leak(Box::new(case));
    let signer: &'static Signer = Box::leak(Box::new(signer));
    let mut arguments = arguments.clone();
    if let Value::Object(fields) = &mut arguments {
        // Keys and passphrases are only ever named by file on the command line.
        let words: Vec<String> = std::env::args().skip(1).collect();
        fields.insert("words".to_owned(), json!(words));
    }
    let mut draft = acting::draft(&acting::who(case), &guard, verb, arguments, Vec::new())?;
    draft.mode = mode.unwrap_or(draft.mode);
    let stopped = recording.clone();
    // Held until the act is in its place: whoever stops the verb from its beginning on ends the act.
    let mut place = recording.act.lock().unwrap_or_else(PoisonError::into_inner);
    ctrlc::set_handler(move || {
        let outcome = Outcome::new(OutcomeKind::Interrupted, "stopped by the examiner");
        if let Err(failure) = stopped.stop(outcome) {
            say(&format!("The case could not take the record of this: {}", failure.text()));
        }
        std::process::exit(2);
    })?;
    *place = Some(case.begin(draft, signer)?);
    drop(place);
    let result = work(&guard, &recording);
    let outcome = match &result {
        Ok(Exit::Clean) => Outcome::done(),
        Ok(Exit::Findings) => Outcome::new(OutcomeKind::Done, "with findings"),
        Ok(Exit::Partial) => Outcome::new(OutcomeKind::Partial, "parts could not be read"),
        Ok(Exit::NotDone) => Outcome::new(OutcomeKind::Failed, "not done"),
        Err(failure) if failure.is_broken_pipe() => {
            Outcome::new(OutcomeKind::Interrupted, "the reader of the output stopped reading")
        }
        Err(failure) => Outcome::new(OutcomeKind::Failed, failure.text()),
    };
    match (recording.finish(&guard, outcome), result) {
        (Ok(()), result) => result,
        (Err(unrecorded), Ok(_)) => Err(unrecorded.while_doing("recording the act")),
        (Err(unrecorded), Err(failure)) => {
            say(&format!("The case could not take the record of this: {}", unrecorded.text()));
            Err(failure)
        }
    }
}
