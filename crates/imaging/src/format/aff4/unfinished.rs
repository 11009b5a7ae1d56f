//! A volume without its directory, read by the headers of its members; and a finished one, as the acquisition counted it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use evidence::source::Source;
use flate2::Crc;
use serde_json::{Value, json};

use super::zip::{LOCAL, LOCAL_BYTES, Member, Name};
use super::{BEVY_CHUNKS, CHUNK_BYTES, DESCRIPTION, to_u64, to_usize};
use crate::{Extents, Parts, ReadAt};

/// The members that end before `end_bytes`, in order.
pub(super) fn members(file: &File, end_bytes: u64) -> io::Result<Vec<Member>> {
    let mut members = Vec::new();
    let mut at = 0_u64;
    while at < end_bytes {
        let mut header = [0; 30];
        file.read_exact_at(&mut header, at)?;
        let (magic, name_bytes) = (header.get(..4), header.get(26..28));
        let name_bytes =
            name_bytes.and_then(<[u8]>::first_chunk).map_or(0, |raw| u16::from_le_bytes(*raw));
        let mut rest = vec![0; usize::from(name_bytes).saturating_add(20)];
        file.read_exact_at(&mut rest, at.saturating_add(30))?;
        let (name, extra) = rest.split_at_checked(usize::from(name_bytes)).unwrap_or((&[], &[]));
        let name = name_of(name);
        let size =
            extra.get(4..12).and_then(<[u8]>::first_chunk).map(|raw| u64::from_le_bytes(*raw));
        let crc =
            header.get(14..18).and_then(<[u8]>::first_chunk).map(|raw| u32::from_le_bytes(*raw));
        let (Some(name), Some(size_bytes), Some(crc)) = (name, size, crc) else {
            return Err(not_ours(at));
        };
        if magic != Some(&LOCAL) {
            return Err(not_ours(at));
        }
        members.push(Member { name, header_at: at, size_bytes, crc });
        let head = LOCAL_BYTES.saturating_add(u64::from(name_bytes));
        at = at.saturating_add(head).saturating_add(size_bytes);
    }
    if at == end_bytes { Ok(members) } else { Err(not_ours(at)) }
}

/// Members as they are noted where the file cannot be read.
pub(super) fn note(members: &[Member]) -> Value {
    let one = |member: &Member| {
        json!([member.name.text(), member.header_at, member.size_bytes, member.crc])
    };
    members.iter().map(one).collect()
}

/// Members that were noted.
pub(super) fn noted(notes: &[Value]) -> io::Result<Vec<Member>> {
    let mut members = Vec::new();
    for note in notes {
        let found: Vec<(String, u64, u64, u32)> = serde_json::from_value(note.clone())?;
        for (name, header_at, size_bytes, crc) in found {
            let name = name_of(name.as_bytes()).ok_or_else(|| not_ours(header_at))?;
            members.push(Member { name, header_at, size_bytes, crc });
        }
    }
    Ok(members)
}

fn name_of(text: &[u8]) -> Option<Name> {
    if text == DESCRIPTION.text().as_bytes() { Some(DESCRIPTION) } else { Name::parse(text) }
}

fn not_ours(at: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no member of this image begins at {at}"))
}

/// The checksum of a stretch of the bevy under way.
pub(super) fn crc(file: &Parts, mut at: u64, length_bytes: u64) -> io::Result<Crc> {
    let mut crc = Crc::new();
    let mut buffer = vec![0; 1 << 20];
    let end = at.saturating_add(length_bytes);
    while at < end {
        let wanted = to_usize(end.saturating_sub(at)).min(buffer.len());
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        file.read_held_at(at, part)?;
        crc.update(part);
        at = at.saturating_add(to_u64(wanted));
    }
    Ok(crc)
}

/// The chunks of the last bevy: its number, where it begins, and where each chunk is in it.
type Current = (u64, u64, Vec<(u64, u32)>);

