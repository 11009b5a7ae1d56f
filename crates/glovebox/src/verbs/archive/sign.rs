//! `glovebox archive sign`: one signature over the list of everything.

use std::path::PathBuf;

use archive::seal::TrustedKey;
use archive::store::Archive;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Format;
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
