//! `glovebox archive add-media` and `add-master`: a vendor's file with its signed list of digests, an owner's own image.

use std::fs;
use std::path::{Path, PathBuf};

use archive::store::{Archive, Master, Medium, NewMaster, NewMedium};
use guard::Guard;
use hashing::{Algorithm, Digest};
use serde::Serialize;

use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say, size};
use crate::target;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The archive's folder
    archive: PathBuf,
    /// What it is called in the archive
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The file, such as an ISO image, called as the list names it
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The vendor's list of digests, such as SHA256SUMS
    #[arg(long, value_name = "FILE")]
    list: PathBuf,
    /// The signature over the list, if it does not carry its own
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// The vendor's certificates; they are pinned in the archive
    #[arg(long, value_name = "FILE")]
    keyring: PathBuf,
    /// When the files were fetched (default: now)
    #[arg(long, value_name = "TIME")]
    captured: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    medium: &'a Medium,
}

impl Args {
    /// Adds.
    ///
    /// # Errors
    /// If the signature or the digest does not hold.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let read = |path: &Path| {
            fs::read(path).map_err(|problem| {
                Failure::from(problem).while_doing(format!("reading {}", path.display()))
            })
        };
        let (list, keyring) = (read(&self.list)?, read(&self.keyring)?);
        let signature = match &self.signature {
            Some(path) => Some((name(path)?, read(path)?)),
            None => None,
        };
        let captured_seconds = match &self.captured {
            Some(text) => clock::seconds_of(text)?,
            None => clock::unix_seconds_now(),
        };
        let medium = Archive::open(&self.archive)?.add_medium(&NewMedium {
            name: &self.name,
            file: &self.file,
            list: (name(&self.list)?, &list),
            signature: signature.as_ref().map(|(name, bytes)| (*name, bytes.as_slice())),
            keyring: &keyring,
            captured_seconds,
        })?;
        self.format.record("media-added", &Shown { medium: &medium }, || {
            let (file, by) = (&medium.file, medium.signers.join(" and "));
            format!(
                "{}: {file}, {}, in a list signed by {by}",
                medium.name,
                size(medium.size_bytes)
            )
        })?;
        say("Next: glovebox archive sign");
        Ok(Exit::Clean)
    }
}

fn name(path: &Path) -> Result<&str, Failure> {
    path.file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Failure::new(format!("{} has no plain name", path.display())))
}

#[derive(Debug, clap::Args)]
pub(super) struct MasterArgs {
    /// The archive's folder
    archive: PathBuf,
    /// What it is called in the archive
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The image of a disk in any form, or a tar archive of files
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Who made it
    #[arg(long, value_name = "TEXT")]
    maker: String,
    /// From what and how it was made
    #[arg(long, value_name = "TEXT")]
    origin: String,
    /// When it was made
    #[arg(long, value_name = "TIME")]
    made: String,
    /// The SHA-256 its maker gave out
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct ShownMaster<'a> {
    #[serde(flatten)]
    master: &'a Master,
}

impl MasterArgs {
    /// Adds.
    ///
    /// # Errors
    /// If it is no image of one file, or not the one expected.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let word = self.file.to_str().ok_or_else(|| Failure::new("its name is no text"))?;
        let expected = match &self.sha256 {
            Some(hex) => Some(Digest::from_hex(Algorithm::Sha256, hex)?),
            None => None,
        };
        let kind = match target::collection(word, &Guard::connect()?)? {
            Some(_) => "files".to_owned(),
            None => {
                let image = target::image(word)?;
                if image.files.len() > 1 {
                    let text = "an image of several files cannot be kept";
                    return Err(Failure::new(text).hint("glovebox image convert makes one of it"));
                }
                format!("{:?}", image.format).to_lowercase()
            }
        };
        let master = Archive::open(&self.archive)?.add_master(&NewMaster {
            name: &self.name,
            file: &self.file,
            kind: &kind,
            maker: &self.maker,
            origin: &self.origin,
            made_seconds: clock::seconds_of(&self.made)?,
            expected: expected.as_ref(),
        })?;
        self.format.record("master-added", &ShownMaster { master: &master }, || {
            let (file, bytes) = (&master.file, size(master.record.size_bytes));
            format!("{}: {file}, {kind}, {bytes}, sha256 {}", master.name, master.record.sha256)
        })?;
        say("Next: glovebox archive sign; its files explain themselves after add-golden");
        Ok(Exit::Clean)
    }
}
