//! `glovebox image convert`: an image written again in another format, read back, its digests compared on the way.

use std::path::PathBuf;
use std::sync::Arc;

use evidence::container::{Counted, Opened};
use hashing::{Algorithm, Algorithms, Digests};
use imaging::{About, Compression, Ending, Medium, Plan, ReadAt, Request, Start};
use serde::Serialize;

use super::stored::{self, Reading};
use super::verify::{self, Checked, Verdict};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say};
use crate::progress::Meter;

/// Write an image again in another format
///
/// The new image is read back before it gets its name. Exit code 1: the old
/// one is not what its digests say; 3: parts of it could not be read.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The image, or its first file
    #[arg(value_name = "FILE")]
    file: String,
    /// The format of the new image
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Into,
    /// The new image without its ending, such as /mnt/out/disk
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
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
    /// If the image cannot be opened, or the new one not be written or read back.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let opened = stored::open(&self.file)?;
        let cancel = stored::cancelled()?;
        let source = Reading(Arc::clone(&opened.source));
        let md5_and_sha1 = Algorithms::sha256().with(Algorithm::Md5).with(Algorithm::Sha1);
        let plan = Plan {
            algorithms: md5_and_sha1,
            retries: 0,
            workers: std::thread::available_parallelism()?,
            ..Plan::default()
        };
        let request = self.request(&opened)?;
        let medium = Medium {
            size_bytes: source.size_bytes(),
            sector_bytes: source.sector_bytes(),
            chunk_bytes: u64::try_from(plan.chunk_bytes)?,
        };
        let writers = vec![imaging::create(&request, &medium)?];
        let mut meter = Meter::new("converting", medium.size_bytes);
        let mut tell = |standing: imaging::Standing<'_>| meter.at(standing.tick.done_bytes);
        let imaged =
            imaging::image(&source, writers, &plan, Start::new(&plan), None, &mut tell, &cancel);
        meter.end();
        let imaged = imaged?;
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
        let verified = imaging::verify_copy(
            &*copy.writer,
            &acquisition,
            &mut |tick| meter.at(tick.done_bytes),
            &cancel,
        );
        meter.end();
        let files = imaging::publish(&mut *copy.writer, &verified?)?;
        let comparable = |counted| {
            counted == Counted::AsZeros
                || opened.as_digested.is_none()
                || acquisition.bad.is_empty()
        };
        let recorded = opened.digests.iter().filter(|one| comparable(one.counted));
        let converted = Converted {
            file: &self.file,
            files: files.iter().map(|path| path.display().to_string()).collect(),
            size_bytes: medium.size_bytes,
            digests: &acquisition.digests,
            recorded: recorded.map(|one| verify::check(one, &acquisition.digests)).collect(),
            unreadable: acquisition
                .bad
                .iter()
                .map(|bad| (bad.offset_bytes, bad.length_bytes))
                .collect(),
        };
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
            format: match self.format {
                Into::Raw => imaging::Format::Raw,
                Into::E01 => imaging::Format::E01,
                Into::Aff4 => imaging::Format::Aff4,
                Into::Zst => imaging::Format::Zst,
            },
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
