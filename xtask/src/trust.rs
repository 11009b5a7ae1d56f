//! What an image believes: keys of archives, how many of them must have signed, and the least versions known when it is built.
//!
//! Sealed into the image, because nothing on a medium that is carried beside it may say what is to be trusted. Part of the
//! image id: an image that believes others is another image.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use minisign::PublicKey;
use serde::Serialize;

use crate::files;

/// Where the examined program looks for them (`crates/glovebox/src/verbs/archive/trust.rs`).
const FOLDER: &str = "/etc/glovebox/trust";

/// Options of a build that say what the image believes.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Trust {
    /// Public key whose archives the image believes; may be repeated
    #[arg(long = "trust", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// How many of these keys must have signed an archive [default: 1]
    #[arg(long = "trust-signatures", value_name = "NUMBER", requires = "keys")]
    signatures: Option<NonZeroUsize>,
    /// Refuse the archive of this name in an older version
    #[arg(long = "least-archive", value_name = "NAME=VERSION", requires = "keys", value_parser = least)]
    least: Vec<(String, u64)>,
}

#[derive(Serialize)]
struct Policy {
    signatures: usize,
    least: BTreeMap<String, u64>,
}

/// `NAME=VERSION`; the name may hold `=` itself.
fn least(text: &str) -> Result<(String, u64)> {
    let (name, version) = text.rsplit_once('=').context("it is not NAME=VERSION")?;
    ensure!(!name.is_empty(), "it names no archive");
    Ok((name.to_owned(), version.parse().context("its version is no number")?))
}

impl Trust {
    /// Path and content of each file of the sealed root; none if the image trusts nobody.
    pub(crate) fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        // Sorted and without comments, so that the image depends on the keys alone.
        let mut keys = BTreeSet::new();
        for path in &self.keys {
            keys.insert(
                key(&files::read_text(path)?)
                    .with_context(|| format!("understanding the public key {}", path.display()))?,
            );
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let signatures = self.signatures.map_or(1, NonZeroUsize::get);
        let count = keys.len();
        ensure!(
            signatures <= count,
            "{signatures} signatures are asked for, but {count} keys trusted"
        );
        let mut files: Vec<(String, Vec<u8>)> = (1..)
            .zip(&keys)
            .map(|(number, key): (usize, _)| {
                let text = format!("untrusted comment: key of an archive\n{key}\n");
                (format!("{FOLDER}/{number}.pub"), text.into_bytes())
            })
            .collect();
        let mut least = BTreeMap::new();
        for (name, version) in &self.least {
            ensure!(least.insert(name.clone(), *version).is_none(), "{name} is given twice");
        }
        let mut policy = serde_json::to_vec_pretty(&Policy { signatures, least })?;
        policy.push(b'\n');
        files.push((format!("{FOLDER}/policy.json"), policy));
        Ok(files)
    }
}

/// The line of a public key; a secret key is refused, whatever its file is called.
fn key(text: &str) -> Result<String> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).context("it is empty")?;
    let key = PublicKey::from_base64(line).map_err(|error| anyhow!("{error}"))?;
    Ok(key.to_base64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use minisign::KeyPair;

    #[test]
    fn keys_and_policy_go_into_the_image_and_nothing_secret_does() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = Trust::default();
        assert!(all.files().unwrap().is_empty());
        let mut lines = BTreeSet::new();
        for name in ["b", "a"] {
            let pair = KeyPair::generate_unencrypted_keypair().unwrap();
            let path = folder.path().join(format!("{name}.pub"));
            let text = format!("untrusted comment: {name}\n{}\n", pair.pk.to_base64());
            std::fs::write(&path, text).unwrap();
            lines.insert(pair.pk.to_base64());
            all.keys.push(path);
            let secret = pair.sk.to_box(None).unwrap().into_string();
            std::fs::write(folder.path().join(name), secret).unwrap();
        }
        all.least = vec![least("team=7").unwrap()];
        let files = all.files().unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "/etc/glovebox/trust/1.pub",
            "/etc/glovebox/trust/2.pub",
            "/etc/glovebox/trust/policy.json",
        ];
        assert_eq!(names, expected);
        for ((_, bytes), line) in files.iter().zip(&lines) {
            assert_eq!(String::from_utf8_lossy(bytes).lines().last(), Some(line.as_str()));
        }
        let policy: serde_json::Value = serde_json::from_slice(&files[2].1).unwrap();
        assert_eq!(policy, serde_json::json!({ "signatures": 1, "least": { "team": 7 } }));
        // In another order the same image.
        all.keys.reverse();
        assert_eq!(all.files().unwrap(), files);

        all.signatures = NonZeroUsize::new(3);
        assert!(all.files().unwrap_err().to_string().contains("3 signatures"));
        all.signatures = None;
        all.keys.push(folder.path().join("a"));
        assert!(all.files().is_err());
        assert!(least("team").is_err() && least("=1").is_err() && least("x=y").is_err());
    }
}
