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
    fn output_never_holds_a_control_character() {
        let all: Vec<u8> = (0..=255_u8).cycle().take(4096).collect();
        assert!(!escape_bytes(&all).chars().any(char::is_control));
    }
}
