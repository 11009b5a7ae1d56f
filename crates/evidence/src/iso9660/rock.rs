//! Rock Ridge: names, modes, owners, links and times in the space behind a record's name.
//!
//! Specifications: IEEE P1281 (SUSP 1.12, the frame and its continuation areas) and P1282 (RRIP 1.12, the entries).

use super::date;
use crate::bytes::Fields;
use crate::time::Time;

/// Continuation areas followed for one record, and bytes of all of them.
const MAX_AREAS: usize = 64;
const MAX_AREA_BYTES: u64 = 1 << 16;
/// Longest name and target taken together from pieces; Linux ends at 255 and 4095.
const MAX_TEXT_BYTES: usize = 1 << 16;

/// What Rock Ridge says about one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rock {
    pub(super) name: Option<Vec<u8>>,
    pub(super) posix: Option<Posix>,
    /// High and low part as recorded.
    pub(super) device: Option<(u32, u32)>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) created: Option<Time>,
    pub(super) modified: Option<Time>,
    pub(super) accessed: Option<Time>,
    pub(super) changed: Option<Time>,
    /// The directory was moved: its content begins at this block.
    pub(super) child_block: Option<u64>,
    /// This is the place a directory was moved to; it is shown where it came from.
    pub(super) is_moved_here: bool,
    /// Stored compressed: the method and the length it unpacks to.
    pub(super) packed: Option<(String, u64)>,
    pub(super) is_sparse: bool,
    pub(super) remarks: Vec<String>,
}

/// Mode, links and owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Posix {
    pub(super) mode: u32,
    pub(super) links: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The inode number the object had.
    pub(super) serial: Option<u32>,
}

/// How many bytes before the entries to pass over, if the record of the root says that there are entries.
pub(super) fn skip_bytes(system_use: &[u8]) -> Option<usize> {
    let fields = Fields(system_use);
    // `SP` with its check bytes; CD-ROM XA puts fourteen bytes of its own in front of it.
    [0_usize, 14].into_iter().find_map(|at| {
        let is_mark = fields.has(at, b"SP") && fields.has(at.saturating_add(4), &[0xbe, 0xef]);
        is_mark.then(|| usize::from(fields.u8(at.saturating_add(6))))
    })
}

/// Names of the extensions announced by `ER` entries.
pub(super) fn extensions(area: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    entries(area, |kind, entry| {
        if kind == *b"ER" {
            let length = usize::from(entry.u8(4));
            out.push(crate::escape_bytes(entry.slice(8, length)));
        }
    });
    out
}

/// Calls `each` with every entry of an area; what cannot be one ends it.
fn entries<'a>(area: &'a [u8], mut each: impl FnMut([u8; 2], Fields<'a>)) {
    let mut rest = area;
    while let [a, b, length, _version, ..] = rest {
        let length = usize::from(*length);
        if length < 4 || length > rest.len() || [*a, *b] == *b"ST" {
            return;
        }
        let (entry, behind) = rest.split_at(length);
        each([*a, *b], Fields(entry));
        rest = behind;
    }
}

/// Reads the entries of `area` and of the continuation areas, which `read` gives by block, offset and length.
pub(super) fn read(
    area: &[u8],
    mut read: impl FnMut(u64, u64, u64) -> Result<Vec<u8>, String>,
) -> Rock {
    let mut builder = Builder::default();
    let mut area = area.to_vec();
    let mut followed = 0_usize;
    let mut total = 0_u64;
    loop {
        let mut next = None;
        entries(&area, |kind, entry| {
            if kind == *b"CE" {
                next = Some((entry.le32(4), entry.le32(12), entry.le32(20)));
            } else {
                builder.take(kind, entry);
            }
        });
        let Some((block, offset, length)) = next else { break };
        followed = followed.saturating_add(1);
        total = total.saturating_add(u64::from(length));
        if followed > MAX_AREAS || total > MAX_AREA_BYTES {
            let text = format!(
                "more than {MAX_AREAS} continuation areas or {MAX_AREA_BYTES} bytes of them"
            );
            builder.rock.remarks.push(text);
            break;
        }
        match read(u64::from(block), u64::from(offset), u64::from(length)) {
            Ok(bytes) => area = bytes,
            Err(why) => {
                builder.rock.remarks.push(format!("continuation area at block {block}: {why}"));
                break;
            }
        }
    }
    builder.rock.target = builder.target.filter(|target| !target.is_empty());
    builder.rock
}