/// The disk of a volume that is not finished, as far as it goes.
pub(super) struct Disk {
    file: File,
    /// Where the data and the index of each finished bevy begin.
    bevies: HashMap<u64, (u64, u64)>,
    current: Option<Current>,
    size_bytes: u64,
    sector_bytes: u32,
}

impl Disk {
    pub(super) fn new(
        file: File,
        members: &[Member],
        current: Option<Current>,
        size_bytes: u64,
        sector_bytes: u32,
    ) -> Self {
        let mut bevies: HashMap<u64, (u64, u64)> = HashMap::new();
        for member in members {
            match member.name {
                Name::Bevy(number) => bevies.entry(number).or_default().0 = member.data_at(),
                Name::Index(number) => bevies.entry(number).or_default().1 = member.data_at(),
                Name::Single(_) => {}
            }
        }
        Self { file, bevies, current, size_bytes, sector_bytes }
    }

    /// Where a chunk is in the file; `None` for one of a bevy left out.
    fn place(&self, chunk: u64) -> io::Result<Option<(u64, u32)>> {
        let (bevy, within) = (chunk / BEVY_CHUNKS, chunk % BEVY_CHUNKS);
        if let Some((_, data_at, places)) =
            self.current.as_ref().filter(|(number, ..)| *number == bevy)
        {
            let place = places.get(to_usize(within)).ok_or(io::ErrorKind::UnexpectedEof)?;
            return Ok(Some((data_at.saturating_add(place.0), place.1)));
        }
        let Some((data_at, index_at)) = self.bevies.get(&bevy) else { return Ok(None) };
        let mut raw = [0; 12];
        self.file.read_exact_at(&mut raw, index_at.saturating_add(within.saturating_mul(12)))?;
        let [a, b, c, d, e, f, g, h, length @ ..] = raw;
        let offset = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Ok(Some((data_at.saturating_add(offset), u32::from_le_bytes(length))))
    }
}

impl ReadAt for Disk {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (chunk, within) = (offset_bytes / CHUNK_BYTES, to_usize(offset_bytes % CHUNK_BYTES));
        let left = to_usize(self.size_bytes.saturating_sub(offset_bytes));
        let mut content = vec![0; to_usize(CHUNK_BYTES)];
        if let Some((at, length)) = self.place(chunk)? {
            let mut stored = vec![0; to_usize(u64::from(length))];
            self.file.read_exact_at(&mut stored, at)?;
            if u64::from(length) == CHUNK_BYTES {
                content = stored;
            } else {
                let got = lz4_flex::block::decompress_into(&stored, &mut content);
                if got.map_err(io::Error::other)? != content.len() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        let from = content.get(within..).unwrap_or_default();
        let count = from.len().min(left).min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), from.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn sector_bytes(&self) -> u32 {
        self.sector_bytes
    }
}

/// A finished image through the reader of its format, with zeros where the acquisition had zeros: the image itself has a
/// read error there.
pub(super) struct Finished {
    pub(super) source: Arc<dyn Source>,
    pub(super) bad: Extents,
}

impl ReadAt for Finished {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let next = self.bad.iter().find(|bad| bad.end_bytes() > offset_bytes);
        let end = match next {
            Some(bad) if bad.offset_bytes <= offset_bytes => {
                let length =
                    to_usize(bad.end_bytes().saturating_sub(offset_bytes)).min(buffer.len());
                buffer.get_mut(..length).unwrap_or_default().fill(0);
                return Ok(length);
            }
            Some(bad) => bad.offset_bytes,
            None => self.source.size_bytes(),
        };
        let length = to_usize(end.saturating_sub(offset_bytes)).min(buffer.len());
        let part = buffer.get_mut(..length).unwrap_or_default();
        self.source.read_at(offset_bytes, part).map_err(io::Error::other)
    }

    fn size_bytes(&self) -> u64 {
        self.source.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.source.sector_bytes()
    }
}
