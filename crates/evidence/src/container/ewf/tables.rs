//! The tables that say where each chunk begins, each written twice and with a checksum.
//!
//! Only the place of a table is kept. Its checksum is computed once, in passing; the second copy counts when the first is bad.

use super::sections::Section;
use crate::bytes::{Fields, to_u64, to_usize};
use crate::container::adler::adler32;
use crate::source::Source;

const HEADER_BYTES: u64 = 24;

/// How much of a table is read at a time for its checksum.
const STRETCH_BYTES: u64 = 1 << 16;

/// One table: consecutive chunks of the disk.
pub(super) struct Table {
    /// Which segment it is in.
    pub(super) segment: usize,
    /// Where its entries begin.
    pub(super) entries_at: u64,
    /// How many there are.
    pub(super) count: u64,
    /// What is added to every offset.
    pub(super) base: u64,
    /// Number of its first chunk.
    pub(super) first_chunk: u64,
    /// The first entry from which on all 32 bits are the offset: EnCase 6.7 and others wrote past 2 GiB that way.
    pub(super) overflow_at: u64,
}

/// A table and what is wrong with it.
pub(super) struct Checked {
    table: Table,
    header_is_good: bool,
    faults: Vec<String>,
}

impl Table {
    /// Reads and checks a table.
    pub(super) fn read(source: &dyn Source, segment: usize, section: &Section) -> Checked {
        let head = section.data(source, to_usize(HEADER_BYTES)).unwrap_or_default();
        let fields = Fields(&head);
        let mut checked = Checked {
            table: Self {
                segment,
                entries_at: section.data_at().saturating_add(HEADER_BYTES),
                count: u64::from(fields.le32(0)),
                base: fields.le64(8),
                first_chunk: 0,
                overflow_at: u64::MAX,
            },
            header_is_good: true,
            faults: Vec::new(),
        };
        let (expected, found) = (fields.le32(20), adler32(1, fields.slice(0, 20)));
        let room = section.data_bytes().saturating_sub(HEADER_BYTES) / 4;
        if head.len() != to_usize(HEADER_BYTES) || expected != found || checked.table.count > room {
            checked.header_is_good = false;
            let count = checked.table.count;
            checked.table.count = count.min(room);
            checked.faults.push(format!(
                "header checksum is {found:08x}, recorded {expected:08x}; {count} entries, room for {room}"
            ));
        }
        checked.entries(source, section);
        checked
    }
}

impl Checked {
    /// Runs over the entries for their checksum and for the place where offsets outgrow 31 bits.
    fn entries(&mut self, source: &dyn Source, section: &Section) {
        let length = self.table.count.saturating_mul(4);
        let (mut at, end) = (self.table.entries_at, self.table.entries_at.saturating_add(length));
        let mut sum = 1;
        let mut last = 0_u32;
        let mut index = 0_u64;
        let mut first = None;
        while at < end {
            let raw = match source.bytes_at(at, to_usize(end.saturating_sub(at).min(STRETCH_BYTES)))
            {
                Ok(raw) if !raw.is_empty() => raw,
                Ok(_) => return self.faults.push(format!("the file ends at {at}")),
                Err(error) => return self.faults.push(error.to_string()),
            };
            sum = adler32(sum, &raw);
            for entry in raw.as_chunks::<4>().0 {
                let entry = u32::from_le_bytes(*entry);
                first.get_or_insert(entry);
                let (here, before) = (entry & 0x7fff_ffff, last & 0x7fff_ffff);
                // The masked offset falls back while the whole number goes on.
                if self.table.overflow_at == u64::MAX
                    && here < before
                    && entry > before
                    && index != 0
                {
                    self.table.overflow_at = index;
                }
                last = entry;
                index = index.saturating_add(1);
            }
            at = at.saturating_add(to_u64(raw.len()));
        }
        // SMART and EnCase 1 keep the data behind the entries and have no checksum of them.
        let starts = self.table.base.saturating_add(u64::from(first.unwrap_or(0) & 0x7fff_ffff));
        let holds_data = (section.at_bytes..section.end_bytes).contains(&starts);
        if holds_data || section.end_bytes < end.saturating_add(4) {
            return;
        }
        let stored = source.bytes_at(end, 4).unwrap_or_default();
        let expected = Fields(&stored).le32(0);
        if sum != expected {
            self.faults
                .push(format!("checksum of the entries is {sum:08x}, recorded {expected:08x}"));
        }
    }
}

