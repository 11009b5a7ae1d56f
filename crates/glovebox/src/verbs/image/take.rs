//! `glovebox image DISK`: what is asked for, and the beginning of the act.

use std::path::PathBuf;

use casebook::{Outcome, OutcomeKind};
use guard::Guard;
use hashing::{Algorithm, Algorithms};
use imaging::{About, Compression, Format, Medium, ReadAt, Request, Session, Work};
use serde_json::{Value, json};

use super::elsewhere::{self, Codes, Doors, Places, ToDisk};
use super::place::Place;
use super::subject::Subject;
use super::working::{self, Imaging, JOURNAL};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health::Watched;
use crate::opened::Layers;
use crate::output::Format as Answer;
use crate::session::Chosen;
use crate::{acting, clock};

/// Bytes read at once.
const CHUNK_BYTES: u64 = 1 << 20;
/// Bytes after which interrupted work can go on.
const CHECKPOINT_BYTES: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Take {
    /// A disk such as sda, a volume such as sda:2, or an image file
    #[arg(value_name = "DISK|VOLUME|IMAGE", required = true)]
    source: Option<String>,
    /// The exhibit's label (default: from the disk's name and serial)
    #[arg(long)]
    label: Option<String>,
    /// Formats, each a whole copy; zst is raw in zstd frames
    #[arg(long, value_enum, value_delimiter = ',', default_value = "raw")]
    format: Vec<Kind>,
    /// Copies in this folder, at receiver:HOST:PORT or s3://BUCKET too
    #[arg(long, value_name = "PLACE")]
    to: Vec<PathBuf>,
    #[command(flatten)]
    codes: Codes,
    #[command(flatten)]
    to_disk: ToDisk,
    /// Largest file made, such as 2G; splits raw, sets E01's segments
    #[arg(long, value_name = "SIZE", value_parser = size)]
    split: Option<u64>,
    /// How hard formats that compress try
    #[arg(long, value_enum, default_value = "fast")]
    compression: Effort,
    /// Beside SHA-256: md5, sha1, sha512, blake3 (E01 adds the first two)
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = algorithm)]
    digests: Vec<Algorithm>,
    /// Also a SHA-256 of each piece of this size
    #[arg(long, value_name = "SIZE", value_parser = size, num_args = 0..=1,
          default_missing_value = "64M", require_equals = true)]
    pieces: Option<u64>,
    /// How often a sector that cannot be read is tried again
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    retries: u8,
    /// Leave what fails or takes longer for last (raw copies only)
    #[arg(long, value_name = "SECONDS", value_parser = seconds, num_args = 0..=1,
          default_missing_value = "2", require_equals = true)]
    skip_slow: Option<u64>,
    /// Give up a read after this time and go on behind it
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    read_timeout: Option<u64>,
    /// Do not read the image back; the record will say so
    #[arg(long = "dangerously-no-verify")]
    no_verify: bool,
    #[command(flatten)]
    layers: Layers,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    answer: Answer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Raw,
    E01,
    Zst,
    Aff4,
}

impl Kind {
    fn format(self) -> Format {
        match self {
            Self::Raw => Format::Raw,
            Self::E01 => Format::E01,
            Self::Zst => Format::Zst,
            Self::Aff4 => Format::Aff4,
        }
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Effort {
    None,
    Zeros,
    Fast,
    Good,
    Best,
}

impl Effort {
    fn compression(self) -> Compression {
        match self {
            Self::None => Compression::None,
            Self::Zeros => Compression::Zeros,
            Self::Fast => Compression::Fast,
            Self::Good => Compression::Good,
            Self::Best => Compression::Best,
        }
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    text.parse().map_err(|problem: hashing::Error| problem.to_string())
}

/// A size in bytes, or with K, M, G or T for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default().to_ascii_uppercase();
    let shift = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(format!("the unit is {unit}, expected K, M, G or T")),
    };
    let number: u64 = digits.parse().map_err(|_| "a number is needed, such as 2G".to_owned())?;
    number.checked_mul(1 << shift).filter(|size| *size > 0).ok_or("out of range".to_owned())
}

/// A time in whole seconds, up to a day.
fn seconds(text: &str) -> Result<u64, String> {
    let known = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
    known.ok_or_else(|| "a number of seconds from 1 to 86400 is needed".to_owned())
}

impl Take {
    /// What is filled in later can only be proved, and digested, by reading it back.
    fn check_skip(&self) -> Result<(), Failure> {
        if self.skip_slow.is_some() && self.no_verify {
            let text = "with --skip-slow the digests come from reading the copy back";
            return Err(Failure::new(text).hint("leave out --dangerously-no-verify"));
        }
        let stream = self.format.iter().find(|kind| **kind != Kind::Raw);
        match (self.skip_slow, stream.and_then(clap::ValueEnum::to_possible_value)) {
            (Some(_), Some(name)) => {
                let text = format!(
                    "{} is written from beginning to end: --skip-slow needs raw copies",
                    name.get_name()
                );
                Err(Failure::new(text).hint("--format raw, then glovebox image convert"))
            }
            _ => Ok(()),
        }
    }

