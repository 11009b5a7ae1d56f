//! `glovebox case note`: who, what, where, when, why, how; lessons and cost beside.

use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
use crate::session::Chosen;
use crate::{acting, clock};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What happened
    text: String,
    /// Who acted or spoke (default: the examiner)
    #[arg(long)]
    who: Option<String>,
    /// Where
    #[arg(long)]
    place: Option<String>,
    /// When, if not now (RFC 3339, UTC)
    #[arg(long)]
    when: Option<String>,
    /// Why
    #[arg(long)]
    why: Option<String>,
    /// How
    #[arg(long)]
    how: Option<String>,
    /// The note is a lesson for the next time
    #[arg(long)]
    lesson: bool,
    /// What it cost, such as "3 hours" or "1200 EUR"
    #[arg(long, conflicts_with = "lesson", value_name = "AMOUNT")]
    cost: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Noted {
    act: u64,
    head: String,
}

impl Args {
    /// Adds it.
    ///
    /// # Errors
    /// If the case does not take it.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        if let Some(when) = &self.when {
            when.parse::<casebook::Timestamp>()?;
        }
        let kind = match (self.lesson, &self.cost) {
            (true, _) => "lesson",
            (_, Some(_)) => "cost",
            _ => "note",
        };
        let mut arguments = json!({
            "kind": kind,
            "what": self.text,
            "where": self.place,
            "when": self.when.clone().unwrap_or_else(|| clock::now().to_string()),
            "why": self.why,
            "how": self.how,
        });
        if let Some(cost) = &self.cost {
            arguments["cost"] = json!(cost);
        }
        let who = self.who.as_deref();
        let done = acting::record(&self.chosen, "case note", who, |who| {
            arguments["who"] = json!(who);
            arguments
        })?;
        let noted = Noted { act: done.act, head: done.head };
        self.format.record("case-noted", &noted, || {
            format!("act {} noted; head {}", noted.act, noted.head)
        })?;
        Ok(Exit::Clean)
    }
}
