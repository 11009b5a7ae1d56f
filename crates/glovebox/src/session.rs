//! What is kept in memory from one command to the next: the case in use and its unlocked key.
//!
//! Only on the booted stick, where this folder is in memory and gone at power-off. On a desk
//! nothing is kept: the case and the key are named each time.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use casebook::{Case, KeyText, Signer};

use crate::failure::Failure;
use crate::passphrase;

const FOLDER: &str = "/run/session";
const CURRENT: &str = "current-case";
/// Name of the key file in a case.
pub(crate) const KEY_FILE: &str = "case.key";
/// What unlocking a key may take: well below the memory of the smallest machine we boot on.
const KEY_MEMORY_BYTES: u64 = 256 << 20;

/// The session's folder, if this is the booted stick.
pub(crate) fn folder() -> Option<&'static Path> {
    let folder = Path::new(FOLDER);
    (Path::new(guard::SOCKET_PATH).exists() && folder.is_dir()).then_some(folder)
}

/// Options that say which case and which key.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Chosen {
    /// The case (default: the one last created or opened in this session)
    #[arg(long, value_name = "FOLDER")]
    pub(crate) case: Option<PathBuf>,
    /// The case's key file (default: case.key in the case)
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Read the key's passphrase from a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

impl Chosen {
    /// The folder of the case meant, if one was named or is in use.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.case.clone().or_else(|| {
            let text = fs::read_to_string(folder()?.join(CURRENT)).ok()?;
            Some(PathBuf::from(text.trim_end_matches('\n')))
        })
    }

    /// The folder of the case meant.
    ///
    /// # Errors
    /// If none was named and none is in use.
    pub(crate) fn needed_path(&self) -> Result<PathBuf, Failure> {
        self.path().ok_or_else(|| {
            Failure::new("no case is in use")
                .hint("glovebox case create NAME --on FOLDER")
                .hint("or name one with --case FOLDER")
        })
    }

    /// Opens the case meant, with its key.
    ///
    /// # Errors
    /// If there is none, it does not open, or its key does not unlock.
    pub(crate) fn open(&self) -> Result<(Case, Signer), Failure> {
        let path = self.needed_path()?;
        let doing = || format!("opening the case {}", path.display());
        let case =
            Case::open(&path).map_err(|problem| Failure::from(problem).while_doing(doing()))?;
        let signer = self.signer(&path)?;
        remember(&path, None)?;
        Ok((case, signer))
    }

    fn signer(&self, case: &Path) -> Result<Signer, Failure> {
        let file = self.key.clone().unwrap_or_else(|| case.join(KEY_FILE));
        let text = fs::read_to_string(&file).map_err(|problem| {
            Failure::from(problem)
                .while_doing(format!("reading the case key {}", file.display()))
                .hint("name the key file with --key FILE")
        })?;
        let text = KeyText::new(text);
        if let Ok(signer) = Signer::from_unprotected(&text) {
            return Ok(signer);
        }
        let kept = folder().map(|folder| folder.join(kept_name(case)));
        let phrase =
            match (&self.passphrase_file, kept.as_ref().and_then(|kept| fs::read(kept).ok())) {
                (Some(file), _) => passphrase::from_file(file)?,
                (None, Some(kept)) => String::from_utf8_lossy(&kept).into_owned(),
                (None, None) => passphrase::ask("Passphrase of the case key: ")?,
            };
        let signer = Signer::unlock(&text, &phrase, KEY_MEMORY_BYTES)?;
        remember(case, Some(&phrase))?;
        Ok(signer)
    }
}

/// Reads a key file that belongs to no case; asks for its passphrase if it has one and none is given.
///
/// # Errors
/// If there is no such file, or it does not unlock.
pub(crate) fn key_file(file: &Path, passphrase_file: Option<&Path>) -> Result<Signer, Failure> {
    let text = fs::read_to_string(file).map_err(|problem| {
        Failure::from(problem).while_doing(format!("reading the key {}", file.display()))
    })?;
    let text = KeyText::new(text);
    if let Ok(signer) = Signer::from_unprotected(&text) {
        return Ok(signer);
    }
    let phrase = match passphrase_file {
        Some(file) => passphrase::from_file(file)?,
        None => passphrase::ask("Passphrase of the key: ")?,
    };
    Ok(Signer::unlock(&text, &phrase, KEY_MEMORY_BYTES)?)
}

/// Remembers the case in use, and its key's passphrase until power-off.
///
/// # Errors
/// If the session's folder cannot be written.
pub(crate) fn remember(case: &Path, phrase: Option<&str>) -> Result<(), Failure> {
    let Some(folder) = folder() else { return Ok(()) };
    let case = fs::canonicalize(case).unwrap_or_else(|_| case.to_owned());
    fs::write(folder.join(CURRENT), format!("{}\n", case.display()))?;
    if let Some(phrase) = phrase {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(folder.join(kept_name(&case)))?;
        file.write_all(phrase.as_bytes())?;
    }
    Ok(())
}

fn kept_name(case: &Path) -> String {
    let case = fs::canonicalize(case).unwrap_or_else(|_| case.to_owned());
    let digest =
        hashing::digest_bytes(case.as_os_str().as_encoded_bytes(), &hashing::Algorithms::sha256());
    format!("phrase-{}", digest.sha256_hex())
}
