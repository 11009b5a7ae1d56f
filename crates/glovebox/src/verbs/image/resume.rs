//! `glovebox image resume`: goes on with an imaging that was interrupted.

use std::path::PathBuf;

use casebook::{Item, Outcome, OutcomeKind};
use guard::Guard;
use imaging::{FileSource, Medium, ReadAt, Session};
use serde_json::{Value, json};

use super::elsewhere::{Codes, Doors};
use super::place::Place;
use super::take::source_item;
use super::working::{self, Imaging, JOURNAL};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::Watched;
use crate::output::Format;
use crate::session::Chosen;
use crate::{acting, target};

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
        let target = target::open(self.source.as_deref().unwrap_or(&known), &guard)?;
        let found = working::identity(&target);
        for fact in ["serial", "model"] {
            if found[fact] != work.source[fact] {
                let (found, expected) = (&found[fact], &work.source[fact]);
                return Err(Failure::new(format!(
                    "the {fact} of {} is {found}, of the disk that was being imaged {expected}",
                    target.name
                ))
                .hint("name the disk with --source DISK"));
            }
        }
        if let Some(disk) = &target.disk {
            guard.mark_source(&disk.name)?;
        }
        let watched = target.disk.as_ref().map(|disk| Watched::begin(&guard, disk));
        let cancel = working::stop_asked()?;
        let source = FileSource::new(target.file.try_clone()?, target.sector_bytes)?;
        let input = source_item(&target, source.size_bytes());
        let mut noted = input.clone();
        if let Some(watched) = &watched {
            watched.note(&mut noted);
        }
        let who = acting::who(&case);
        let arguments: Value = json!({ "exhibit": place.name(), "source": target.name });
        let draft = acting::draft(&who, &guard, "image resume", arguments, vec![noted])?;
        let act = case.begin(draft, &signer)?;
        // The claim comes first: going on cuts off and adds to files the case has recorded.
        let mut doors = Doors::new(&guard, &case, &target, place.folder(), &self.codes, &cancel)
            .moved(&self.to);
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
            name: target.name.clone(),
            answer: self.answer,
            is_verified: true,
            doors: Some(doors),
            watched,
        };
        let source = working::timed(source, work.read_timeout_seconds);
        imaging.run(session, &*source, act, &cancel)
    }
}

/// Where reading went on, as a fact of what was read.
fn from_byte(mut input: Item, start_bytes: u64) -> Item {
    match &mut input.facts {
        Value::Object(facts) => drop(facts.insert("from_byte".to_owned(), json!(start_bytes))),
        other => *other = json!({ "from_byte": start_bytes }),
    }
    input
}