/// All tables of an image, in the order of its chunks.
#[derive(Default)]
pub(super) struct TableSet {
    tables: Vec<Table>,
    /// The last table added, while its second copy may still follow.
    open: Option<Checked>,
    chunks: u64,
    /// Index of the first table behind missing segments.
    gap: Option<usize>,
    /// For each segment, where its sections begin and end: a chunk ends with its section.
    sections: Vec<Vec<(u64, u64)>>,
}

impl TableSet {
    pub(super) fn begin_segment(&mut self, number: usize, sections: &[Section]) {
        self.settle();
        self.sections.resize_with(number, Vec::new);
        self.sections
            .push(sections.iter().map(|section| (section.at_bytes, section.end_bytes)).collect());
    }

    /// Takes a table, or the second copy of the one before; the text says what was wrong with it.
    pub(super) fn add(&mut self, read: Checked, is_second: bool, name: &str) -> Option<String> {
        let at = read.table.entries_at;
        let faults = read.faults.join("; ");
        let text = (!faults.is_empty()).then(|| format!("table at {at} of \"{name}\": {faults}"));
        match (&self.open, is_second) {
            // Both copies stand side by side, so the pair belongs together whatever their counts.
            (Some(first), true) => {
                let better = !first.faults.is_empty()
                    && (read.faults.is_empty() || (read.header_is_good && !first.header_is_good));
                if better {
                    self.open = Some(read);
                }
                self.settle();
            }
            _ => {
                self.settle();
                self.open = Some(read);
            }
        }
        text
    }

    /// Gives the table added last its place.
    fn settle(&mut self) {
        if let Some(Checked { mut table, .. }) = self.open.take() {
            table.first_chunk = self.chunks;
            self.chunks = self.chunks.saturating_add(table.count);
            self.tables.push(table);
        }
    }

    /// Notes that segments are missing here.
    pub(super) fn gap(&mut self) {
        self.settle();
        // With two gaps nobody knows how many chunks are in each; what follows the second stays where it is.
        self.gap.get_or_insert(self.tables.len());
    }

    /// Moves what stands behind the missing segments to the end of the disk.
    pub(super) fn close_gap(&mut self, wanted: u64) {
        self.settle();
        let missing = wanted.saturating_sub(self.chunks);
        if let Some(behind) = self.gap.and_then(|index| self.tables.get_mut(index..)) {
            for table in behind {
                table.first_chunk = table.first_chunk.saturating_add(missing);
            }
        }
    }

    /// How many chunks the tables have.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks
    }

    /// The table with this chunk; else the number of the next chunk that one has.
    pub(super) fn find(&self, chunk: u64) -> Result<&Table, Option<u64>> {
        let behind = self.tables.partition_point(|table| table.first_chunk <= chunk);
        let table = behind.checked_sub(1).and_then(|index| self.tables.get(index));
        table
            .filter(|table| chunk.saturating_sub(table.first_chunk) < table.count)
            .ok_or_else(|| self.tables.get(behind).map(|table| table.first_chunk))
    }

    /// Where the section ends that holds this place of a segment.
    pub(super) fn section_end(&self, segment: usize, at: u64) -> Option<u64> {
        let sections = self.sections.get(segment)?;
        let behind = sections.partition_point(|(start, _)| *start <= at);
        let (_, end) = sections.get(behind.checked_sub(1)?)?;
        (at < *end).then_some(*end)
    }
}
