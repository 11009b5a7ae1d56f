//! Two texts compared line by line, told as `diff -u` tells it.
//!
//! The shortest way from one to the other after E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), as long
//! as it is no longer than a bound: a text that has little in common with the other is told as replaced, because the search
//! for the shortest way would cost more than it shows, and its author may be hostile.

use std::collections::HashMap;

/// Longest way that is searched for; memory grows with its square.
const MAX_STEPS: usize = 1_000;
/// Lines shown around a change.
const CONTEXT: usize = 3;
/// What stands behind a last line without an end.
const NO_END: &str = "\\ No newline at end of file";

/// One step from the old text to the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Keep,
    Remove,
    Add,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hunks<'a> {
    /// The lines of all hunks, each with its mark in front.
    pub(crate) lines: Vec<Marked<'a>>,
    /// Lines only in the old text.
    pub(crate) removed: usize,
    /// Lines only in the new one.
    pub(crate) added: usize,
}

/// A line of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Marked<'a> {
    /// `@@ -1,2 +1,3 @@`.
    Head(String),
    /// A line in both, only in the old or only in the new text.
    Line(char, &'a [u8]),
    /// The line before has no end.
    NoEnd,
}

impl Marked<'_> {
    /// As it is shown: safe for a terminal, and no longer than `limit` characters.
    pub(crate) fn shown(&self, limit: usize) -> String {
        match self {
            Self::Head(text) => text.clone(),
            Self::NoEnd => NO_END.to_owned(),
            Self::Line(mark, line) => {
                let text = evidence::escape_bytes(line.get(..limit).unwrap_or(line));
                let cut = line.len().saturating_sub(limit);
                let more = if cut > 0 { format!(" [{cut} more bytes]") } else { String::new() };
                format!("{mark}{text}{more}")
            }
        }
    }
}

/// Compares two texts.
pub(crate) fn compare<'a>(old: &'a [u8], new: &'a [u8]) -> Hunks<'a> {
    let (old, new) = (lines(old), lines(new));
    let steps = steps(&old, &new);
    hunks(&old, &new, &steps)
}

/// The lines of a text with their ends.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// The way from one to the other.
fn steps(old: &[&[u8]], new: &[&[u8]]) -> Vec<Step> {
    let front = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (old.get(front..).unwrap_or_default(), new.get(front..).unwrap_or_default());
    let back = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let old = old.get(..old.len().saturating_sub(back)).unwrap_or_default();
    let new = new.get(..new.len().saturating_sub(back)).unwrap_or_default();
    // Numbers are compared faster than lines.
    let mut numbers: HashMap<&[u8], usize> = HashMap::new();
    let a = number(old, &mut numbers);
    let b = number(new, &mut numbers);
    let middle = shortest(&a, &b).unwrap_or_else(|| {
        let removed = a.iter().map(|_| Step::Remove);
        removed.chain(b.iter().map(|_| Step::Add)).collect()
    });
    let keep = |count| std::iter::repeat_n(Step::Keep, count);
    keep(front).chain(middle).chain(keep(back)).collect()
}

fn number<'a>(all: &[&'a [u8]], numbers: &mut HashMap<&'a [u8], usize>) -> Vec<usize> {
    all.iter()
        .map(|line| {
            let next = numbers.len();
            *numbers.entry(line).or_insert(next)
        })
        .collect()
}

/// The shortest way, if it is not longer than the bound. Diagonals are counted from the lowest that may be reached.
fn shortest(a: &[usize], b: &[usize]) -> Option<Vec<Step>> {
    let most = a.len().saturating_add(b.len()).min(MAX_STEPS);
    // The diagonal of the beginning, with room for one more on either side.
    let middle = most.saturating_add(1);
    let mut furthest = vec![0_usize; middle.saturating_mul(2).saturating_add(1)];
    // What was furthest before each round.
    let mut rounds: Vec<Reached> = Vec::new();
    for round in 0..=most {
        rounds.push(Reached::of(&furthest, middle, round));
        let (low, high) = (middle.saturating_sub(round), middle.saturating_add(round));
        for diagonal in (low..=high).step_by(2) {
            let before = Reached { low: 0, furthest: std::borrow::Cow::Borrowed(&furthest) };
            let (from, is_down) = before.step_to(diagonal, low, high);
            let mut x = if is_down { from } else { from.saturating_add(1) };
            // Beyond the lower edge there is nothing to compare.
            let Some(mut y) = x.saturating_add(middle).checked_sub(diagonal) else { continue };
            while let (Some(one), Some(other)) = (a.get(x), b.get(y))
                && one == other
            {
                (x, y) = (x.saturating_add(1), y.saturating_add(1));
            }
            if let Some(place) = furthest.get_mut(diagonal) {
                *place = x;
            }
            if x >= a.len() && y >= b.len() {
                return Some(back(a.len(), b.len(), middle, &rounds));
            }
        }
    }
    None
}

