//! `glovebox image`: a disk read once into an exhibit of the case, hashed on the way, read back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use casebook::{Case, Completion, ExhibitDir, Item, Outcome, OutcomeKind, Signer};
use guard::Guard;
use hashing::Digests;
use imaging::{Acquisition, Ending, FileSource, PartialFile, Plan, ReadAt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Colour, Format, paint, say, size};
use crate::progress::Meter;
use crate::session::Chosen;
use crate::target::{self, Target};
use crate::{acting, clock};

/// The map of what was read, beside the image.
const MAP_FILE: &str = "image.raw.map";

/// Image a disk into the case: raw, SHA-256, read back and compared
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The disk, such as sda, or an image file
    #[arg(value_name = "DISK|IMAGE")]
    source: String,
    /// The exhibit's label (default: from the disk's name and serial)
    #[arg(long)]
    label: Option<String>,
    /// The image format; raw is the one there is
    #[arg(long, value_enum, default_value = "raw")]
    format: ImageFormat,
    /// Do not read the image back; the record will say so
    #[arg(long = "dangerously-no-verify")]
    no_verify: bool,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    answer: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ImageFormat {
    Raw,
}

#[derive(Serialize)]
struct Imaged {
    source: String,
    exhibit: String,
    file: String,
    size_bytes: u64,
    copied_bytes: u64,
    digests: Digests,
    verified: bool,
    unreadable: Vec<Value>,
    unreadable_bytes: u64,
    ending: String,
    act: String,
}

/// How the copying went, short of a failure to write.
struct Copied {
    acquisition: Acquisition,
    file_name: String,
    verified: bool,
    failure: Option<Failure>,
}

