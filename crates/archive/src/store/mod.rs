//! An archive on a medium: vendors' files unchanged, our catalogue of them, and one signed list over all.
//!
//! ```text
//! archive.json            what is in the archive, with a version that only grows; archive.json.minisig beside it
//! archive.json.KEY.minisig  signatures of further keys over the same list, where several are asked for
//! keys/                   keys that took the place of others, each signed by the one before
//! debian/NAME/            a partial mirror: InRelease, indices and wanted packages, byte for byte
//! debian/NAME/mirror.json which suites, fetched when
//! rpm/NAME/               packages of the RPM family, each with its signed header; set.json says fetched when
//! media/NAME/             a vendor's file with its signed list of digests
//! masters/NAME/           an owner's master image with where it comes from
//! keyrings/NAME.pgp       the vendor's certificates, pinned when the mirror was added
//! catalogue/index.tsv     one line a package: name, version, digest of the package file and of its listing
//! catalogue/packages/     one listing a package: every file with type, mode, owner and SHA-256
//! advisories/NAME/        weaknesses that vendors publish, unsigned as they do
//! golden/                 manifests of installs made from these packages
//! baselines/NAME/         what a system was when it was believed
//! ```
//!
//! Package files are vouched for by their vendor and, through the index of the catalogue, by us; all else by the list.

mod advisories;
mod catalogue;
mod check;
mod extract;
mod files;
mod golden;
mod listing;
mod masters;
mod media;
mod mirror;
mod publish;
mod rpms;
mod sealed;
mod signers;
mod statement;

use std::path::{Path, PathBuf};

pub use advisories::{Advisories, NewAdvisories};
pub use catalogue::{Catalogue, CatalogueRow, Catalogued};
pub use check::{Checked, Depth};
pub use extract::{Brought, TakeContent};
pub use listing::{Item, ItemKind, Listing, Owner};
pub use masters::{Master, NewMaster};
pub use media::{Medium, NewMedium};
pub use mirror::{Added, Mirror, NewMirror, Place, Source, Suite, Want, rfc3339};
pub use publish::Transferred;
pub use rpms::{NewRpms, RpmSet};
pub use sealed::Sealed;
pub use signers::{Signer, TrustedKeys, succession_comment};
pub use statement::{FileRecord, Statement};

use crate::{Error, Result};

pub(crate) const STATEMENT: &str = "archive.json";
pub(crate) const SIGNATURE: &str = "archive.json.minisig";
pub(crate) const INDEX: &str = "catalogue/index.tsv";

/// An archive that is being built: nothing read from it through this type is believed.
#[derive(Debug, Clone)]
pub struct Archive {
    dir: PathBuf,
}

impl Archive {
    /// Makes an empty archive in a new or empty folder.
    ///
    /// # Errors
    /// When the folder holds anything, or the medium does not take it.
    pub fn init(dir: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(Error::io(&show(dir)))?;
        let mut entries = std::fs::read_dir(dir).map_err(Error::io(&show(dir)))?;
        if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != "lost+found")) {
            return Err(Error::Refused(format!("{} is not empty", show(dir))));
        }
        let archive = Self { dir: dir.to_owned() };
        let statement = Statement::empty(name);
        files::write(&archive.path(STATEMENT), &statement.to_bytes()?)?;
        Ok(archive)
    }

    /// Opens a folder that holds an archive.
    ///
    /// # Errors
    /// When it holds none, or one of a form this program does not know.
    pub fn open(dir: &Path) -> Result<Self> {
        let archive = Self { dir: dir.to_owned() };
        archive.statement()?;
        Ok(archive)
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What its list says, signed or not.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn statement(&self) -> Result<Statement> {
        let bytes = files::read(&self.path(STATEMENT), STATEMENT)?;
        Statement::parse(&bytes)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn show(path: &Path) -> String {
    hashing::escape_name(path.as_os_str().as_encoded_bytes())
}
