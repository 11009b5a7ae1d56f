//! `glovebox case open`: a case into use, a bag checked and unpacked, a sealed case opened again.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use casebook::age::{self, Identity};
use casebook::openpgp::{self, SecretKeys};
use casebook::{Verification, VerifyOptions, bag, sealed};
use serde::Serialize;
use serde_json::json;

use super::copy::duplicate;
use crate::acting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint};
use crate::passphrase;
use crate::session::{self, Chosen};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of a case, a bag, or an encrypted bag
    /// (.tar.age, .tar.pgp)
    #[arg(value_name = "CASE|BAG|FILE")]
    what: PathBuf,
    /// A folder that is not there yet, to unpack a bag into
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// The file with your age identity or OpenPGP secret key
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// Read the passphrase of that secret key from a file
    #[arg(long, value_name = "FILE")]
    identity_passphrase_file: Option<PathBuf>,
    /// Open a sealed case for further acts, and why
    #[arg(long, value_name = "WHY")]
    reopen: Option<String>,
    /// The case's key file (default: case.key in the case)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Read the key's passphrase from a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Opened {
    case: PathBuf,
    acts: u64,
    head: String,
    public_key: String,
    sealed_by: Option<u64>,
    holds: bool,
    problems: Vec<String>,
}

impl Args {
    /// Opens.
    ///
    /// # Errors
    /// If it is neither, cannot be decrypted or unpacked, or the case does not take the act.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut problems = Vec::new();
        let case = self.find(&mut problems)?;
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let found =
            casebook::verify(&case, &VerifyOptions { threads, ..VerifyOptions::default() })?;
        problems.extend(found.problems.iter().map(ToString::to_string));
        if problems.is_empty() {
            session::remember(&case, None)?;
        }
        if let Some(why) = &self.reopen {
            self.open_again(&case, why, &problems)?;
        }
        self.answer(case, &found, problems)
    }

    /// The folder of the case, after checking and unpacking what it came in.
    fn find(&self, problems: &mut Vec<String>) -> Result<PathBuf, Failure> {
        if self.what.is_file() {
            let bag = self.decrypt()?;
            self.check(&bag, problems)?;
            return Ok(bag.join("data"));
        }
        if !self.what.join("bagit.txt").exists() {
            return Ok(self.what.clone());
        }
        self.check(&self.what, problems)?;
        let data = self.what.join("data");
        match &self.to {
            Some(to) if problems.is_empty() => {
                duplicate(&data, to)?;
                Ok(to.clone())
            }
            _ => Ok(data),
        }
    }

    fn check(&self, bag: &Path, problems: &mut Vec<String>) -> Result<(), Failure> {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let checked = bag::check(bag, threads)?;
        problems.extend(checked.problems.into_iter().map(|text| format!("bag: {text}")));
        Ok(())
    }

    /// Decrypts and unpacks; gives the folder of the bag.
    fn decrypt(&self) -> Result<PathBuf, Failure> {
        let name = self.what.display();
        let Some(to) = &self.to else {
            return Err(Failure::new("an encrypted bag needs a folder to be unpacked into")
                .hint(format!("glovebox case open {name} --identity FILE --to FOLDER")));
        };
        let doing = || format!("opening {name}");
        let failed = |problem: std::io::Error| Failure::from(problem).while_doing(doing());
        let mut head = [0; 16];
        let mut file = File::open(&self.what).map_err(failed)?;
        file.read_exact(&mut head).map_err(failed)?;
        let input = BufReader::with_capacity(1 << 17, head.chain(file));
        let opened: Result<Box<dyn Read + '_>, Failure> = if openpgp::is_message(&head) {
            self.secret_keys().and_then(|(keys, phrase)| {
                Ok(Box::new(openpgp::decrypt(input, &keys, &phrase)?) as Box<dyn Read>)
            })
        } else if head.starts_with(b"-----BEGIN AGE") {
            Err(Failure::new("age files are opened in their binary form only")
                .hint(format!("make one of it: age -d -i KEY {name} | age -r age1… -o FILE")))
        } else {
            self.identities()
                .and_then(|keys| Ok(Box::new(age::decrypt(input, &keys)?) as Box<dyn Read>))
        };
        let mut plain = opened.map_err(|failure| {
            failure.while_doing(doing()).hint("name your key with --identity FILE")
        })?;
        fs::create_dir(to).map_err(|problem| {
            Failure::from(problem).while_doing(format!("making the folder {}", to.display()))
        })?;
        let folder = bag::unpack(&mut plain, to).map_err(|problem| {
            Failure::from(problem)
                .while_doing(doing())
                .hint(format!("{} holds what came before the fault; do not use it", to.display()))
        })?;
        Ok(to.join(folder))
    }

    fn identities(&self) -> Result<Vec<Identity>, Failure> {
        let mut identities = Vec::new();
        for file in &self.identity {
            let text = fs::read_to_string(file).map_err(|problem| {
                Failure::from(problem).while_doing(format!("reading {}", file.display()))
            })?;
            identities.extend(Identity::parse_file(&text)?);
        }
        Ok(identities)
    }

    /// The keys of all files named, and their passphrase, empty where they have none.
    fn secret_keys(&self) -> Result<(SecretKeys, String), Failure> {
        let mut keys = SecretKeys::default();
        for file in &self.identity {
            let mut bytes = Vec::new();
            File::open(file)
                .and_then(|open| open.take(openpgp::MAX_KEY_FILE_BYTES).read_to_end(&mut bytes))
                .map_err(|problem| {
                    Failure::from(problem).while_doing(format!("reading {}", file.display()))
                })?;
            keys.add(&bytes)?;
        }
        let phrase = match &self.identity_passphrase_file {
            Some(file) => passphrase::from_file(file)?,
            None if keys.is_locked() => passphrase::ask("Passphrase of the OpenPGP key: ")
                .map_err(|failure| failure.hint("of this key: --identity-passphrase-file FILE"))?,
            None => String::new(),
        };
        Ok((keys, phrase))
    }

    fn open_again(&self, case: &Path, why: &str, problems: &[String]) -> Result<(), Failure> {
        if let Some(problem) = problems.first() {
            return Err(Failure::new(format!("the case does not hold: {problem}")));
        }
        if case.ends_with("data") && case.parent().is_some_and(|up| up.join("bagit.txt").exists()) {
            return Err(Failure::new("an act in a bag would break the bag")
                .hint("unpack the bag first: glovebox case open BAG --to FOLDER"));
        }
        let Some(act) = casebook::status(case)?.sealed_by else {
            return Err(Failure::new("the case is not sealed"));
        };
        let chosen = Chosen {
            case: Some(case.to_owned()),
            key: self.key.clone(),
            passphrase_file: self.passphrase_file.clone(),
        };
        let arguments = json!({ "sealed_by": act, "why": why });
        acting::record(&chosen, sealed::REOPEN, None, |_| arguments)?;
        Ok(())
    }

    fn answer(
        &self,
        case: PathBuf,
        found: &Verification,
        problems: Vec<String>,
    ) -> Result<Exit, Failure> {
        let now = casebook::status(&case)?;
        let opened = Opened {
            case,
            acts: now.acts,
            head: now.head,
            public_key: found.public_key.clone(),
            sealed_by: now.sealed_by,
            holds: problems.is_empty(),
            problems,
        };
        self.format.record("case-opened", &opened, || {
            let mut text = format!(
                "Case {}\n{} acts, head {}\npublic key {}",
                opened.case.display(),
                opened.acts,
                opened.head,
                opened.public_key
            );
            if let Some(act) = opened.sealed_by {
                text.push_str(&format!("\nSEALED by act {act}: it takes no more acts"));
            }
            for line in &opened.problems {
                text.push_str(&paint(&format!("\nDOES NOT HOLD: {line}"), Colour::Red));
            }
            if opened.holds {
                text.push_str(
                    "\nEverything recorded holds. Compare head and key with those on paper.",
                );
            }
            text
        })?;
        Ok(if opened.holds { Exit::Clean } else { Exit::Findings })
    }
}