impl Args {
    /// Images.
    ///
    /// # Errors
    /// If the case or the source cannot be opened, or the exhibit cannot be written. The act of the
    /// case then says how far it came.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        let ImageFormat::Raw = self.format;
        let (case, signer) = self.chosen.open()?;
        let target = target::open(&self.source, &guard)?;
        // From here on the disk is evidence and can no longer be unlocked.
        if let Some(disk) = &target.disk {
            guard.mark_source(&disk.name)?;
        }
        let cancel = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&cancel);
        ctrlc::set_handler(move || asked.store(true, Ordering::Relaxed))?;
        self.acquire(&guard, &case, &signer, &target, &cancel)
    }

    fn acquire(
        &self,
        guard: &Guard,
        case: &Case,
        signer: &Signer,
        target: &Target,
        cancel: &AtomicBool,
    ) -> Result<Exit, Failure> {
        let source = FileSource::new(target.file.try_clone()?, target.sector_bytes)?;
        let label = self.label.clone().unwrap_or_else(|| default_label(target));
        let input = match &target.disk {
            Some(disk) => acting::disk_item(disk),
            None => Item {
                name: target.name.clone(),
                size_bytes: Some(source.size_bytes()),
                digests: Digests::default(),
                facts: Value::Null,
            },
        };
        let arguments = json!({
            "source": target.name,
            "label": label,
            "format": "raw",
            "verify": !self.no_verify,
        });
        let who = acting::who(case);
        let draft = acting::draft(&who, guard, "image", arguments, vec![input.clone()])?;
        let act = case.begin(draft, signer)?;
        let exhibit = match act.new_exhibit(&label) {
            Ok(exhibit) => exhibit,
            Err(problem) => {
                let failure = Failure::from(problem);
                let outcome = Outcome::new(OutcomeKind::Failed, failure.text());
                act.finish(Completion::new(clock::now(), outcome))?;
                return Err(failure);
            }
        };
        let copied = self.copy(&source, &exhibit, cancel);
        let mut end = Completion::new(clock::now(), outcome(&copied));
        end.counters_after = acting::counters(guard);
        end.outputs = outputs(&exhibit, &copied);
        end.inputs = vec![Item { digests: copied.acquisition.digests.clone(), ..input }];
        end.problems = problems(&copied.acquisition);
        let recorded = act.finish(end);
        if let Some(failure) = copied.failure {
            if let Err(problem) = recorded {
                say(&format!("The case could not take the record of this: {problem}"));
            }
            return Err(failure
                .hint("what was written keeps the ending .partial and is listed in the case"));
        }
        let recorded = recorded?;
        self.answer(&exhibit, target, &copied.acquisition, &copied, recorded.hash())
    }

    fn copy(&self, source: &FileSource, exhibit: &ExhibitDir, cancel: &AtomicBool) -> Copied {
        let file_name = "image.raw".to_owned();
        let nothing = Acquisition {
            size_bytes: source.size_bytes(),
            sector_bytes: source.sector_bytes(),
            copied_bytes: 0,
            digests: Digests::default(),
            bad: imaging::Extents::default(),
            ending: Ending::Cancelled,
        };
        let mut copied = Copied { acquisition: nothing, file_name, verified: false, failure: None };
        if let Err(failure) = self.copy_into(source, exhibit, cancel, &mut copied) {
            copied.failure = Some(failure);
        }
        copied
    }

    fn copy_into(
        &self,
        source: &FileSource,
        exhibit: &ExhibitDir,
        cancel: &AtomicBool,
        copied: &mut Copied,
    ) -> Result<(), Failure> {
        let mut sink = PartialFile::create(&exhibit.path_of(&copied.file_name)?)?;
        let mut meter = Meter::new("imaging", source.size_bytes());
        let acquired = imaging::acquire(
            source,
            &mut sink,
            &Plan::default(),
            &mut |tick| meter.at(tick.done_bytes),
            cancel,
        );
        meter.end();
        copied.acquisition = match acquired {
            Ok(acquisition) => acquisition,
            Err(problem) => {
                if let imaging::Error::Sink { reached, .. } = &problem {
                    copied.acquisition = (**reached).clone();
                }
                return Err(problem.into());
            }
        };
        exhibit.add_file(MAP_FILE, imaging::map_text(&copied.acquisition).as_bytes())?;
        if copied.acquisition.ending != Ending::Complete {
            return Ok(());
        }
        if self.no_verify {
            // Without reading back there is no proof, so the copy keeps its unfinished name.
            return Ok(());
        }
        let mut meter = Meter::new("reading back", copied.acquisition.size_bytes);
        let verified =
            sink.verify(&copied.acquisition, &mut |tick| meter.at(tick.done_bytes), cancel);
        meter.end();
        sink.publish(&verified?)?;
        copied.verified = true;
        Ok(())
    }

    fn answer(
        &self,
        exhibit: &ExhibitDir,
        target: &Target,
        acquisition: &Acquisition,
        copied: &Copied,
        act: &str,
    ) -> Result<Exit, Failure> {
        let imaged = Imaged {
            source: target.name.clone(),
            exhibit: exhibit.name().to_owned(),
            file: exhibit.item_name(&final_name(copied)),
            size_bytes: acquisition.size_bytes,
            copied_bytes: acquisition.copied_bytes,
            digests: acquisition.digests.clone(),
            verified: copied.verified,
            unreadable: bad_sectors(acquisition),
            unreadable_bytes: acquisition.bad.total_bytes(),
            ending: format!("{:?}", acquisition.ending),
            act: act.to_owned(),
        };
        self.answer.record("imaged", &imaged, || text(&imaged, acquisition))?;
        Ok(match (acquisition.ending, imaged.unreadable_bytes, copied.verified) {
            (Ending::Complete, 0, true) => Exit::Clean,
            (Ending::Cancelled, ..) => Exit::NotDone,
            _ => Exit::Partial,
        })
    }
}

fn text(imaged: &Imaged, acquisition: &Acquisition) -> String {
    let mut text = format!(
        "{} ({}) is exhibit {}\n{} of {} copied to {}",
        imaged.source,
        size(imaged.size_bytes),
        imaged.exhibit,
        size(imaged.copied_bytes),
        size(imaged.size_bytes),
        imaged.file,
    );
    for digest in imaged.digests.iter() {
        text.push_str(&format!("\n{}  {}", digest.algorithm().name(), digest.to_hex()));
    }
    text.push_str(if imaged.verified {
        "\nRead back from the medium: the same."
    } else {
        "\nNOT read back: it keeps the ending .partial."
    });
    if acquisition.ending != Ending::Complete {
        let why = ending_text(acquisition.ending);
        text.push_str(&paint(&format!("\nNOT COMPLETE: {why}"), Colour::Red));
    }
    for problem in problems(acquisition) {
        text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
    }
    text
}

