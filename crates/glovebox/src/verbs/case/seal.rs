//! `glovebox case seal`: the case closed, and a bag of it to give away, encrypted if asked.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use casebook::age::{self, Recipient};
use casebook::bag::Bag;
use casebook::sealed;
use serde::Serialize;
use serde_json::json;

use crate::acting;
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
    /// Encrypt to this age recipient (age1…); again for several
    #[arg(long = "to", value_name = "RECIPIENT")]
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
    /// If a recipient is no age key, the case does not take the act, or the bag cannot be written.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let recipients =
            self.recipients.iter().map(|one| recipient(one)).collect::<Result<Vec<_>, _>>()?;
        if !self.on.is_dir() {
            return Err(Failure::new(format!("{} is no folder", self.on.display()))
                .hint("unlock your own medium first: glovebox guard unlock DISK"));
        }
        let case = self.chosen.needed_path()?;
        let name = format!("{}-bag", casebook::safe_label(&casebook::status(&case)?.info.id));
        let ending = if recipients.is_empty() { "" } else { ".tar.age" };
        let to = self.on.join(format!("{name}{ending}"));
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
                let arguments = json!({ "on": self.on, "to": self.recipients });
                acting::record(&self.chosen, sealed::SEAL, None, |_| arguments)?.act
            }
        };
        let bag = write(&case, &to, &name, &recipients)
            .map_err(|failure| failure.hint("the case is sealed; seal it again to make its bag"))?;
        let done = Sealed {
            bag: to,
            sealed_by_act: act,
            head: casebook::status(&case)?.head,
            payload_bytes: bag.0,
            bag_sha256: bag.1,
            recipients: self.recipients.clone(),
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

/// Writes the bag; gives its payload's size and its digest.
fn write(
    case: &Path,
    to: &Path,
    name: &str,
    recipients: &[Recipient],
) -> Result<(u64, String), Failure> {
    let bag = Bag::of(case, &mut |_| {})?;
    let mut meter = Meter::new("writing the bag", bag.payload_bytes().max(1));
    let doing = || format!("writing {}", to.display());
    if recipients.is_empty() {
        let written = bag.write_to(to, &mut |now| meter.at(now.done_bytes / 2));
        meter.end();
        written?;
    } else {
        // Under another name until it is whole, so that half a file is never taken for a bag.
        let partial = to.with_extension("age.partial");
        let file = File::create_new(&partial)
            .map_err(|problem| Failure::from(problem).while_doing(doing()))?;
        let mut out = age::encrypt(BufWriter::new(file), recipients)?;
        let written = bag.write_tar(&mut out, name, &mut |now| meter.at(now.done_bytes));
        meter.end();
        written?;
        let file = out.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&partial, to)?;
        // On FAT the new name gets its size with the next flush of the file.
        File::open(to)?.sync_all()?;
    }
    Ok((bag.payload_bytes(), bag.identity()))
}

fn recipient(text: &str) -> Result<Recipient, Failure> {
    text.parse().map_err(|problem: casebook::Error| {
        Failure::from(problem)
            .hint("recipients are age keys: age-keygen makes one, its public half is age1…")
            .hint("OpenPGP and SSH keys are not supported; ask for an age key instead")
    })
}
