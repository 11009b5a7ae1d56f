//! What an interrupted copy has to find again and the journal would have to repeat in every line: the uploads that were
//! begun, and what the format noted. One line of JSON each, only added to; the journal says how many of them count.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest ledger read: the lengths of the frames of a hundred terabytes.
const MAX_BYTES: u64 = 1 << 30;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line {
    /// The upload of a file was begun.
    Begun {
        /// Name of the file.
        name: String,
        /// The store's name of the upload.
        upload: String,
    },
    /// The last file begun is whole, and so long.
    Sealed {
        /// Its length.
        size_bytes: u64,
    },
    /// Something of the format.
    Note(Value),
    /// Every part of every file was sent, and the objects are being made: what is sent from here on is sent already.
    Closing(Vec<Closed>),
}

/// A file all parts of which are at the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    pub(super) name: String,
    /// The store's name of the upload; nothing when that is no longer known.
    pub(super) upload: String,
    pub(super) size_bytes: u64,
}

/// The ledger, open for adding.
pub(super) struct Ledger {
    file: File,
    lines: u64,
}

impl Ledger {
    pub(super) fn create(aside: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create_new(path(aside))?, lines: 0 })
    }

    /// Everything that stands in it, up to a line that is not whole.
    pub(super) fn read(aside: &Path) -> io::Result<Vec<Line>> {
        let mut text = Vec::new();
        File::open(path(aside))?.take(MAX_BYTES).read_to_end(&mut text)?;
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        let whole = lines.filter_map(|line| line.strip_suffix(b"\n"));
        Ok(whole.map_while(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Puts these lines in the place of the ledger, in one step, and goes on behind them.
    pub(super) fn replace(aside: &Path, lines: &[Line]) -> io::Result<Self> {
        let (new, path) = (path(aside).with_extension("parts-new"), path(aside));
        let mut ledger = Self { file: File::create(&new)?, lines: 0 };
        for line in lines {
            ledger.add(line)?;
        }
        ledger.file.sync_all()?;
        fs::rename(&new, &path)?;
        if let Some(folder) = path.parent() {
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(ledger)
    }

    pub(super) fn add(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.lines = self.lines.saturating_add(1);
        Ok(())
    }

    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

pub(super) fn path(aside: &Path) -> PathBuf {
    let mut name = aside.as_os_str().to_owned();
    name.push(".parts");
    PathBuf::from(name)
}
