//! The key of a case: Ed25519 in minisign's files, so that an ordinary `minisign` checks our work.
//!
//! Keys made here ask scrypt for 32 MiB, which a small machine has. The reference program asks for
//! 1 GiB by default; such a key is refused with the figure before any memory is taken, instead of
//! being killed halfway on a machine with 1 GiB.

use std::fmt;
use std::io::Cursor;

use minisign::{KeyPair, SecretKey, SecretKeyBox, SignatureBox};

use crate::Error;

/// Lengths of base64 text: 74-byte signature with key number, 64-byte comment signature.
const SIGNATURE_CHARS: usize = 100;
const COMMENT_SIGNATURE_CHARS: usize = 88;
const TRUSTED_PREFIX: &str = "sha256:";

/// The text of a secret key file.
#[derive(Clone)]
pub struct KeyText(String);

impl KeyText {
    /// Takes the content of a key file made here or by the `minisign` program.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The content to write to a key file that only its owner may read.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(…)")
    }
}

/// A secret key ready to sign.
pub struct Signer {
    secret: SecretKey,
    public: PublicKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

/// The public key that acts are checked with.
#[derive(Clone)]
pub struct PublicKey {
    key: minisign::PublicKey,
    base64: String,
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.base64 == other.base64
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base64)
    }
}

impl Signer {
    /// Makes a key protected by `passphrase`, and the text of its file.
    ///
    /// # Errors
    /// When the passphrase is empty or the kernel gives no randomness.
    pub fn generate(passphrase: &str) -> Result<(Self, KeyText), Error> {
        if passphrase.is_empty() {
            return Err(key_error("making a key", "the passphrase is empty"));
        }
        let pair = KeyPair::generate_encrypted_keypair(Some(passphrase.to_owned()))
            .map_err(|error| key_error("making a key", &error))?;
        let text = boxed(&pair.sk)?;
        // Unlocking what was just written proves that the passphrase opens it.
        Ok((Self::unlock(&text, passphrase, u64::MAX)?, text))
    }

    /// Makes a key without a passphrase: whoever holds the file can sign.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn generate_unprotected() -> Result<(Self, KeyText), Error> {
        let pair = KeyPair::generate_unencrypted_keypair()
            .map_err(|error| key_error("making a key", &error))?;
        let text = boxed(&pair.sk)?;
        Ok((Self::from_secret(pair.sk)?, text))
    }

    /// Unlocks a protected key, taking no more than `limit_bytes` of memory.
    ///
    /// # Errors
    /// When the text is no such key, the passphrase is wrong, or the limit would be passed.
    pub fn unlock(text: &KeyText, passphrase: &str, limit_bytes: u64) -> Result<Self, Error> {
        let needed_bytes = unlock_memory_bytes(text)?;
        if needed_bytes > limit_bytes {
            return Err(Error::KeyTooLarge { needed_bytes, limit_bytes });
        }
        let secret = SecretKeyBox::from(text.0.clone())
            .into_secret_key(Some(passphrase.to_owned()))
            .map_err(|error| key_error("unlocking the key", &error))?;
        Self::from_secret(secret)
    }

    /// Reads a key that has no passphrase.
    ///
    /// # Errors
    /// When the text is no such key, or the key is protected.
    pub fn from_unprotected(text: &KeyText) -> Result<Self, Error> {
        let secret = match decode_base64(text.0.lines().nth(1).unwrap_or_default().trim()) {
            // The reference program leaves the checksum of an unprotected key at zero, which the
            // library takes for damage. Such a key has to show that its halves belong together.
            Some(bytes) if has_no_checksum(&bytes) => SecretKey::from_bytes(&bytes),
            _ => SecretKeyBox::from(text.0.clone()).into_unencrypted_secret_key(),
        };
        let secret = secret.map_err(|error| key_error("reading the key", &error))?;
        let signer = Self::from_secret(secret)?;
        let (signature, comment_signature) = signer.sign(b"trial", "trial")?;
        signer
            .public
            .check(b"trial", "trial", &signature, &comment_signature)
            .map_err(|reason| key_error("trying the key", &reason))?;
        Ok(signer)
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn from_secret(secret: SecretKey) -> Result<Self, Error> {
        let key = minisign::PublicKey::from_secret_key(&secret)
            .map_err(|error| key_error("reading the key", &error))?;
        let base64 = key.to_base64();
        Ok(Self { secret, public: PublicKey { key, base64 } })
    }

    /// Signature over `bytes`, and over it with the comment `sha256:` + `hash`, both in base64.
    pub(crate) fn sign(&self, bytes: &[u8], hash: &str) -> Result<(String, String), Error> {
        let comment = format!("{TRUSTED_PREFIX}{hash}");
        let signed = minisign::sign(None, &self.secret, bytes, Some(&comment), Some("act"))
            .map_err(|error| key_error("signing an act", &error))?
            .into_string();
        let mut lines = signed.lines();
        match (lines.nth(1), lines.nth(1)) {
            (Some(signature), Some(comment_signature)) => {
                Ok((signature.to_owned(), comment_signature.to_owned()))
            }
            _ => Err(key_error("signing an act", "the signature has fewer than four lines")),
        }
    }
}

