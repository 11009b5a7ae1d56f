//! Runs of bytes on a source, in order and merged.

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

/// Runs of bytes in ascending order; neighbours are merged into one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extents(Vec<Extent>);

impl Extents {
    /// Adds a run that begins at or behind the end of the last one.
    pub(crate) fn push(&mut self, extent: Extent) {
        match self.0.last_mut() {
            Some(last) if last.end_bytes() == extent.offset_bytes => {
                last.length_bytes = last.length_bytes.saturating_add(extent.length_bytes);
            }
            _ => self.0.push(extent),
        }
    }

    /// All runs in order.
    pub fn iter(&self) -> impl Iterator<Item = Extent> + '_ {
        self.0.iter().copied()
    }

    /// How many separate runs there are.
    #[must_use]
    pub fn len(&self) -> usize {
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
        self.iter().fold(0, |sum, extent| sum.saturating_add(extent.length_bytes))
    }
}

/// A place in a growing list to go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    count: usize,
    last: Option<Extent>,
}

impl Extents {
    pub(crate) fn mark(&self) -> Mark {
        Mark { count: self.0.len(), last: self.0.last().copied() }
    }

    /// Adds a run; one that does not come behind the last is left out.
    pub(crate) fn add(&mut self, extent: Extent) {
        if self.0.last().is_none_or(|last| last.end_bytes() <= extent.offset_bytes) {
            self.push(extent);
        }
    }

    /// The runs from `start_bytes` on, the first one cut there if need be.
    pub(crate) fn from(&self, start_bytes: u64) -> impl Iterator<Item = Extent> + '_ {
        let first = self.0.partition_point(|extent| extent.end_bytes() <= start_bytes);
        self.0.iter().skip(first).map(move |extent| {
            let offset_bytes = extent.offset_bytes.max(start_bytes);
            let length_bytes = extent.end_bytes().saturating_sub(offset_bytes);
            Extent { offset_bytes, length_bytes }
        })
    }

    /// The runs before `end_bytes`, the last one cut there if need be.
    pub(crate) fn up_to(&self, end_bytes: u64) -> Self {
        let cut = self.iter().filter(|extent| extent.offset_bytes < end_bytes).map(|extent| {
            let left = end_bytes.saturating_sub(extent.offset_bytes);
            Extent { length_bytes: extent.length_bytes.min(left), ..extent }
        });
        Self(cut.collect())
    }

    /// Takes back everything pushed since `mark`, including what was merged into the last run.
    pub(crate) fn truncate_to(&mut self, mark: Mark) {
        self.0.truncate(mark.count);
        if let (Some(now), Some(then)) = (self.0.last_mut(), mark.last) {
            *now = then;
        }
    }
}
