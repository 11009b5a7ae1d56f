//! Versions of packages and which of two is newer (Debian Policy 5.6.12, `deb-version(7)`).

use std::cmp::Ordering;
use std::fmt;

/// A version as the package gives it; ordered as `dpkg` orders.
#[derive(Debug, Clone)]
pub struct Version(String);

impl Version {
    /// Takes the text of a version; any text has a place in the order.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Epoch, upstream version and revision.
    fn parts(&self) -> (&str, &str, &str) {
        let (epoch, rest) = self.0.split_once(':').unwrap_or(("0", &self.0));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch, upstream, revision)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (self.parts(), other.parts());
        compare(mine.0, theirs.0)
            .then_with(|| compare(mine.1, theirs.1))
            .then_with(|| compare(mine.2, theirs.2))
    }
}

/// Compares runs of other characters and runs of digits in turn.
fn compare(mine: &str, theirs: &str) -> Ordering {
    let (mut mine, mut theirs) = (mine.as_bytes(), theirs.as_bytes());
    while !mine.is_empty() || !theirs.is_empty() {
        let text = take(&mut mine, |byte| !byte.is_ascii_digit());
        let other = take(&mut theirs, |byte| !byte.is_ascii_digit());
        let ordering = compare_text(text, other).then_with(|| {
            let number = take(&mut mine, u8::is_ascii_digit);
            let other = take(&mut theirs, u8::is_ascii_digit);
            compare_number(number, other)
        });
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    Ordering::Equal
}

fn take<'a>(rest: &mut &'a [u8], belongs: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = rest.iter().position(|byte| !belongs(byte)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at_checked(end).unwrap_or((rest, &[]));
    *rest = left;
    taken
}

/// A tilde comes before the end, the end before letters, letters before all else.
fn compare_text(mine: &[u8], theirs: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte).saturating_add(256),
    };
    let length = mine.len().max(theirs.len());
    (0..length)
        .map(|at| weight(mine.get(at)).cmp(&weight(theirs.get(at))))
        .find(|ordering| *ordering != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// Numbers of any length, without their leading zeros.
fn compare_number(mine: &[u8], theirs: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.get(zeros..).unwrap_or_default().to_vec()
    };
    let (mine, theirs) = (significant(mine), significant(theirs));
    mine.len().cmp(&theirs.len()).then_with(|| mine.cmp(&theirs))
}