impl PublicKey {
    /// Reads one line of base64, or a whole `.pub` file.
    ///
    /// # Errors
    /// When there is no minisign public key in it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let base64 = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let key = minisign::PublicKey::from_base64(base64)
            .map_err(|error| key_error("reading a public key", &error))?;
        // What is compared and shown is the key's own spelling, not the file's.
        let base64 = key.to_base64();
        Ok(Self { key, base64 })
    }

    /// The content of a `.pub` file for `minisign -V -p`.
    #[must_use]
    pub fn to_file_text(&self) -> String {
        format!("untrusted comment: public key of a Glovebox case\n{}\n", self.base64)
    }

    /// Checks both signatures of an act.
    pub(crate) fn check(
        &self,
        bytes: &[u8],
        hash: &str,
        signature: &str,
        comment_signature: &str,
    ) -> Result<(), String> {
        // The lengths are checked first because minisign's Ed25519 takes the slices as they come.
        if signature.len() != SIGNATURE_CHARS
            || comment_signature.len() != COMMENT_SIGNATURE_CHARS
            || !comment_signature.ends_with("==")
        {
            return Err("signature has the wrong length".to_owned());
        }
        let text = signature_file(hash, signature, comment_signature);
        let parsed = SignatureBox::from_string(&text).map_err(|error| error.to_string())?;
        minisign::verify(&self.key, &parsed, Cursor::new(bytes), true, false, false)
            .map_err(|error| error.to_string())
    }
}

/// The text of a `.minisig` file.
pub(crate) fn signature_file(hash: &str, signature: &str, comment_signature: &str) -> String {
    format!(
        "untrusted comment: signature of an act of a Glovebox case\n{signature}\n\
         trusted comment: {TRUSTED_PREFIX}{hash}\n{comment_signature}\n"
    )
}

fn boxed(secret: &SecretKey) -> Result<KeyText, Error> {
    secret
        .to_box(Some("secret key of a Glovebox case"))
        .map(|text| KeyText(text.into_string()))
        .map_err(|error| key_error("writing a key", &error))
}

/// Whether these are the bytes of an unprotected key whose checksum was left at zero.
///
/// Layout (minisign format): algorithm 2, KDF 2, checksum algorithm 2, salt 32, opslimit 8,
/// memlimit 8, key number 8, secret 64, checksum 32.
fn has_no_checksum(bytes: &[u8]) -> bool {
    let zero = |range| bytes.get(range).is_some_and(|part: &[u8]| part.iter().all(|b| *b == 0));
    bytes.len() == 158 && zero(2..4) && zero(126..158)
}

/// Memory that unlocking will take, from the parameters in the file.
fn unlock_memory_bytes(text: &KeyText) -> Result<u64, Error> {
    let bad = || key_error("reading the key", "this is not a minisign secret key");
    let line = text.0.lines().nth(1).ok_or_else(bad)?.trim();
    let bytes = decode_base64(line).ok_or_else(bad)?;
    let field: [u8; 8] = bytes.get(46..54).and_then(|b| b.try_into().ok()).ok_or_else(bad)?;
    Ok(u64::from_le_bytes(field))
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0u32, 0u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter.checked_sub(b'A')?,
            b'a'..=b'z' => letter.checked_sub(b'a')?.checked_add(26)?,
            b'0'..=b'9' => letter.checked_sub(b'0')?.checked_add(52)?,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = ((bits << 6) | u32::from(value)) & 0xffff;
        count = count.checked_add(6)?;
        if count >= 8 {
            count = count.checked_sub(8)?;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn key_error(action: &'static str, reason: &(impl ToString + ?Sized)) -> Error {
    Error::Key { action, reason: hashing::escape_name(reason.to_string().as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_passphrase_opens_its_key_and_no_other_does() {
        let (signer, text) = Signer::generate("correct horse").unwrap();
        assert_eq!(unlock_memory_bytes(&text).unwrap(), 32 * MIB);
        let again = Signer::unlock(&text, "correct horse", 64 * MIB).unwrap();
        assert_eq!(again.public_key(), signer.public_key());
        let wrong = Signer::unlock(&text, "wrong", 64 * MIB).unwrap_err();
        assert!(wrong.to_string().starts_with("unlocking the key: "), "{wrong}");
        assert!(Signer::from_unprotected(&text).is_err());
        assert!(Signer::generate("").is_err());
    }

    #[test]
    fn a_key_that_needs_too_much_memory_is_refused_first() {
        let (_, text) = Signer::generate("x").unwrap();
        let error = Signer::unlock(&text, "x", MIB).unwrap_err();
        assert_eq!(
            error.to_string(),
            "unlocking this key needs 33554432 bytes of memory, 1048576 are allowed"
        );
    }

    #[test]
    fn rubbish_is_no_key() {
        for text in ["", "a\nb", "x\nRW==\n", "\u{0}\n\u{0}"] {
            assert!(Signer::unlock(&KeyText::new(text.to_owned()), "x", MIB).is_err());
            assert!(PublicKey::parse(text).is_err());
        }
    }
}
