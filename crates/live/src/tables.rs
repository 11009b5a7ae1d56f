//! The text tables of `/proc`: `stat`, `status`, `mountinfo`, `net/*`. The formats are those of proc(5) and of the kernel's
//! `Documentation/filesystems/proc.rst`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::number;

/// `PF_KTHREAD` of `linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) state: String,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
    pub(crate) terminal: i64,
    pub(crate) is_kernel_thread: bool,
    /// Since the machine started, in ticks of the kernel (100 a second).
    pub(crate) started_ticks: u64,
}

/// Takes `/proc/PID/stat` apart. The name stands in parentheses and may hold any byte but 0, so its end is the last one.
pub(crate) fn stat(text: &[u8]) -> Option<Stat> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let pid = number(text.get(..open)?.trim_ascii())?.try_into().ok()?;
    let name = text.get(open.checked_add(1)?..close)?.to_vec();
    let rest = std::str::from_utf8(text.get(close.checked_add(1)?..)?).ok()?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Fields are numbered from 1 in proc(5); the third is the first behind the name.
    let field = |place: usize| fields.get(place.saturating_sub(3)).copied().unwrap_or("");
    Some(Stat {
        pid,
        name,
        state: field(3).to_owned(),
        parent: field(4).parse().unwrap_or(0),
        group: field(5).parse().unwrap_or(0),
        session: field(6).parse().unwrap_or(0),
        terminal: field(7).parse().unwrap_or(0),
        is_kernel_thread: field(9).parse::<u64>().unwrap_or(0) & KERNEL_THREAD != 0,
        started_ticks: field(22).parse().unwrap_or(0),
    })
}

/// The value behind a name in `/proc/PID/status` and the like.
pub(crate) fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// One mount of `/proc/PID/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) device: String,
    /// What of the file system is shown.
    pub(crate) root: Vec<u8>,
    /// Where.
    pub(crate) point: Vec<u8>,
    pub(crate) options: String,
    pub(crate) kind: String,
    pub(crate) source: Vec<u8>,
}

/// Takes a line of mountinfo apart; blanks, tabs, line feeds and backslashes in names stand as three octal digits.
pub(crate) fn mount(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let text = |field: &&[u8]| String::from_utf8_lossy(field).into_owned();
    Some(Mount {
        device: fields.get(2).map(text)?,
        root: unescaped(fields.get(3)?),
        point: unescaped(fields.get(4)?),
        options: fields.get(5).map(text)?,
        kind: fields.get(dash.checked_add(1)?).map(text)?,
        source: unescaped(fields.get(dash.checked_add(2)?)?),
    })
}

fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, left)) = rest.split_first() {
        let digits = left.get(..3).filter(|_| *first == b'\\');
        let code =
            digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                rest = left.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = left;
            }
        }
    }
    out
}

/// One line of a table of sockets in `/proc/net`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InetLine {
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
    pub(crate) state: u8,
    pub(crate) uid: u32,
    pub(crate) inode: u64,
}

/// Takes a line of `tcp`, `tcp6`, `udp`, `raw` … apart; `None` for the heading and what is none.
pub(crate) fn inet_line(line: &str) -> Option<InetLine> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some(InetLine {
        local: endpoint(fields.get(1)?)?,
        remote: endpoint(fields.get(2)?)?,
        state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// `0100007F:0016`: words of the address in the machine's order, the port as a number.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |from: usize| -> Option<[u8; 4]> {
        let digits = address.get(from..from.checked_add(8)?)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0_u8; 16];
            for (place, from) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                place.copy_from_slice(&word(from)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout of proc(5) vouches; only a little-endian machine has these words.
    #[test]
    fn lines_as_the_kernel_writes_them() {
        let line = "  0: 0100007F:0016 0200A8C0:D431 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 f";
        let one = inet_line(line).unwrap();
        assert_eq!(one.local, ("127.0.0.1".parse().unwrap(), 22));
        assert_eq!(one.remote, ("192.168.0.2".parse().unwrap(), 54321));
        assert_eq!((one.state, one.uid, one.inode), (10, 1000, 4242));
        let six = "0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1 f";
        assert_eq!(inet_line(six).unwrap().local, ("::1".parse().unwrap(), 8080));
        assert_eq!(inet_line("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn a_name_may_look_like_fields() {
        let text = b"77 (a) S 1 (b)) R 5 6 7 0 -1 2097216 0 0 0 0 0 0 0 0 20 0 1 0 999 0";
        let one = stat(text).unwrap();
        assert_eq!((one.pid, one.name.as_slice()), (77, b"a) S 1 (b)".as_slice()));
        assert_eq!((one.parent, one.session, one.started_ticks), (5, 7, 999));
        assert!(one.is_kernel_thread);
        for cut in 0..text.len() {
            let _ = stat(&text[..cut]);
        }
    }

    #[test]
    fn names_of_mounts_are_unescaped() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402\134 rw,noatime master:1 - ext3 /dev/ro\011ot rw";
        let one = mount(line).unwrap();
        assert_eq!(one.point, b"/mnt 2\\");
        assert_eq!((one.kind.as_str(), one.source.as_slice()), ("ext3", b"/dev/ro\tot".as_slice()));
        assert_eq!(mount(b"36 35 98:0 /"), None);
    }
}
