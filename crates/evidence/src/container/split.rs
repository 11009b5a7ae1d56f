//! A raw image cut into files that are numbered: `.000` or `.001` and on, `.1` and on, `.aa` and on as split(1) names them.
//!
//! Nothing inside says so: only the name does, and that a second part lies beside the first.

use super::folder::{Folder, MAX_FILES, plain_name};
use super::joined::{Joined, Part};
use super::mapped::Mapped;
use super::{Format, Opened, raw};
use crate::escape_bytes;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use std::sync::Arc;

/// How many parts in a row may be missing before what follows is taken to be none of this image.
const MAX_GAP_PARTS: u32 = 32;

/// The split image that `name` begins; `None` when the file stands for itself.
pub(super) fn open(
    first: &Arc<dyn Source>,
    name: &[u8],
    folder: &mut Folder<'_>,
) -> Option<Opened> {
    let name = plain_name(name);
    let numbering = Numbering::of(name)?;
    let mut problems = Vec::new();
    if !numbering.is_first {
        let before = numbering.before()?;
        folder.file(&before, &mut problems)?;
        let text = format!(
            "\"{}\" lies beside it: this seems to be a later part of a split image, shown alone",
            escape_bytes(&before)
        );
        let mut alone = raw(Arc::clone(first), name);
        alone.problems = vec![Problem::new(ProblemKind::Refused, Place::Source, text)];
        return Some(alone);
    }
    let part_bytes = first.size_bytes();
    let mut joined = Joined::new(first.sector_bytes());
    let mut files = vec![escape_bytes(name)];
    joined.push(Part::File(Arc::clone(first), 0), part_bytes);
    let mut odd = None;
    let mut gap: Vec<Vec<u8>> = Vec::new();
    let mut size_bytes = part_bytes;
    for step in 1..MAX_FILES {
        let Some(next) = numbering.nth(step) else { break };
        let Some(part) = folder.file(&next, &mut problems) else {
            gap.push(next);
            if gap.len() > usize::try_from(MAX_GAP_PARTS).unwrap_or(usize::MAX) {
                break;
            }
            continue;
        };
        for missing in gap.drain(..) {
            let missing = escape_bytes(&missing);
            let text =
                format!("\"{missing}\" is missing: {part_bytes} bytes from here on cannot be read");
            problems.push(Problem::new(ProblemKind::Io, Place::OffsetBytes(size_bytes), text));
            joined.push(Part::Missing(format!("\"{missing}\" is missing")), part_bytes);
            size_bytes = size_bytes.saturating_add(part_bytes);
        }
        if let Some((name, length)) = odd.take() {
            let text = format!(
                "\"{name}\" has {length} bytes, the first part {part_bytes}, and it is not the last"
            );
            problems.push(Problem::new(ProblemKind::Corrupt, Place::OffsetBytes(size_bytes), text));
        }
        let length = part.size_bytes();
        if length != part_bytes {
            odd = Some((escape_bytes(&next), length));
        }
        joined.push(Part::File(part, 0), length);
        size_bytes = size_bytes.saturating_add(length);
        files.push(escape_bytes(&next));
    }
    if files.len() == 1 {
        return None;
    }
    let source = Arc::new(Mapped::new(joined, folder.chunks()));
    Some(Opened {
        source,
        format: Format::SplitRaw,
        files,
        facts: Vec::new(),
        digests: Vec::new(),
        as_digested: None,
        problems,
    })
}

/// How the parts are named.
struct Numbering<'a> {
    stem: &'a [u8],
    digits: &'a [u8],
    first: u8,
    base: u64,
    value: u64,
    is_first: bool,
}

impl<'a> Numbering<'a> {
    /// From the first part's name; `None` when it carries no number.
    fn of(name: &'a [u8]) -> Option<Self> {
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        let (stem, digits) = name.split_at_checked(dot.checked_add(1)?)?;
        if digits.is_empty() || digits.len() > 6 || dot == 0 {
            return None;
        }
        let (first, base) = if digits.iter().all(u8::is_ascii_digit) {
            (b'0', 10)
        } else if digits.len() > 1 && digits.iter().all(u8::is_ascii_lowercase) {
            (b'a', 26)
        } else if digits.len() > 1 && digits.iter().all(u8::is_ascii_uppercase) {
            (b'A', 26)
        } else {
            return None;
        };
        let value = digits.iter().fold(0_u64, |value, digit| {
            value.saturating_mul(base).saturating_add(u64::from(digit.saturating_sub(first)))
        });
        let is_first = value == 0 || (value == 1 && base == 10);
        // Letters that are not all "a" are nearly always an ordinary extension such as `.dd` or `.img`.
        (is_first || base == 10).then_some(Self { stem, digits, first, base, value, is_first })
    }

    /// The name of the part `step` after this one; `None` when its number does not fit.
    fn nth(&self, step: u32) -> Option<Vec<u8>> {
        self.name(self.value.checked_add(u64::from(step))?)
    }

    fn before(&self) -> Option<Vec<u8>> {
        self.name(self.value.checked_sub(1)?)
    }

    fn name(&self, mut value: u64) -> Option<Vec<u8>> {
        let mut digits = Vec::new();
        while value != 0 || digits.len() < self.digits.len() {
            let digit = u8::try_from(value.checked_rem(self.base)?).ok()?;
            digits.push(self.first.checked_add(digit)?);
            value = value.checked_div(self.base)?;
        }
        // Numbers without leading zeros grow (`.9`, `.10`); letters and padded numbers have a fixed width, but some
        // programs go on from `.999` to `.1000`.
        if self.base != 10 && digits.len() > self.digits.len() {
            return None;
        }
        digits.reverse();
        let mut name = self.stem.to_vec();
        name.extend(digits);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_as_their_makers_do() {
        let nth = |name: &str, step| {
            let next = Numbering::of(name.as_bytes()).and_then(|numbering| numbering.nth(step));
            next.map(|name| String::from_utf8(name).unwrap())
        };
        assert_eq!(nth("disk.000", 11).as_deref(), Some("disk.011"));
        assert_eq!(nth("disk.001", 999).as_deref(), Some("disk.1000"));
        assert_eq!(nth("disk.dd.1", 9).as_deref(), Some("disk.dd.10"));
        assert_eq!(nth("x.aa", 27).as_deref(), Some("x.bb"));
        assert_eq!(nth("x.aa", 676), None);
        assert_eq!(nth("x.dd", 1), None);
        assert_eq!(nth("x", 1), None);
        assert!(!Numbering::of(b"x.002").unwrap().is_first);
    }
}
