//! Encryption to the holders of OpenPGP certificates (RFC 9580), for those who have no age key.
//!
//! What is written is what GnuPG of any age opens: session keys of version 3, AES-256, the integrity
//! protection of version 1, no compression, binary, also to those who could read more. The packets and ciphers are the `pgp` crate's
//! (`docs/decisions/0012…`); which key of a certificate is fit for use is decided here, because
//! that crate leaves it to its callers.

mod certificate;
mod pipe;
mod secret;

use std::io::{BufRead, Write};

use pgp::composed::MessageBuilder;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use rand::rngs::OsRng;

pub use certificate::Certificate;
pub use secret::{Decrypted, SecretKeys};

use crate::Error;

/// Longest file with keys that is read.
pub const MAX_KEY_FILE_BYTES: u64 = 4 << 20;

/// Encrypts what `fill` writes for the holders of these certificates.
///
/// Memory is bounded whatever is written: `fill` runs beside the cipher, a few pieces ahead.
///
/// # Errors
/// When there is no certificate, `fill` fails, or `out` does; what was written then is no message.
pub fn encrypt(
    out: &mut (dyn Write + Send),
    certificates: &[Certificate],
    fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    if certificates.is_empty() {
        return Err(error("encrypting", "there is no certificate"));
    }
    let (writer, reader) = pipe::pipe();
    std::thread::scope(|scope| {
        let cipher = scope.spawn(move || {
            let mut builder = MessageBuilder::from_reader("", reader)
                .seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
            for key in certificates.iter().map(Certificate::key) {
                builder.encrypt_to_key(OsRng, key)?;
            }
            builder.to_writer(OsRng, out)
        });
        let filled = writer.fill(fill);
        let sealed = cipher.join().map_err(|_| error("encrypting", "the cipher stopped"))?;
        match (filled, sealed) {
            // When the cipher stops, filling it fails too: the cause comes first.
            (Err(problem), Err(_)) if !pipe::is_closed(&problem) => Err(problem),
            (_, Err(problem)) => Err(error("encrypting", problem)),
            (filled, Ok(())) => filled,
        }
    })
}

/// Whether a file that begins so is an OpenPGP message, binary or armoured.
#[must_use]
pub fn is_message(head: &[u8]) -> bool {
    // Bit 7 is set in the first byte of every packet (RFC 9580, 4.2) and in no text.
    head.first().is_some_and(|byte| byte & 0x80 != 0) || head.starts_with(b"-----BEGIN PGP")
}

/// Decrypts with whichever key fits; `passphrase` unlocks it, empty where it has none.
///
/// The content is authenticated as a whole: nothing read may be used before the end was reached
/// without an error.
///
/// # Errors
/// When the input is no message of this kind, was changed, or is for others.
pub fn decrypt<'a>(
    input: impl BufRead + std::fmt::Debug + Send + 'a,
    keys: &SecretKeys,
    passphrase: &str,
) -> Result<Decrypted<'a>, Error> {
    secret::decrypt(input, keys, passphrase)
}

#[expect(clippy::needless_pass_by_value, reason = "callers hand over the error they got")]
fn error(action: &'static str, problem: impl ToString) -> Error {
    let reason = hashing::escape_name(problem.to_string().as_bytes());
    Error::Encryption { action, reason }
}
