//! `glovebox hash`: digests of files, trees and disks; lists of them; what changed; what is known.

mod check;
mod fuzzy;
mod gather;
mod kept;
mod known;
mod show;

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use guard::Guard;
use hashing::{Algorithm, Algorithms, Form};
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::Format;
use crate::recording::recorded;
use crate::session::Chosen;
use gather::Gatherer;
use kept::Kept;

/// Compute digests of files, folders and disks, and check lists of them
///
/// Every byte is read once, whatever number of digests is wanted. Lists are
/// those of sha256sum, BSD, hashdeep and mtree programs, and our own; with
/// --check the form of the list is found out. Ends with 1 if something
/// differs or is known to be bad, with 3 if something could not be read.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Files, folders, disks such as sda, or what is inside: sda:2:/etc
    #[arg(value_name = "FILE|FOLDER|DISK|ADDRESS", required_unless_present = "check")]
    targets: Vec<String>,
    /// Further digests beside SHA-256
    #[arg(long = "with", value_enum, value_name = "DIGEST")]
    with: Vec<Further>,
    /// These digests and no others; not for the record of a case
    #[arg(long, value_enum, value_name = "DIGEST", conflicts_with = "with")]
    only: Vec<Choice>,
    /// The form of the list
    #[arg(long = "list", value_enum, default_value = "sum", value_name = "FORM")]
    list: Listing,
    /// The same as --list bsd
    #[arg(long)]
    tag: bool,
    /// Also digests of every so many bytes: 64MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    piece: Option<NonZeroU64>,
    /// Fuzzy digests (TLSH) instead: near each other where files are alike
    #[arg(long, requires = "targets", conflicts_with_all = ["with", "only", "tag", "piece", "check",
          "known_good", "known_bad", "disk"])]
    fuzzy: bool,
    /// Only files near this fuzzy digest, the nearest first
    #[arg(long, value_name = "TLSH", requires = "fuzzy", value_parser = fuzzy::parse)]
    near: Option<String>,
    /// Compare with this list; without a target, what it names from here
    #[arg(long, value_name = "LIST", conflicts_with_all = ["tag", "piece"])]
    check: Option<PathBuf>,
    /// Leave out files whose digest is in this set
    #[arg(long, value_name = "FILE")]
    known_good: Vec<PathBuf>,
    /// Name files whose digest is in this set
    #[arg(long, value_name = "FILE")]
    known_bad: Vec<PathBuf>,
    /// The disk an image holds, not the file the image is
    #[arg(long)]
    disk: bool,
    /// Files read at the same time; 1 suits a spinning disk
    #[arg(long, value_name = "NUMBER")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make sets of known digests that are quick to open
    #[command(subcommand)]
    Set(known::SetAction),
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Further {
    Md5,
    Sha1,
    Sha512,
    Blake3,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Choice {
    Md5,
    Sha1,
    Sha256,
    Sha512,
    Blake3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Listing {
    /// As sha256sum writes
    Sum,
    /// As BSD programs and `sha256sum --tag` write
    Bsd,
    /// As hashdeep writes
    Hashdeep,
    /// As mtree programs read
    Mtree,
    /// Our JSON lines
    Manifest,
}

impl From<Further> for Algorithm {
    fn from(further: Further) -> Self {
        match further {
            Further::Md5 => Self::Md5,
            Further::Sha1 => Self::Sha1,
            Further::Sha512 => Self::Sha512,
            Further::Blake3 => Self::Blake3,
        }
    }
}

impl From<Choice> for Algorithm {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Md5 => Self::Md5,
            Choice::Sha1 => Self::Sha1,
            Choice::Sha256 => Self::Sha256,
            Choice::Sha512 => Self::Sha512,
            Choice::Blake3 => Self::Blake3,
        }
    }
}

impl From<Listing> for Form {
    fn from(listing: Listing) -> Self {
        match listing {
            Listing::Sum => Self::Sum,
            Listing::Bsd => Self::Tag,
            Listing::Hashdeep => Self::Hashdeep,
            Listing::Mtree => Self::Mtree,
            Listing::Manifest => Self::Manifest,
        }
    }
}

