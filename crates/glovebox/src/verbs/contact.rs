//! `glovebox contact`: whom to call, in what order, with which keys; and who was told what.

use std::path::PathBuf;

use casebook::contact::{self, Contact, ContactMade};

use super::case::{acts, shown};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, table};
use crate::session::Chosen;
use crate::{acting, clock};

/// Keep whom to call, and record who was told what
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Add a contact, or all of a template
    Add(AddArgs),
    /// Record a contact made: with whom, by what means, what was said
    Log(LogArgs),
    /// List contacts in the order of calls, and the contacts made
    List(ListArgs),
    /// Show who calls whom, to print
    Tree(ListArgs),
    /// Print a file of contacts to fill in before it is needed
    Template,
}

/// The same file lies on the stick, as /etc/glovebox/contacts.toml.
const BLANK: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../image/files/contacts.toml"));

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// Person or team; replaces the contact of this name
    #[arg(required_unless_present = "template")]
    name: Option<String>,
    /// Add all contacts of a TOML file instead
    #[arg(long, value_name = "FILE", conflicts_with = "name")]
    template: Option<PathBuf>,
    /// Organisation
    #[arg(long)]
    organisation: Option<String>,
    /// Team
    #[arg(long)]
    team: Option<String>,
    /// What for
    #[arg(long)]
    role: Option<String>,
    /// Place in the order of calls
    #[arg(long, value_name = "NUMBER")]
    order: Option<u32>,
    /// Who calls this contact
    #[arg(long, value_name = "NAME")]
    called_by: Option<String>,
    /// Telephone number; again for several
    #[arg(long = "phone", value_name = "NUMBER")]
    phones: Vec<String>,
    /// Mail address; again for several
    #[arg(long = "email", value_name = "ADDRESS")]
    emails: Vec<String>,
    /// Public key or fingerprint; again for several
    #[arg(long = "public-key", value_name = "KEY")]
    keys: Vec<String>,
    /// Anything else
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct LogArgs {
    /// With whom
    with: String,
    /// By what means: telephone, mail, in person
    #[arg(long)]
    means: String,
    /// What was said or sent
    #[arg(long)]
    said: String,
    /// When, if not now (RFC 3339, UTC)
    #[arg(long)]
    when: Option<String>,
    /// How it was secured: encrypted, read back, out of band
    #[arg(long)]
    secured: Option<String>,
    /// What is to be done next
    #[arg(long)]
    next: Option<String>,
    /// Who of the team made the contact (default: the examiner)
    #[arg(long)]
    who: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Show the contacts of a TOML file instead of the case's
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Write the contacts as such a file
    #[arg(long)]
    as_template: bool,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(serde::Serialize)]
struct Added {
    act: u64,
    contacts: Vec<Contact>,
}

#[derive(serde::Serialize)]
struct Depth<'a> {
    depth: usize,
    #[serde(flatten)]
    contact: &'a Contact,
}

#[derive(serde::Serialize)]
struct Made<'a> {
    act: u64,
    #[serde(flatten)]
    made: &'a ContactMade,
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If the case or template cannot be read, or the case does not take the act.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::Add(args) => args.run(),
            What::Log(args) => args.run(),
            What::List(args) => args.list(),
            What::Tree(args) => args.tree(),
            What::Template => {
                print!("{BLANK}");
                Ok(Exit::Clean)
            }
        }
    }
}

fn template(file: &PathBuf) -> Result<Vec<Contact>, Failure> {
    let doing = || format!("reading {}", file.display());
    let text = std::fs::read_to_string(file)
        .map_err(|problem| Failure::from(problem).while_doing(doing()))?;
    contact::parse_template(&text).map_err(|problem| Failure::from(problem).while_doing(doing()))
}

