//! Where the parity of RAID 4, 5 and 6 stands in each row (Linux `drivers/md/raid5.c`, `raid5_compute_sector`).

use super::rem;
use crate::bytes::{to_u64, to_usize};

/// How parity moves from row to row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    LeftAsymmetric,
    RightAsymmetric,
    LeftSymmetric,
    RightSymmetric,
    First,
    Last,
    /// DDF: left to right, data from the first leg.
    ZeroRestart,
    NRestart,
    NContinue,
}

/// A layout of RAID 4, 5 or 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::volume) struct ParityLayout {
    turn: Turn,
    has_q: bool,
    /// Q stands on the last leg in every row and the rest is as RAID 5.
    q_last: bool,
}

/// Where everything of one row stands, by leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) parity: usize,
    pub(super) q: Option<usize>,
    /// Legs of the data chunks in order.
    pub(super) data: Vec<usize>,
    /// For each data chunk its exponent in Q.
    pub(super) exponents: Vec<u64>,
}

impl ParityLayout {
    /// md's level and layout numbers; `None` for one that does not exist.
    pub(in crate::volume) fn md(level: i32, layout: u32) -> Option<Self> {
        let five = |turn| Self { turn, has_q: false, q_last: false };
        let turn = match layout {
            0 | 16 => Turn::LeftAsymmetric,
            1 | 17 => Turn::RightAsymmetric,
            2 | 18 => Turn::LeftSymmetric,
            3 | 19 => Turn::RightSymmetric,
            4 | 20 => Turn::First,
            5 => Turn::Last,
            8 => Turn::ZeroRestart,
            9 => Turn::NRestart,
            10 => Turn::NContinue,
            _ => return None,
        };
        match level {
            4 => Some(five(if layout == 4 { Turn::First } else { Turn::Last })),
            5 if layout <= 5 => Some(five(turn)),
            6 => Some(Self { turn, has_q: true, q_last: layout >= 16 }),
            _ => None,
        }
    }

    /// How many legs hold no data.
    pub(in crate::volume) fn parities(self) -> usize {
        if self.has_q { 2 } else { 1 }
    }

    /// The row of this number over `legs` legs.
    pub(super) fn row(self, number: u64, legs: usize) -> Row {
        // Legs over which data and the first parity turn.
        let turning = if self.q_last { legs.saturating_sub(1) } else { legs };
        let count = to_u64(turning);
        let right = to_usize(rem(number, count));
        let last = turning.saturating_sub(1);
        let left = last.saturating_sub(right);
        let rotating_q = self.has_q && !self.q_last;
        let parity = match self.turn {
            Turn::LeftAsymmetric | Turn::LeftSymmetric | Turn::NContinue => left,
            Turn::RightAsymmetric | Turn::RightSymmetric | Turn::ZeroRestart => right,
            Turn::First => 0,
            Turn::Last if rotating_q => last.saturating_sub(1),
            Turn::Last => last,
            Turn::NRestart => last.saturating_sub(to_usize(rem(number.saturating_add(1), count))),
        };
        let next = |leg: usize| leg.saturating_add(1).checked_rem(turning).unwrap_or(0);
        let q = match () {
            () if self.q_last => Some(last.saturating_add(1)),
            () if !self.has_q => None,
            () if self.turn == Turn::NContinue => Some(parity.checked_sub(1).unwrap_or(last)),
            () => Some(next(parity)),
        };
        let symmetric =
            matches!(self.turn, Turn::LeftSymmetric | Turn::RightSymmetric | Turn::NContinue);
        let mut leg = if symmetric { next(parity) } else { 0 };
        let mut data = Vec::new();
        for _ in 0..turning {
            if leg != parity && Some(leg) != q {
                data.push(leg);
            }
            leg = next(leg);
        }
        let exponents = self.exponents(&data, parity, q, legs);
        Row { parity, q, data, exponents }
    }

    /// Q counts legs from the one after Q, passing over P; DDF counts all legs from the first.
    fn exponents(self, data: &[usize], parity: usize, q: Option<usize>, legs: usize) -> Vec<u64> {
        let Some(q) = q else { return vec![0; data.len()] };
        if matches!(self.turn, Turn::ZeroRestart | Turn::NRestart | Turn::NContinue) {
            return data.iter().map(|leg| to_u64(*leg)).collect();
        }
        let after = |leg: usize| {
            leg.saturating_add(legs)
                .saturating_sub(q)
                .saturating_sub(1)
                .checked_rem(legs)
                .unwrap_or(0)
        };
        let parity_at = after(parity);
        data.iter()
            .map(|leg| {
                let at = after(*leg);
                to_u64(if at > parity_at { at.saturating_sub(1) } else { at })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_layouts() {
        // md(4) draws left-symmetric: parity goes left, data begins after it.
        let five = ParityLayout::md(5, 2).unwrap();
        assert_eq!(five.row(0, 4).data, [0, 1, 2]);
        assert_eq!((five.row(1, 4).parity, five.row(1, 4).data), (2, vec![3, 0, 1]));
        let six = ParityLayout::md(6, 2).unwrap().row(0, 5);
        assert_eq!((six.parity, six.q, six.data), (4, Some(0), vec![1, 2, 3]));
        assert_eq!(six.exponents, [0, 1, 2]);
        assert!(ParityLayout::md(5, 8).is_none());
        assert!(ParityLayout::md(6, 7).is_none());
    }
}