impl Args {
    /// Computes them.
    ///
    /// # Errors
    /// If the digest code fails its known answers, or a target or a list cannot be opened; and if the case in use cannot
    /// take the act.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        if let Some(Action::Set(action)) = &self.action {
            return action.run();
        }
        hashing::self_test()?;
        let arguments = json!({
            "targets": self.targets,
            "digests": self.algorithms().iter().collect::<Vec<_>>(),
            "check": self.check,
            "known_good": self.known_good,
            "known_bad": self.known_bad,
            "piece_bytes": self.piece,
            "disk_in_image": self.disk,
            "fuzzy": self.fuzzy,
            "near": self.near,
            "view": self.reading.view(),
        });
        recorded(&self.chosen, "hash", &arguments, |guard, act| {
            if self.fuzzy {
                let (reading, near, format) = (&self.reading, self.near.as_deref(), self.format);
                let fuzzy = fuzzy::Fuzzy { guard, act, reading, near, format };
                return fuzzy.run(&self.targets);
            }
            let kept = Kept::new(act);
            let result = self.compute(guard, &kept);
            // What was computed before something failed was computed all the same.
            let recorded = kept.record();
            let exit = result?;
            recorded?;
            Ok(exit)
        })
    }

    fn compute(&self, guard: &Guard, kept: &Kept<'_>) -> Result<Exit, Failure> {
        for list in self.check.iter().chain(&self.known_good).chain(&self.known_bad) {
            kept.compared_with(list)?;
        }
        let sets = known::Sets::open(&self.known_good, &self.known_bad)?;
        let list = self.check.as_deref().map(|path| check::List::open(path, self.sums()));
        let list = list.transpose()?;
        let mut algorithms = self.algorithms();
        if let Some(list) = &list {
            algorithms = list.algorithms(algorithms, self.only.is_empty());
        }
        algorithms = sets.algorithms().fold(algorithms, Algorithms::with);
        let gatherer = Gatherer {
            guard,
            kept,
            reading: &self.reading,
            threads: self
                .threads
                .or_else(|| std::thread::available_parallelism().ok())
                .unwrap_or(NonZeroUsize::MIN),
            algorithms: &algorithms,
            piece_bytes: self.piece,
            inside_image: self.disk,
        };
        let out = show::Output { format: self.format, algorithms: &algorithms };
        if let Some(list) = list {
            return check::run(&list, &self.targets, &gatherer, &out);
        }
        if sets.is_asked() {
            let gathered = gatherer.all(&self.targets, gather::Naming::Whole)?;
            return sets.judge(&gathered, &out, kept);
        }
        if self.form() == Form::Sum && self.piece.is_none() {
            return out.one_by_one(&gatherer, &self.targets);
        }
        let gathered = gatherer.all(&self.targets, gather::Naming::Whole)?;
        out.list(&gathered, self.form())
    }

    fn form(&self) -> Form {
        if self.tag { Form::Tag } else { self.list.into() }
    }

    fn algorithms(&self) -> Algorithms {
        let only = self.only.iter().copied().map(Algorithm::from);
        Algorithms::exactly(only)
            .unwrap_or_else(|| self.with.iter().copied().map(Algorithm::from).collect())
    }

    /// What 64 digits of a list without names of algorithms are.
    fn sums(&self) -> Algorithm {
        match self.only.as_slice() {
            [Choice::Blake3] => Algorithm::Blake3,
            _ => Algorithm::Sha256,
        }
    }
}

/// `64MiB`, `512K` or plain bytes.
fn size(text: &str) -> Result<NonZeroU64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        other => return Err(format!("\"{other}\" is no unit: B, KiB, MiB or GiB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("\"{digits}\" is no number"))?;
    let bytes = number.checked_mul(factor).and_then(NonZeroU64::new);
    // Smaller pieces would take more memory than the disk has bytes.
    bytes.filter(|bytes| bytes.get() >= 512).ok_or_else(|| "at least 512 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_understood() {
        assert_eq!(super::size("64MiB").map(u64::from), Ok(64 << 20));
        assert_eq!(super::size("4096").map(u64::from), Ok(4096));
        for wrong in ["", "64MB", "0", "-1K", "99999999999GiB", "1"] {
            assert!(super::size(wrong).is_err(), "{wrong}");
        }
    }
}
