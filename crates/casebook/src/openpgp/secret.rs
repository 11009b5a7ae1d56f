//! Opening what was encrypted to an OpenPGP key: the secret key from a file, the content as a stream.

use std::io::{self, BufRead, Read};

use pgp::composed::{DecryptionOptions, Deserializable as _, Message, SignedSecretKey, TheRing};
use pgp::types::{Password, SecretParams, Seipdv1ReadMode};

use super::error;
use crate::Error;

/// Secret keys from a file; never shown.
#[derive(Default)]
pub struct SecretKeys(Vec<SignedSecretKey>);

impl std::fmt::Debug for SecretKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKeys({})", self.0.len())
    }
}

impl SecretKeys {
    /// Adds all keys in the bytes of a file, as `gpg --export-secret-keys` writes it, armoured or
    /// not.
    ///
    /// # Errors
    /// When there is none.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        const ACTION: &str = "reading an OpenPGP secret key";
        let unread = |problem: pgp::errors::Error| error(ACTION, problem);
        let (found, _) = SignedSecretKey::from_reader_many_buf(bytes).map_err(unread)?;
        let keys = found.collect::<Result<Vec<_>, _>>().map_err(unread)?;
        if keys.is_empty() {
            return Err(error(ACTION, "there is none in the file"));
        }
        self.0.extend(keys);
        Ok(())
    }

    /// Whether a passphrase is needed.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let locked = |params: &SecretParams| matches!(params, SecretParams::Encrypted(_));
        self.0.iter().any(|key| {
            locked(key.primary_key.secret_params())
                || key.secret_subkeys.iter().any(|subkey| locked(subkey.key.secret_params()))
        })
    }
}

/// The content of a message. Its end proves all that came before.
#[derive(Debug)]
pub struct Decrypted<'a> {
    content: Message<'a>,
    is_over: bool,
}

impl Read for Decrypted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_over || buffer.is_empty() {
            return Ok(0);
        }
        // Behind a fault there is nothing to ask for.
        self.is_over = true;
        let read = self.content.read(buffer)?;
        self.is_over = read == 0;
        Ok(read)
    }
}

pub(super) fn decrypt<'a>(
    input: impl BufRead + std::fmt::Debug + Send + 'a,
    keys: &SecretKeys,
    passphrase: &str,
) -> Result<Decrypted<'a>, Error> {
    const ACTION: &str = "decrypting";
    let unread = |problem: pgp::errors::Error| error(ACTION, problem);
    let (message, _) = Message::from_reader(input).map_err(unread)?;
    if !message.is_encrypted() {
        return Err(error(ACTION, "the message is not encrypted"));
    }
    let password = Password::from(passphrase);
    let ring = TheRing {
        secret_keys: keys.0.iter().collect(),
        key_passwords: vec![&password],
        // A bag does not fit into memory: it is unpacked, and refused if its end does not prove it.
        // What GnuPG writes of its own to keys that ask for it proves each piece.
        decrypt_options: DecryptionOptions::new()
            .enable_gnupg_aead()
            .set_seipdv1_read_mode(Seipdv1ReadMode::Streaming),
        ..TheRing::default()
    };
    let (mut content, _) =
        message.decrypt_the_ring(ring, true).map_err(|problem| match problem {
            pgp::errors::Error::MissingKey => {
                error(ACTION, "it is for none of the keys given, or the passphrase is wrong")
            }
            other => error(ACTION, other),
        })?;
    // GnuPG compresses unless told not to; we do not.
    if content.is_compressed() {
        content = content.decompress().map_err(unread)?;
    }
    if content.is_literal() {
        return Ok(Decrypted { content, is_over: false });
    }
    Err(error(ACTION, "it holds something else than plain data (is it signed as well?)"))
}
