//! `SHA256SUMS` over the outputs and its minisign signature.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use minisign::{KeyPair, PublicKey, SecretKeyBox};

use crate::{cache, files};

/// Text in the form `sha256sum --check` reads.
pub(crate) fn list(outputs: &[(String, String)]) -> String {
    let mut sorted = outputs.to_vec();
    sorted.sort();
    sorted.iter().map(|(name, digest)| format!("{digest}  {name}\n")).collect()
}

/// Signs `text`; gives the signature and the public key as files.
///
/// Without a key file a throw-away key is kept in the cache: good for trying the tools, worth nothing
/// as proof of origin, and the key says so.
pub(crate) fn sign(text: &str, key: Option<&Path>, trusted: &str) -> Result<(String, String)> {
    let path = match key {
        Some(path) => path.to_path_buf(),
        None => throw_away_key()?,
    };
    let secret = SecretKeyBox::from_string(&files::read_text(&path)?)
        .and_then(SecretKeyBox::into_unencrypted_secret_key)
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| format!("understanding signing key {}", path.display()))?;
    let public = PublicKey::from_secret_key(&secret).map_err(|error| anyhow!("{error}"))?;
    let comment = match key {
        Some(_) => "Glovebox image",
        None => "Glovebox image, signed with a THROW-AWAY development key",
    };
    let signature =
        minisign::sign(Some(&public), &secret, Cursor::new(text), Some(trusted), Some(comment))
            .map_err(|error| anyhow!("{error}"))
            .context("signing SHA256SUMS")?;
    let public = public.to_box().map_err(|error| anyhow!("{error}"))?;
    Ok((signature.into_string(), public.into_string()))
}

fn throw_away_key() -> Result<PathBuf> {
    let path = cache::folder("key")?.join("throw-away.key");
    if !path.exists() {
        let pair = KeyPair::generate_unencrypted_keypair().map_err(|error| anyhow!("{error}"))?;
        let boxed = pair
            .sk
            .to_box(Some("Glovebox THROW-AWAY development key, not a release key"))
            .map_err(|error| anyhow!("{error}"))?;
        files::write(&path, boxed.into_string().as_bytes(), 0o600)?;
    }
    eprintln!(
        "warning: signed with a throw-away key made on this machine; a release needs --key FILE"
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minisign::{PublicKeyBox, SignatureBox};

    #[test]
    fn a_signature_holds_for_its_text_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        files::write(&path, pair.sk.to_box(None).unwrap().into_string().as_bytes(), 0o600).unwrap();
        let text = list(&[("b".into(), "22".into()), ("a".into(), "11".into())]);
        assert_eq!(text, "11  a\n22  b\n");
        let (signature, public) = sign(&text, Some(&path), "x").unwrap();
        let public = PublicKeyBox::from_string(&public).unwrap().into_public_key().unwrap();
        let signature = SignatureBox::from_string(&signature).unwrap();
        let check = |text: &str| {
            minisign::verify(&public, &signature, Cursor::new(text), true, false, false)
        };
        assert!(check(&text).is_ok());
        assert!(check("11  a\n23  b\n").is_err());
    }
}
