//! Sockets in three views: the tables in `/proc/net`, netlink's sock_diag, and the descriptors of processes themselves.
//!
//! A rootkit that takes lines out of `/proc/net/tcp` is met by the other two. The third needs no module: a copy of the
//! descriptor (pidfd_getfd(2)) tells its own address, and nothing is read from or written to the connection. sock_diag lives
//! in modules that the kernel would load by the host's own `modprobe`; where they are not there, that view is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use rustix::thread::LinkNameSpaceType;
use serde_json::json;

use crate::collection::{Collection, Seen};
use crate::host::{Host, shown};
use crate::netlink::{Asking, Part, attributes, u16_at, u32_at};
use crate::process::{self, Process};
use crate::processes::{Known, is_interpreter, shell_on_a_socket};
use crate::tables;
use crate::{Error, ModuleLoading, Severity};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// Tables of internet sockets in `/proc/net`.
const INET_TABLES: [&str; 10] =
    ["tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6"];
/// Questions of sock_diag: family, protocol, name, and a function of the kernel that is there when it can be asked.
const QUESTIONS: [(u8, u8, &str, &str); 8] = [
    (2, 6, "tcp", "tcp_diag_dump"),
    (10, 6, "tcp6", "tcp_diag_dump"),
    (2, 17, "udp", "udp_diag_dump"),
    (10, 17, "udp6", "udp_diag_dump"),
    (2, 255, "raw", "raw_diag_dump"),
    (10, 255, "raw6", "raw_diag_dump"),
    (1, 0, "unix", "unix_diag_dump"),
    (17, 0, "packet", "packet_diag_dump"),
];
const TCP_LISTENS: u8 = 10;
/// Programs whose business packet and raw sockets are, in folders of the system.
const PACKET_PROGRAMS: [&str; 12] = [
    "dhclient",
    "dhcpcd",
    "NetworkManager",
    "systemd-networkd",
    "wpa_supplicant",
    "lldpd",
    "tcpdump",
    "dumpcap",
    "hostapd",
    "dnsmasq",
    "udhcpc",
    "keepalived",
];

/// One socket, by all views.
#[derive(Debug, Clone, Default)]
struct Socket {
    table: String,
    local: String,
    remote: String,
    state: u8,
    uid: Option<u32>,
    seen_by: BTreeSet<&'static str>,
    namespaces: BTreeSet<String>,
    filter_instructions: Option<u32>,
    listens: bool,
    peer: Option<SocketAddr>,
    /// For raw sockets.
    protocol: u16,
}

type Sockets = BTreeMap<u64, Socket>;
type Owners = BTreeMap<u64, Vec<(u32, u32)>>;

/// Collects and compares.
pub(crate) fn collect(all: &mut Collection<'_>, known: &Known) -> Result<(), Error> {
    let namespaces = known.namespaces("net");
    let mut sockets = Sockets::new();
    let mut without_inode = 0_usize;
    let (owners, unread) = owners(all.host, known);
    if unread > 0 {
        let why = format!("the descriptors of {unread} processes could not be read");
        all.skipped("GBX-LIVE-0302", why);
    }
    for (name, pid) in &namespaces {
        without_inode = without_inode.saturating_add(tables(all, name, *pid, &mut sockets));
        if all.host.is_running() {
            ask(all, name, *pid, &mut sockets);
        }
    }
    let tables_whole = sockets.len();
    if all.host.is_running() {
        by_descriptor(all, known, &owners, &mut sockets);
    }
    all.begin("sockets.jsonl")?;
    for (inode, one) in &sockets {
        let held: Vec<_> = owners.get(inode).into_iter().flatten().collect();
        all.line(&json!({
            "inode": inode, "kind": one.table, "local": one.local, "remote": one.remote,
            "state": one.state, "listens": one.listens, "uid": one.uid, "seen_by": one.seen_by,
            "namespaces": one.namespaces, "filter_instructions": one.filter_instructions,
            "held_by": held.iter().map(|(pid, fd)| json!({ "pid": pid, "fd": fd })).collect::<Vec<_>>(),
        }))?;
    }
    all.line(
        &json!({ "without_inode": without_inode, "note": "closed connections on their way out" }),
    )?;
    all.end()?;
    all.coverage.sockets = sockets.len();
    all.coverage.network_namespaces = namespaces.len();
    if tables_whole == 0 && all.host.is_running() {
        all.missed("/proc/net", "no table of sockets could be read");
        return Ok(());
    }
    hidden(all, known, &owners, &sockets);
    for (inode, one) in &sockets {
        let held = owners.get(inode).map_or(&[][..], Vec::as_slice);
        judge(all, known, *inode, one, (held, unread == 0));
    }
    Ok(())
}

