//! What an E01 image records beside the data: the medium, the case, stored digests, and what could not be read.

use super::sections::Section;
use crate::bytes::{Fields, guid_text, to_u64, to_usize};
use crate::codec;
use crate::container::adler::adler32;
use crate::container::chunks::MAX_CHUNK_BYTES;
use crate::container::{Counted, Recorded};
use crate::error::EvidenceError;
use crate::escape_bytes;
use crate::source::Source;

/// The case facts, decompressed; a page of notes is far below.
const MAX_TEXT_BYTES: usize = 1 << 20;

/// The list of read errors: a disk with half a million bad ranges was given up long before.
const MAX_ERRORS_BYTES: usize = 4 << 20;

/// The medium, from a volume, disk or data section.
pub(super) struct Media {
    chunk_count: u64,
    sectors_per_chunk: u32,
    /// Bytes in a sector of the disk.
    pub(super) sector_bytes: u32,
    sector_count: u64,
    /// Identifier common to the segments of one image; zeros in SMART's dialect.
    pub(super) set: [u8; 16],
    media: Option<&'static str>,
}

impl Media {
    pub(super) fn read(source: &dyn Source, section: &Section) -> Result<Self, String> {
        let raw = section.data(source, 1052).map_err(|error| error.to_string())?;
        let fields = Fields(&raw);
        // SMART's volume is 94 bytes long with the checksum at its end, EnCase's 1052.
        let length = if raw.len() < 1052 { 94 } else { 1052_usize };
        let end = length.saturating_sub(4);
        let (expected, found) = (fields.le32(end), adler32(1, fields.slice(0, end)));
        if raw.len() < length || expected != found {
            return Err(format!(
                "{} bytes, checksum is {found:08x}, recorded {expected:08x}",
                raw.len()
            ));
        }
        let is_encase = length == 1052;
        Ok(Self {
            chunk_count: u64::from(fields.le32(4)),
            sectors_per_chunk: fields.le32(8),
            sector_bytes: fields.le32(12),
            sector_count: if is_encase { fields.le64(16) } else { u64::from(fields.le32(16)) },
            set: if is_encase { fields.array(64) } else { [0; 16] },
            media: match fields.u8(0) {
                0 if is_encase => Some("removable"),
                1 if is_encase => Some("fixed"),
                3 => Some("optical"),
                14 => Some("logical"),
                16 => Some("memory"),
                _ => None,
            },
        })
    }

    pub(super) fn chunk_bytes(&self) -> Result<u64, EvidenceError> {
        let (sectors, sector) = (u64::from(self.sectors_per_chunk), u64::from(self.sector_bytes));
        let bytes = sectors.saturating_mul(sector);
        if bytes == 0 {
            let text = format!("the EWF volume has {sectors} sectors of {sector} bytes in a chunk");
            return Err(EvidenceError::corrupt(text));
        }
        if bytes > MAX_CHUNK_BYTES {
            let text = format!("EWF chunks of {bytes} bytes; {MAX_CHUNK_BYTES} is the limit");
            return Err(EvidenceError::refused(text));
        }
        Ok(bytes)
    }

    /// The size of the disk; 0 when it was not recorded.
    pub(super) fn size_bytes(&self) -> u64 {
        let sector = u64::from(self.sector_bytes);
        let chunks = self.chunk_count.saturating_mul(u64::from(self.sectors_per_chunk));
        let sectors = if self.sector_count == 0 { chunks } else { self.sector_count };
        sectors.saturating_mul(sector)
    }

    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![
            ("sector bytes".to_owned(), self.sector_bytes.to_string()),
            ("chunk sectors".to_owned(), self.sectors_per_chunk.to_string()),
        ];
        if let Some(media) = self.media {
            facts.push(("media".to_owned(), media.to_owned()));
        }
        if self.set != [0; 16] {
            facts.push(("set identifier".to_owned(), guid_text(self.set)));
        }
        facts
    }
}

/// The names of the values in the case facts.
const NAMES: [(&str, &str); 17] = [
    ("c", "case number"),
    ("n", "evidence number"),
    ("a", "description"),
    ("e", "examiner"),
    ("t", "notes"),
    ("m", "acquired"),
    ("u", "system date"),
    ("av", "acquiry software version"),
    ("ov", "acquiry operating system"),
    ("p", "password hash"),
    ("r", "compression"),
    ("md", "model"),
    ("sn", "serial number"),
    ("l", "device label"),
    ("pid", "process identifier"),
    ("dc", "unknown dc"),
    ("ext", "extents"),
];

