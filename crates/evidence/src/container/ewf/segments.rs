//! The files of an E01 image: which name the next one has, and which are missing.
//!
//! `.E01` to `.E99`, then `.EAA` to `.EZZ`, `.FAA` and so on to `.ZZZ`, in the case of the first letter.

use super::EVF;
use crate::bytes::Fields;
use crate::container::folder::{Folder, plain_name};
use crate::escape_bytes;
use crate::problem::{self, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// How many segments in a row may be missing before the image is taken to end.
const MAX_GAP: u16 = 16;

/// One segment file.
pub(super) struct Segment {
    /// Its name, escaped.
    pub(super) name: String,
    /// Its bytes.
    pub(super) source: Arc<dyn Source>,
    /// How many are missing directly before it.
    pub(super) missing_before: Option<u16>,
}

/// Where in the set of segments the reading is.
pub(super) struct Place<'a> {
    given: &'a Arc<dyn Source>,
    name: &'a [u8],
    given_number: u16,
    next_number: u16,
    missing: Option<String>,
}

impl<'a> Place<'a> {
    /// Before the first segment, when `given` may be any of the set.
    pub(super) fn of(given: &'a Arc<dyn Source>, name: &'a [u8]) -> Self {
        let number = number_of(&**given).unwrap_or(1);
        Self { given, name: plain_name(name), given_number: number, next_number: 1, missing: None }
    }

    /// The next segment there is; `None` at the end of the set or where too many are missing.
    pub(super) fn next(
        &mut self,
        folder: &mut Folder<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Segment> {
        let first_missing = self.next_number;
        while self.next_number.saturating_sub(first_missing) <= MAX_GAP {
            let number = self.next_number;
            self.next_number = number.checked_add(1)?;
            let missing = number.saturating_sub(first_missing);
            let missing_before = (missing != 0).then_some(missing);
            if number == self.given_number {
                self.missing = None;
                let name = escape_bytes(self.name);
                return Some(Segment { name, source: Arc::clone(self.given), missing_before });
            }
            let Some(name) = self.name_of(number) else { continue };
            let Some(source) = folder.file(&name, problems) else {
                self.missing.get_or_insert_with(|| escape_bytes(&name));
                continue;
            };
            let name = escape_bytes(&name);
            let found = number_of(&*source);
            if found != Some(number) {
                let what = found.map_or_else(
                    || "is no EWF segment".to_owned(),
                    |found| format!("has the number {found}, expected {number}"),
                );
                let text = format!("\"{name}\" {what}: not used");
                let place = problem::Place::Source;
                problems.push(Problem::new(ProblemKind::Corrupt, place, text));
                self.missing.get_or_insert(name);
                continue;
            }
            self.missing = None;
            return Some(Segment { name, source, missing_before });
        }
        None
    }

    /// What the end of the set leaves to say.
    pub(super) fn problems(self) -> Option<Problem> {
        let name = self.missing?;
        let text = format!("the acquisition was not finished or \"{name}\" is missing");
        Some(Problem::new(ProblemKind::Io, problem::Place::Source, text))
    }

    /// The name of a segment of the set; `None` where the given name is not of the usual form.
    fn name_of(&self, number: u16) -> Option<Vec<u8>> {
        let cut = self.name.len().checked_sub(3)?;
        let (stem, extension) = self.name.split_at_checked(cut)?;
        let [letter, ..] = *extension else { return None };
        if !stem.ends_with(b".") || !letter.is_ascii_alphabetic() {
            return None;
        }
        let (upper, a) = (letter.is_ascii_uppercase(), letter & 0x20 | b'A');
        let letter = letter.checked_sub(beyond(self.given_number).0)?;
        let (step, low) = beyond(number);
        let letter = letter.checked_add(step).filter(u8::is_ascii_alphabetic)?;
        if letter.is_ascii_uppercase() != upper {
            return None;
        }
        let mut name = stem.to_vec();
        name.push(letter);
        match low {
            None => name.extend(format!("{number:02}").bytes()),
            Some((high, low)) => name.extend([a.checked_add(high)?, a.checked_add(low)?]),
        }
        Some(name)
    }
}

/// How far the first letter has moved on for a segment, and the two letters behind it (counted from `a`) from the
/// hundredth on.
fn beyond(number: u16) -> (u8, Option<(u8, u8)>) {
    let Some(index) = number.checked_sub(100) else { return (0, None) };
    let [step, high, low] = [index / 676, index / 26 % 26, index % 26]
        .map(|part| u8::try_from(part).unwrap_or(u8::MAX));
    (step, Some((high, low)))
}

/// The number in a segment's header; `None` when it is no segment.
fn number_of(source: &dyn Source) -> Option<u16> {
    let head = source.bytes_at(0, 13).ok()?;
    let fields = Fields(&head);
    (fields.has(0, EVF) && head.len() == 13).then(|| fields.le16(9)).filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemSource;

    fn name(given: &str, given_number: u16, number: u16) -> Option<String> {
        let source: Arc<dyn Source> = Arc::new(MemSource::default());
        let mut place = Place::of(&source, given.as_bytes());
        place.given_number = given_number;
        place.name_of(number).map(|name| String::from_utf8(name).unwrap())
    }

    #[test]
    fn segments_are_named_as_libewf_names_them() {
        for (number, expected) in [
            (2, "a.E02"),
            (99, "a.E99"),
            (100, "a.EAA"),
            (125, "a.EAZ"),
            (126, "a.EBA"),
            (775, "a.EZZ"),
            (776, "a.FAA"),
            (14971, "a.ZZZ"),
        ] {
            assert_eq!(name("a.E01", 1, number).as_deref(), Some(expected));
        }
        assert_eq!(name("a.E01", 1, 14972), None);
        assert_eq!(name("b.s01", 1, 101).as_deref(), Some("b.sab"));
        assert_eq!(name("a.FAA", 776, 1).as_deref(), Some("a.E01"));
        assert_eq!(name("noextension", 1, 2), None);
    }
}
