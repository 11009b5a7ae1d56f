//! `glovebox image convert`: an image written again in another format, read back, its digests compared on the way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use casebook::Item;
use evidence::container::{Counted, Opened};
use hashing::{Algorithm, Algorithms, Digests, escape_name};
use imaging::{About, Acquisition, Compression, Ending, Medium, Plan, ReadAt, Request, Start};
use serde::Serialize;
use serde_json::{Value, json};

use super::store::Keys;
use super::stored::{self, Reading};
use super::verify::{self, Checked, Verdict};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say};
use crate::progress::Meter;
use crate::recording::{Recording, recorded};
use crate::session::Chosen;

/// Write an image again in another format
///
/// The new image is read back before it gets its name. With a case in use it
/// is an act, with the digests of both. Exit code 1: the old one is not what
/// its digests say; 3: parts of it could not be read.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The image, or its first file; s3://BUCKET/KEY too
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    keys: Keys,
    /// The format of the new image
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Into,
    /// The new image without its ending, such as /mnt/out/disk
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    answer: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Into {
    Raw,
    E01,
    Aff4,
    Zst,
}

#[derive(Serialize)]
struct Converted<'a> {
    file: &'a str,
    files: Vec<String>,
    size_bytes: u64,
    digests: &'a Digests,
    recorded: Vec<Checked>,
    unreadable: Vec<(u64, u64)>,
}

impl Args {
    /// Converts.
    ///
    /// # Errors
    /// If the image cannot be opened, or the new one not be written or read back; and if the case in use cannot take
    /// the act.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let format = self.format().name();
        let arguments = json!({ "file": self.file, "format": format, "to": self.to });
        recorded(&self.chosen, "image convert", &arguments, |_, act| self.convert(act))
    }

    fn convert(&self, act: &Recording) -> Result<Exit, Failure> {
        let opened = stored::open(&self.file, &self.keys)?;
        // An act has its own answer to Ctrl-C: it ends, and so does the program.
        let cancel = if act.is_on() { Arc::default() } else { stored::cancelled()? };
        act.if_stopped(|act| {
            act.problem("what was written of the new image keeps the ending .partial");
            Ok(())
        });
        let exhibit = self.exhibit();
        if let Some(name) = exhibit.as_ref().filter(|_| act.is_on()) {
            act.go_on_with(name)?;
        }
        let source = Reading(Arc::clone(&opened.source));
        let request = self.request(&opened)?;
        let made = write(&source, &request, &self.keys, &cancel)?;
        let acquisition = &made.acquisition;
        let comparable = |counted| {
            counted == Counted::AsZeros
                || opened.as_digested.is_none()
                || acquisition.bad.is_empty()
        };
        let recorded = opened.digests.iter().filter(|one| comparable(one.counted));
        let converted = Converted {
            file: &self.file,
            files: made.files.iter().map(|path| path.display().to_string()).collect(),
            size_bytes: acquisition.size_bytes,
            digests: &acquisition.digests,
            recorded: recorded.map(|one| verify::check(one, &acquisition.digests)).collect(),
            unreadable: acquisition
                .bad
                .iter()
                .map(|bad| (bad.offset_bytes, bad.length_bytes))
                .collect(),
        };
        self.note(act, &opened, &made, &converted)?;
        for problem in &opened.problems {
            say(&format!("problem: {}: {problem}", self.file));
        }
        self.answer.record("image_converted", &converted, || text(&converted))?;
        let differs = converted.recorded.iter().any(|one| one.verdict == Verdict::Differs);
        Ok(match (differs, acquisition.bad.is_empty()) {
            (true, _) => Exit::Findings,
            (false, false) => Exit::Partial,
            (false, true) => Exit::Clean,
        })
    }

    /// What the act holds: the image that was read with the digests of the disk in it, and every file that was made.
    fn note(
        &self,
        act: &Recording,
        opened: &Opened,
        made: &Made,
        converted: &Converted<'_>,
    ) -> Result<(), Failure> {
        if !act.is_on() {
            return Ok(());
        }
        let acquisition = &made.acquisition;
        act.inputs(vec![Item {
            name: name_in_act(Path::new(&self.file)),
            size_bytes: Some(acquisition.size_bytes),
            digests: acquisition.digests.clone(),
            facts: json!({
                "is": "disk in an image",
                "format": stored::format_name(opened),
                "files": opened.files,
                "recorded": converted.recorded,
            }),
        }]);
        for (number, path) in made.files.iter().enumerate() {
            let is_the_disk = made.files.len() == 1 && self.format() == imaging::Format::Raw;
            let (digests, size_bytes) = if is_the_disk {
                (acquisition.digests.clone(), acquisition.size_bytes)
            } else {
                hashing::digest_file(path, &Algorithms::sha256())?
            };
            let first = json!({
                "format": self.format(),
                "source_size_bytes": acquisition.size_bytes,
                "copied_bytes": acquisition.copied_bytes,
                "sector_bytes": acquisition.sector_bytes,
                "ending": "every sector was tried",
                "read_back": true,
                "image_digests": acquisition.digests,
                "unreadable": converted.unreadable.iter().map(|(offset, length)| json!({
                    "offset_bytes": offset,
                    "length_bytes": length,
                })).collect::<Value>(),
                "converted_from": name_in_act(Path::new(&self.file)),
            });
            let facts = if number == 0 { first } else { Value::Null };
            let name = match (self.exhibit(), path.file_name()) {
                (Some(exhibit), Some(file)) => {
                    format!("exhibits/{exhibit}/{}", escape_name(file.as_encoded_bytes()))
                }
                _ => name_in_act(path),
            };
            act.output(Item { name, size_bytes: Some(size_bytes), digests, facts });
        }
        for problem in &opened.problems {
            act.problem(problem);
        }
        for (offset, length) in &converted.unreadable {
            act.problem(format!("{length} bytes at {offset} could not be read"));
        }
        for one in converted.recorded.iter().filter(|one| one.verdict == Verdict::Differs) {
            act.problem(format!("the old image is not what it records: {}", verify::plain(one)));
        }
        Ok(())
    }

    /// The exhibit of the case in use that the new image goes into, if it goes into one.
    fn exhibit(&self) -> Option<String> {
        let exhibits = std::fs::canonicalize(self.chosen.path()?.join("exhibits")).ok()?;
        let folder = self.to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = std::fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
        let name = folder.strip_prefix(&exhibits).ok()?.to_str()?;
        (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
    }

    fn format(&self) -> imaging::Format {
        match self.format {
            Into::Raw => imaging::Format::Raw,
            Into::E01 => imaging::Format::E01,
            Into::Aff4 => imaging::Format::Aff4,
            Into::Zst => imaging::Format::Zst,
        }
    }

    fn request(&self, opened: &Opened) -> Result<Request, Failure> {
        let stem = self.to.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Failure::new(format!("{} is no name for an image", self.to.display()))
        })?;
        let folder = self.to.parent().filter(|folder| !folder.as_os_str().is_empty());
        let fact = |name: &str| {
            let found = opened.facts.iter().find(|(known, _)| known == name);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        Ok(Request {
            format: self.format(),
            folder: folder.map_or_else(|| PathBuf::from("."), PathBuf::from),
            stem: stem.to_owned(),
            split_bytes: None,
            compression: Compression::Fast,
            about: About {
                case: fact("case number"),
                exhibit: fact("evidence number"),
                description: fact("description"),
                examiner: fact("examiner"),
                notes: fact("notes"),
                model: fact("model"),
                serial: fact("serial number"),
                software: concat!("glovebox ", env!("CARGO_PKG_VERSION")).to_owned(),
                platform: "Linux".to_owned(),
                is_disk: true,
                ..About::default()
            },
        })
    }
}

