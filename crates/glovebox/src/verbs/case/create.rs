//! `glovebox case create`: a new case, its key, and its first act.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use casebook::{Case, NewCase, Outcome, Signer};
use guard::{Guard, LockState};
use serde::Serialize;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say};
use crate::session::{self, KEY_FILE};
use crate::{acting, clock, passphrase};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
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

#[derive(Serialize)]
struct Created {
    case: PathBuf,
    public_key: String,
    head: String,
}

impl Args {
    /// Makes it.
    ///
    /// # Errors
    /// If the medium does not take it.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        create(self)
    }
}

fn create(args: &Args) -> Result<Exit, Failure> {
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
    let act = case.record(draft, acting::end(&guard, Outcome::done()), &signer)?;
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

fn new_key(args: &Args) -> Result<(Signer, casebook::KeyText, Option<String>), Failure> {
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
