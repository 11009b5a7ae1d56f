//! `glovebox case seal`: the case closed, and a bag of it to give away, encrypted if asked.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use casebook::age::{self, Recipient};
use casebook::bag::Bag;
use casebook::openpgp::{self, Certificate};
use casebook::sealed;
use serde::Serialize;
use serde_json::json;

use crate::acting;
use crate::clock;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, say, size};
use crate::progress::Meter;
use crate::session::Chosen;

#[derive(Debug, clap::Args)]
#[command(after_help = "A sealed case takes no more acts; sealing it again makes another bag.")]
pub(super) struct Args {
    /// The folder to make the bag in, on an unlocked medium
    #[arg(long, value_name = "FOLDER")]
    on: PathBuf,
    /// Encrypt to this age recipient (age1…) or to the OpenPGP
    /// certificate in this file; again for several of one kind
    #[arg(long = "to", value_name = "RECIPIENT|FILE")]
    recipients: Vec<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Sealed {
    bag: PathBuf,
    sealed_by_act: u64,
    head: String,
    payload_bytes: u64,
    /// SHA-256 of the bag's manifest of tag files.
    bag_sha256: String,
    recipients: Vec<String>,
}

impl Args {
    /// Seals.
    ///
    /// # Errors
    /// If nothing can be encrypted to a recipient, the case does not take the act, or the bag cannot be written.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let readers = Readers::of(&self.recipients)?;
        if !self.on.is_dir() {
            return Err(Failure::new(format!("{} is no folder", self.on.display()))
                .hint("unlock your own medium first: glovebox guard unlock DISK"));
        }
        let case = self.chosen.needed_path()?;
        let name = format!("{}-bag", casebook::safe_label(&casebook::status(&case)?.info.id));
        let to = self.on.join(format!("{name}{}", readers.ending()));
        if to.exists() {
            return Err(Failure::new(format!("{} is there already", to.display())));
        }
        let before = casebook::status(&case)?;
        let act = match before.sealed_by {
            Some(act) => {
                say(&format!("Act {act} sealed the case already: making a further bag of it."));
                act
            }
            None => {
                let arguments = json!({ "on": self.on, "to": readers.names() });
                acting::record(&self.chosen, sealed::SEAL, None, |_| arguments)?.act
            }
        };
        let bag = write(&case, &to, &name, &readers)
            .map_err(|failure| failure.hint("the case is sealed; seal it again to make its bag"))?;
        let done = Sealed {
            bag: to,
            sealed_by_act: act,
            head: casebook::status(&case)?.head,
            payload_bytes: bag.0,
            bag_sha256: bag.1,
            recipients: readers.names(),
        };
        self.format.record("case-sealed", &done, || {
            let who = match done.recipients.len() {
                0 => "in clear".to_owned(),
                count => format!("encrypted to {count} recipients"),
            };
            format!(
                "Act {} sealed the case.\nbag   {} ({}, {who})\nhead  {}\nbag's sha256  {}\n\
                 Write head and digest down on paper. The secret key is not in the bag.",
                done.sealed_by_act,
                done.bag.display(),
                size(done.payload_bytes),
                done.head,
                done.bag_sha256
            )
        })?;
        Ok(Exit::Clean)
    }
}

/// Who can open the bag.
enum Readers {
    Everyone,
    Age(Vec<Recipient>),
    OpenPgp(Vec<Certificate>),
}

impl Readers {
    fn of(texts: &[String]) -> Result<Self, Failure> {
        let (files, keys): (Vec<&String>, Vec<&String>) =
            texts.iter().partition(|text| Path::new(text).is_file());
        match (files.is_empty(), keys.is_empty()) {
            (true, true) => Ok(Self::Everyone),
            (true, false) => {
                keys.into_iter().map(|one| recipient(one)).collect::<Result<_, _>>().map(Self::Age)
            }
            (false, true) => {
                let all = files.into_iter().map(|one| certificate(Path::new(one)));
                all.collect::<Result<_, _>>().map(Self::OpenPgp)
            }
            (false, false) => {
                Err(Failure::new("a bag is encrypted for age keys or for OpenPGP certificates")
                    .hint("seal for the ones first; sealing again makes the bag for the others"))
            }
        }
    }

    /// What follows the name of the bag.
    fn ending(&self) -> &'static str {
        match self {
            Self::Everyone => "",
            Self::Age(_) => ".tar.age",
            Self::OpenPgp(_) => ".tar.pgp",
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Everyone => Vec::new(),
            Self::Age(all) => all.iter().map(ToString::to_string).collect(),
            Self::OpenPgp(all) => all.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Writes the bag; gives its payload's size and its digest.
fn write(case: &Path, to: &Path, name: &str, readers: &Readers) -> Result<(u64, String), Failure> {
    let bag = Bag::of(case, &mut |_| {})?;
    let mut meter = Meter::new("writing the bag", bag.payload_bytes().max(1));
    let written = match readers {
        Readers::Everyone => bag
            .write_to(to, &mut |now| meter.at(now.done_bytes / 2))
            .map_err(|problem| Failure::from(problem).while_doing(doing(to))),
        Readers::Age(all) => whole_or_nothing(to, |file| {
            let mut out = age::encrypt(file, all)?;
            bag.write_tar(&mut out, name, &mut |now| meter.at(now.done_bytes))?;
            out.finish()?;
            Ok(())
        }),
        Readers::OpenPgp(all) => whole_or_nothing(to, |file| {
            openpgp::encrypt(file, all, |out| {
                bag.write_tar(out, name, &mut |now| meter.at(now.done_bytes))
            })?;
            Ok(())
        }),
    };
    meter.end();
    written?;
    Ok((bag.payload_bytes(), bag.identity()))
}

/// Under another name until it is whole, so that half a file is never taken for a bag.
fn whole_or_nothing(
    to: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let file = File::create_new(&partial)
        .map_err(|problem| Failure::from(problem).while_doing(doing(to)))?;
    let mut out = BufWriter::new(file);
    write(&mut out).map_err(|failure| failure.while_doing(doing(to)))?;
    out.flush()?;
    out.get_ref().sync_all()?;
    std::fs::rename(&partial, to)?;
    // On FAT the new name gets its size with the next flush of the file.
    File::open(to)?.sync_all()?;
    Ok(())
}

fn doing(to: &Path) -> String {
    format!("writing {}", to.display())
}

fn recipient(text: &str) -> Result<Recipient, Failure> {
    text.parse().map_err(|problem: casebook::Error| {
        Failure::from(problem)
            .hint("age: age-keygen makes a key, its public half is age1…")
            .hint("OpenPGP: name the file that holds the certificate")
    })
}

fn certificate(file: &Path) -> Result<Certificate, Failure> {
    let doing = || format!("reading the certificate {}", file.display());
    let failed = |failure: Failure| failure.while_doing(doing());
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(openpgp::MAX_KEY_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|problem| failed(problem.into()))?;
    // A wrong clock would take a good certificate for expired, or the other way round.
    let now = clock::true_unix_seconds();
    Certificate::parse(&bytes, now).map_err(|problem| {
        failed(problem.into())
            .hint("gpg --export --armor WHO > FILE writes one")
            .hint("if the clock is wrong, tell by how much: glovebox case clock --now TIME")
    })
}
