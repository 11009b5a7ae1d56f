//! Which key an archive must be signed with, and which version was seen last.
//!
//! The key is named by a person or built into the image; never taken from the archive. A signature cannot show that an
//! archive is old, so the newest version seen is remembered: on the booted stick for the session, elsewhere in a file.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use archive::seal::TrustedKey;
use archive::store::{Sealed, TrustedKeys};
use serde::Deserialize;

use crate::failure::Failure;
use crate::session;

/// Keys the build put into the sealed root (`cargo xtask build --trust`).
const BUILT_IN: &str = "/etc/glovebox/trust";
/// What the build asks of archives signed by them.
const POLICY: &str = "policy.json";
const SEEN: &str = "archives-seen.json";

/// Options of every verb that believes an archive
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Trust {
    /// A key it must be signed with: a .pub file, or its line
    #[arg(long, value_name = "KEY")]
    trust: Vec<String>,
    /// How many of the trusted keys must have signed [default: 1]
    #[arg(long, value_name = "NUMBER")]
    signatures: Option<NonZeroUsize>,
    /// Keep the newest version seen in this file; refuse older ones
    #[arg(long, value_name = "FILE")]
    seen: Option<PathBuf>,
}

/// What the image asks of archives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    /// How many of the built-in keys must have signed.
    signatures: NonZeroUsize,
    /// The least version of archives of these names: what was known when the image was built.
    least: BTreeMap<String, u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { signatures: NonZeroUsize::MIN, least: BTreeMap::new() }
    }
}

impl Trust {
    /// Opens an archive that is signed by the trusted keys and no older than what was seen.
    ///
    /// # Errors
    /// If no key is trusted, or the archive is refused.
    pub(crate) fn open(&self, dir: &Path) -> Result<Sealed, Failure> {
        self.open_with(dir, Path::new(BUILT_IN))
    }

    fn open_with(&self, dir: &Path, built_in: &Path) -> Result<Sealed, Failure> {
        let doing = |failure: Failure| failure.while_doing(format!("opening {}", dir.display()));
        let (keys, policy) = self.keys(built_in)?;
        let sealed = Sealed::open_by(dir, &keys, 0).map_err(|error| doing(error.into()))?;
        let least = policy.least.get(&sealed.statement().name).copied().unwrap_or(0);
        self.not_older(dir, &keys, &sealed, least).map_err(doing)
    }

    /// The keys an archive must be signed with, and the least version of the one called so.
    ///
    /// # Errors
    /// If no key is trusted.
    pub(crate) fn believed(&self, name: &str) -> Result<(TrustedKeys, u64), Failure> {
        let (keys, policy) = self.keys(Path::new(BUILT_IN))?;
        Ok((keys, policy.least.get(name).copied().unwrap_or(0)))
    }

    fn keys(&self, built_in: &Path) -> Result<(TrustedKeys, Policy), Failure> {
        // Keys named by a person stand in the place of the image's, with all that hangs on those.
        let (keys, policy) = if self.trust.is_empty() {
            (built_in_keys(built_in)?, policy(built_in)?)
        } else {
            (self.named_keys()?, Policy::default())
        };
        if keys.is_empty() {
            return Err(Failure::new("no key is trusted").hint("name one with --trust FILE.pub"));
        }
        let keys = TrustedKeys::new(keys, self.signatures.unwrap_or(policy.signatures))?;
        Ok((keys, policy))
    }

