//! Lines of a bodyfile as The Sleuth Kit 3 and later write and read them (`fls -m`, `mactime`).
//!
//! `MD5|name|inode|mode_as_string|UID|GID|size|atime|mtime|ctime|crtime`, times in whole seconds, 0 where unknown. The bar,
//! the percent sign and control characters of names are written as `%7C` and the like, which `mactime` undoes.

use crate::fs::{Deleted, FileKind, FileSystem, Metadata, RawPath};

/// The line of an object that stands in the tree; `md5` in hexadecimal when it was computed.
#[must_use]
pub fn line(
    fs: &dyn FileSystem,
    path: &RawPath,
    metadata: &Metadata,
    md5: Option<&str>,
) -> Vec<u8> {
    let mut line = start(md5, path.0.len());
    escape(&mut line, &path.0);
    if metadata.kind == FileKind::Symlink
        && let Ok(target) = fs.read_link(metadata.node)
    {
        line.extend_from_slice(b" -> ");
        escape(&mut line, &target.0);
    }
    fields(&mut line, &fs.node_name(metadata.node), metadata.kind, Some(metadata));
    line
}

/// The line of a deleted object.
#[must_use]
pub fn deleted_line(fs: &dyn FileSystem, deleted: &Deleted) -> Vec<u8> {
    let mut line = start(None, deleted.path.0.len());
    escape(&mut line, &deleted.path.0);
    let mark = if deleted.is_reused { &b" (deleted-realloc)"[..] } else { b" (deleted)" };
    line.extend_from_slice(mark);
    let inode = deleted.node.map_or_else(|| "0".to_owned(), |node| fs.node_name(node));
    let kind = deleted.metadata.as_ref().map_or(FileKind::Unknown, |found| found.kind);
    // What is recorded belongs to the new owner once the inode was used again.
    let own = deleted.metadata.as_ref().filter(|_| !deleted.is_reused);
    fields(&mut line, &inode, kind, own);
    line
}

/// A line with its digest, and room for a name of `name_bytes` and the fields after it.
fn start(md5: Option<&str>, name_bytes: usize) -> Vec<u8> {
    let md5 = md5.unwrap_or("0");
    let mut line = Vec::with_capacity(md5.len().saturating_add(name_bytes).saturating_add(128));
    line.extend_from_slice(md5.as_bytes());
    line.push(b'|');
    line
}

fn fields(line: &mut Vec<u8>, inode: &str, entry_kind: FileKind, metadata: Option<&Metadata>) {
    let mut put = |text: &str| line.extend_from_slice(text.as_bytes());
    put("|");
    put(inode);
    put("|");
    let Some(m) = metadata else {
        put(letter(entry_kind).encode_utf8(&mut [0; 4]));
        put("/----------|0|0|0|0|0|0|0\n");
        return;
    };
    put(letter(entry_kind).encode_utf8(&mut [0; 4]));
    put("/");
    put(letter(m.kind).encode_utf8(&mut [0; 4]));
    put(&permissions(m.mode));
    for value in [u64::from(m.uid), u64::from(m.gid), m.size_bytes] {
        line.push(b'|');
        number(line, value);
    }
    for time in [m.accessed, m.modified, m.changed, m.born] {
        line.push(b'|');
        let seconds = time.map_or(0, |time| time.seconds);
        if seconds < 0 {
            line.push(b'-');
        }
        number(line, seconds.unsigned_abs());
    }
    line.push(b'\n');
}

/// Writes a number in decimal: a bodyfile has a million lines of eight each, and the general way takes five times as long.
fn number(line: &mut Vec<u8>, mut value: u64) {
    // The longest u64 has twenty digits.
    let mut digits = [b'0'; 20];
    let mut used = 0_usize;
    for digit in digits.iter_mut().rev() {
        *digit = digit.saturating_add(u8::try_from(value % 10).unwrap_or(0));
        used = used.saturating_add(1);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    let start = digits.len().saturating_sub(used);
    line.extend_from_slice(digits.get(start..).unwrap_or(&digits));
}

/// The letter The Sleuth Kit shows for a type.
#[must_use]
pub fn letter(kind: FileKind) -> char {
    match kind {
        FileKind::File => 'r',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::BlockDevice => 'b',
        FileKind::CharDevice => 'c',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::Unknown => '-',
    }
}

/// Permission bits as `ls` shows them, nine letters.
#[must_use]
pub fn permissions(mode: u32) -> String {
    let mut out = String::with_capacity(9);
    for (shift, special, letters) in
        [(6, 0o4000, ('s', 'S')), (3, 0o2000, ('s', 'S')), (0, 0o1000, ('t', 'T'))]
    {
        let bits = mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letters.0,
            (true, false) => letters.1,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out
}

fn escape(line: &mut Vec<u8>, name: &[u8]) {
    let is_special = |byte: &u8| matches!(byte, b'|' | b'%' | 0..=0x1f | 0x7f);
    for part in name.split_inclusive(is_special) {
        match part.split_last() {
            Some((last, plain)) if is_special(last) => {
                line.extend_from_slice(plain);
                line.extend_from_slice(format!("%{last:02X}").as_bytes());
            }
            _ => line.extend_from_slice(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_as_ls_shows_them() {
        for (mode, text) in [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0o1000, "--------T"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }

    #[test]
    fn a_name_cannot_break_its_line() {
        let mut line = Vec::new();
        escape(&mut line, b"a|b%\n\xff");
        assert_eq!(line, b"a%7Cb%25%0A\xff");
    }

    #[test]
    fn numbers_as_the_standard_library_writes_them() {
        for value in [0, 1, 9, 10, 99, 100, 4_294_967_296, u64::MAX - 1, u64::MAX] {
            let mut line = Vec::new();
            number(&mut line, value);
            assert_eq!(line, value.to_string().into_bytes());
        }
    }
}