/// How far each diagonal was reached before a round.
struct Reached<'a> {
    low: usize,
    furthest: std::borrow::Cow<'a, [usize]>,
}

impl Reached<'static> {
    /// The part of `furthest` that a round looks at.
    fn of(furthest: &[usize], middle: usize, round: usize) -> Self {
        let low = middle.saturating_sub(round);
        let kept = furthest.get(low..=middle.saturating_add(round)).unwrap_or_default();
        Self { low, furthest: kept.to_vec().into() }
    }
}

impl Reached<'_> {
    fn at(&self, diagonal: usize) -> usize {
        let at = diagonal.checked_sub(self.low);
        at.and_then(|at| self.furthest.get(at)).copied().unwrap_or(0)
    }

    /// From how far the step onto a diagonal is made, and whether it adds a line (else it removes one).
    fn step_to(&self, diagonal: usize, low: usize, high: usize) -> (usize, bool) {
        let (below, above) =
            (self.at(diagonal.saturating_sub(1)), self.at(diagonal.saturating_add(1)));
        let is_down = diagonal == low || (diagonal != high && below < above);
        (if is_down { above } else { below }, is_down)
    }
}

/// The way that was found, from its end.
fn back(mut x: usize, mut y: usize, middle: usize, rounds: &[Reached<'_>]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (round, before) in rounds.iter().enumerate().rev() {
        if round == 0 {
            break;
        }
        let diagonal = x.saturating_add(middle).saturating_sub(y);
        let (low, high) = (middle.saturating_sub(round), middle.saturating_add(round));
        let (from, is_down) = before.step_to(diagonal, low, high);
        let start = if is_down { from } else { from.saturating_add(1) };
        while x > start {
            steps.push(Step::Keep);
            (x, y) = (x.saturating_sub(1), y.saturating_sub(1));
        }
        if is_down {
            steps.push(Step::Add);
            y = y.saturating_sub(1);
        } else {
            steps.push(Step::Remove);
            x = x.saturating_sub(1);
        }
    }
    steps.extend(std::iter::repeat_n(Step::Keep, x));
    steps.reverse();
    steps
}

