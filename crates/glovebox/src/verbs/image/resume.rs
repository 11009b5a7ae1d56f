//! `glovebox image resume`: goes on with an imaging that was interrupted.

use std::path::PathBuf;

use casebook::{Item, Outcome, OutcomeKind};
use guard::Guard;
use imaging::{Medium, Session};
use serde_json::{Value, json};

use super::elsewhere::{Codes, Doors};
use super::place::Place;
use super::subject::Subject;
use super::working::{self, Imaging, JOURNAL};
use crate::acting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::Watched;
use crate::opened::Layers;
use crate::output::Format;
use crate::session::Chosen;

/// Go on with an imaging that was interrupted, from where it stood
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The exhibit, by name or number
    exhibit: String,
    /// The disk, if it has another name now than when imaging began
    #[arg(long, value_name = "DISK|IMAGE")]
    source: Option<String>,
    /// receiver:HOST:PORT, if a receiver has another address now
    #[arg(long, value_name = "RECEIVER")]
    to: Vec<PathBuf>,
    #[command(flatten)]
    codes: Codes,
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    answer: Format,
}

impl Args {
    /// Goes on.
    ///
    /// # Errors
    /// If there is nothing to go on with, the disk is another one, or as imaging.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        let (case, signer) = self.chosen.open()?;
        let place = Place::find(&case, &self.exhibit)?;
        let journal = place.path(JOURNAL);
        if !journal.exists() {
            return Err(Failure::new(format!(
                "{} has no interrupted imaging to go on with",
                place.name()
            ))
            .hint("glovebox case status shows what was interrupted"));
        }
        let work = Session::look(&journal)?;
        let known = work.source["name"].as_str().unwrap_or_default().to_owned();
        let volume = work.source["volume"]["label"].as_str();
        let word = self.source.as_deref().unwrap_or(&known);
        let subject = Subject::open(word, volume, &self.layers, &guard)?;
        check(&subject.identity(), &work.source, &subject.target.name)?;
        for disk in subject.disks() {
            guard.mark_source(&disk.name)?;
        }
        let watched = subject.target.disk.as_ref().map(|disk| Watched::begin(&guard, disk));
        let cancel = working::stop_asked()?;
        let (input, around) = (subject.item(), subject.around());
        let inputs = working::begin_with(&subject, watched.as_ref());
        let who = acting::who(&case);
        let arguments: Value = json!({ "exhibit": place.name(), "source": subject.name() });
        let draft = acting::draft(&who, &guard, "image resume", arguments, inputs)?;
        let act = case.begin(draft, &signer)?;
        // The claim comes first: going on cuts off and adds to files the case has recorded.
        let folder = place.folder();
        let doors = Doors::new(&guard, &case, &subject.target, folder, &self.codes, &cancel);
        let mut doors = doors.moved(&self.to);
        let mut open =
            |what: &Value, medium: &Medium, state: Option<&Value>| doors.open(what, medium, state);
        let begun = act
            .go_on_with(place.name())
            .map_err(Failure::from)
            .and_then(|()| Ok(Session::resume_with(&journal, working::workers(), &mut open)?));
        let session = match begun {
            Ok(session) => session,
            Err(failure) => {
                doors.close();
                let outcome = Outcome::new(OutcomeKind::Failed, failure.text());
                act.finish(acting::end(&guard, outcome))?;
                return Err(failure);
            }
        };
        let input = from_byte(input, session.start_bytes());
        let imaging = Imaging {
            guard: &guard,
            place: &place,
            input,
            around,
            name: subject.name().to_owned(),
            answer: self.answer,
            is_verified: true,
            doors: Some(doors),
            watched,
        };
        let source = working::timed(subject.bytes(), work.read_timeout_seconds);
        imaging.run(session, &*source, act, &cancel)
    }
}

/// Whether what was found is what was being imaged.
fn check(found: &Value, expected: &Value, name: &str) -> Result<(), Failure> {
    for fact in ["serial", "model", "volume"] {
        if found[fact] != expected[fact] {
            let (found, expected) = (&found[fact], &expected[fact]);
            return Err(Failure::new(format!(
                "the {fact} of {name} is {found}, of the disk that was being imaged {expected}",
            ))
            .hint("name the disk with --source DISK"));
        }
    }
    Ok(())
}

/// Where reading went on, as a fact of what was read.
fn from_byte(mut input: Item, start_bytes: u64) -> Item {
    match &mut input.facts {
        Value::Object(facts) => drop(facts.insert("from_byte".to_owned(), json!(start_bytes))),
        other => *other = json!({ "from_byte": start_bytes }),
    }
    input
}
