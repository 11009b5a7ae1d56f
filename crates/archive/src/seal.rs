//! Our own signature: over the one file that lists all others of an archive.
//!
//! The form is minisign's (Ed25519 over BLAKE2b-512, with a signed comment), so that the ordinary program checks it too. The
//! arithmetic is the `minisign` crate's. Making keys and signing is not done here: the secret key is no business of whoever
//! reads an archive.

use std::io::Cursor;

use minisign::{PublicKey, SignatureBox};

use crate::{Error, Result};

/// A public key that was chosen by a person or built into the image; nothing found in an archive becomes one.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    key: PublicKey,
    text: String,
}

impl TrustedKey {
    /// Reads one line of base64, or a whole `.pub` file; `what` names it in messages.
    ///
    /// # Errors
    /// When it is no public key of minisign.
    pub fn parse(what: &str, text: &str) -> Result<Self> {
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let key = PublicKey::from_base64(line).map_err(|error| Error::NoKey {
            what: what.to_owned(),
            reason: format!("it is no minisign public key: {error}"),
        })?;
        Ok(Self { text: key.to_base64(), key })
    }

    /// Checks the text of a `.minisig` file; returns the comment that is signed too.
    ///
    /// # Errors
    /// When it is no signature, by another key, or does not hold.
    pub(crate) fn check(&self, what: &str, bytes: &[u8], signature: &str) -> Result<String> {
        let not = |reason: String| Error::NotSealed {
            what: what.to_owned(),
            key: self.text.clone(),
            reason,
        };
        let signature = SignatureBox::from_string(signature)
            .map_err(|error| not(format!("there is no signature in its .minisig: {error}")))?;
        if signature.keynum() != self.key.keynum() {
            return Err(not("it is signed by another key".to_owned()));
        }
        minisign::verify(&self.key, &signature, Cursor::new(bytes), true, false, false)
            .map_err(|_| not("the signature does not match its bytes".to_owned()))?;
        signature.trusted_comment().map_err(|error| not(error.to_string()))
    }
}

impl std::fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
