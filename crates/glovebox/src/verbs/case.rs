//! `glovebox case`: the record of the incident, on the examiner's own medium.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use casebook::{Case, Completion, NewCase, Outcome, Signer, Status, VerifyOptions};
use guard::{Guard, LockState};
use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, say};
use crate::session::{self, Chosen, KEY_FILE};
use crate::{acting, clock, passphrase};

/// Create a case, look at it, add notes to it, verify it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a new case on your own medium
    Create(CreateArgs),
    /// Show what the case holds and whether it is whole
    Status(StatusArgs),
    /// Add a note: who, what, where, when, why, how
    Note(NoteArgs),
    /// Check every act and exhibit of the case
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// What the case is called
    name: String,
    /// The folder to make it in, on an unlocked medium
    #[arg(long, value_name = "FOLDER")]
    on: PathBuf,
    /// Who is responsible
    #[arg(long, value_name = "NAME")]
    examiner: String,
    /// A short identifier of your team (default: the name)
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Where to keep the case's secret key (default: case.key in the case)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Read the key's passphrase from a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Keep the key in clear: whoever holds the medium can sign
    #[arg(long = "dangerously-no-passphrase", alias = "no-passphrase")]
    no_passphrase: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct NoteArgs {
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
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// The head written down earlier: shows whether acts were cut off
    #[arg(long, value_name = "SHA256")]
    head: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If the case cannot be made, opened or read.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::Create(args) => create(args),
            What::Status(args) => status(args),
            What::Note(args) => note(args),
            What::Verify(args) => verify(args),
        }
    }
}

#[derive(Serialize)]
struct Created {
    case: PathBuf,
    public_key: String,
    head: String,
}

fn create(args: &CreateArgs) -> Result<Exit, Failure> {
    let guard = Guard::connect()?;
    if !args.on.is_dir() {
        return Err(Failure::new(format!("{} is no folder", args.on.display()))
            .hint("unlock your own medium first: glovebox guard unlock DISK --model M --serial S")
            .hint("it then shows the folder to use"));
    }
    let (signer, text, phrase) = new_key(args)?;
    let dir = args.on.join(casebook::safe_label(&args.name));
    let new = NewCase {
        id: args.id.clone().unwrap_or_else(|| args.name.clone()),
        name: args.name.clone(),
        examiner: args.examiner.clone(),
        created: clock::now(),
        tool: acting::tool()?,
    };
    let case = Case::create(&dir, new, signer.public_key())?;
    let key_file = args.key.clone().unwrap_or_else(|| dir.join(KEY_FILE));
    let mut file = fs::File::create_new(&key_file).map_err(|problem| {
        Failure::from(problem).while_doing(format!("writing the key to {}", key_file.display()))
    })?;
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()?;
    session::remember(&dir, phrase.as_deref())?;
    if args.no_passphrase {
        say("The key lies in clear: whoever holds the medium can sign acts of this case.");
    }
    let status = guard.status()?;
    let arguments = json!({
        "name": args.name,
        "on": args.on,
        "key": key_file,
        "key_protected": !args.no_passphrase,
        "unlocked_before": status.disks.iter().filter(|disk| disk.lock == LockState::Unlocked)
            .map(|disk| json!({ "disk": disk.name, "model": disk.model, "serial": disk.serial }))
            .collect::<Vec<_>>(),
        "safety_layers": status.layers,
        "problems": status.problems,
    });
    let draft = acting::draft(&args.examiner, &guard, "case create", arguments, Vec::new())?;
    let mut end = Completion::new(clock::now(), Outcome::done());
    end.counters_after = acting::counters(&guard);
    let act = case.record(draft, end, &signer)?;
    let created = Created {
        case: dir,
        public_key: signer.public_key().to_string(),
        head: act.hash().to_owned(),
    };
    args.format.record("case-created", &created, || {
        format!(
            "Case {}\npublic key  {}\nhead        {}\nWrite the public key and the head down on paper.",
            created.case.display(),
            created.public_key,
            created.head
        )
    })?;
    Ok(Exit::Clean)
}

fn new_key(args: &CreateArgs) -> Result<(Signer, casebook::KeyText, Option<String>), Failure> {
    if args.no_passphrase {
        let (signer, text) = Signer::generate_unprotected()?;
        return Ok((signer, text, None));
    }
    let phrase = match &args.passphrase_file {
        Some(file) => passphrase::from_file(file)?,
        None => passphrase::ask_new()?,
    };
    let (signer, text) = Signer::generate(&phrase)?;
    Ok((signer, text, Some(phrase)))
}

