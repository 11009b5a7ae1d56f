//! `glovebox case custody`: exhibits changing hands, and the chain of it to print.

use casebook::custody::{self, Chain, HandOver};

use super::{acts, shown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint};
use crate::session::Chosen;
use crate::{acting, clock};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Record that exhibits were handed over
    HandOver(HandOverArgs),
    /// Show who held an exhibit, to print and sign
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct HandOverArgs {
    /// The exhibits, by number or name
    #[arg(required = true, value_name = "EXHIBIT")]
    exhibits: Vec<String>,
    /// Who gives
    #[arg(long, value_name = "NAME")]
    from: String,
    /// Who receives
    #[arg(long, value_name = "NAME")]
    to: String,
    /// Where
    #[arg(long)]
    place: String,
    /// What for
    #[arg(long)]
    purpose: String,
    /// In what condition
    #[arg(long)]
    condition: String,
    /// Number of a seal on it; again for several
    #[arg(long = "seal", value_name = "NUMBER")]
    seals: Vec<String>,
    /// Who saw it
    #[arg(long, value_name = "NAME")]
    witness: Option<String>,
    /// When, if not now (RFC 3339, UTC)
    #[arg(long)]
    when: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The exhibit, by number or name (default: all)
    #[arg(value_name = "EXHIBIT")]
    exhibit: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

impl Args {
    /// Records or shows.
    ///
    /// # Errors
    /// If there is no such exhibit, or the case cannot be read or does not take the act.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::HandOver(args) => args.run(),
            What::Show(args) => args.run(),
        }
    }
}

/// The chain of the exhibit a word names: its name, or its number.
fn find<'a>(chains: &'a [Chain], word: &str) -> Result<&'a Chain, Failure> {
    let number = |name: &str| name.split_once('-').and_then(|(number, _)| number.parse().ok());
    let wanted: Option<u64> = word.parse().ok();
    chains
        .iter()
        .find(|one| one.exhibit == word || wanted.is_some() && number(&one.exhibit) == wanted)
        .ok_or_else(|| {
            Failure::new(format!("there is no exhibit {}", shown(word)))
                .hint("glovebox case exhibit list")
        })
}

impl HandOverArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let when = match &self.when {
            Some(when) => when.parse()?,
            None => clock::now(),
        };
        let chains = custody::chains(&acts(&self.chosen.needed_path()?)?);
        let mut exhibits = Vec::new();
        for word in &self.exhibits {
            exhibits.push(find(&chains, word)?.exhibit.clone());
        }
        let hand_over = HandOver {
            exhibits,
            from: self.from.clone(),
            to: self.to.clone(),
            when,
            place: self.place.clone(),
            purpose: self.purpose.clone(),
            condition: self.condition.clone(),
            seals: self.seals.clone(),
            witness: self.witness.clone(),
        };
        let arguments = serde_json::to_value(&hand_over)?;
        acting::record(&self.chosen, custody::HAND_OVER, None, |_| arguments)?;
        let chains = custody::chains(&acts(&self.chosen.needed_path()?)?);
        let mut exit = Exit::Clean;
        for exhibit in &hand_over.exhibits {
            let chain = find(&chains, exhibit)?;
            self.format.record("custody", chain, || chain_text(chain))?;
            if !chain.gaps.is_empty() {
                exit = Exit::Findings;
            }
        }
        Ok(exit)
    }
}

impl ShowArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let chains = custody::chains(&acts(&self.chosen.needed_path()?)?);
        let wanted: Vec<&Chain> = match &self.exhibit {
            Some(word) => vec![find(&chains, word)?],
            None => chains.iter().collect(),
        };
        let mut exit = Exit::Clean;
        for chain in wanted {
            self.format.record("custody", chain, || chain_text(chain))?;
            if !chain.gaps.is_empty() {
                exit = Exit::Findings;
            }
        }
        Ok(exit)
    }
}

fn chain_text(chain: &Chain) -> String {
    let mut text = paint(&format!("Exhibit {}", shown(&chain.exhibit)), Colour::Bold);
    if let (Some(act), Some(who), Some(when)) = (chain.made_by_act, &chain.made_by, &chain.made) {
        text.push_str(&format!("\n  {when}  taken in by {} (act {act})", shown(who)));
    }
    for link in &chain.links {
        let one = &link.hand_over;
        text.push_str(&format!(
            "\n  {}  from {} to {} (act {})\n    where: {}; for: {}; condition: {}",
            one.when,
            shown(&one.from),
            shown(&one.to),
            link.act,
            shown(&one.place),
            shown(&one.purpose),
            shown(&one.condition)
        ));
        if !one.seals.is_empty() {
            text.push_str(&format!("\n    seals: {}", shown(&one.seals.join(", "))));
        }
        if let Some(witness) = &one.witness {
            text.push_str(&format!("\n    seen by: {}", shown(witness)));
        }
        text.push_str("\n    given: ____________________   received: ____________________");
    }
    for gap in &chain.gaps {
        text.push_str(&paint(&format!("\n  GAP: {}", shown(gap)), Colour::Red));
    }
    text
}