/// What was found so far.
#[derive(Default)]
pub(super) struct Facts {
    case: Vec<(String, String)>,
    is_unicode: bool,
    digests: Vec<(String, String)>,
    /// First sector and count of what could not be read at acquisition.
    pub(super) unread: Vec<(u64, u64)>,
}

impl Facts {
    /// Takes the case facts; the UTF-16 form counts more than the other, the first of equals more than its copy.
    pub(super) fn header(&mut self, source: &dyn Source, section: &Section) -> Result<(), String> {
        let is_unicode = section.kind() == b"header2";
        if !self.case.is_empty() && (self.is_unicode || !is_unicode) {
            return Ok(());
        }
        let packed = section.data(source, MAX_TEXT_BYTES).map_err(|error| error.to_string())?;
        let raw = codec::zlib(&packed, MAX_TEXT_BYTES).map_err(|error| error.to_string())?;
        let text = if is_unicode { utf16(&raw) } else { raw };
        self.case = parse(&text);
        self.is_unicode = is_unicode;
        Ok(())
    }

    /// Takes the digests of a hash or digest section.
    pub(super) fn digests(&mut self, source: &dyn Source, section: &Section) -> Result<(), String> {
        let raw = section.data(source, 80).map_err(|error| error.to_string())?;
        let fields = Fields(&raw);
        let end = if section.kind() == b"hash" { 32 } else { 76 };
        let (expected, found) = (fields.le32(end), adler32(1, fields.slice(0, end)));
        if expected != found {
            return Err(format!("checksum is {found:08x}, recorded {expected:08x}"));
        }
        self.digest("md5", fields.slice(0, 16));
        if end == 76 {
            self.digest("sha1", fields.slice(16, 20));
        }
        Ok(())
    }

    fn digest(&mut self, name: &str, raw: &[u8]) {
        let text: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        let fact = (name.to_owned(), text);
        // A digest that was not computed is stored as zeros; both sections may hold the same one.
        if raw.iter().any(|byte| *byte != 0) && !self.digests.contains(&fact) {
            self.digests.push(fact);
        }
    }

    /// The digests found.
    pub(super) fn recorded(&self) -> Vec<Recorded> {
        let recorded = |(name, hex): &(String, String)| Recorded {
            algorithm: name.clone(),
            hex: hex.clone(),
            counted: Counted::AsShown,
        };
        self.digests.iter().map(recorded).collect()
    }

    pub(super) fn list(&mut self) -> Vec<(String, String)> {
        let mut list = std::mem::take(&mut self.case);
        list.append(&mut self.digests);
        list
    }
}

fn utf16(raw: &[u8]) -> Vec<u8> {
    let units = raw.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    let text = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}'));
    text.filter(|letter| *letter != '\u{feff}').collect::<String>().into_bytes()
}

/// Lines: a number of categories, `main`, the names of the values, the values; both separated by tabs.
fn parse(text: &[u8]) -> Vec<(String, String)> {
    let mut lines = text
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .skip_while(|line| *line != b"main")
        .skip(1);
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return Vec::new() };
    let tab = |byte: &u8| *byte == b'\t';
    let mut facts = Vec::new();
    for (name, value) in names.split(tab).zip(values.split(tab)).take(64) {
        let value = value.trim_ascii();
        if value.is_empty() {
            continue;
        }
        let known = NAMES.iter().find(|(short, _)| short.as_bytes() == name);
        let name = known.map_or_else(|| escape_bytes(name), |(_, long)| (*long).to_owned());
        facts.push((name, escape_bytes(value)));
    }
    facts
}

/// The ranges of an error2 section: first sector and count.
pub(super) fn read_errors(
    source: &dyn Source,
    section: &Section,
) -> Result<Vec<(u64, u64)>, String> {
    const HEADER_BYTES: usize = 520;
    let raw = section.data(source, MAX_ERRORS_BYTES).map_err(|error| error.to_string())?;
    let fields = Fields(&raw);
    let count = u64::from(fields.le32(0));
    let (expected, found) = (fields.le32(516), adler32(1, fields.slice(0, 516)));
    if expected != found {
        return Err(format!("checksum is {found:08x}, recorded {expected:08x}"));
    }
    let entries = raw.get(HEADER_BYTES..).unwrap_or(&[]).as_chunks::<8>().0;
    if count > to_u64(entries.len()) {
        return Err(format!("{count} ranges recorded, room for {}", entries.len()));
    }
    let range = |entry: &[u8; 8]| {
        let entry = Fields(entry);
        (u64::from(entry.le32(0)), u64::from(entry.le32(4)))
    };
    Ok(entries.iter().take(to_usize(count)).map(range).collect())
}