/// An image that was written, read back and named.
struct Made {
    acquisition: Acquisition,
    files: Vec<PathBuf>,
}

/// Writes the image, reads it back, gives it its name.
fn write(
    source: &Reading,
    request: &Request,
    keys: &Keys,
    cancel: &AtomicBool,
) -> Result<Made, Failure> {
    let plan = Plan {
        algorithms: Algorithms::sha256().with(Algorithm::Md5).with(Algorithm::Sha1),
        retries: 0,
        workers: std::thread::available_parallelism()?,
        ..Plan::default()
    };
    let medium = Medium {
        size_bytes: source.size_bytes(),
        sector_bytes: source.sector_bytes(),
        chunk_bytes: u64::try_from(plan.chunk_bytes)?,
    };
    let writers = vec![imaging::create(request, &medium)?];
    let mut meter = Meter::new("converting", medium.size_bytes);
    let mut tell = |standing: imaging::Standing<'_>| meter.at(standing.tick.done_bytes);
    let start = Start::new(&plan);
    let imaged = imaging::image(source, writers, &plan, start, None, &mut tell, cancel);
    meter.end();
    let imaged = imaged?;
    keys.still_there()
        .map_err(|failure| failure.hint("what was written keeps the ending .partial"))?;
    let acquisition = imaged.acquisition;
    if acquisition.ending == Ending::Cancelled {
        return Err(Failure::new("stopped: what was written keeps the ending .partial"));
    }
    let Some(mut copy) = imaged.copies.into_iter().next() else {
        return Err(Failure::new("nothing was written"));
    };
    if let Some(problem) = copy.failure {
        return Err(Failure::from(problem)
            .while_doing(format!("writing {}", request.stem))
            .hint("what was written keeps the ending .partial"));
    }
    let mut meter = Meter::new("reading back", medium.size_bytes);
    let mut tell = |tick: imaging::Tick| meter.at(tick.done_bytes);
    let verified = imaging::verify_copy(&*copy.writer, &acquisition, &mut tell, cancel);
    meter.end();
    let files = imaging::publish(&mut *copy.writer, &verified?)?;
    Ok(Made { acquisition, files })
}

/// The path from the root, escaped: what was typed means nothing in another folder.
fn name_in_act(path: &Path) -> String {
    if path.starts_with(super::store::STORE) {
        return escape_name(path.as_os_str().as_encoded_bytes());
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    escape_name(whole.as_os_str().as_encoded_bytes())
}

fn text(converted: &Converted<'_>) -> String {
    let mut lines =
        vec![format!("{} written again as {}", converted.file, converted.files.join(", "))];
    for digest in converted.digests.iter() {
        lines.push(format!("{}  {}", digest.algorithm().name(), digest.to_hex()));
    }
    lines.push("Read back from the medium: the same.".to_owned());
    lines.extend(converted.recorded.iter().map(|one| format!("recorded: {}", verify::line(one))));
    for (offset, length) in &converted.unreadable {
        lines.push(format!("problem: {length} bytes at {offset} could not be read"));
    }
    lines.join("\n")
}