    /// A limit that some of the copies could not keep is refused: it may be the medium's.
    fn check_split(&self) -> Result<(), Failure> {
        let whole = self.format.iter().find(|kind| matches!(kind, Kind::Zst | Kind::Aff4));
        match (self.split, whole.and_then(clap::ValueEnum::to_possible_value)) {
            (Some(_), Some(name)) => {
                let text = format!("the format {} is always one file", name.get_name());
                Err(Failure::new(text).hint("leave out --split, or that format"))
            }
            _ => Ok(()),
        }
    }

    /// Images.
    ///
    /// # Errors
    /// If the case or the source cannot be opened, or no copy could be written. The act of the case then says how far
    /// it came.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        self.check_split()?;
        self.check_skip()?;
        let guard = Guard::connect()?;
        let (case, signer) = self.chosen.open()?;
        let named = self.source.as_deref();
        let named = named.ok_or_else(|| Failure::new("no disk was named"))?;
        let subject = Subject::open(named, None, &self.layers, &guard)?;
        // From here on the disk is evidence and can no longer be unlocked.
        for disk in subject.disks() {
            guard.mark_source(&disk.name)?;
        }
        let watched = subject.target.disk.as_ref().map(|disk| Watched::begin(&guard, disk));
        let cancel = working::stop_asked()?;
        let source = subject.bytes();
        let label = self.label.clone().unwrap_or_else(|| subject.default_label());
        let (input, around) = (subject.item(), subject.around());
        let inputs = working::begin_with(&subject, watched.as_ref());
        let who = acting::who(&case);
        let arguments = self.arguments(&subject, &label);
        let draft = acting::draft(&who, &guard, "image", arguments, inputs)?;
        let act = case.begin(draft, &signer)?;
        let mut doors = None;
        let begun = act.new_exhibit(&label).map_err(Failure::from).and_then(|exhibit| {
            let place = Place::of(&case, exhibit.name());
            let info = case.info();
            let about = About {
                case: format!("{} {}", info.id, info.name).trim().to_owned(),
                exhibit: exhibit.name().to_owned(),
                examiner: info.examiner.clone(),
                ..about(&subject, &[info.id.as_str(), exhibit.name()])
            };
            let places = Places::of(&self.to);
            let mut work = self.work(&subject, &*source, &place, &places.folders, &about)?;
            let names = (label.as_str(), exhibit.name());
            let own: Vec<Request> =
                work.requests.iter().filter(|one| one.folder == place.folder()).cloned().collect();
            work.others = elsewhere::wanted(&places, &self.to_disk, &subject, &case, names, &own)?;
            let folder = place.folder();
            let opened = Doors::new(&guard, &case, &subject.target, folder, &self.codes, &cancel);
            let doors = doors.insert(opened);
            let mut open = |what: &Value, medium: &Medium, state: Option<&Value>| {
                doors.open(what, medium, state)
            };
            let journal = place.path(JOURNAL);
            let session = Session::begin_with(&journal, work, working::workers(), &mut open)?;
            Ok((place, session))
        });
        let (place, session) = match begun {
            Ok(begun) => begun,
            Err(failure) => {
                if let Some(doors) = doors {
                    doors.close();
                }
                let outcome = Outcome::new(OutcomeKind::Failed, failure.text());
                act.finish(acting::end(&guard, outcome))?;
                return Err(failure);
            }
        };
        let imaging = Imaging {
            guard: &guard,
            place: &place,
            input,
            around,
            name: subject.name().to_owned(),
            answer: self.answer,
            is_verified: !self.no_verify,
            doors,
            watched,
        };
        let source = working::timed(source, self.read_timeout);
        imaging.run(session, &*source, act, &cancel)
    }

