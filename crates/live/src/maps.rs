//! The memory map of a process: which of its executable parts no file stands behind.

use crate::host::shown;

/// One line of `/proc/PID/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) rights: String,
    pub(crate) offset: u64,
    pub(crate) inode: u64,
    pub(crate) name: Vec<u8>,
}

impl Part {
    pub(crate) fn is_executable(&self) -> bool {
        self.rights.contains('x')
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.name.ends_with(DELETED)
    }

    /// No file at all, and none of the kernel's own pages. Shared memory without a name has one that nobody gave it.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.name.starts_with(b"/dev/zero")
            || self.inode == 0
                && (self.name.is_empty()
                    || self.name.starts_with(b"[heap]")
                    || self.name.starts_with(b"[stack")
                    || self.name.starts_with(b"[anon"))
    }

    pub(crate) fn text(&self) -> String {
        format!("{:x}-{:x} {} {}", self.start, self.end, self.rights, shown(&self.name))
    }
}

/// What the kernel puts behind the name of a file that no directory holds any more.
pub(crate) const DELETED: &[u8] = b" (deleted)";

/// Takes a line apart: addresses, rights, offset, device, inode, and a name that may hold blanks.
pub(crate) fn part(line: &[u8]) -> Option<Part> {
    let mut rest = line;
    let mut field = || -> Option<&[u8]> {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let tail = rest.get(start..)?;
        let end = tail.iter().position(|byte| *byte == b' ').unwrap_or(tail.len());
        let (one, left) = tail.split_at_checked(end)?;
        rest = left;
        Some(one)
    };
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let addresses = text(field()?)?;
    let (start, end) = addresses.split_once('-')?;
    let rights = text(field()?)?;
    let (offset, _device) = (text(field()?)?, field()?);
    let inode = text(field()?)?.parse().ok()?;
    Some(Part {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        rights,
        offset: u64::from_str_radix(&offset, 16).ok()?,
        inode,
        name: rest.trim_ascii_start().to_vec(),
    })
}

/// Places where everybody may write, and from where no installed program runs.
pub(crate) fn is_temporary(path: &[u8]) -> bool {
    let places: [&[u8]; 5] = [b"/tmp/", b"/var/tmp/", b"/dev/", b"/run/user/", b"/run/lock/"];
    places.iter().any(|place| path.starts_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_kernel_writes_them() {
        let one = part(b"7f12-7f34 r-xp 00001000 fd:01 1234   /usr/lib/a b.so (deleted)").unwrap();
        assert_eq!((one.start, one.end, one.inode), (0x7f12, 0x7f34, 1234));
        assert!(one.is_executable() && one.is_deleted() && !one.is_anonymous());
        let none = part(b"7f12-7f34 rwxp 00000000 00:00 0 ").unwrap();
        assert!(none.is_anonymous() && none.name.is_empty());
        assert!(!part(b"7f12-7f34 r-xp 00000000 00:00 0   [vdso]").unwrap().is_anonymous());
        let shared = part(b"7f12-7f34 rwxs 00000000 00:01 9 /dev/zero (deleted)").unwrap();
        assert!(shared.is_anonymous());
        assert_eq!(part(b"7f12-7f34 r-xp"), None);
        assert!(is_temporary(b"/dev/shm/x") && !is_temporary(b"/devel/x"));
    }
}
