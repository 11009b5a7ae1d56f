//! Bringing one network interface up by hand: the requests of `linux/sockios.h` for IPv4 (netdevice(7)).
//!
//! No policy: which interface, and when, is decided by the caller.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

const SIOCADDRT: libc::c_ulong = 0x890b;
const SIOCGIFFLAGS: libc::c_ulong = 0x8913;
const SIOCSIFFLAGS: libc::c_ulong = 0x8914;
const SIOCSIFADDR: libc::c_ulong = 0x8916;
const SIOCSIFNETMASK: libc::c_ulong = 0x891c;
const IFF_UP: u16 = 1;
const RTF_UP: u16 = 1;
const RTF_GATEWAY: u16 = 2;
/// `IFNAMSIZ`, the closing zero included.
const NAME_BYTES: usize = 16;

/// Whether an interface takes part in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It does.
    Up,
    /// It does not.
    Down,
}

/// `struct sockaddr_in`, which fills the place of a `struct sockaddr`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Address {
    family: u16,
    port: u16,
    address: [u8; 4],
    rest: [u8; 8],
}

impl Address {
    fn of(address: Ipv4Addr) -> Self {
        let family = u16::try_from(libc::AF_INET).unwrap_or(2);
        Self { family, address: address.octets(), ..Self::default() }
    }
}

/// `struct ifreq`: a name, and 24 bytes whose meaning depends on the request.
#[repr(C)]
struct Request<T> {
    name: [u8; NAME_BYTES],
    value: T,
}

#[repr(C)]
struct AddressValue {
    address: Address,
    rest: [u8; 8],
}

#[repr(C)]
struct FlagsValue {
    flags: u16,
    rest: [u8; 22],
}

/// `struct rtentry` of `linux/route.h`.
#[repr(C)]
struct Route {
    pad_1: libc::c_ulong,
    destination: Address,
    gateway: Address,
    mask: Address,
    flags: u16,
    pad_2: i16,
    pad_3: libc::c_ulong,
    pad_4: usize,
    metric: i16,
    device: usize,
    mtu: libc::c_ulong,
    window: libc::c_ulong,
    timeout: u16,
}

fn name_of(interface: &str) -> io::Result<[u8; NAME_BYTES]> {
    let mut name = [0; NAME_BYTES];
    let fits = !interface.is_empty() && interface.len() < NAME_BYTES && !interface.contains('\0');
    if !fits {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    name[..interface.len()].copy_from_slice(interface.as_bytes());
    Ok(name)
}

/// A socket that no packet ever leaves from: requests about interfaces need one.
fn socket() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    Ok(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

fn send<T>(number: libc::c_ulong, request: &mut T) -> io::Result<()> {
    let socket = socket()?;
    // SAFETY: every caller passes the structure that belongs to the number, laid out as in the kernel's header; the kernel
    // keeps nothing of it.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), number, std::ptr::from_mut(request)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets an interface up or down.
///
/// # Errors
/// `ENODEV` if there is none, `EPERM` without CAP_NET_ADMIN.
pub fn set_link(interface: &str, link: Link) -> io::Result<()> {
    let value = FlagsValue { flags: 0, rest: [0; 22] };
    let mut request = Request { name: name_of(interface)?, value };
    send(SIOCGIFFLAGS, &mut request)?;
    match link {
        Link::Up => request.value.flags |= IFF_UP,
        Link::Down => request.value.flags &= !IFF_UP,
    }
    send(SIOCSIFFLAGS, &mut request)
}

/// Gives an interface an address and the length of its network's prefix; zeros take it away.
///
/// # Errors
/// As [`set_link`]; `EINVAL` for a prefix over 32 bits.
pub fn set_address(interface: &str, address: Ipv4Addr, prefix_bits: u8) -> io::Result<()> {
    let left = 32_u32.checked_sub(u32::from(prefix_bits)).ok_or(io::ErrorKind::InvalidInput)?;
    let name = name_of(interface)?;
    let value = |address| AddressValue { address: Address::of(address), rest: [0; 8] };
    send(SIOCSIFADDR, &mut Request { name, value: value(address) })?;
    if address.is_unspecified() {
        return Ok(());
    }
    let mask = Ipv4Addr::from(u32::MAX.checked_shl(left).unwrap_or(0));
    send(SIOCSIFNETMASK, &mut Request { name, value: value(mask) })
}

/// Sends what is for no network of an interface to this gateway.
///
/// # Errors
/// `ENETUNREACH` if it is on no network of an interface that is up.
pub fn set_gateway(gateway: Ipv4Addr) -> io::Result<()> {
    let nowhere = Address::of(Ipv4Addr::UNSPECIFIED);
    let mut route = Route {
        pad_1: 0,
        destination: nowhere,
        gateway: Address::of(gateway),
        mask: nowhere,
        flags: RTF_UP | RTF_GATEWAY,
        pad_2: 0,
        pad_3: 0,
        pad_4: 0,
        metric: 0,
        device: 0,
        mtu: 0,
        window: 0,
        timeout: 0,
    };
    send(SIOCADDRT, &mut route)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The C library's own declarations vouch.
    #[test]
    fn layouts_are_those_of_the_c_library() {
        assert_eq!(size_of::<Request<AddressValue>>(), size_of::<libc::ifreq>());
        assert_eq!(size_of::<Request<FlagsValue>>(), size_of::<libc::ifreq>());
        assert_eq!(size_of::<Address>(), size_of::<libc::sockaddr>());
        assert_eq!(size_of::<Route>(), 120);
        assert_eq!(offset_of!(Route, gateway), 24);
        assert_eq!(offset_of!(Route, flags), 56);
        assert_eq!(offset_of!(Route, device), 88);
    }

    #[test]
    fn names_are_bounded_and_what_is_not_there_is_said() {
        for bad in ["", "a-name-that-is-far-too-long", "a\0b"] {
            assert_eq!(set_link(bad, Link::Down).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(set_link("none0", Link::Down).is_err());
        assert!(set_address("none0", Ipv4Addr::LOCALHOST, 33).is_err());
    }
}