/// Puts entries together that go on in others.
#[derive(Default)]
struct Builder {
    rock: Rock,
    target: Option<Vec<u8>>,
    /// The last component of the target goes on in the next one.
    is_component_open: bool,
}

impl Builder {
    fn take(&mut self, kind: [u8; 2], entry: Fields<'_>) {
        match &kind {
            b"PX" => {
                self.rock.posix = Some(Posix {
                    mode: entry.le32(4),
                    links: entry.le32(12),
                    uid: entry.le32(20),
                    gid: entry.le32(28),
                    serial: (entry.0.len() >= 44).then(|| entry.le32(36)),
                });
            }
            b"PN" => self.rock.device = Some((entry.le32(4), entry.le32(12))),
            b"NM" => self.name(entry),
            b"SL" => self.link(entry),
            b"TF" => self.times(entry),
            b"CL" => self.rock.child_block = Some(u64::from(entry.le32(4))),
            b"RE" => self.rock.is_moved_here = true,
            b"SF" => self.rock.is_sparse = true,
            b"ZF" => {
                let method = crate::escape_bytes(entry.slice(4, 2));
                self.rock.packed = Some((method, u64::from(entry.le32(8))));
            }
            _ => {}
        }
    }

    fn name(&mut self, entry: Fields<'_>) {
        // Flags 2 and 4 stand for the directory itself and its parent, which are told by the record.
        if entry.u8(4) & 6 != 0 {
            return;
        }
        let name = self.rock.name.get_or_insert_default();
        if name.len() < MAX_TEXT_BYTES {
            name.extend_from_slice(entry.0.get(5..).unwrap_or(&[]));
        }
    }

    fn link(&mut self, entry: Fields<'_>) {
        let target = self.target.get_or_insert_default();
        let mut rest = entry.0.get(5..).unwrap_or(&[]);
        while let [flags, length, behind @ ..] = rest {
            let content = behind.get(..usize::from(*length)).unwrap_or(behind);
            if target.len() > MAX_TEXT_BYTES {
                return;
            }
            let is_rooted = target.as_slice() == b"/";
            if !self.is_component_open && !target.is_empty() && !is_rooted {
                target.push(b'/');
            }
            match flags & 0x0e {
                0x02 => target.push(b'.'),
                0x04 => target.extend_from_slice(b".."),
                0x08 => {
                    target.clear();
                    target.push(b'/');
                }
                _ => target.extend_from_slice(content),
            }
            self.is_component_open = flags & 1 != 0;
            rest = behind.get(content.len()..).unwrap_or(&[]);
        }
    }

    fn times(&mut self, entry: Fields<'_>) {
        let flags = entry.u8(4);
        let width = if flags & 0x80 != 0 { 17 } else { 7 };
        let mut at = 5_usize;
        for bit in 0..7_u8 {
            if flags & (1 << bit) == 0 {
                continue;
            }
            let raw = entry.slice(at, width);
            let time =
                if width == 17 { date::long(raw) } else { date::short(Fields(raw).array(0)) };
            match bit {
                0 => self.rock.created = time,
                1 => self.rock.modified = time,
                2 => self.rock.accessed = time,
                3 => self.rock.changed = time,
                _ => {}
            }
            at = at.saturating_add(width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: u64, _: u64, _: u64) -> Result<Vec<u8>, String> {
        Err("none".to_owned())
    }

    #[test]
    fn targets_are_put_together_from_components() {
        // /, then "ab" in two pieces, then "..", then "c" in a second entry.
        let mut area = vec![b'S', b'L', 15, 1, 1, 8, 0, 1, 1, b'a', 0, 1, b'b', 4, 0];
        area.extend([b'S', b'L', 8, 1, 0, 0, 1, b'c']);
        assert_eq!(read(&area, none).target.unwrap(), b"/ab/../c");
    }

    #[test]
    fn an_area_that_leads_to_itself_ends() {
        let mut area = vec![b'C', b'E', 28, 1];
        area.extend([0; 24]);
        area[20] = 28;
        let again = area.clone();
        let rock = read(&area, move |_, _, _| Ok(again.clone()));
        assert_eq!(rock.remarks.len(), 1);
    }
}
