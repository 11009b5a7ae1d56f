//! Chance that can be repeated: numbers from a seed, which every user prints.

use std::time::SystemTime;

/// A sequence of numbers (SplitMix64, by Steele, Lea and Flood).
#[derive(Debug, Clone)]
pub struct Chance {
    state: u64,
    /// What it began with.
    pub seed: u64,
}

impl Chance {
    /// The sequence of this seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { state: seed, seed }
    }

    /// The sequence of `GLOVEBOX_SEED`, else of one that differs each time.
    #[must_use]
    pub fn from_environment() -> Self {
        let given = std::env::var("GLOVEBOX_SEED").ok().and_then(|text| text.parse().ok());
        Self::of(given.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            u64::from(since.unwrap_or_default().subsec_nanos())
        }))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` up to, not including, `end`; `least` when there is none.
    pub fn between(&mut self, least: usize, end: usize) -> usize {
        let count = end.saturating_sub(least).max(1) as u64;
        least + usize::try_from(self.number() % count).unwrap_or(0)
    }

    /// True once in `count` times.
    pub fn once_in(&mut self, count: usize) -> bool {
        self.between(0, count) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of seed 1234567, as the authors' own program gives them.
    #[test]
    fn the_sequence_is_the_published_one() {
        let mut chance = Chance::of(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| chance.number()).collect();
        assert_eq!(
            first,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
