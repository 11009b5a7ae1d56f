//! Fields made hostile one by one: every number of a header becomes huge, on an image that claims to be huge too.
//!
//! Random flips rarely make a count large *and* keep everything else right; this does so for each field of the structures
//! named, with checksums put right where a reader insists on them.

use super::Random;
use super::bounded;
use super::pages::Pages;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Byte order of the fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

/// A format's headers and how they are used.
pub(crate) struct Nasty<'a> {
    pub(crate) what: &'a str,
    pub(crate) image: &'a Pages,
    /// Where its structures stand.
    pub(crate) spots: Vec<Range<u64>>,
    pub(crate) order: Order,
    /// Cases run when not all are wanted.
    pub(crate) cases: usize,
    /// Puts checksums right.
    pub(crate) seal: &'a dyn Fn(&mut Pages),
    /// Opens and uses an image.
    pub(crate) exercise: &'a dyn Fn(Pages),
}

/// What the image claims to be in every second case; reading all of it may take its time.
const HUGE_BYTES: u64 = 32 << 30;

impl Nasty<'_> {
    /// Runs the cases.
    ///
    /// # Panics
    /// When the reader does or one case takes longer than five seconds (two for each MiB kept of larger images).
    pub(crate) fn run(&self) {
        let mut cases: Vec<(u64, Vec<u8>, u64)> = Vec::new();
        for at in self.spots.iter().cloned().flatten() {
            for value in values(at, self.order) {
                for size in [self.image.size_bytes, HUGE_BYTES] {
                    cases.push((at, value.clone(), size));
                }
            }
        }
        let mut random = Random(0x6e61_7374_7901);
        let thorough = bounded::is_thorough();
        let count = if thorough { cases.len() } else { self.cases.min(cases.len()) };
        for index in 0..count {
            let other = index + random.below(cases.len() - index);
            cases.swap(index, other);
            let (at, value, size) = &cases[index];
            let mut image = self.image.clone();
            image.put(*at, value);
            image.size_bytes = *size;
            (self.seal)(&mut image);
            let started = Instant::now();
            (self.exercise)(image);
            let took = started.elapsed();
            let case = format!("{} with {value:x?} at {at:#x}, {size} bytes", self.what);
            bounded::note(&case);
            if thorough && took > Duration::from_secs(1) {
                println!("case {case}: {took:?}");
            }
            assert!(took < Duration::from_secs(5), "{case}: {took:?}");
        }
    }
}

/// Hostile values of every width that may stand at `at`.
fn values(at: u64, order: Order) -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = Vec::new();
    let mut add = |value: u64, width: usize| {
        let little = value.to_le_bytes()[..width].to_vec();
        out.push(match order {
            Order::Little => little,
            Order::Big => little.into_iter().rev().collect(),
        });
    };
    for value in [0x00, 0x1f, 0xff] {
        add(value, 1);
    }
    if at.is_multiple_of(2) {
        for value in [0x0400, 0x7fff, 0xffff] {
            add(value, 2);
        }
        for value in [0x0010_0000, 0x0400_0000, 0x7fff_ffff, 0xffff_ffff] {
            add(value, 4);
        }
    }
    if at.is_multiple_of(4) {
        for value in [1 << 31, 1 << 36, 1 << 43, i64::MAX as u64, u64::MAX] {
            add(value, 8);
        }
    }
    out
}
