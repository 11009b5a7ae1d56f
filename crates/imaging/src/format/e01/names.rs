//! Names of segments: `.E01` to `.E99`, `.EAA` to `.EZZ`, `.FAA` and on to `.ZZZ` (section 2.1.1 of the specification).

/// The most that libewf opens.
pub(super) const MAX_SEGMENTS: u16 = 14_295;

/// The name of a segment; `None` past the last one.
pub(super) fn segment_name(stem: &str, number: usize) -> Option<String> {
    let number = u16::try_from(number).ok().filter(|number| (1..=MAX_SEGMENTS).contains(number))?;
    let Some(index) = number.checked_sub(100) else { return Some(format!("{stem}.E{number:02}")) };
    let letter = |base: u8, step: u16| {
        u8::try_from(step).ok().and_then(|step| base.checked_add(step)).map(char::from)
    };
    let first = letter(b'E', index / 676)?;
    let (second, third) = (letter(b'A', index / 26 % 26)?, letter(b'A', index % 26)?);
    Some(format!("{stem}.{first}{second}{third}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by the reader in `evidence`, whose names libewf's tools have judged.
    #[test]
    fn names_go_on_as_libewf_counts_them() {
        for (number, expected) in [
            (1, "a.E01"),
            (99, "a.E99"),
            (100, "a.EAA"),
            (126, "a.EBA"),
            (775, "a.EZZ"),
            (776, "a.FAA"),
            (14_295, "a.YZZ"),
        ] {
            assert_eq!(segment_name("a", number).as_deref(), Some(expected));
        }
        assert_eq!(segment_name("a", 14_296), None);
        assert_eq!(segment_name("a", 0), None);
    }
}
