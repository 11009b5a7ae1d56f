//! Names that every file system an examiner may carry can hold.
//!
//! exFAT and FAT refuse some characters, ignore letter case and drop trailing dots; a label is made
//! from what a person typed, so it is changed to fit and never refused.

/// Longest label in bytes.
const MAX_LABEL_BYTES: usize = 40;

/// `text` as a part of a directory name: ASCII letters, digits, `.`, `_` and `-` only.
///
/// Runs of anything else become one `-`. Never empty, never longer than 40 bytes, and never
/// beginning or ending in a dot or dash.
#[must_use]
pub fn safe_label(text: &str) -> String {
    let mut label = String::new();
    for letter in text.chars() {
        if label.len() >= MAX_LABEL_BYTES {
            break;
        }
        if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_') {
            label.push(letter);
        } else if !label.ends_with('-') {
            label.push('-');
        }
    }
    let trimmed = label.trim_matches(['.', '-']);
    if trimmed.is_empty() { "exhibit".to_owned() } else { trimmed.to_owned() }
}

/// Whether `name` can stand as a file name in an exhibit on any of these file systems.
pub(crate) fn is_safe_file_name(name: &str) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let device = DEVICES.iter().any(|device| {
        stem.strip_prefix(device).is_some_and(|rest| {
            rest.is_empty() || (rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
        })
    });
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+@, ()=".contains(&byte);
    (1..=200).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(['.', ' ', '-'])
        && !name.ends_with(['.', ' '])
        && !device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_fit_any_file_system() {
        assert_eq!(safe_label("Disk of /dev/sda: \"main\""), "Disk-of-dev-sda-main");
        assert_eq!(safe_label("../../etc"), "etc");
        assert_eq!(safe_label("…"), "exhibit");
        assert_eq!(safe_label(&"x".repeat(300)).len(), 40);
    }

    #[test]
    fn dangerous_file_names_are_refused() {
        for name in
            ["", ".", "..", "a/b", "a\\b", "x:", "nul", "COM1.txt", "x.", ".hidden", "\u{7f}"]
        {
            assert!(!is_safe_file_name(name), "{name:?}");
        }
        for name in ["sda.raw", "sda.raw.map", "nullable", "a b (1).txt", "comment"] {
            assert!(is_safe_file_name(name), "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_safe_label(text: String) {
            let name = format!("001-{}", safe_label(&text));
            proptest::prop_assert!(is_safe_file_name(&name));
        }
    }
}
