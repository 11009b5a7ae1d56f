//! Runs of bytes on a source, in order and merged, each with the reason why it was not read.

use serde::{Deserialize, Serialize};

/// A run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// Where it begins.
    pub offset_bytes: u64,
    /// How long it is.
    pub length_bytes: u64,
}

impl Extent {
    /// The offset just behind it.
    #[must_use]
    pub fn end_bytes(&self) -> u64 {
        self.offset_bytes.saturating_add(self.length_bytes)
    }

    /// First sector and number of sectors, for sectors of `sector_bytes`.
    #[must_use]
    pub fn sectors(&self, sector_bytes: u32) -> Option<(u64, u64)> {
        let size = u64::from(sector_bytes);
        let first = self.offset_bytes.checked_div(size)?;
        let end = self.end_bytes().checked_next_multiple_of(size)?.checked_div(size)?;
        Some((first, end.checked_sub(first)?))
    }
}

/// Why a run was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub enum Unread {
    /// Each of its sectors was asked for by itself, and refused.
    #[default]
    #[serde(rename = "-")]
    Bad,
    /// No answer came within the time limit; its inner sectors may not have been asked for one by one.
    #[serde(rename = "t")]
    TimedOut,
    /// It lies between two sectors that failed and was not yet asked for sector by sector.
    #[serde(rename = "/")]
    Unscraped,
    /// A larger read of it failed; its edges were not yet looked for.
    #[serde(rename = "*")]
    Untrimmed,
    /// It was skipped and not asked for at all.
    #[serde(rename = "?")]
    Untried,
}

impl Unread {
    /// The letter GNU ddrescue has for it. What timed out is "not scraped" there: ddrescue asks for it again first.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Bad => '-',
            Self::TimedOut | Self::Unscraped => '/',
            Self::Untrimmed => '*',
            Self::Untried => '?',
        }
    }

    /// The same in words, for a record.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Bad => "refused",
            Self::TimedOut => "timed out",
            Self::Unscraped => "not asked for sector by sector",
            Self::Untrimmed => "failed as a whole",
            Self::Untried => "not tried",
        }
    }
}

/// A run that was not read, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where it lies.
    pub extent: Extent,
    /// Why.
    pub why: Unread,
}

/// Runs of bytes in ascending order; neighbours of one kind are merged into one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extents(Vec<Run>);

impl Extents {
    /// Adds a run that begins at or behind the end of the last one.
    pub(crate) fn push(&mut self, extent: Extent) {
        self.push_as(extent, Unread::Bad);
    }

    /// The same, with the reason.
    pub(crate) fn push_as(&mut self, extent: Extent, why: Unread) {
        match self.0.last_mut() {
            Some(Run { extent: last, why: known })
                if last.end_bytes() == extent.offset_bytes && *known == why =>
            {
                last.length_bytes = last.length_bytes.saturating_add(extent.length_bytes);
            }
            _ => self.0.push(Run { extent, why }),
        }
    }

    /// All runs in order, whatever the reason: neighbours are one.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        let mut runs = self.0.iter().map(|run| run.extent).peekable();
        std::iter::from_fn(move || {
            let mut whole = runs.next()?;
            while let Some(next) = runs.next_if(|next| next.offset_bytes == whole.end_bytes()) {
                whole.length_bytes = whole.length_bytes.saturating_add(next.length_bytes);
            }
            Some(whole)
        })
    }

    /// All runs in order, each with its reason.
    pub fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.0.iter().copied()
    }

    /// How many separate runs there are, whatever the reasons.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Entries kept in memory.
    pub(crate) fn entries(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in all runs together.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.runs().fold(0, |sum, run| sum.saturating_add(run.extent.length_bytes))
    }

    /// Adds a run; one that does not come behind the last is left out.
    pub(crate) fn add(&mut self, run: Run) {
        if self.0.last().is_none_or(|last| last.extent.end_bytes() <= run.extent.offset_bytes) {
            self.push_as(run.extent, run.why);
        }
    }

    /// Adds all runs of `other`, which come behind these.
    pub(crate) fn append(&mut self, other: &Self) {
        other.runs().for_each(|run| self.add(run));
    }

    /// The runs from `start_bytes` on, the first one cut there if need be.
    pub(crate) fn from(&self, start_bytes: u64) -> impl Iterator<Item = Run> + '_ {
        let first = self.0.partition_point(|run| run.extent.end_bytes() <= start_bytes);
        self.0.iter().skip(first).map(move |run| {
            let offset_bytes = run.extent.offset_bytes.max(start_bytes);
            let length_bytes = run.extent.end_bytes().saturating_sub(offset_bytes);
            Run { extent: Extent { offset_bytes, length_bytes }, why: run.why }
        })
    }

    /// The runs before `end_bytes`, the last one cut there if need be.
    pub(crate) fn up_to(&self, end_bytes: u64) -> Self {
        let before = self.runs().take_while(|run| run.extent.offset_bytes < end_bytes);
        let cut = before.map(|run| {
            let Extent { offset_bytes, length_bytes } = run.extent;
            let left = end_bytes.saturating_sub(offset_bytes);
            let extent = Extent { offset_bytes, length_bytes: length_bytes.min(left) };
            Run { extent, why: run.why }
        });
        Self(cut.collect())
    }
}
