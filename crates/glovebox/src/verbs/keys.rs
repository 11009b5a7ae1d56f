//! `glovebox keys`: keys that sign archives, in minisign's files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use archive::seal::TrustedKey;
use archive::store::succession_comment;
use casebook::Signer;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say};
use crate::{passphrase, session};

/// Make and show keys that sign archives
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a key: FILE is secret, FILE.pub is to be given away
    New(NewArgs),
    /// Show the public key of a key file
    Export(ExportArgs),
    /// Make a key that takes the place of an old one
    ///
    /// Also writes NEW.pub.minisig, by which the old key gives its place
    /// away; `glovebox archive add-key` takes both into an archive, which
    /// then opens for those who trust the old key, signed by the new one.
    #[command(verbatim_doc_comment)]
    Rotate(RotateArgs),
}

#[derive(Debug, clap::Args)]
struct NewArgs {
    /// Where to keep the secret key; never on a medium given away
    file: PathBuf,
    /// Read the key's passphrase from a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Keep the key in clear: whoever holds the file can sign
    #[arg(long = "dangerously-no-passphrase")]
    no_passphrase: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// The secret key's file
    file: PathBuf,
    /// Read the key's passphrase from a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// A key that was made.
#[derive(Serialize)]
struct Made {
    public_key: String,
    /// Its public file.
    file: PathBuf,
}

#[derive(Serialize)]
struct Shown<'a> {
    public_key: String,
    file: &'a Path,
}

impl Args {
    /// Runs the chosen part.
    ///
    /// # Errors
    /// If a file cannot be read or written, or a key does not unlock.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        match &self.what {
            What::New(args) => args.run(),
            What::Export(args) => args.run(),
            What::Rotate(args) => args.run(),
        }
    }
}

#[derive(Debug, clap::Args)]
struct RotateArgs {
    /// The old secret key's file
    old: PathBuf,
    /// Read the old key's passphrase from a file, not the terminal
    #[arg(long, value_name = "FILE")]
    old_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    new: NewArgs,
}

impl NewArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let (_, public) = self.make()?;
        self.format.record("key", &public, || {
            let (secret, file) = (self.file.display(), public.file.display());
            format!("secret key  {secret}\npublic key  {file}\n{}", public.public_key)
        })?;
        Ok(Exit::Clean)
    }

    /// Makes the key and writes both its files.
    fn make(&self) -> Result<(Signer, Made), Failure> {
        let (signer, text) = if self.no_passphrase {
            Signer::generate_unprotected()?
        } else {
            let phrase = match &self.passphrase_file {
                Some(file) => passphrase::from_file(file)?,
                None => passphrase::ask_new()?,
            };
            Signer::generate(&phrase)?
        };
        write_new(&self.file, 0o600, text.expose())?;
        let public = with_ending(&self.file, ".pub");
        write_new(&public, 0o644, &public_text(&signer))?;
        if self.no_passphrase {
            say("The key lies in clear: whoever holds the file can sign.");
        }
        let public_key = signer.public_key().to_string();
        Ok((signer, Made { public_key, file: public }))
    }
}

impl RotateArgs {
    fn run(&self) -> Result<Exit, Failure> {
        // The old key first: without it nothing is to be made.
        let old = session::key_file(&self.old, self.old_passphrase_file.as_deref())?;
        let (new, public) = self.new.make()?;
        let trusted = TrustedKey::parse("the old key", &old.public_key().to_string())?;
        let comment = succession_comment(&trusted);
        let signature = old.sign_file(public_text(&new).as_bytes(), &comment)?;
        let place = with_ending(&public.file, ".minisig");
        write_new(&place, 0o644, &signature)?;
        self.new.format.record("key-rotated", &public, || {
            let (secret, file) = (self.new.file.display(), public.file.display());
            format!(
                "secret key  {secret}\npublic key  {file}\nsigned by the old key  {}\n{}",
                place.display(),
                public.public_key
            )
        })?;
        say("Next: glovebox archive add-key ARCHIVE NEW.pub, then glovebox archive sign");
        Ok(Exit::Clean)
    }
}

/// The path with more at its end.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

impl ExportArgs {
    fn run(&self) -> Result<Exit, Failure> {
        let signer = session::key_file(&self.file, self.passphrase_file.as_deref())?;
        let shown = Shown { public_key: signer.public_key().to_string(), file: &self.file };
        self.format.record("key", &shown, || public_text(&signer).trim_end().to_owned())?;
        Ok(Exit::Clean)
    }
}

fn public_text(signer: &Signer) -> String {
    format!("untrusted comment: public key of a Glovebox archive\n{}\n", signer.public_key())
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let doing = || format!("writing {}", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(|problem| Failure::from(problem).while_doing(doing()))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|problem| Failure::from(problem).while_doing(doing()))
}
