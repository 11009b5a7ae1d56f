//! From a range that failed to the sectors that did.
//!
//! Two ways, because two things are dear: halving asks least often where a refusal comes at once; following the edges
//! inward asks least often where each failure costs seconds (after GNU ddrescue, manual section "Algorithm": trimming and
//! scraping).

use std::io;

use super::{Ending, Reader, is_silence, wide};
use crate::{Extent, Extents, Run, Unread};

/// Which way bad sectors are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Backwards,
    Forwards,
}

impl Direction {
    /// Turns after a first pass that went forwards: some drives give a sector from one side only.
    pub(crate) fn turns(count: u8) -> impl Iterator<Item = Self> {
        [Self::Backwards, Self::Forwards].into_iter().cycle().take(usize::from(count))
    }
}

impl Reader<'_> {
    /// Reads the two halves of a range that failed as a whole, in ascending order.
    ///
    /// The depth is the logarithm of a chunk's sectors: 13 for 4 MiB of 512 bytes.
    pub(super) fn halve(
        &mut self,
        offset_bytes: u64,
        buffer: &mut [u8],
        found: &mut Extents,
    ) -> Result<(), Ending> {
        self.stop_if_asked()?;
        if buffer.len() <= self.sector {
            self.give_up(offset_bytes, buffer, Unread::Bad, found);
            return Ok(());
        }
        // Half of it in whole sectors, at least one on each side.
        let sectors = buffer.len().div_ceil(self.sector);
        let half = sectors.div_ceil(2).saturating_mul(self.sector);
        let (left, right) = buffer.split_at_mut_checked(half).unwrap_or_default();
        let middle = offset_bytes.saturating_add(wide(half));
        for (offset, part) in [(offset_bytes, left), (middle, right)] {
            if part.is_empty() {
                continue;
            }
            match self.fill(offset, part) {
                Ok(()) => {}
                Err(error) if is_silence(&error) => self.follow_edges(offset, part, found)?,
                Err(_) => self.halve(offset, part, found)?,
            }
        }
        Ok(())
    }

    /// Reads single sectors from the front, then from behind, each until one gives no answer in time.
    ///
    /// What lies between the two is given up without being asked for: at most two limits of time for a chunk. A source that
    /// answers nowhere meanwhile is gone, so that one hung command does not condemn what comes after it.
    pub(super) fn follow_edges(
        &mut self,
        offset_bytes: u64,
        buffer: &mut [u8],
        found: &mut Extents,
    ) -> Result<(), Ending> {
        let stops: fn(&io::Error) -> bool = is_silence;
        let front = self.follow(offset_bytes, buffer, Direction::Forwards, stops)?;
        let (_, rest) = buffer.split_at_mut_checked(front.reached).unwrap_or_default();
        found.append(&front.bad);
        if rest.is_empty() {
            return Ok(());
        }
        let start = offset_bytes.saturating_add(wide(front.reached));
        let back = self.follow(start, rest, Direction::Backwards, stops)?;
        let (silent, _) = rest.split_at_mut_checked(back.reached).unwrap_or_default();
        self.give_up(start, silent, Unread::TimedOut, found);
        found.append(&back.bad);
        Ok(())
    }

    /// Reads single sectors in one direction until one fails in a way that `stops`; that one is not among the read.
    pub(super) fn follow(
        &mut self,
        offset_bytes: u64,
        buffer: &mut [u8],
        direction: Direction,
        stops: fn(&io::Error) -> bool,
    ) -> Result<Followed, Ending> {
        let starts = (0..buffer.len()).step_by(self.sector);
        let starts: Vec<usize> = match direction {
            Direction::Forwards => starts.collect(),
            Direction::Backwards => starts.rev().collect(),
        };
        // Kept in the order of asking.
        let (mut refused, mut reached, mut stopped) = (Vec::new(), None, None);
        for start in starts {
            self.stop_if_asked()?;
            let (offset, sector) = self.sector_in(offset_bytes, buffer, start);
            let Err(error) = self.fill(offset, sector) else { continue };
            sector.fill(0);
            if stops(&error) {
                let end = start.saturating_add(sector.len());
                reached = Some(if direction == Direction::Forwards { start } else { end });
                let silent = is_silence(&error);
                stopped = Some(if silent { Unread::TimedOut } else { Unread::Bad });
                if silent {
                    self.still_there(offset)?;
                }
                break;
            }
            refused.push((offset, sector.len()));
        }
        if direction == Direction::Backwards {
            refused.reverse();
        }
        let mut bad = Extents::default();
        for (offset_bytes, length) in refused {
            let length_bytes = wide(length);
            bad.push_as(Extent { offset_bytes, length_bytes }, Unread::Bad);
        }
        let whole = if direction == Direction::Forwards { buffer.len() } else { 0 };
        Ok(Followed { bad, reached: reached.unwrap_or(whole), stopped })
    }

    /// Asks for each sector of those runs of `found` that are `wanted`; gives what is still missing.
    pub(crate) fn ask_again(
        &mut self,
        found: &Extents,
        offset_bytes: u64,
        buffer: &mut [u8],
        direction: Direction,
        wanted: fn(Unread) -> bool,
    ) -> Result<Extents, Ending> {
        let mut asked: Vec<(u64, Unread)> = Vec::new();
        let mut left: Vec<Run> = Vec::new();
        for run in found.runs() {
            if wanted(run.why) {
                let sectors = run.extent.offset_bytes..run.extent.end_bytes();
                asked.extend(sectors.step_by(self.sector).map(|sector| (sector, run.why)));
            } else {
                left.push(run);
            }
        }
        if direction == Direction::Backwards {
            asked.reverse();
        }
        for (offset, known) in asked {
            self.stop_if_asked()?;
            let start = usize::try_from(offset.saturating_sub(offset_bytes)).unwrap_or(usize::MAX);
            let (offset_bytes, sector) = self.sector_in(offset_bytes, buffer, start);
            let Err(error) = self.fill(offset_bytes, sector) else { continue };
            sector.fill(0);
            let length_bytes = wide(sector.len());
            let silent = is_silence(&error);
            if silent {
                self.still_there(offset_bytes)?;
            }
            // Once refused it is bad, whatever comes later.
            let why = if silent && known != Unread::Bad { Unread::TimedOut } else { Unread::Bad };
            left.push(Run { extent: Extent { offset_bytes, length_bytes }, why });
        }
        left.sort_by_key(|run| run.extent.offset_bytes);
        let mut still = Extents::default();
        left.into_iter().for_each(|run| still.add(run));
        Ok(still)
    }

    /// Reads inward from both edges of a range that failed as a whole, each until one sector fails for any reason.
    pub(crate) fn trim(
        &mut self,
        offset_bytes: u64,
        buffer: &mut [u8],
        found: &mut Extents,
    ) -> Result<(), Ending> {
        let any: fn(&io::Error) -> bool = |_| true;
        let front = self.follow(offset_bytes, buffer, Direction::Forwards, any)?;
        let Some(why) = front.stopped else { return Ok(()) };
        let (_, rest) = buffer.split_at_mut_checked(front.reached).unwrap_or_default();
        let start = offset_bytes.saturating_add(wide(front.reached));
        let first = rest.len().min(self.sector);
        let (sector, rest) = rest.split_at_mut_checked(first).unwrap_or_default();
        self.give_up(start, sector, why, found);
        let start = start.saturating_add(wide(first));
        let back = self.follow(start, rest, Direction::Backwards, any)?;
        let Some(why) = back.stopped else { return Ok(()) };
        let (middle, _) = rest.split_at_mut_checked(back.reached).unwrap_or_default();
        let last = middle.len().saturating_sub(1).checked_div(self.sector).unwrap_or(0);
        let last = last.saturating_mul(self.sector);
        let (middle, sector) = middle.split_at_mut_checked(last).unwrap_or_default();
        self.give_up(start, middle, Unread::Unscraped, found);
        self.give_up(start.saturating_add(wide(last)), sector, why, found);
        Ok(())
    }

    /// Reads a range in one go.
    pub(crate) fn sweep(&mut self, offset_bytes: u64, buffer: &mut [u8], found: &mut Extents) {
        if self.fill(offset_bytes, buffer).is_err() {
            self.give_up(offset_bytes, buffer, Unread::Untrimmed, found);
        }
    }

    /// The sector that begins `start` bytes into `buffer`, and its offset on the source.
    pub(super) fn sector_in<'b>(
        &self,
        offset_bytes: u64,
        buffer: &'b mut [u8],
        start: usize,
    ) -> (u64, &'b mut [u8]) {
        let end = start.saturating_add(self.sector).min(buffer.len());
        let sector = buffer.get_mut(start..end).unwrap_or_default();
        (offset_bytes.saturating_add(wide(start)), sector)
    }
}

/// How far an edge was followed.
pub(super) struct Followed {
    /// What was refused on the way.
    pub(super) bad: Extents,
    /// Where in the buffer it stopped: everything on the side it came from was asked for.
    pub(super) reached: usize,
    /// What became of the sector it stopped at; `None` when it went through.
    pub(super) stopped: Option<Unread>,
}