    fn not_older(
        &self,
        dir: &Path,
        keys: &TrustedKeys,
        sealed: &Sealed,
        least: u64,
    ) -> Result<Sealed, Failure> {
        let kept = self.seen.clone().or_else(|| Some(session::folder()?.join(SEEN)));
        let Some(kept) = kept else { return Ok(Sealed::open_by(dir, keys, least)?) };
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
        // By the trusted keys, not by those that took their places: those change.
        let names: Vec<String> = sealed
            .signers()
            .iter()
            .map(|signer| format!("{} {}", signer.trusted, sealed.statement().name))
            .collect();
        let known = names.iter().filter_map(|name| seen.get(name).copied()).max().unwrap_or(0);
        let sealed = Sealed::open_by(dir, keys, least.max(known))?;
        if sealed.statement().version > known {
            for name in names {
                seen.insert(name, sealed.statement().version);
            }
            fs::write(&kept, serde_json::to_vec(&seen)?).map_err(|problem| {
                Failure::from(problem).while_doing(format!("writing {}", kept.display()))
            })?;
        }
        Ok(sealed)
    }

    fn named_keys(&self) -> Result<Vec<TrustedKey>, Failure> {
        self.trust
            .iter()
            .map(|word| {
                let text = if Path::new(word).is_file() {
                    fs::read_to_string(word).map_err(|problem| {
                        Failure::from(problem).while_doing(format!("reading {word}"))
                    })?
                } else {
                    word.clone()
                };
                Ok(TrustedKey::parse(word, &text)?)
            })
            .collect()
    }
}

fn built_in_keys(folder: &Path) -> Result<Vec<TrustedKey>, Failure> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
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

/// What the build asks; a policy that cannot be understood is no policy to go on without.
fn policy(folder: &Path) -> Result<Policy, Failure> {
    let path = folder.join(POLICY);
    let doing = |failure: Failure| failure.while_doing(format!("reading {}", path.display()));
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|problem| doing(problem.into())),
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => Ok(Policy::default()),
        Err(problem) => Err(doing(problem.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archive::store::Archive;
    use casebook::Signer;

    /// The image's keys and policy are obeyed when nobody names others. Vouched for by us only; that the build puts these
    /// files into the sealed root is tested there.
    #[test]
    fn an_image_asks_for_its_keys_and_its_least_version() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, built_in) = (folder.path().join("archive"), folder.path().join("trust"));
        let archive = Archive::init(&dir, "team").unwrap();
        let signers =
            [Signer::generate_unprotected().unwrap().0, Signer::generate_unprotected().unwrap().0];
        let keys = signers
            .each_ref()
            .map(|signer| TrustedKey::parse("own", &signer.public_key().to_string()).unwrap());
        let sign = |at: usize| {
            let by = |bytes: &[u8], comment: &str| {
                signers[at].sign_file(bytes, comment).map_err(|error| error.to_string())
            };
            archive.sign(&keys[at], 1, by).unwrap();
        };
        sign(0);
        let plain = Trust { trust: Vec::new(), signatures: None, seen: None };
        let open =
            |trust: &Trust| trust.open_with(&dir, &built_in).map_err(|failure| failure.text());
        assert!(open(&plain).unwrap_err().contains("no key is trusted"));
        fs::create_dir(&built_in).unwrap();
        fs::write(built_in.join("1.pub"), format!("untrusted comment: x\n{}\n", keys[0])).unwrap();
        assert!(open(&plain).is_ok());
        fs::write(built_in.join("policy.json"), r#"{"signatures":1,"least":{"team":2}}"#).unwrap();
        assert!(open(&plain).unwrap_err().contains("version 1, but version 2 was seen"));
        sign(0);
        assert!(open(&plain).is_ok());
        sign(1);
        assert!(open(&plain).unwrap_err().contains("another key"));
        // A person who names a key is asked for nothing else.
        let named = Trust { trust: vec![keys[1].to_string()], ..plain.clone() };
        assert!(open(&named).is_ok());
        fs::write(built_in.join("2.pub"), keys[1].to_string()).unwrap();
        fs::write(built_in.join("policy.json"), r#"{"signatures":2,"least":{}}"#).unwrap();
        assert!(open(&plain).unwrap_err().contains("1 of 2 signatures hold"));
        fs::write(built_in.join("policy.json"), "{}").unwrap();
        assert!(open(&plain).unwrap_err().contains("policy.json"));
    }
}