/// Which process holds which socket.
fn owners(host: &Host, known: &Known) -> (Owners, usize) {
    let (mut owners, mut unread) = (Owners::new(), 0_usize);
    for (pid, process) in known.processes.iter().filter(|(pid, _)| **pid != known.own) {
        let Ok(numbers) = host.numbers(&process::place(host, *pid, "fd")) else {
            // Its end is no reason not to know.
            let ended = !process::place(host, *pid, "stat").exists();
            unread = unread.saturating_add(usize::from(!ended && !process.stat.is_kernel_thread));
            continue;
        };
        for fd in numbers {
            if let Some(inode) = socket_at(host, *pid, fd) {
                owners.entry(inode).or_default().push((*pid, fd));
            }
        }
    }
    (owners, unread)
}

fn socket_at(host: &Host, pid: u32, fd: u32) -> Option<u64> {
    let link = host.link(&process::place(host, pid, &format!("fd/{fd}"))).ok()?;
    crate::host::number(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

/// The tables of a namespace, through a process in it; how many lines had no inode.
fn tables(all: &mut Collection<'_>, name: &str, pid: u32, sockets: &mut Sockets) -> usize {
    let mut without = 0_usize;
    for table in INET_TABLES {
        let path = process::place(all.host, pid, &format!("net/{table}"));
        let Ok(text) = all.host.pseudo(&path) else { continue };
        for line in String::from_utf8_lossy(&text).lines().filter_map(tables::inet_line) {
            if line.inode == 0 {
                without = without.saturating_add(1);
                continue;
            }
            let socket = sockets.entry(line.inode).or_default();
            socket.table = table.to_owned();
            socket.local = SocketAddr::from(line.local).to_string();
            socket.remote = SocketAddr::from(line.remote).to_string();
            socket.state = line.state;
            socket.uid = Some(line.uid);
            socket.listens = table.starts_with("tcp") && line.state == TCP_LISTENS;
            socket.protocol = line.local.1;
            socket.seen_by.insert("table");
            socket.namespaces.insert(name.to_owned());
        }
    }
    // Position of the inode and of what the socket is called, in the other tables.
    for (table, inode, called) in [("unix", 6, 7), ("packet", 8, 3), ("netlink", 9, 1)] {
        let path = process::place(all.host, pid, &format!("net/{table}"));
        let text = all.host.pseudo(&path).unwrap_or_default();
        for line in text.split(|byte| *byte == b'\n').skip(1) {
            let line = String::from_utf8_lossy(line).into_owned();
            let fields: Vec<&str> = line.split_whitespace().collect();
            let Some(number) = fields.get(inode).and_then(|one| one.parse::<u64>().ok()) else {
                continue;
            };
            if number == 0 {
                continue;
            }
            let socket = sockets.entry(number).or_default();
            socket.table = table.to_owned();
            socket.local = fields.get(called).map(|one| shown(one.as_bytes())).unwrap_or_default();
            socket.seen_by.insert("table");
            socket.namespaces.insert(name.to_owned());
        }
    }
    without
}

/// Asks netlink, in the namespace of a process.
fn ask(all: &mut Collection<'_>, name: &str, pid: u32, sockets: &mut Sockets) {
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    let allowed = all.options.modules == ModuleLoading::Allowed;
    let questions: Vec<_> = QUESTIONS
        .into_iter()
        .filter(|(_, _, _, function)| {
            let there = allowed || all.functions.contains(*function);
            if !there {
                missing.insert(function.trim_end_matches("_dump"));
            }
            there
        })
        .collect();
    if !missing.is_empty() {
        let list: Vec<&str> = missing.into_iter().collect();
        all.missed(
            "netlink:sock_diag",
            format!(
                "{} not asked: the kernel would have the host's modprobe load it",
                list.join(", ")
            ),
        );
    }
    let answered = inside(all.host, pid, || {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for (family, protocol, table, _) in questions {
            let result = Asking::open(Part::Sockets).and_then(|asking| {
                asking.dump(SOCK_DIAG_BY_FAMILY, &question(family, protocol), &mut |_, body| {
                    found.extend(answer(family, table, body));
                })
            });
            if let Err(error) = result {
                problems.push(format!("{table}: {error}"));
            }
        }
        (found, problems)
    });
    match answered {
        Ok((found, problems)) => {
            for (inode, one) in found {
                let socket = sockets.entry(inode).or_default();
                if socket.table.is_empty() {
                    *socket = one;
                }
                socket.seen_by.insert("netlink");
                socket.namespaces.insert(name.to_owned());
            }
            for problem in problems {
                all.missed("netlink:sock_diag", problem);
            }
        }
        Err(error) => all.missed(format!("network namespace {name}"), error),
    }
}

/// `struct inet_diag_req_v2`, `unix_diag_req` or `packet_diag_req`.
fn question(family: u8, protocol: u8) -> Vec<u8> {
    let mut body = vec![family, protocol, 0, 0];
    match family {
        2 | 10 => {
            // All states, no particular socket.
            body.extend_from_slice(&u32::MAX.to_ne_bytes());
            body.resize(56, 0);
        }
        1 => {
            body.extend_from_slice(&u32::MAX.to_ne_bytes());
            body.extend_from_slice(&0_u32.to_ne_bytes());
            // UDIAG_SHOW_NAME, UDIAG_SHOW_PEER.
            body.extend_from_slice(&5_u32.to_ne_bytes());
            body.resize(24, 0);
        }
        _ => {
            body.extend_from_slice(&0_u32.to_ne_bytes());
            // PACKET_SHOW_INFO, PACKET_SHOW_FILTER.
            body.extend_from_slice(&0x21_u32.to_ne_bytes());
            body.resize(20, 0);
        }
    }
    body
}

fn answer(family: u8, table: &str, body: &[u8]) -> Option<(u64, Socket)> {
    let mut socket = Socket { table: table.to_owned(), ..Socket::default() };
    let inode = match family {
        2 | 10 => {
            socket.state = *body.get(1)?;
            socket.local = endpoint(family, body, 8, 4)?.to_string();
            socket.remote = endpoint(family, body, 24, 6)?.to_string();
            socket.listens = table.starts_with("tcp") && socket.state == TCP_LISTENS;
            socket.uid = u32_at(body, 64);
            u32_at(body, 68)?
        }
        1 => {
            let inode = u32_at(body, 4)?;
            let all = attributes(body.get(16..)?);
            let name = all.iter().find(|(kind, _)| *kind == 0).map(|(_, name)| shown(name));
            socket.local = name.unwrap_or_default();
            inode
        }
        _ => {
            socket.local = format!("{:04x}", u16_at(body, 2)?);
            let all = attributes(body.get(16..)?);
            let filter = all.iter().find(|(kind, _)| *kind == 7);
            // Eight bytes each: struct sock_filter.
            socket.filter_instructions =
                filter.and_then(|(_, code)| u32::try_from(code.len() / 8).ok());
            u32_at(body, 4)?
        }
    };
    (inode != 0).then_some((u64::from(inode), socket))
}

fn endpoint(family: u8, body: &[u8], address: usize, port: usize) -> Option<SocketAddr> {
    let bytes = body.get(address..address.checked_add(16)?)?;
    let port = u16::from_be_bytes(body.get(port..port.checked_add(2)?)?.try_into().ok()?);
    let address = if family == 2 {
        let four: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
        IpAddr::V4(Ipv4Addr::from(four))
    } else {
        let sixteen: [u8; 16] = bytes.try_into().ok()?;
        IpAddr::V6(Ipv6Addr::from(sixteen))
    };
    Some(SocketAddr::new(address, port))
}

/// Does something in the network namespace of a process, on a thread of its own that ends there.
pub(crate) fn inside<T: Send>(
    host: &Host,
    pid: u32,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    let theirs = process::place(host, pid, "ns/net");
    let own = std::fs::read_link("/proc/self/ns/net")?;
    if std::fs::read_link(&theirs)? == own {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let namespace = std::fs::File::open(Path::new(&theirs))?;
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread did not end well")))
    })
}

/// Asks the sockets themselves, by a copy of one descriptor of each.
fn by_descriptor(all: &mut Collection<'_>, known: &Known, owners: &Owners, sockets: &mut Sockets) {
    let (mut refused, mut pidfds) = (0_usize, BTreeMap::new());
    for (inode, held) in owners {
        let Some((pid, fd)) = held.first().copied() else { continue };
        let pidfd = pidfds.entry(pid).or_insert_with(|| {
            let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
            rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()
        });
        let Some(pidfd) = pidfd else { continue };
        let Ok(number) = i32::try_from(fd) else { continue };
        let copy = rustix::process::pidfd_getfd(&*pidfd, number, PidfdGetfdFlags::empty());
        let Ok(copy) = copy else {
            refused = refused.saturating_add(1);
            continue;
        };
        let Some(mut one) = described(&copy) else { continue };
        drop(copy);
        // The number may have become another socket meanwhile.
        if socket_at(all.host, pid, fd) != Some(*inode) {
            continue;
        }
        let socket = sockets.entry(*inode).or_default();
        one.seen_by.clone_from(&socket.seen_by);
        one.namespaces.clone_from(&socket.namespaces);
        if socket.table.is_empty() {
            let namespace = known.processes.get(&pid).and_then(|one| one.namespaces.get("net"));
            one.namespaces.extend(namespace.cloned());
            *socket = one;
        } else {
            socket.filter_instructions = one.filter_instructions.or(socket.filter_instructions);
            socket.peer = one.peer;
        }
        socket.seen_by.insert("descriptor");
        // No more of theirs is held than has to be.
        if pidfds.len() > 256 {
            pidfds.clear();
        }
    }
    if refused > 0 {
        all.missed("pidfd_getfd", format!("{refused} sockets could not be asked themselves"));
    }
}

fn described(socket: &std::os::fd::OwnedFd) -> Option<Socket> {
    let family = sockopt::socket_domain(socket).ok()?;
    let kind = sockopt::socket_type(socket).ok()?;
    let protocol = sockopt::socket_protocol(socket).ok().flatten();
    let protocol = protocol.map_or(0, |one| one.as_raw().get());
    let address = rustix::net::getsockname(socket).ok();
    let local = address.and_then(|one| SocketAddr::try_from(one).ok());
    let peer = rustix::net::getpeername(socket).ok().flatten();
    let peer = peer.and_then(|one| SocketAddr::try_from(one).ok());
    let (inet, six) = (AddressFamily::INET, family == AddressFamily::INET6);
    let table = match (family, kind) {
        (family, SocketType::STREAM) if (family == inet || six) && protocol == 6 => "tcp",
        (family, SocketType::DGRAM) if (family == inet || six) && protocol == 17 => "udp",
        (family, SocketType::RAW) if family == inet || six => "raw",
        (AddressFamily::PACKET, _) => "packet",
        (AddressFamily::UNIX, _) => "unix",
        (AddressFamily::NETLINK, _) => "netlink",
        _ => "other",
    };
    let table = if six && table != "other" { format!("{table}6") } else { table.to_owned() };
    let of = |address: Option<SocketAddr>| address.map(|one| one.to_string()).unwrap_or_default();
    Some(Socket {
        local: of(local),
        remote: of(peer),
        listens: sockopt::socket_acceptconn(socket).unwrap_or(false),
        filter_instructions: sys::observe::filter_instructions(socket)
            .ok()
            .filter(|many| *many > 0),
        protocol: u16::try_from(protocol).unwrap_or(0),
        peer,
        table,
        ..Socket::default()
    })
}

/// Whether the tables of `/proc/net` would have it: not before it is bound or connected.
fn belongs_in_a_table(one: &Socket) -> bool {
    let bound = one.local.parse::<SocketAddr>().is_ok_and(|local| local.port() != 0);
    match one.table.as_str() {
        "tcp" | "tcp6" => one.listens || one.peer.is_some(),
        "udp" | "udp6" => bound,
        "raw" | "raw6" | "packet" => true,
        _ => false,
    }
}

/// GBX-LIVE-0301: in one view and not in the other, and still so after a second look.
fn hidden(all: &mut Collection<'_>, known: &Known, owners: &Owners, sockets: &Sockets) {
    let inet = |one: &Socket| !matches!(one.table.as_str(), "unix" | "netlink" | "other");
    let suspects: Vec<(&u64, &Socket)> = sockets
        .iter()
        .filter(|(_, one)| inet(one) && !one.seen_by.contains("table"))
        .filter(|(_, one)| one.seen_by.contains("netlink") || belongs_in_a_table(one))
        .collect();
    if suspects.is_empty() {
        return;
    }
    let mut again = Sockets::new();
    for (name, pid) in known.namespaces("net") {
        tables(all, &name, pid, &mut again);
    }
    for (inode, one) in suspects {
        let holder = owners.get(inode).and_then(|held| held.first()).copied();
        let gone = holder.is_some_and(|(pid, fd)| socket_at(all.host, pid, fd) != Some(*inode));
        // One that only netlink knew and nobody holds may have closed.
        if again.contains_key(inode) || gone || holder.is_none() {
            continue;
        }
        let views: Vec<&str> = one.seen_by.iter().copied().collect();
        let excerpt = format!("{} {} to {}", one.table, one.local, one.remote);
        let detail = format!("seen by {}, not in /proc/net/{}", views.join(", "), one.table);
        let seen = with_holder(known, holder, Seen { excerpt, detail, ..Seen::default() });
        all.finding("GBX-LIVE-0301", Seen { path: format!("socket:[{inode}]"), ..seen });
    }
}

fn with_holder(known: &Known, holder: Option<(u32, u32)>, seen: Seen) -> Seen {
    let Some((pid, fd)) = holder else { return seen };
    let Some(process) = known.processes.get(&pid) else { return seen };
    let by = format!("held by process {pid} ({}) as descriptor {fd}", process.program());
    let detail = if seen.detail.is_empty() { by } else { format!("{}; {by}", seen.detail) };
    Seen {
        pid: Some(pid),
        detail,
        who: process.who(),
        what: process.what(),
        sha256: process.sha256.clone(),
        ..seen
    }
}

/// What a socket is by itself.
fn judge(
    all: &mut Collection<'_>,
    known: &Known,
    inode: u64,
    one: &Socket,
    (held, all_read): (&[(u32, u32)], bool),
) {
    let holder = held.first().copied();
    let process = holder.and_then(|(pid, _)| known.processes.get(&pid));
    let path = format!("socket:[{inode}]");
    let filter = one
        .filter_instructions
        .map_or_else(String::new, |many| format!(", with a filter of {many} instructions"));
    match one.table.as_str() {
        "packet" => {
            let excerpt = format!("packet socket, protocol {}{filter}", one.local);
            let severity = process.is_some_and(is_known_program).then_some(Severity::Low);
            let seen = with_holder(known, holder, Seen { excerpt, severity, ..Seen::default() });
            all.finding("GBX-LIVE-0303", Seen { path, ..seen });
        }
        "raw" | "raw6" => {
            // ICMP and ICMPv6 are for reachability; whoever reads all of TCP reads others' connections.
            let quiet = matches!(one.protocol, 1 | 58) && process.is_none_or(is_installed);
            let severity = quiet.then_some(Severity::Info);
            let excerpt = format!("raw socket, IP protocol {}{filter}", one.protocol);
            let seen = with_holder(known, holder, Seen { excerpt, severity, ..Seen::default() });
            all.finding("GBX-LIVE-0304", Seen { path, ..seen });
        }
        _ if one.listens && held.is_empty() && all_read && all.host.is_running() => {
            let excerpt = format!("{} {} listens", one.table, one.local);
            all.finding("GBX-LIVE-0302", Seen { path, excerpt, ..Seen::default() });
        }
        _ => {}
    }
    for (pid, fd) in held.iter().filter(|(_, fd)| *fd <= 2) {
        if let Some(process) = known.processes.get(pid)
            && one.table.starts_with("tcp")
            && !one.listens
            && is_interpreter(process)
        {
            let ends = format!("a connection from {} to {}", one.local, one.remote);
            shell_on_a_socket(all, (*pid, process), &ends, *fd);
        }
    }
}

fn is_installed(process: &Process) -> bool {
    let exe = process.exe.as_deref().unwrap_or_default();
    [b"/usr/".as_slice(), b"/bin/", b"/sbin/", b"/lib"].iter().any(|place| exe.starts_with(place))
}

fn is_known_program(process: &Process) -> bool {
    let exe = process.exe.as_deref().unwrap_or_default();
    let name = exe.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    is_installed(process) && PACKET_PROGRAMS.iter().any(|known| known.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `linux/inet_diag.h`, `unix_diag.h` and `packet_diag.h` vouch for sizes and places.
    #[test]
    fn questions_and_answers_have_the_kernels_layout() {
        assert_eq!(question(2, 6).len(), 56);
        assert_eq!(question(1, 0).len(), 24);
        assert_eq!(question(17, 0).len(), 20);
        let mut body = vec![0_u8; 72];
        body[..2].copy_from_slice(&[2, 10]);
        body[4..6].copy_from_slice(&22_u16.to_be_bytes());
        body[8..12].copy_from_slice(&[127, 0, 0, 1]);
        body[68..].copy_from_slice(&99_u32.to_ne_bytes());
        let (inode, one) = answer(2, "tcp", &body).unwrap();
        assert_eq!((inode, one.local.as_str(), one.listens), (99, "127.0.0.1:22", true));
        for length in 0..72 {
            let _ = answer(2, "tcp", &body[..length]);
            let _ = answer(1, "unix", &body[..length]);
            let _ = answer(17, "packet", &body[..length]);
        }
    }
}