impl AddArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let contacts = match (&self.template, &self.name) {
            (Some(file), _) => template(file)?,
            (None, name) => vec![Contact {
                name: name.clone().unwrap_or_default(),
                organisation: self.organisation.clone(),
                team: self.team.clone(),
                role: self.role.clone(),
                order: self.order,
                called_by: self.called_by.clone(),
                phones: self.phones.clone(),
                emails: self.emails.clone(),
                keys: self.keys.clone(),
                note: self.note.clone(),
            }],
        };
        let arguments = serde_json::json!({ "template": self.template, "contacts": contacts });
        let done = acting::record(&self.chosen, contact::ADD, None, |_| arguments)?;
        let added = Added { act: done.act, contacts };
        self.format.record("contacts-added", &added, || {
            format!("{} contacts added by act {}", added.contacts.len(), added.act)
        })?;
        Ok(Exit::Clean)
    }
}

impl LogArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let made = ContactMade {
            with: self.with.clone(),
            when: match &self.when {
                Some(when) => when.parse()?,
                None => clock::now(),
            },
            means: self.means.clone(),
            said: self.said.clone(),
            secured: self.secured.clone(),
            next: self.next.clone(),
        };
        let arguments = serde_json::to_value(&made)?;
        let who = self.who.as_deref();
        let done = acting::record(&self.chosen, contact::LOG, who, |_| arguments)?;
        let line = Made { act: done.act, made: &made };
        self.format
            .record("contact-made", &line, || format!("act {}; head {}", done.act, done.head))?;
        Ok(Exit::Clean)
    }
}

impl ListArgs {
    fn contacts(&self) -> Result<Vec<Contact>, Failure> {
        let mut contacts = match &self.template {
            Some(file) => template(file)?,
            None => contact::book(&acts(&self.chosen.needed_path()?)?),
        };
        contacts.sort_by_key(|contact| contact.order.unwrap_or(u32::MAX));
        Ok(contacts)
    }

    fn list(&self) -> Result<Exit, Failure> {
        let contacts = self.contacts()?;
        if self.as_template {
            print!("{}", contact::to_template(&contacts)?);
            return Ok(Exit::Clean);
        }
        let mut rows = Vec::new();
        for contact in &contacts {
            self.format.record("contact", contact, String::new)?;
            let part = |text: &Option<String>| text.as_deref().map_or_else(String::new, shown);
            rows.push(vec![
                contact.order.map_or_else(String::new, |order| order.to_string()),
                shown(&contact.name),
                part(&contact.role),
                part(&contact.team),
                part(&contact.organisation),
                shown(&contact.phones.join(", ")),
                shown(&contact.emails.join(", ")),
                shown(&contact.keys.join(", ")),
            ]);
        }
        if !self.format.is_json() && !rows.is_empty() {
            println!("{}", table(&rows));
        }
        if self.template.is_none() {
            for (act, made) in contact::log(&acts(&self.chosen.needed_path()?)?) {
                self.format
                    .record("contact-made", &Made { act, made: &made }, || made_text(act, &made))?;
            }
        }
        Ok(Exit::Clean)
    }

    fn tree(&self) -> Result<Exit, Failure> {
        let contacts = self.contacts()?;
        if self.as_template {
            print!("{}", contact::to_template(&contacts)?);
            return Ok(Exit::Clean);
        }
        for (depth, contact) in contact::tree(&contacts) {
            self.format.record("contact", &Depth { depth, contact }, || {
                let mut text = format!("{}{}", "    ".repeat(depth), shown(&contact.name));
                let role = contact.role.iter().chain(&contact.organisation);
                for part in role.chain(&contact.phones).chain(&contact.emails) {
                    text.push_str(&format!("  {}", shown(part)));
                }
                if contact.phones.is_empty() && contact.emails.is_empty() {
                    text.push_str("  tel ____________________");
                }
                text.push_str("  [ ] called ____:____");
                text
            })?;
        }
        Ok(Exit::Clean)
    }
}

fn made_text(act: u64, made: &ContactMade) -> String {
    let mut text = format!(
        "{}  {} by {} (act {act})\n  {}",
        made.when,
        shown(&made.with),
        shown(&made.means),
        shown(&made.said)
    );
    for (name, value) in [("secured", &made.secured), ("next", &made.next)] {
        if let Some(value) = value {
            text.push_str(&format!("\n  {name}: {}", shown(value)));
        }
    }
    text
}
