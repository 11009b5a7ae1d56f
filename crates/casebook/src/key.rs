//! The key of a case: Ed25519 in minisign's files, so that an ordinary `minisign` checks our work.
//!
//! Signing is left to the `minisign` crate. Checking is done here, over the same bytes, with the
//! faster Ed25519 that a case of many acts needs.
//!
//! Keys made here ask scrypt for 32 MiB, which a small machine has. The reference program asks for
//! 1 GiB by default; such a key is refused with the figure before any memory is taken, instead of
//! being killed halfway on a machine with 1 GiB.

use std::fmt;

use blake2::{Blake2b512, Digest as _};
use ed25519_dalek::{Signature, VerifyingKey};
use hashing::base64;
use minisign::{KeyPair, SecretKey, SecretKeyBox};

use crate::Error;
use crate::multiples::Multiples;

/// Layout of a public key (minisign's format): algorithm, key number, Ed25519 key.
const KEY_ALGORITHM: &[u8] = b"Ed";
/// Layout of a signature: algorithm (`ED`: of the BLAKE2b-512 of the bytes), key number, Ed25519.
const SIGNATURE_ALGORITHM: &[u8] = b"ED";
const NUMBER_BYTES: usize = 8;
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
    key: VerifyingKey,
    number: [u8; NUMBER_BYTES],
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
        let secret = match base64::decode(text.0.lines().nth(1).unwrap_or_default().trim()) {
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

    /// Signs a file: the text of its `.minisig`, with a comment that is signed too.
    ///
    /// # Errors
    /// When the kernel gives no randomness, or the comment has more than one line.
    pub fn sign_file(&self, bytes: &[u8], comment: &str) -> Result<String, Error> {
        if comment.contains(['\n', '\r']) {
            return Err(key_error("signing a file", "the comment has more than one line"));
        }
        minisign::sign(None, &self.secret, bytes, Some(comment), Some("signature by Glovebox"))
            .map(minisign::SignatureBox::into_string)
            .map_err(|error| key_error("signing a file", &error))
    }

    fn from_secret(secret: SecretKey) -> Result<Self, Error> {
        let key = minisign::PublicKey::from_secret_key(&secret)
            .map_err(|error| key_error("reading the key", &error))?;
        Ok(Self { secret, public: PublicKey::parse(&key.to_base64())? })
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
        let bytes = base64::decode(base64);
        let parts = bytes.as_deref().and_then(|bytes| split(bytes, KEY_ALGORITHM)).and_then(
            |(number, key)| Some((number, VerifyingKey::from_bytes(key.try_into().ok()?).ok()?)),
        );
        let (number, key) = parts
            .ok_or_else(|| key_error("reading a public key", "it is not a minisign public key"))?;
        Ok(Self { key, number, base64: base64.to_owned() })
    }

    /// The content of a `.pub` file for `minisign -V -p`.
    #[must_use]
    pub fn to_file_text(&self) -> String {
        format!("untrusted comment: public key of a Glovebox case\n{}\n", self.base64)
    }

    /// Checks both signatures of an act, and says what does not hold.
    pub(crate) fn check(
        &self,
        bytes: &[u8],
        hash: &str,
        signature: &str,
        comment_signature: &str,
    ) -> Result<(), String> {
        let first = base64::decode(signature).ok_or("signature is not base64")?;
        let (number, of_bytes) = split(&first, SIGNATURE_ALGORITHM)
            .ok_or("signature is not of minisign's form, or has the wrong length")?;
        if number != self.number {
            return Err("signature is by another key".to_owned());
        }
        let of_bytes = Signature::from_slice(of_bytes)
            .map_err(|_| "signature has the wrong length".to_owned())?;
        self.key
            .verify_strict(&Blake2b512::digest(bytes), &of_bytes)
            .map_err(|_| "signature does not hold".to_owned())?;
        let of_comment = base64::decode(comment_signature)
            .and_then(|bytes| Signature::from_slice(&bytes).ok())
            .ok_or("signature of the comment has the wrong form")?;
        self.key
            .verify_strict(&commented(&of_bytes, hash), &of_comment)
            .map_err(|_| "signature of the comment does not hold".to_owned())
    }
}

/// What the signature of the trusted comment is over: the first signature and the comment.
fn commented(of_bytes: &Signature, hash: &str) -> Vec<u8> {
    [&of_bytes.to_bytes()[..], TRUSTED_PREFIX.as_bytes(), hash.as_bytes()].concat()
}

/// A key made ready to check many acts. It only ever says yes; [`PublicKey::check`] accepts the same
/// and says what is wrong with the others.
pub(crate) struct Checker {
    number: [u8; NUMBER_BYTES],
    multiples: Option<Multiples>,
}

impl Checker {
    pub(crate) fn new(key: &PublicKey) -> Self {
        Self { number: key.number, multiples: Multiples::new(key.key) }
    }

    /// Whether both signatures of an act hold.
    pub(crate) fn accept(
        &self,
        bytes: &[u8],
        hash: &str,
        signature: &str,
        comment_signature: &str,
    ) -> bool {
        self.accepted(bytes, hash, signature, comment_signature).unwrap_or(false)
    }

    fn accepted(
        &self,
        bytes: &[u8],
        hash: &str,
        signature: &str,
        comment_signature: &str,
    ) -> Option<bool> {
        let first = base64::decode(signature)?;
        let (number, of_bytes) = split(&first, SIGNATURE_ALGORITHM)?;
        let of_bytes = Signature::from_slice(of_bytes).ok()?;
        let of_comment = Signature::from_slice(&base64::decode(comment_signature)?).ok()?;
        let messages = [&Blake2b512::digest(bytes)[..], &commented(&of_bytes, hash)];
        let holds = self.multiples.as_ref()?.accept(messages, [&of_bytes, &of_comment]);
        Some(number == self.number && holds)
    }
}

/// Key number and what follows, if the bytes begin with this algorithm.
fn split<'a>(bytes: &'a [u8], algorithm: &[u8]) -> Option<([u8; NUMBER_BYTES], &'a [u8])> {
    let (number, rest) = bytes.strip_prefix(algorithm)?.split_first_chunk::<NUMBER_BYTES>()?;
    Some((*number, rest))
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
    let bytes = base64::decode(line).ok_or_else(bad)?;
    let field: [u8; 8] = bytes.get(46..54).and_then(|b| b.try_into().ok()).ok_or_else(bad)?;
    Ok(u64::from_le_bytes(field))
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