    fn arguments(&self, subject: &Subject, label: &str) -> Value {
        json!({
            "source": subject.name(),
            "label": label,
            "format": self.format.iter().map(|kind| kind.format()).collect::<Vec<_>>(),
            "to": self.to,
            "to_disk": self.to_disk,
            "split_bytes": self.split,
            "compression": self.compression.compression(),
            "digests": self.algorithms(),
            "piece_bytes": self.pieces,
            "retries": self.retries,
            "skip_slow_seconds": self.skip_slow,
            "read_timeout_seconds": self.read_timeout,
            "verify": !self.no_verify,
        })
    }

    fn algorithms(&self) -> Vec<Algorithm> {
        let mut all: Algorithms = self.digests.iter().copied().collect();
        if self.format.contains(&Kind::E01) {
            // What programs that read E01 look for; both come with SHA-256 at nearly no cost.
            all = all.with(Algorithm::Md5).with(Algorithm::Sha1);
        }
        all.iter().collect()
    }

    /// All copies: every format in the exhibit and in each further folder.
    fn work(
        &self,
        subject: &Subject,
        source: &dyn ReadAt,
        place: &Place,
        further: &[PathBuf],
        about: &About,
    ) -> Result<Work, Failure> {
        let mut folders = vec![place.folder().to_path_buf()];
        for further in further {
            // A folder of its own: two exhibits may go to one disk.
            let folder = further.join(place.name());
            let doing = || format!("making the folder {} for a copy", folder.display());
            std::fs::create_dir(&folder)
                .map_err(|problem| Failure::from(problem).while_doing(doing()))?;
            folders.push(std::fs::canonicalize(&folder)?);
        }
        let mut requests: Vec<Request> = Vec::new();
        for folder in folders {
            for kind in &self.format {
                let request = Request {
                    format: kind.format(),
                    folder: folder.clone(),
                    stem: "image".to_owned(),
                    split_bytes: self.split,
                    compression: self.compression.compression(),
                    about: about.clone(),
                };
                if !requests.contains(&request) {
                    requests.push(request);
                }
            }
        }
        Ok(Work {
            requests,
            medium: Medium {
                size_bytes: source.size_bytes(),
                sector_bytes: source.sector_bytes(),
                chunk_bytes: CHUNK_BYTES,
            },
            algorithms: self.algorithms(),
            retries: self.retries,
            skip_slow_seconds: self.skip_slow,
            read_timeout_seconds: self.read_timeout,
            checkpoint_bytes: CHECKPOINT_BYTES,
            piece_bytes: self.pieces,
            source: subject.identity(),
            others: Vec::new(),
        })
    }
}

/// What is written about the source into formats that have a place for it.
fn about(subject: &Subject, seeds: &[&str]) -> About {
    let (model, serial) = match &subject.target.disk {
        Some(disk) => (disk.model.clone(), disk.serial.clone()),
        None => (String::new(), String::new()),
    };
    let now = clock::now().to_string();
    // Different for every image without asking for randomness: case, exhibit, source and time.
    let seed = [seeds, &[subject.name(), &serial, &now]].concat().join("\n");
    let digest = hashing::digest_bytes(seed.as_bytes(), &Algorithms::sha256());
    let mut set_identifier = [0; 16];
    if let Some(sha256) = digest.of(Algorithm::Sha256) {
        set_identifier.iter_mut().zip(sha256.as_bytes()).for_each(|(to, from)| *to = *from);
    }
    About {
        description: subject.name().to_owned(),
        model,
        serial,
        software: concat!("glovebox ", env!("CARGO_PKG_VERSION")).to_owned(),
        platform: "Linux".to_owned(),
        begun_unix_seconds: clock::unix_seconds_now(),
        set_identifier,
        is_disk: subject.is_disk(),
        ..About::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_type_them() {
        assert_eq!(size("2G"), Ok(2 << 30));
        assert_eq!(size("650MiB"), Ok(650 << 20));
        assert_eq!(size("1000"), Ok(1000));
        for wrong in ["", "G", "-1", "0", "1X", "99999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
