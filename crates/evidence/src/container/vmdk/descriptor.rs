//! The descriptor: lines of `key=value`, and one line for each extent.

use crate::bytes::Fields;
use crate::escape_bytes;

/// Extents one disk may have: 62 TiB in files of 2 GiB are 31,744.
const MAX_EXTENTS: usize = 1 << 15;

/// Facts taken over.
const MAX_FACTS: usize = 64;

/// The name of the fact that a child compares.
pub(super) const CONTENT_ID: &str = "content identifier";

pub(super) fn is_descriptor(head: Fields<'_>) -> bool {
    let line = head.slice(0, 21);
    line.eq_ignore_ascii_case(b"# Disk DescriptorFile")
}

/// How an extent is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Zero,
    Flat,
    Sparse,
    Device,
    Unknown,
}

/// One extent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) sectors: u64,
    pub(super) kind: Kind,
    /// The file's name as recorded.
    pub(super) file: Vec<u8>,
    /// Where the extent begins in its file.
    pub(super) offset_sectors: u64,
}

/// What the descriptor says.
#[derive(Default)]
pub(super) struct Descriptor {
    pub(super) extents: Vec<Extent>,
    /// Whether there were more extents than are kept.
    pub(super) is_cut: bool,
    /// The parent's content identifier; `None` for an image that stands alone.
    pub(super) parent_id: Option<String>,
    pub(super) parent_name: Option<Vec<u8>>,
    facts: Vec<(String, String)>,
}

impl Descriptor {
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut out = Self::default();
        // Within a sparse file, zeros fill the rest of its sectors.
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        for line in text.get(..end).unwrap_or(text).split(|byte| matches!(byte, b'\n' | b'\r')) {
            out.line(line.trim_ascii());
        }
        out
    }

    fn line(&mut self, line: &[u8]) {
        if line.is_empty() || line.starts_with(b"#") {
            return;
        }
        if let Some(extent) = extent(line) {
            if self.extents.len() < MAX_EXTENTS {
                self.extents.push(extent);
            } else {
                self.is_cut = true;
            }
            return;
        }
        let Some(equals) = line.iter().position(|byte| *byte == b'=') else { return };
        let (key, value) = line.split_at(equals);
        let key = key.trim_ascii();
        let value = unquoted(value.get(1..).unwrap_or(&[]).trim_ascii());
        let fact = match &*key.to_ascii_lowercase() {
            b"cid" => CONTENT_ID.to_owned(),
            b"parentcid" => {
                let id = escape_bytes(&value.to_ascii_lowercase());
                self.parent_id = (id != "ffffffff").then_some(id);
                return;
            }
            b"parentfilenamehint" => {
                self.parent_name = Some(value.to_vec());
                "parent".to_owned()
            }
            b"createtype" => "create type".to_owned(),
            _ => escape_bytes(key),
        };
        if self.facts.len() < MAX_FACTS {
            let value = escape_bytes(value);
            let value = if fact == CONTENT_ID { value.to_ascii_lowercase() } else { value };
            self.facts.push((fact, value));
        }
    }

    pub(super) fn facts(&self) -> Vec<(String, String)> {
        self.facts.clone()
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// `RW 4192256 SPARSE "disk-s001.vmdk"`, with an offset behind the name for plain extents; `None` for other lines.
fn extent(line: &[u8]) -> Option<Extent> {
    let (access, rest) = word(line)?;
    if !matches!(access, b"RW" | b"RDONLY" | b"NOACCESS") {
        return None;
    }
    let (sectors, rest) = word(rest)?;
    let sectors = number(sectors)?;
    let (kind, rest) = word(rest)?;
    let kind = match kind {
        b"ZERO" => Kind::Zero,
        b"FLAT" | b"VMFS" => Kind::Flat,
        b"SPARSE" | b"VMFSSPARSE" | b"SESPARSE" => Kind::Sparse,
        b"VMFSRDM" | b"VMFSRAW" => Kind::Device,
        _ => Kind::Unknown,
    };
    let rest = rest.trim_ascii();
    let (file, offset) = match rest.strip_prefix(b"\"") {
        Some(quoted) => {
            let end = quoted.iter().rposition(|byte| *byte == b'"').unwrap_or(quoted.len());
            let (file, rest) = quoted.split_at(end);
            (file, rest.get(1..).unwrap_or(&[]))
        }
        None => word(rest).unwrap_or((rest, &[])),
    };
    let offset_sectors = word(offset).and_then(|(offset, _)| number(offset)).unwrap_or(0);
    let is_device = file.starts_with(b"/dev/") || file.starts_with(b"\\\\.\\");
    let kind = if kind == Kind::Flat && is_device { Kind::Device } else { kind };
    Some(Extent { sectors, kind, file: file.to_vec(), offset_sectors })
}

/// The first word and what is behind it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    (end != 0).then(|| text.split_at(end))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extent_lines_of_every_kind() {
        let text = b"# Disk DescriptorFile\r\nCID=AB12cd34\nparentCID=ffffffff\ncreateType=\"custom\"\n\
            RW 63 FLAT \"my \\\"odd\\\" disk-f001.vmdk\" 7\nRDONLY 4192256 SPARSE \"a-s001.vmdk\"\n\
            NOACCESS 5 ZERO\nRW 9 FLAT \"/dev/sda\" 0\nRW 9 FLAT \"\\\\.\\PhysicalDrive1\" 0\nRW x FLAT \"y\"\n";
        let descriptor = Descriptor::parse(text);
        let kinds: Vec<_> = descriptor
            .extents
            .iter()
            .map(|extent| (extent.sectors, extent.kind, extent.offset_sectors))
            .collect();
        assert_eq!(
            kinds,
            [
                (63, Kind::Flat, 7),
                (4_192_256, Kind::Sparse, 0),
                (5, Kind::Zero, 0),
                (9, Kind::Device, 0),
                (9, Kind::Device, 0)
            ]
        );
        assert_eq!(descriptor.extents[0].file, b"my \\\"odd\\\" disk-f001.vmdk");
        assert_eq!(descriptor.parent_id, None);
        let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            descriptor.facts,
            [fact("content identifier", "ab12cd34"), fact("create type", "custom")]
        );
    }
}