/// The changes with what stands around them.
fn hunks<'a>(old: &[&'a [u8]], new: &[&'a [u8]], steps: &[Step]) -> Hunks<'a> {
    let mut out = Hunks::default();
    let (mut x, mut y) = (0_usize, 0_usize);
    let mut at = 0_usize;
    while let Some(ahead) = position(steps, at, |step| step != Step::Keep) {
        // Lines before the change that are not shown.
        let passed = ahead.saturating_sub(at).saturating_sub(CONTEXT);
        (x, y) = (x.saturating_add(passed), y.saturating_add(passed));
        at = at.saturating_add(passed);
        let end = end_of_hunk(steps, ahead);
        let hunk = steps.get(at..end).unwrap_or_default();
        let count = |is_in: fn(&Step) -> bool| hunk.iter().filter(|step| is_in(step)).count();
        let (in_old, in_new) =
            (count(|step| *step != Step::Add), count(|step| *step != Step::Remove));
        out.lines.push(Marked::Head(format!("@@ -{} +{} @@", range(x, in_old), range(y, in_new))));
        for step in hunk {
            let (mark, line) = match step {
                Step::Keep => (' ', old.get(x)),
                Step::Remove => ('-', old.get(x)),
                Step::Add => ('+', new.get(y)),
            };
            let line: &'a [u8] = line.copied().unwrap_or_default();
            match line.strip_suffix(b"\n") {
                Some(line) => out.lines.push(Marked::Line(mark, line)),
                None => out.lines.extend([Marked::Line(mark, line), Marked::NoEnd]),
            }
            if *step != Step::Add {
                x = x.saturating_add(1);
            }
            if *step != Step::Remove {
                y = y.saturating_add(1);
            }
        }
        at = end;
    }
    out.removed = steps.iter().filter(|step| **step == Step::Remove).count();
    out.added = steps.iter().filter(|step| **step == Step::Add).count();
    out
}

fn position(steps: &[Step], from: usize, is_it: impl Fn(Step) -> bool) -> Option<usize> {
    let found = steps.get(from..)?.iter().position(|step| is_it(*step))?;
    Some(from.saturating_add(found))
}

/// A hunk goes on over changes that are no further from each other than both their surroundings.
fn end_of_hunk(steps: &[Step], first: usize) -> usize {
    let mut change = first;
    loop {
        let Some(kept) = position(steps, change, |step| step == Step::Keep) else {
            return steps.len();
        };
        let next = position(steps, kept, |step| step != Step::Keep);
        match next {
            Some(next) if next.saturating_sub(kept) <= CONTEXT.saturating_mul(2) => change = next,
            _ => return kept.saturating_add(CONTEXT).min(steps.len()),
        }
    }
}

/// Beginning and length as a hunk's head has them: an empty range stands behind the line before it, a length of one is left out.
fn range(start: usize, length: usize) -> String {
    match length {
        0 => format!("{start},0"),
        1 => start.saturating_add(1).to_string(),
        _ => format!("{},{length}", start.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// A small generator with a fixed seed (xorshift64*), so that a failure can be repeated.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
        }

        fn text(&mut self) -> Vec<u8> {
            let mut text = Vec::new();
            for _ in 0..self.below(40) {
                text.extend_from_slice(format!("line {}\n", self.below(6)).as_bytes());
            }
            if self.below(4) == 0 {
                text.pop();
            }
            text
        }
    }

    fn raw(hunks: &Hunks<'_>) -> Vec<u8> {
        let mut out = b"--- a\n+++ b\n".to_vec();
        for line in &hunks.lines {
            match line {
                Marked::Head(text) => out.extend_from_slice(text.as_bytes()),
                Marked::NoEnd => out.extend_from_slice(NO_END.as_bytes()),
                Marked::Line(mark, line) => {
                    out.push(*mark as u8);
                    out.extend_from_slice(line);
                }
            }
            out.push(b'\n');
        }
        out
    }

    /// Vouched for by independent tools: `patch` makes the new text from the old one and what is told, and `diff -d`, which
    /// also searches for the shortest way, needs no fewer lines.
    #[test]
    fn patch_understands_it_and_diff_needs_no_fewer_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut random = Random(11);
        for _ in 0..150 {
            let (old, new) = (random.text(), random.text());
            let hunks = compare(&old, &new);
            std::fs::write(path("old"), &old).unwrap();
            std::fs::write(path("new"), &new).unwrap();
            let counted =
                Command::new("diff").args(["-d", "-U0"]).args([path("old"), path("new")]).output();
            let Ok(counted) = counted else { return eprintln!("skipped: no diff") };
            let is_change = |line: &&[u8]| {
                matches!(line.first(), Some(b'-' | b'+'))
                    && !line.starts_with(b"--- ")
                    && !line.starts_with(b"+++ ")
            };
            let count = counted.stdout.split(|byte| *byte == b'\n').filter(is_change).count();
            assert!(hunks.added + hunks.removed <= count, "{hunks:?}");
            assert_eq!(count == 0, old == new);
            if old == new {
                assert!(hunks.lines.is_empty());
                continue;
            }
            let patch = Command::new("patch")
                .args(["--quiet", "--force", "-o", "-"])
                .arg(path("old"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let Ok(mut patch) = patch else { return eprintln!("skipped: no patch") };
            patch.stdin.take().unwrap().write_all(&raw(&hunks)).unwrap();
            let out = patch.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&raw(&hunks)).into_owned();
            assert_eq!(out.stdout, new, "{told}\n{}", String::from_utf8_lossy(&out.stderr));
        }
    }

    /// Vouched for by us only: the new text comes out of the steps, however little the texts have in common.
    #[test]
    fn texts_with_nothing_in_common_are_told_in_bounded_time() {
        let old: Vec<u8> = (0..20_000).flat_map(|at| format!("old {at}\n").into_bytes()).collect();
        let new: Vec<u8> = (0..20_000).flat_map(|at| format!("new {at}\n").into_bytes()).collect();
        let hunks = compare(&old, &new);
        assert_eq!((hunks.removed, hunks.added), (20_000, 20_000));
        assert_eq!(hunks.lines.len(), 40_001);
        assert_eq!(compare(b"", b"a").lines.len(), 3);
        assert_eq!(compare(b"", b"").lines.len(), 0);
    }

    #[test]
    fn what_is_shown_is_safe_and_short() {
        let line = Marked::Line('+', b"\x1b[31mred and long");
        assert_eq!(line.shown(8), "+\\x1b[31mred [9 more bytes]");
    }
}