fn ending_text(ending: Ending) -> &'static str {
    match ending {
        Ending::Complete => "every sector was tried",
        Ending::Cancelled => "stopped by the examiner",
        Ending::SourceLost => "the source no longer answers anywhere",
        Ending::NoCopyLeft => "no copy could be written any further",
        Ending::TooManyBadRuns => "more unreadable places than can be listed",
    }
}

fn outcome(copied: &Copied) -> Outcome {
    if let Some(failure) = &copied.failure {
        return Outcome::new(OutcomeKind::Failed, failure.text());
    }
    let unreadable = copied.acquisition.bad.total_bytes();
    match copied.acquisition.ending {
        Ending::Cancelled => Outcome::new(OutcomeKind::Interrupted, "stopped by the examiner"),
        Ending::Complete if unreadable == 0 && copied.verified => Outcome::done(),
        Ending::Complete if !copied.verified => {
            Outcome::new(OutcomeKind::Partial, "the copy was not read back")
        }
        Ending::Complete => Outcome::new(
            OutcomeKind::Partial,
            format!("{unreadable} bytes could not be read and are zeros in the copy"),
        ),
        other => Outcome::new(OutcomeKind::Partial, ending_text(other)),
    }
}

fn final_name(copied: &Copied) -> String {
    let ending = if copied.verified { "" } else { ".partial" };
    format!("{}{ending}", copied.file_name)
}

fn outputs(exhibit: &ExhibitDir, copied: &Copied) -> Vec<Item> {
    let acquisition = &copied.acquisition;
    let mut outputs = Vec::new();
    let name = final_name(copied);
    // The file may be longer than what is vouched for: a full medium takes part of a write.
    let path = exhibit.path().join(&name);
    if let Ok(file) = std::fs::metadata(&path) {
        let digests = if copied.failure.is_none() {
            acquisition.digests.clone()
        } else {
            let found = hashing::digest_file(&path, &hashing::Algorithms::sha256());
            found.map(|(digests, _)| digests).unwrap_or_default()
        };
        outputs.push(Item {
            name: exhibit.item_name(&name),
            size_bytes: Some(file.len()),
            digests,
            facts: json!({
                "source_size_bytes": acquisition.size_bytes,
                "copied_bytes": acquisition.copied_bytes,
                "sector_bytes": acquisition.sector_bytes,
                "ending": ending_text(acquisition.ending),
                "read_back": copied.verified,
                "unreadable": bad_sectors(acquisition),
            }),
        });
    }
    if let Ok((digests, size_bytes)) =
        hashing::digest_file(&exhibit.path().join(MAP_FILE), &hashing::Algorithms::sha256())
    {
        outputs.push(Item {
            name: exhibit.item_name(MAP_FILE),
            size_bytes: Some(size_bytes),
            digests,
            facts: Value::Null,
        });
    }
    outputs
}

fn bad_sectors(acquisition: &Acquisition) -> Vec<Value> {
    acquisition
        .bad
        .iter()
        .map(|bad| {
            let sectors = bad.sectors(acquisition.sector_bytes);
            json!({
                "offset_bytes": bad.offset_bytes,
                "length_bytes": bad.end_bytes() - bad.offset_bytes,
                "first_sector": sectors.map(|(first, _)| first),
                "sectors": sectors.map(|(_, count)| count),
            })
        })
        .collect()
}

/// At most this many bad places are spelled out in words; all are in the map and the outputs.
const SPELLED_OUT: usize = 20;

fn problems(acquisition: &Acquisition) -> Vec<String> {
    let mut problems: Vec<String> = acquisition
        .bad
        .iter()
        .take(SPELLED_OUT)
        .map(|bad| {
            format!("bytes {} to {} could not be read", bad.offset_bytes, bad.end_bytes() - 1)
        })
        .collect();
    if acquisition.bad.len() > SPELLED_OUT {
        problems.push(format!("{} unreadable places in all", acquisition.bad.len()));
    }
    problems
}

fn default_label(target: &Target) -> String {
    match &target.disk {
        Some(disk) if !disk.serial.is_empty() => format!("{}-{}", disk.name, disk.serial),
        Some(disk) => disk.name.to_string(),
        None => std::path::Path::new(&target.name)
            .file_stem()
            .map_or_else(|| "image".to_owned(), |stem| stem.to_string_lossy().into_owned()),
    }
}
