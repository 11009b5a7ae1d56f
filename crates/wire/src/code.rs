//! The pairing code: 128 random bits in letters that are not mistaken for one another, with a check.
//!
//! Crockford's base 32 leaves out I, L, O and U; a typed O is read as 0, an I or L as 1. Ten bits of check find a slip of
//! the finger before anything is sent. With 128 bits nobody can guess, not even offline from a recorded handshake.

use std::fmt;

use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::Error;

const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SECRET_BYTES: usize = 16;
/// Letters for the secret, and for the check.
const SECRET_LETTERS: usize = 26;
const CHECK_LETTERS: usize = 2;
const GROUP: usize = 4;
/// Ties the key to this use of the code.
const PURPOSE: &[u8] = b"glovebox wire 1: key of a pairing code";

/// A one-time secret that a person carries from the receiver to the sender.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode([u8; SECRET_BYTES]);

impl PairingCode {
    /// A new code from the kernel's randomness.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn generate() -> Result<Self, Error> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|_| Error::Crypto)?;
        Ok(Self(secret))
    }

    /// Reads what a person typed: groups apart by hyphens or spaces, in capitals or not.
    ///
    /// # Errors
    /// When it is too short or too long, has letters no code has, or the check does not fit.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Err(Error::Code { reason });
        let mut values: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::new());
        for letter in text.trim().bytes().filter(|byte| !b"- ".contains(byte)) {
            let letter = match letter.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            let place = LETTERS.iter().position(|one| *one == letter);
            let Some(value) = place.and_then(|place| u8::try_from(place).ok()) else {
                return wrong("it has a letter that no code has");
            };
            if values.len() >= SECRET_LETTERS.saturating_add(CHECK_LETTERS) {
                return wrong("it is too long");
            }
            values.push(value);
        }
        if values.len() != SECRET_LETTERS.saturating_add(CHECK_LETTERS) {
            return wrong("it is too short");
        }
        let (secret_values, check) = values.split_at_checked(SECRET_LETTERS).unwrap_or_default();
        let mut secret = [0; SECRET_BYTES];
        let (mut held, mut bits) = (0u32, 0u32);
        let mut bytes = secret.iter_mut();
        for value in secret_values {
            held = held.wrapping_shl(5) | u32::from(*value);
            bits = bits.saturating_add(5);
            if bits >= 8 {
                bits = bits.saturating_sub(8);
                let [.., byte] = held.wrapping_shr(bits).to_be_bytes();
                if let Some(slot) = bytes.next() {
                    *slot = byte;
                }
                held &= 1u32.wrapping_shl(bits).wrapping_sub(1);
            }
        }
        let code = Self(secret);
        secret.zeroize();
        // The two bits left over are zero in every code we print.
        if held != 0 || check != code.check() {
            return wrong("a letter is wrong: the check at its end does not fit");
        }
        Ok(code)
    }

    /// The code as it is shown and typed.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let mut values: Zeroizing<Vec<u8>> = Zeroizing::new(Vec::new());
        let (mut held, mut bits) = (0u32, 0u32);
        for byte in self.0 {
            held = held.wrapping_shl(8) | u32::from(byte);
            bits = bits.saturating_add(8);
            while bits >= 5 {
                bits = bits.saturating_sub(5);
                let [.., value] = held.wrapping_shr(bits).to_be_bytes();
                values.push(value & 31);
                held &= 1u32.wrapping_shl(bits).wrapping_sub(1);
            }
        }
        let [.., last] = held.wrapping_shl(5u32.saturating_sub(bits)).to_be_bytes();
        values.push(last & 31);
        values.extend(self.check());
        let mut text = Zeroizing::new(String::new());
        for (index, value) in values.iter().enumerate() {
            if index > 0 && index.is_multiple_of(GROUP) {
                text.push('-');
            }
            text.push(char::from(*LETTERS.get(usize::from(*value)).unwrap_or(&b'0')));
        }
        text
    }

    fn check(&self) -> [u8; CHECK_LETTERS] {
        let digest = Sha256::new().chain_update(b"check").chain_update(self.0).finalize();
        let mut values = [0; CHECK_LETTERS];
        values.iter_mut().zip(digest).for_each(|(value, byte)| *value = byte & 31);
        values
    }

    /// The key both ends prove to have.
    pub(crate) fn key(&self) -> Zeroizing<[u8; 32]> {
        let digest = Sha256::new().chain_update(PURPOSE).chain_update(self.0).finalize();
        Zeroizing::new(digest.into())
    }
}

impl Drop for PairingCode {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PairingCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_paper_and_people() {
        for secret in [[0; 16], [0xff; 16], *b"0123456789abcdef"] {
            let code = PairingCode(secret);
            let text = code.text();
            assert_eq!(text.len(), 28 + 6, "{}", *text);
            assert_eq!(PairingCode::parse(&text).unwrap(), code);
            let typed = format!(" {} ", text.to_lowercase().replace('-', " ").replace('0', "o"));
            assert_eq!(PairingCode::parse(&typed).unwrap(), code);
        }
    }

    #[test]
    fn slips_are_found_before_anything_is_sent() {
        let text = PairingCode(*b"0123456789abcdef").text();
        let mut missed = 0;
        for index in 0..text.len() {
            let mut typed = text.as_bytes().to_vec();
            if typed[index] == b'-' {
                continue;
            }
            typed[index] = if typed[index] == b'7' { b'8' } else { b'7' };
            missed += usize::from(PairingCode::parse(std::str::from_utf8(&typed).unwrap()).is_ok());
        }
        assert_eq!(missed, 0);
        for wrong in ["", "7", &text[..20], &format!("{}7", *text), "U-U"] {
            assert!(matches!(PairingCode::parse(wrong), Err(Error::Code { .. })), "{wrong}");
        }
    }

    #[test]
    fn codes_differ_and_are_not_shown_by_accident() {
        let (one, other) = (PairingCode::generate().unwrap(), PairingCode::generate().unwrap());
        assert_ne!(one, other);
        assert_ne!(*one.key(), *other.key());
        assert_eq!(format!("{one:?}"), "PairingCode(…)");
    }
}
