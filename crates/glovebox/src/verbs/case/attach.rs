//! `glovebox case attach`: files of the examiner's own, such as photographs, as an exhibit.

use std::path::PathBuf;

use casebook::{ExhibitDir, Item, Outcome, OutcomeKind};
use guard::Guard;
use hashing::{Content, Entry, Manifest};
use serde::Serialize;
use serde_json::json;

use super::shown;
use crate::acting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, size};
use crate::session::Chosen;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The files, such as photographs or scanned forms
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Name of the exhibit
    #[arg(long, default_value = "attachment", value_name = "TEXT")]
    label: String,
    /// What they show
    #[arg(long, value_name = "TEXT")]
    what: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Attached {
    exhibit: String,
    files: Vec<Item>,
    head: String,
}

impl Args {
    /// Copies them.
    ///
    /// # Errors
    /// If one is no file, or the case does not take it; then the act says so.
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let guard = Guard::connect()?;
        if let Some(file) = self.files.iter().find(|file| !file.is_file()) {
            return Err(Failure::new(format!("{} is no file", file.display()))
                .hint("name the files one by one; a whole folder: glovebox cp FOLDER"));
        }
        let (case, signer) = self.chosen.open()?;
        let arguments = json!({ "files": self.files, "label": self.label, "what": self.what });
        let who = acting::who(&case);
        let draft = acting::draft(&who, &guard, "case attach", arguments, Vec::new())?;
        let act = case.begin(draft, &signer)?;
        let result = act
            .new_exhibit(&self.label)
            .map_err(Failure::from)
            .and_then(|exhibit| Ok((self.fill(&exhibit)?, exhibit)));
        let outcome = match &result {
            Ok(_) => Outcome::done(),
            Err(failure) => Outcome::new(OutcomeKind::Failed, failure.text()),
        };
        let mut end = acting::end(&guard, outcome);
        end.outputs = result.as_ref().map_or_else(|_| Vec::new(), |(items, _)| items.clone());
        let signed = act.finish(end)?;
        let (files, exhibit) = result?;
        let attached =
            Attached { exhibit: exhibit.name().to_owned(), files, head: signed.hash().to_owned() };
        self.format.record("case-attached", &attached, || {
            let mut text = format!("exhibit {}, read back: the same", attached.exhibit);
            for item in &attached.files {
                let bytes = size(item.size_bytes.unwrap_or(0));
                text.push_str(&format!(
                    "\n{}  {}  {bytes}",
                    item.digests.sha256_hex(),
                    shown(&item.name)
                ));
            }
            text
        })?;
        Ok(Exit::Clean)
    }

    fn fill(&self, exhibit: &ExhibitDir) -> Result<Vec<Item>, Failure> {
        let (mut items, mut manifest) = (Vec::new(), Manifest::new());
        for (number, file) in (1u32..).zip(&self.files) {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // A name that not every medium holds is written anew; the act has both.
            let free = exhibit
                .path_of(&name)
                .is_ok_and(|path| !path.exists() && name != "manifest.sha256");
            let kept =
                if free { name } else { format!("{number}-{}", casebook::safe_label(&name)) };
            let mut item = exhibit.copy_in(&kept, file)?;
            item.facts = json!({ "from": file });
            manifest.insert(Entry {
                path: kept.into_bytes(),
                content: Content::File {
                    size_bytes: item.size_bytes,
                    digests: item.digests.clone(),
                },
            });
            items.push(item);
        }
        items.push(exhibit.add_manifest(&manifest)?);
        Ok(items)
    }
}
