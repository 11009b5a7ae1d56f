//! Names: sixteen-bit letters of long names, and the code page of short ones.
//!
//! The code page of short names is recorded nowhere: 437 is what DOS, Linux and the tools assume, and plain ASCII reads
//! the same in all. Long names are sixteen-bit letters, shown as [`crate::wide`] does.

/// The upper half of code page 437.
const CP437: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ',
    'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ',
    'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡', '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕',
    '╣', '║', '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─', '┼', '╞', '╟', '╚', '╔', '╩', '╦',
    '╠', '═', '╬', '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█', '▄', '▌', '▐',
    '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±',
    '≥', '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Kept,
    Lower,
}

/// Whether the two halves of a short name are shown in lower case (byte 12 of the entry, bits 3 and 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LowerCase {
    pub(super) base: bool,
    pub(super) extension: bool,
}

/// A short name of eleven bytes as `BASE.EXT`.
pub(super) fn short(raw: [u8; 11], lower: LowerCase) -> Vec<u8> {
    let mut raw = raw;
    // A first letter 0xe5 would mean "deleted", so 0x05 stands for it.
    if let Some(first) = raw.first_mut().filter(|first| **first == 0x05) {
        *first = 0xe5;
    }
    let (base, extension) = raw.split_at(8);
    let case = |is_lower| if is_lower { Case::Lower } else { Case::Kept };
    let mut out = half(base, case(lower.base));
    let extension = half(extension, case(lower.extension));
    if !extension.is_empty() {
        out.push(b'.');
        out.extend(extension);
    }
    out
}

/// A volume label: eleven bytes without a dot.
pub(super) fn short_label(raw: [u8; 11]) -> Vec<u8> {
    half(&raw, Case::Kept)
}

fn half(raw: &[u8], case: Case) -> Vec<u8> {
    let end = raw.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last.saturating_add(1));
    let mut out = Vec::new();
    for byte in raw.get(..end).unwrap_or(&[]) {
        match byte.checked_sub(128).and_then(|index| CP437.get(usize::from(index))) {
            Some(letter) => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
            None if case == Case::Lower => out.push(byte.to_ascii_lowercase()),
            None => out.push(*byte),
        }
    }
    out
}

/// The checksum of a short name that its long name carries (FAT specification, "Long Directory Entries").
pub(super) fn checksum(raw: [u8; 11]) -> u8 {
    raw.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// A name with what would change a path made harmless, and whether anything had to be.
pub(crate) fn harmless(mut name: Vec<u8>) -> (Vec<u8>, Harm) {
    let is_special = name.is_empty() || matches!(name.as_slice(), b"." | b"..");
    let mut harm = if is_special { Harm::Replaced } else { Harm::None };
    if is_special {
        name.push(b'_');
    }
    for byte in name.iter_mut().filter(|byte| matches!(byte, b'/' | 0)) {
        *byte = b'_';
        harm = Harm::Replaced;
    }
    (name, harm)
}

/// Whether a name could be shown as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Harm {
    /// It could.
    None,
    /// Something in it would have changed the path and was replaced.
    Replaced,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_shown_as_dos_and_windows_show_them() {
        let plain = LowerCase::default();
        assert_eq!(short(*b"README  TXT", plain), b"README.TXT");
        assert_eq!(short(*b"NOEXT      ", plain), b"NOEXT");
        assert_eq!(
            short(*b"README  TXT", LowerCase { base: true, extension: false }),
            b"readme.TXT"
        );
        assert_eq!(short(*b"\x05\x81 A    TXT", plain), "σü A.TXT".as_bytes());
    }
}
