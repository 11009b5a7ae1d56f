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
    pub fn check(&self, what: &str, bytes: &[u8], signature: &str) -> Result<String> {
        self.verify(bytes, signature).map_err(|reason| Error::NotSealed {
            what: what.to_owned(),
            key: self.text.clone(),
            reason,
        })
    }

    /// As [`Self::check`], with the reason alone.
    pub(crate) fn verify(
        &self,
        bytes: &[u8],
        signature: &str,
    ) -> std::result::Result<String, String> {
        let signature = SignatureBox::from_string(signature)
            .map_err(|error| format!("there is no signature in its .minisig: {error}"))?;
        if signature.keynum() != self.key.keynum() {
            return Err("it is signed by another key".to_owned());
        }
        minisign::verify(&self.key, &signature, Cursor::new(bytes), true, false, false)
            .map_err(|_| "the signature does not match its bytes".to_owned())?;
        signature.trusted_comment().map_err(|error| error.to_string())
    }

    /// Whether a `.minisig` names this key, or cannot be read: then checking says why.
    pub(crate) fn is_of(&self, signature: &str) -> bool {
        SignatureBox::from_string(signature)
            .map_or(true, |signature| signature.keynum() == self.key.keynum())
    }

    /// Its number, which signatures name, in hexadecimal.
    #[must_use]
    pub fn number(&self) -> String {
        self.key.keynum().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The comment of a signature that is still to be checked.
pub(crate) fn comment(signature: &str) -> Option<String> {
    SignatureBox::from_string(signature).ok()?.trusted_comment().ok()
}

impl std::fmt::Display for TrustedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
