//! `glovebox archive sign`, `cosign` and `add-key`: signatures over the list of everything, and keys that take others' places.

use std::fs;
use std::path::{Path, PathBuf};

use archive::seal::TrustedKey;
use archive::store::{Archive, Depth};
use serde::Serialize;

use super::trust::Trust;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say};
use crate::progress::Meter;
use crate::{clock, session};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// The secret key to sign with
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Read the key's passphrase from a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown {
    name: String,
    version: u64,
    files: usize,
    public_key: String,
}

impl Args {
    /// Signs.
    ///
    /// # Errors
    /// If the key does not unlock or a file cannot be read.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let archive = Archive::open(&self.archive)?;
        let signer = session::key_file(&self.key, self.passphrase_file.as_deref())?;
        let public = signer.public_key().to_string();
        let key = TrustedKey::parse("the signing key", &public)?;
        let statement = archive.sign(&key, clock::unix_seconds_now(), |bytes, comment| {
            signer.sign_file(bytes, comment).map_err(|error| error.to_string())
        })?;
        let shown = Shown {
            name: statement.name,
            version: statement.version,
            files: statement.files.len(),
            public_key: public,
        };
        self.format.record("archive-signed", &shown, || {
            let (version, files) = (shown.version, shown.files);
            format!("version {version}, {files} files listed, signed by {}", shown.public_key)
        })?;
        Ok(Exit::Clean)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct CosignArgs {
    /// The archive's folder
    archive: PathBuf,
    /// The secret key to sign with beside those that have signed
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Read the key's passphrase from a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    format: Format,
}

impl CosignArgs {
    /// Signs what others signed, after checking every file of it.
    ///
    /// # Errors
    /// If the archive is refused or does not hold, or the key does not unlock.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        // Who signs says that it holds: so it is looked at first, whole.
        let sealed = self.trust.open(&self.archive)?;
        let mut meter = Meter::new("checking", 0);
        let checked = sealed.check(Depth::Files, &mut |bytes| meter.at(bytes));
        meter.end();
        if !checked.problems.is_empty() {
            let mut failure = Failure::new("the archive does not hold: not signed");
            for problem in &checked.problems {
                failure = failure.hint(problem.to_string());
            }
            return Err(failure);
        }
        let archive = Archive::open(&self.archive)?;
        let signer = session::key_file(&self.key, self.passphrase_file.as_deref())?;
        let public = signer.public_key().to_string();
        let key = TrustedKey::parse("the signing key", &public)?;
        let statement = archive.cosign(&key, |bytes, comment| {
            signer.sign_file(bytes, comment).map_err(|error| error.to_string())
        })?;
        let shown = Shown {
            name: statement.name,
            version: statement.version,
            files: statement.files.len(),
            public_key: public,
        };
        self.format.record("archive-cosigned", &shown, || {
            format!("version {} is also signed by {}", shown.version, shown.public_key)
        })?;
        Ok(Exit::Clean)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct AddKeyArgs {
    /// The archive's folder
    archive: PathBuf,
    /// The new key's .pub file; the old key's signature lies beside it
    public: PathBuf,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Succession {
    old: String,
    new: String,
}

impl AddKeyArgs {
    /// Keeps the new key.
    ///
    /// # Errors
    /// If the old key did not sign it.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut name = self.public.as_os_str().to_owned();
        name.push(".minisig");
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|problem| {
                Failure::from(problem)
                    .while_doing(format!("reading {}", path.display()))
                    .hint("glovebox keys rotate OLD NEW makes both files")
            })
        };
        let (public, signature) = (read(&self.public)?, read(Path::new(&name))?);
        let (old, new) = Archive::open(&self.archive)?.add_key(&public, &signature)?;
        let shown = Succession { old: old.to_string(), new: new.to_string() };
        self.format.record("archive-key", &shown, || {
            format!("{} stands in the place of {}", shown.new, shown.old)
        })?;
        say("Next: glovebox archive sign");
        Ok(Exit::Clean)
    }
}
