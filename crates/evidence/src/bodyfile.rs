//! Lines of a bodyfile as The Sleuth Kit 3 and later write and read them (`fls -m`, `mactime`).
//!
//! `MD5|name|inode|mode_as_string|UID|GID|size|atime|mtime|ctime|crtime`, times in whole seconds, 0 where unknown. The bar,
//! the percent sign and control characters of names are written as `%7C` and the like, which `mactime` undoes.

use crate::fs::{Deleted, FileKind, FileSystem, Metadata, RawPath};
use crate::time::Time;

/// The line of an object that stands in the tree; `md5` in hexadecimal when it was computed.
#[must_use]
pub fn line(
    fs: &dyn FileSystem,
    path: &RawPath,
    metadata: &Metadata,
    md5: Option<&str>,
) -> Vec<u8> {
    let mut name = path.0.clone();
    if metadata.kind == FileKind::Symlink
        && let Ok(target) = fs.read_link(metadata.node)
    {
        name.extend(b" -> ");
        name.extend(target.0);
    }
    let inode = fs.node_name(metadata.node);
    fields(md5, &name, &inode, metadata.kind, Some(metadata))
}

/// The line of a deleted object.
#[must_use]
pub fn deleted_line(fs: &dyn FileSystem, deleted: &Deleted) -> Vec<u8> {
    let mut name = deleted.path.0.clone();
    name.extend(if deleted.is_reused { &b" (deleted-realloc)"[..] } else { b" (deleted)" });
    let inode = deleted.node.map_or_else(|| "0".to_owned(), |node| fs.node_name(node));
    let kind = deleted.metadata.as_ref().map_or(FileKind::Unknown, |found| found.kind);
    // What is recorded belongs to the new owner once the inode was used again.
    let own = deleted.metadata.as_ref().filter(|_| !deleted.is_reused);
    fields(None, &name, &inode, kind, own)
}

fn fields(
    md5: Option<&str>,
    name: &[u8],
    inode: &str,
    entry_kind: FileKind,
    metadata: Option<&Metadata>,
) -> Vec<u8> {
    let time = |time: Option<Time>| time.map_or(0, |time| time.seconds);
    let mut line = format!("{}|", md5.unwrap_or("0")).into_bytes();
    line.extend(escaped(name));
    let rest = match metadata {
        Some(m) => format!(
            "|{inode}|{}/{}{}|{}|{}|{}|{}|{}|{}|{}\n",
            letter(entry_kind),
            letter(m.kind),
            permissions(m.mode),
            m.uid,
            m.gid,
            m.size_bytes,
            time(m.accessed),
            time(m.modified),
            time(m.changed),
            time(m.born)
        ),
        None => format!("|{inode}|{}/----------|0|0|0|0|0|0|0\n", letter(entry_kind)),
    };
    line.extend(rest.into_bytes());
    line
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

fn escaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'|' | b'%' | 0..=0x1f | 0x7f => out.extend(format!("%{byte:02X}").into_bytes()),
            _ => out.push(*byte),
        }
    }
    out
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
        assert_eq!(escaped(b"a|b%\n\xff"), b"a%7Cb%25%0A\xff");
    }
}
