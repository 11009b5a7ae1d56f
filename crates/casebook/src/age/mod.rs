//! Encryption to named recipients in the age format, version 1 (age-encryption.org/v1), X25519 only.
//!
//! Every age program opens what is written here. The primitives are the RustCrypto and dalek crates;
//! the `age` crate itself would bring a hundred more, with older copies of what is here already.

mod bech32;
mod header;
mod stream;

use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;

use curve25519_dalek::MontgomeryPoint;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use stream::{Decryptor, Encryptor};

use crate::Error;

const RECIPIENT_PREFIX: &str = "age";
const IDENTITY_PREFIX: &str = "age-secret-key-";

/// Whom to encrypt to: a public key, written `age1…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

/// Who can decrypt: a secret key, written `AGE-SECRET-KEY-1…`.
pub struct Identity(Zeroizing<[u8; 32]>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

impl FromStr for Recipient {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        bech32::decode(text, RECIPIENT_PREFIX).map(|key| Self(*key)).ok_or_else(|| {
            let text = hashing::escape_name(text.as_bytes());
            error("reading a recipient", format!("\"{text}\" is no age X25519 recipient (age1…)"))
        })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(&self.0, RECIPIENT_PREFIX))
    }
}

impl Identity {
    /// Makes a new one.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        random().map(Self)
    }

    /// The identities in the text of a key file: lines of `#` are comments.
    ///
    /// # Errors
    /// When a line is neither, or there is none.
    pub fn parse_file(text: &str) -> Result<Vec<Self>, Error> {
        let lines = text.lines().map(str::trim);
        let identities: Vec<Self> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                // The line is a secret, or was meant to be one: it is not repeated.
                bech32::decode(line, IDENTITY_PREFIX)
                    .map(Self)
                    .ok_or_else(|| error("reading an identity", "a line is no age X25519 identity"))
            })
            .collect::<Result<_, _>>()?;
        if identities.is_empty() {
            return Err(error("reading an identity", "there is no AGE-SECRET-KEY-1… in it"));
        }
        Ok(identities)
    }

    /// The text of its key file, to be kept secret.
    #[must_use]
    pub fn to_file_text(&self) -> Zeroizing<String> {
        let secret = bech32::encode(&self.0, IDENTITY_PREFIX).to_ascii_uppercase();
        Zeroizing::new(format!("# public key: {}\n{secret}\n", self.recipient()))
    }

    /// Whom others encrypt to.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(MontgomeryPoint::mul_base_clamped(*self.0).to_bytes())
    }
}

/// Encrypts what is written to the result for these recipients; [`Encryptor::finish`] ends it.
///
/// # Errors
/// When there are no recipients, one is no point that can be used, or `out` fails.
pub fn encrypt<W: Write>(mut out: W, recipients: &[Recipient]) -> Result<Encryptor<W>, Error> {
    let file_key = random::<16>()?;
    let text = header::write(&file_key, recipients)?;
    let nonce = *random::<16>()?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(&nonce))
        .map_err(|problem| error("writing an encrypted file", problem))?;
    Ok(Encryptor::new(out, &derive(&file_key[..], &nonce, b"payload")))
}

/// Decrypts with whichever identity fits.
///
/// # Errors
/// When the input is not of this format, was changed, or is for others.
pub fn decrypt<R: Read>(mut input: R, identities: &[Identity]) -> Result<Decryptor<R>, Error> {
    let file_key = header::read(&mut input, identities)?;
    let mut nonce = [0; 16];
    input.read_exact(&mut nonce).map_err(|problem| error("reading an encrypted file", problem))?;
    Ok(Decryptor::new(input, &derive(&file_key[..], &nonce, b"payload")))
}

/// HKDF-SHA-256 (RFC 5869) to 32 bytes: one block.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let extracted = Zeroizing::new(mac(salt, &[secret]));
    Zeroizing::new(mac(&extracted[..], &[info, &[1]]))
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length; where it would not, no message could be authenticated.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut bytes[..]).map_err(|problem| error("getting randomness", problem))?;
    Ok(bytes)
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over the error they got")]
fn error(action: &'static str, reason: impl ToString) -> Error {
    Error::Encryption { action, reason: reason.to_string() }
}
