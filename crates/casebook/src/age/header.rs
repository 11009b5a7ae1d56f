//! The header of an age file: the file's key wrapped for each recipient, and a checksum with it.

use std::io::Read;

use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use curve25519_dalek::MontgomeryPoint;
use hashing::base64;
use zeroize::Zeroizing;

use super::{Identity, Recipient, derive, error, mac, random};
use crate::Error;

pub(super) const VERSION: &str = "age-encryption.org/v1";
const X25519_INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// More than a thousand recipients; a longer header is no honest one.
const MAX_BYTES: usize = 256 << 10;
const COLUMNS: usize = 64;

type FileKey = Zeroizing<[u8; 16]>;

pub(super) fn write(file_key: &FileKey, recipients: &[Recipient]) -> Result<String, Error> {
    if recipients.is_empty() {
        return Err(error("encrypting", "there is no recipient"));
    }
    let mut text = format!("{VERSION}\n");
    for recipient in recipients {
        let secret = random::<32>()?;
        let share = MontgomeryPoint::mul_base_clamped(*secret).to_bytes();
        let shared = MontgomeryPoint(recipient.0).mul_clamped(*secret).to_bytes();
        let cipher = cipher(&shared, &share, &recipient.0)
            .ok_or_else(|| error("encrypting", format!("{recipient} is no usable key")))?;
        let body = cipher
            .encrypt(&Nonce::default(), &file_key[..])
            .map_err(|problem| error("encrypting", problem))?;
        // The body is 32 bytes, 43 letters: one line, shorter than a full one.
        text.push_str(&format!("-> X25519 {}\n{}\n", unpadded(&share), unpadded(&body)));
    }
    text.push_str("---");
    let sum = checksum(file_key, &text);
    text.push_str(&format!(" {}\n", unpadded(&sum)));
    Ok(text)
}

/// Reads no further than the header goes.
pub(super) fn read(input: &mut impl Read, identities: &[Identity]) -> Result<FileKey, Error> {
    let mut text = String::new();
    let first = line(input, &mut text)?;
    if first != VERSION {
        return Err(bad("it is not an age file of version 1"));
    }
    let mut found: Option<FileKey> = None;
    let mut next = line(input, &mut text)?;
    loop {
        if let Some(sum) = next.strip_prefix("--- ") {
            let key = found.ok_or_else(|| {
                error("decrypting", "it is not encrypted to any of the identities given")
            })?;
            let before = text.len().saturating_sub(sum.len()).saturating_sub(2);
            let expected = checksum(&key, text.get(..before).unwrap_or_default());
            if decode(sum).as_deref() != Some(&expected[..]) {
                return Err(bad("its header was changed"));
            }
            return Ok(key);
        }
        let stanza = next.strip_prefix("-> ").ok_or_else(|| bad("its header has no form"))?;
        let words: Vec<String> = stanza.split(' ').map(str::to_owned).collect();
        let mut body = String::new();
        loop {
            next = line(input, &mut text)?;
            if next.len() > COLUMNS {
                return Err(bad("a line of its header is too long"));
            }
            body.push_str(&next);
            if next.len() < COLUMNS {
                break;
            }
        }
        if let [kind, share] = words.as_slice()
            && kind == "X25519"
        {
            let share: [u8; 32] = decode(share)
                .and_then(|share| share.try_into().ok())
                .ok_or_else(|| bad("a share in its header has no form"))?;
            let body = decode(&body)
                .filter(|body| body.len() == 32)
                .ok_or_else(|| bad("a wrapped key in its header has no form"))?;
            if found.is_none() {
                found = unwrap(&share, &body, identities);
            }
        }
        next = line(input, &mut text)?;
    }
}

fn unwrap(share: &[u8; 32], body: &[u8], identities: &[Identity]) -> Option<FileKey> {
    identities.iter().find_map(|identity| {
        let shared = MontgomeryPoint(*share).mul_clamped(*identity.0).to_bytes();
        let cipher = cipher(&shared, share, &identity.recipient().0)?;
        let key = Zeroizing::new(cipher.decrypt(&Nonce::default(), body).ok()?);
        let key: [u8; 16] = key.as_slice().try_into().ok()?;
        Some(Zeroizing::new(key))
    })
}

/// The cipher that wraps; `None` where the shared secret is all zero, which an honest key never gives.
fn cipher(shared: &[u8; 32], share: &[u8; 32], recipient: &[u8; 32]) -> Option<ChaCha20Poly1305> {
    if shared == &[0; 32] {
        return None;
    }
    let salt = [&share[..], &recipient[..]].concat();
    ChaCha20Poly1305::new_from_slice(&derive(shared, &salt, X25519_INFO)[..]).ok()
}

fn checksum(file_key: &FileKey, text: &str) -> [u8; 32] {
    mac(&derive(&file_key[..], b"", b"header")[..], &[text.as_bytes()])
}

/// One line without its end, byte by byte: what follows the header is not text.
fn line(input: &mut impl Read, all: &mut String) -> Result<String, Error> {
    let mut line = String::new();
    loop {
        let mut byte = [0];
        input.read_exact(&mut byte).map_err(|_| bad("its header ends early"))?;
        let [byte] = byte;
        if all.len() >= MAX_BYTES {
            return Err(bad("its header is too long"));
        }
        if !byte.is_ascii() {
            return Err(bad("its header is no text"));
        }
        all.push(char::from(byte));
        if byte == b'\n' {
            return Ok(line);
        }
        line.push(char::from(byte));
    }
}

fn bad(reason: &str) -> Error {
    error("reading an encrypted file", reason)
}

/// Base64 without padding, canonical only.
fn decode(text: &str) -> Option<Vec<u8>> {
    let missing = text.len().next_multiple_of(4).checked_sub(text.len())?;
    (!text.ends_with('=') && missing < 3)
        .then(|| base64::decode(&format!("{text}{}", "=".repeat(missing))))?
}

fn unpadded(bytes: &[u8]) -> String {
    base64::encode(bytes).trim_end_matches('=').to_owned()
}