#[derive(Serialize)]
struct Shown<'a> {
    case: &'a Path,
    id: &'a str,
    name: &'a str,
    examiner: &'a str,
    public_key: &'a str,
    acts: u64,
    head: &'a str,
    last_ended: Option<&'a str>,
    exhibits: &'a [String],
    unfinished: Vec<String>,
    torn_bytes: u64,
    set_aside: &'a [casebook::SetAside],
    broken: Option<&'a str>,
}

fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let path = args.chosen.needed_path()?;
    let status = casebook::status(&path)?;
    let shown = Shown {
        case: &path,
        id: &status.info.id,
        name: &status.info.name,
        examiner: &status.info.examiner,
        public_key: &status.info.public_key,
        acts: status.acts,
        head: &status.head,
        last_ended: status.last_ended.as_deref(),
        exhibits: &status.exhibits,
        unfinished: status.open.iter().map(|open| format!("{open:?}")).collect(),
        torn_bytes: status.torn_bytes,
        set_aside: &status.set_aside,
        broken: status.broken.as_deref(),
    };
    args.format.record("case-status", &shown, || status_text(&status))?;
    let whole = status.broken.is_none() && status.torn_bytes == 0;
    Ok(if whole { Exit::Clean } else { Exit::Findings })
}

fn status_text(status: &Status) -> String {
    let info = &status.info;
    let mut text = format!(
        "{} ({}), examiner {}\ncreated {}; {} acts, last ended {}\nhead {}\n{} exhibits",
        info.name,
        info.id,
        info.examiner,
        info.created,
        status.acts,
        status.last_ended.as_deref().unwrap_or("never"),
        status.head,
        status.exhibits.len()
    );
    for exhibit in &status.exhibits {
        text.push_str(&format!("\n  {exhibit}"));
    }
    for open in &status.open {
        text.push_str(&format!("\nbegun and not ended: {open:?}"));
    }
    for left in &status.set_aside {
        text.push_str(&format!("\nleft by an interrupted session: {}", left.file));
    }
    if status.torn_bytes > 0 {
        text.push_str(&format!("\ntorn line of {} bytes at the end", status.torn_bytes));
    }
    if let Some(broken) = &status.broken {
        text.push_str(&paint(&format!("\nBROKEN: {broken}"), Colour::Red));
    }
    text
}

#[derive(Serialize)]
struct Noted {
    head: String,
}

fn note(args: &NoteArgs) -> Result<Exit, Failure> {
    let guard = Guard::connect()?;
    let (case, signer) = args.chosen.open()?;
    let who = args.who.clone().unwrap_or_else(|| acting::who(&case));
    if let Some(when) = &args.when {
        when.parse::<casebook::Timestamp>()?;
    }
    let arguments = json!({
        "what": args.text,
        "who": who,
        "where": args.place,
        "when": args.when.clone().unwrap_or_else(|| clock::now().to_string()),
        "why": args.why,
        "how": args.how,
    });
    let draft = acting::draft(&who, &guard, "case note", arguments, Vec::new())?;
    let act = case.note(draft, &signer)?;
    let noted = Noted { head: act.hash().to_owned() };
    args.format.record("case-noted", &noted, || format!("noted; head {}", noted.head))?;
    Ok(Exit::Clean)
}

#[derive(Serialize)]
struct Verified {
    acts: u64,
    exhibit_files: u64,
    head: String,
    public_key: String,
    holds: bool,
    problems: Vec<String>,
    interruptions: Vec<String>,
    /// Files in the case's folder that are no part of it.
    strangers: Vec<String>,
}

fn verify(args: &VerifyArgs) -> Result<Exit, Failure> {
    let threads = std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN);
    let options = VerifyOptions { expected_head: args.head.clone(), expected_key: None, threads };
    let found = casebook::verify(&args.chosen.needed_path()?, &options)?;
    let verified = Verified {
        acts: found.acts,
        exhibit_files: found.exhibit_files,
        head: found.head.clone(),
        public_key: found.public_key.clone(),
        holds: found.holds(),
        problems: found.problems.iter().map(ToString::to_string).collect(),
        interruptions: found.interruptions.iter().map(ToString::to_string).collect(),
        strangers: found.strangers.iter().map(ToString::to_string).collect(),
    };
    args.format.record("case-verified", &verified, || {
        let mut text = format!(
            "{} acts and {} exhibit files checked with key {}\nhead {}",
            verified.acts, verified.exhibit_files, verified.public_key, verified.head
        );
        for line in &verified.interruptions {
            text.push_str(&format!("\ninterrupted: {line}"));
        }
        for line in &verified.strangers {
            text.push_str(&format!("\nnot of the case: {line}"));
        }
        for line in &verified.problems {
            text.push_str(&paint(&format!("\nDOES NOT HOLD: {line}"), Colour::Red));
        }
        if verified.holds {
            text.push_str("\nEverything recorded holds.");
        }
        text
    })?;
    Ok(if verified.holds { Exit::Clean } else { Exit::Findings })
}
