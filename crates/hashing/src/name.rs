//! Showing a hostile name without obeying it.
//!
//! A file name found on evidence may hold terminal commands, line feeds or characters that reorder
//! the text around them; shown raw, it could forge a line of a report.

use std::fmt::Write as _;

/// `name` with everything escaped that could act on a terminal or mislead a reader.
///
/// Printable UTF-8 stays as it is, the backslash is doubled, other characters become `\u{…}`,
/// bytes that are not UTF-8 become `\xNN`. Different names never look the same after escaping.
#[must_use]
pub fn escape_name(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c if is_unsafe(c) => text.extend(c.escape_unicode()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

// Control characters, and the invisible or reordering ones of Unicode's general category Cf, plus
// the line and paragraph separators, tag characters and non-characters that terminals treat oddly.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::escape_name;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(escape_name(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(escape_name("x\u{202e}fdp.exe".as_bytes()), "x\\u{202e}fdp.exe");
        assert_eq!(escape_name(b"\xff\\"), "\\xff\\\\");
        assert_eq!(escape_name("Zürich".as_bytes()), "Zürich");
    }

    proptest::proptest! {
        #[test]
        fn distinct_names_stay_distinct(a: Vec<u8>, b: Vec<u8>) {
            proptest::prop_assert_eq!(a == b, escape_name(&a) == escape_name(&b));
        }

        #[test]
        fn no_control_character_survives(a: Vec<u8>) {
            proptest::prop_assert!(!escape_name(&a).chars().any(char::is_control));
        }
    }
}
