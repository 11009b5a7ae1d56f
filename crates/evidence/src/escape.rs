//! Bytes from evidence made safe to show: nothing a suspect wrote may steer the reader's terminal or eye.

/// Printable UTF-8 stays; a backslash, control characters, escape sequences, bidirectional and invisible format
/// characters and bytes that are not UTF-8 become `\\`, `\xNN` or `\u{N}`, so that the original can be told from the text.
#[must_use]
pub fn escape_bytes(raw: &[u8]) -> String {
    let mut out = String::new();
    for chunk in raw.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\\' => out.push_str("\\\\"),
                ' '..='~' => out.push(letter),
                '\0'..='\u{1f}' | '\u{7f}' => {
                    out.push_str(&format!("\\x{:02x}", u32::from(letter)));
                }
                _ if is_deceptive(letter) => {
                    out.push_str(&format!("\\u{{{:x}}}", u32::from(letter)));
                }
                _ => out.push(letter),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The bytes that [`escape_bytes`] shows as `text`; a backslash that begins no escape stands for itself.
#[must_use]
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.extend(plain.as_bytes());
        rest = match escape_at(from) {
            Some((bytes, after)) => {
                out.extend(bytes);
                after
            }
            None => {
                out.push(b'\\');
                from.strip_prefix('\\').unwrap_or("")
            }
        };
    }
    out.extend(rest.as_bytes());
    out
}

/// The escape that `text` begins with, and what follows it.
fn escape_at(text: &str) -> Option<(Vec<u8>, &str)> {
    let text = text.strip_prefix('\\')?;
    if let Some(after) = text.strip_prefix('\\') {
        return Some((vec![b'\\'], after));
    }
    if let Some(after) = text.strip_prefix('x') {
        let (digits, after) = after.split_at_checked(2)?;
        return Some((vec![u8::from_str_radix(digits, 16).ok()?], after));
    }
    let (digits, after) = text.strip_prefix("u{")?.split_once('}')?;
    let letter = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
    Some((letter.to_string().into_bytes(), after))
}

/// Characters that show nothing, look like a plain space or change the order in which others are shown.
fn is_deceptive(letter: char) -> bool {
    matches!(letter,
        '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{1680}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_lose_their_power() {
        assert_eq!(escape_bytes(b"plain name.txt"), "plain name.txt");
        assert_eq!(escape_bytes("grün".as_bytes()), "grün");
        assert_eq!(escape_bytes(b"\x1b[2J\r\n"), "\\x1b[2J\\x0d\\x0a");
        assert_eq!(escape_bytes("a\u{202e}txt.exe".as_bytes()), "a\\u{202e}txt.exe");
        assert_eq!(escape_bytes(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(escape_bytes(b"\\x41"), "\\\\x41");
        assert_eq!(escape_bytes("\u{9b}31m".as_bytes()), "\\u{9b}31m");
    }

    #[test]
    fn what_was_escaped_comes_back() {
        let all: Vec<u8> = (0..=255_u8).collect();
        for raw in [&all[..], "a\u{202e}b".as_bytes(), b"\\x41", b"plain", b""] {
            assert_eq!(unescape(&escape_bytes(raw)), raw);
        }
        assert_eq!(unescape("\\q \\x4 \\u{zz} \\"), b"\\q \\x4 \\u{zz} \\");
    }

    #[test]
    fn output_never_holds_a_control_character() {
        let all: Vec<u8> = (0..=255_u8).cycle().take(4096).collect();
        assert!(!escape_bytes(&all).chars().any(char::is_control));
    }
}
