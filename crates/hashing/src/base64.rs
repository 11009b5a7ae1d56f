//! Base64 (RFC 4648, section 4) as signatures, LUKS headers and package databases use it, canonical spellings only.
//!
//! Every text is written again and compared: bits that decoding would drop are bits somebody could
//! change unseen.

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The bytes `text` stands for, if it is how [`encode`] writes them.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
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
    (encode(&bytes) == text).then_some(bytes)
}

/// `bytes` in base64, padded.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0u32..4 {
            let used = usize::try_from(place).is_ok_and(|place| place <= three.len());
            let shift = 18u32.saturating_sub(place.saturating_mul(6));
            let value = usize::try_from((bits >> shift) & 63).unwrap_or(0);
            let letter = LETTERS.get(value).copied().unwrap_or(b'=');
            text.push(char::from(if used { letter } else { b'=' }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn the_vectors_of_the_rfc() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, text) in vectors.into_iter().enumerate() {
            assert_eq!(encode(&b"foobar"[..length]), text);
            assert_eq!(decode(text).as_deref(), Some(&b"foobar"[..length]));
        }
    }

    /// The same bytes spelt otherwise: unused bits set, padding missing or too much.
    #[test]
    fn another_spelling_is_refused() {
        for text in ["Zh==", "Zg=", "Zg", "Zg===", "Zm9=", "Zg==\n", " Zg==", "=", "Z"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
