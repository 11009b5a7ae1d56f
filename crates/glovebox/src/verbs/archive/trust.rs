//! Which key an archive must be signed with, and which version was seen last.
//!
//! The key is named by a person or built into the image; never taken from the archive. A signature cannot show that an
//! archive is old, so the newest version seen is remembered: on the booted stick for the session, elsewhere in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use archive::seal::TrustedKey;
use archive::store::Sealed;

use crate::failure::Failure;
use crate::session;

/// Keys the build put into the sealed root.
const BUILT_IN: &str = "/etc/glovebox/trust";
const SEEN: &str = "archives-seen.json";

/// Options of every verb that believes an archive
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Trust {
    /// The key it must be signed with: a .pub file, or its line
    #[arg(long, value_name = "KEY")]
    trust: Option<String>,
    /// Keep the newest version seen in this file; refuse older ones
    #[arg(long, value_name = "FILE")]
    seen: Option<PathBuf>,
}

impl Trust {
    /// Opens an archive that is signed by the trusted key and no older than what was seen.
    ///
    /// # Errors
    /// If no key is trusted, or the archive is refused.
    pub(crate) fn open(&self, dir: &Path) -> Result<Sealed, Failure> {
        let keys = self.keys()?;
        let doing = |failure: Failure| failure.while_doing(format!("opening {}", dir.display()));
        let mut refused = None;
        for key in &keys {
            match Sealed::open(dir, key, 0) {
                Ok(sealed) => return self.not_older(dir, key, &sealed).map_err(doing),
                Err(error) => refused = Some(error),
            }
        }
        Err(match refused {
            Some(error) => doing(error.into()),
            None => Failure::new("no key is trusted").hint("name one with --trust FILE.pub"),
        })
    }

    fn not_older(&self, dir: &Path, key: &TrustedKey, sealed: &Sealed) -> Result<Sealed, Failure> {
        let kept = self.seen.clone().or_else(|| Some(session::folder()?.join(SEEN)));
        let Some(kept) = kept else { return Ok(sealed.clone()) };
        let mut seen: BTreeMap<String, u64> = match fs::read(&kept) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|problem| {
                Failure::from(problem).while_doing(format!("reading {}", kept.display()))
            })?,
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(problem) => {
                return Err(
                    Failure::from(problem).while_doing(format!("reading {}", kept.display()))
                );
            }
        };
        let name = format!("{key} {}", sealed.statement().name);
        let least = seen.get(&name).copied().unwrap_or(0);
        let sealed = Sealed::open(dir, key, least)?;
        if sealed.statement().version > least {
            seen.insert(name, sealed.statement().version);
            fs::write(&kept, serde_json::to_vec(&seen)?).map_err(|problem| {
                Failure::from(problem).while_doing(format!("writing {}", kept.display()))
            })?;
        }
        Ok(sealed)
    }

    fn keys(&self) -> Result<Vec<TrustedKey>, Failure> {
        if let Some(word) = &self.trust {
            let text = if Path::new(word).is_file() {
                fs::read_to_string(word).map_err(|problem| {
                    Failure::from(problem).while_doing(format!("reading {word}"))
                })?
            } else {
                word.clone()
            };
            return Ok(vec![TrustedKey::parse(word, &text)?]);
        }
        let mut paths: Vec<PathBuf> = fs::read_dir(BUILT_IN)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "pub"))
            .collect();
        paths.sort();
        paths
            .iter()
            .map(|path| {
                let text = fs::read_to_string(path)?;
                Ok(TrustedKey::parse(&path.display().to_string(), &text)?)
            })
            .collect()
    }
}
