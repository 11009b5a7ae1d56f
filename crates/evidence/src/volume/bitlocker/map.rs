//! What a BitLocker volume shows where: moved start, records shown as zeros, parts not encrypted yet.

use super::information::{Information, State};
use super::progress::Progress;
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::source::{Source, SourceError};
use crate::volume::crypt::{Decrypted, SectorCipher};
use std::sync::Arc;

/// On Windows Vista this much of the start is not encrypted.
const VISTA_PLAIN_BYTES: u64 = 0x2000;

/// The clear volume.
struct Clear {
    raw: Arc<dyn Source>,
    decrypted: Option<Decrypted>,
    size_bytes: u64,
    sector_bytes: u32,
    moved_bytes: u64,
    moved_to_bytes: u64,
    /// Start and end of ranges that show zeros, in order.
    zeros: Vec<(u64, u64)>,
    /// From here on nothing is encrypted yet.
    plain_from: u64,
    progress: Option<Progress>,
    /// On Windows Vista: where NTFS has its second table, for the first sector.
    vista: Option<[u8; 8]>,
}

/// A range of one kind.
enum Part {
    Zeros,
    Plain(u64),
    Encrypted(u64),
}

/// The clear content of `source`.
pub(super) fn open(
    source: Arc<dyn Source>,
    cipher: Option<SectorCipher>,
    information: &Information,
) -> Result<Arc<dyn Source>, EvidenceError> {
    let sector = u64::from(information.sector_bytes);
    let size_bytes = source.size_bytes();
    let is_vista = information.version < 2;
    let record_bytes = if is_vista {
        let cluster = information.cluster_bytes.max(1);
        0x4000_u64.next_multiple_of(cluster.min(1 << 21))
    } else {
        0x1_0000_u64.next_multiple_of(sector)
    };
    let mut zeros: Vec<(u64, u64)> =
        information.copies.iter().map(|at| (*at, record_bytes)).collect();
    if !is_vista {
        zeros.push((information.moved_to_bytes, information.moved_bytes.max(sector)));
    }
    if let Some(progress) = &information.progress {
        let round = |length: u64| length.checked_next_multiple_of(sector).unwrap_or(length);
        zeros.extend(progress.own.iter().map(|(at, length)| (*at, round(*length))));
    }
    if information.state == State::Switching(2) && information.state_bytes > 0 {
        zeros.push((information.state_offset_bytes, information.state_bytes));
    }
    let mut zeros: Vec<(u64, u64)> =
        zeros.into_iter().map(|(at, length)| (at, at.saturating_add(length))).collect();
    zeros.sort_unstable();
    let plain_from = match information.state_offset_bytes {
        0 => u64::MAX,
        offset => offset,
    };
    Ok(Arc::new(Clear {
        decrypted: cipher
            .map(|cipher| Decrypted::new(Arc::clone(&source), cipher, 0, size_bytes, 0)),
        size_bytes,
        sector_bytes: information.sector_bytes.max(source.sector_bytes()),
        raw: source,
        moved_bytes: if is_vista { 0 } else { information.moved_bytes },
        moved_to_bytes: information.moved_to_bytes,
        zeros,
        plain_from,
        progress: information.progress.clone(),
        vista: is_vista.then(|| information.moved_to_bytes.to_le_bytes()),
    }))
}

impl Clear {
    /// What stands at `at`, and for how many bytes.
    fn part(&self, at: u64) -> (Part, u64) {
        if self.vista.is_some() && at < VISTA_PLAIN_BYTES {
            return (Part::Plain(at), VISTA_PLAIN_BYTES.saturating_sub(at));
        }
        if at < self.moved_bytes {
            let from = at.saturating_add(self.moved_to_bytes);
            let (part, length) = self.stored(from);
            return (part, length.min(self.moved_bytes.saturating_sub(at)));
        }
        let mut limit = u64::MAX;
        for (start, end) in &self.zeros {
            if (*start..*end).contains(&at) {
                return (Part::Zeros, end.saturating_sub(at));
            }
            if *start > at {
                limit = limit.min(start.saturating_sub(at));
            }
        }
        let (part, length) = self.stored(at);
        (part, length.min(limit))
    }

    /// How the bytes of the disk at `from` are stored.
    fn stored(&self, from: u64) -> (Part, u64) {
        if self.decrypted.is_none() {
            return (Part::Plain(from), u64::MAX);
        }
        let (is_encrypted, length) = match &self.progress {
            Some(progress) => progress.state(from),
            None if from >= self.plain_from => (false, u64::MAX),
            None => (true, self.plain_from.saturating_sub(from)),
        };
        (if is_encrypted { Part::Encrypted(from) } else { Part::Plain(from) }, length)
    }

    /// Puts the name of NTFS and its second table back where Windows Vista wrote its own.
    fn restore(&self, at: u64, part: &mut [u8]) {
        let Some(table) = &self.vista else { return };
        for (start, bytes) in [(3_u64, &b"NTFS    "[..]), (0x38, table)] {
            for (offset, byte) in (start..).zip(bytes) {
                let index = offset.checked_sub(at).map(to_usize);
                if let Some(to) = index.and_then(|index| part.get_mut(index)) {
                    *to = *byte;
                }
            }
        }
    }
}

impl Source for Clear {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let wanted = to_usize(self.size_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..wanted).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(to_u64(done));
            let (kind, length) = self.part(at);
            let count = to_usize(length).min(rest.len());
            let Some(part) = rest.get_mut(..count).filter(|part| !part.is_empty()) else { break };
            match (kind, &self.decrypted) {
                (Part::Zeros, _) => part.fill(0),
                (Part::Encrypted(from), Some(decrypted)) => {
                    let decrypted: &dyn Source = decrypted;
                    decrypted.fill(from, part)?;
                }
                (Part::Plain(from) | Part::Encrypted(from), _) => {
                    self.raw.fill(from, part)?;
                    self.restore(at, part);
                }
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }
}
