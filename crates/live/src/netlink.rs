//! Netlink: one question, all answers. The forms are those of `linux/netlink.h` and the headers named where they are used.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Longest answer to one question, in bytes: a million sockets.
const ANSWER_BYTES_AT_MOST: usize = 128 << 20;
const HEADER_BYTES: usize = 16;
const REQUEST_AND_DUMP: u16 = 0x0301;
const DONE: u16 = 3;
const ERROR: u16 = 2;

/// Which part of the kernel is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Interfaces, addresses, neighbours, routes.
    Route,
    /// Sockets.
    Sockets,
}

/// A socket in the network namespace of the calling thread.
pub(crate) struct Asking {
    socket: OwnedFd,
}

impl Asking {
    /// # Errors
    /// If the kernel has no such part.
    pub(crate) fn open(part: Part) -> io::Result<Self> {
        let protocol = match part {
            Part::Route => None,
            Part::Sockets => Some(netlink::SOCK_DIAG),
        };
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
        let patience = std::time::Duration::from_secs(5);
        set_socket_timeout(&socket, Timeout::Recv, Some(patience))?;
        Ok(Self { socket })
    }

    /// Asks, and gives every answer's type and body to `each`.
    ///
    /// # Errors
    /// What the kernel answers with, or if the answer is endless.
    pub(crate) fn dump(
        &self,
        kind: u16,
        body: &[u8],
        each: &mut dyn FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        let length = HEADER_BYTES.saturating_add(body.len());
        let length = u32::try_from(length).map_err(io::Error::other)?;
        let mut question = Vec::new();
        question.extend_from_slice(&length.to_ne_bytes());
        question.extend_from_slice(&kind.to_ne_bytes());
        question.extend_from_slice(&REQUEST_AND_DUMP.to_ne_bytes());
        question.extend_from_slice(&1_u32.to_ne_bytes());
        question.extend_from_slice(&0_u32.to_ne_bytes());
        question.extend_from_slice(body);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(self.socket.as_fd(), &question, SendFlags::empty(), &kernel)?;
        let mut buffer = vec![0_u8; 256 << 10];
        let mut taken = 0_usize;
        loop {
            let (count, _) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            taken = taken.saturating_add(count);
            if count == 0 || taken > ANSWER_BYTES_AT_MOST {
                return Err(io::Error::other("the answer has no end"));
            }
            if messages(buffer.get(..count).unwrap_or_default(), each)? {
                return Ok(());
            }
        }
    }
}

/// Takes the messages of one datagram apart; true behind the last of an answer.
fn messages(bytes: &[u8], each: &mut dyn FnMut(u16, &[u8])) -> io::Result<bool> {
    let mut rest = bytes;
    while let Some(length) = u32_at(rest, 0) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = rest.get(HEADER_BYTES..length) else {
            return Err(io::Error::other("a message is longer than its datagram"));
        };
        match u16_at(rest, 4).unwrap_or(DONE) {
            DONE => return Ok(true),
            ERROR => {
                let code = u32_at(body, 0).unwrap_or(0).cast_signed();
                return Err(io::Error::from_raw_os_error(code.saturating_neg()));
            }
            kind => each(kind, body),
        }
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    Ok(false)
}

/// Attributes behind the fixed part of an answer: type and value.
pub(crate) fn attributes(bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let (mut rest, mut all) = (bytes, Vec::new());
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let Some(value) = rest.get(4..length) else { break };
        // The two highest bits say how the value is put together.
        all.push((kind & 0x3fff, value));
        rest = rest.get(aligned(length)..).unwrap_or_default();
    }
    all
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let end = at.checked_add(2)?;
    Some(u16::from_ne_bytes(bytes.get(at..end)?.try_into().ok()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_ne_bytes(bytes.get(at..end)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let end = at.checked_add(8)?;
    Some(u64::from_ne_bytes(bytes.get(at..end)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_make_it_panic_or_hang() {
        let mut state = 7_u64;
        for length in 0..400_usize {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    // Small numbers: lengths that fit, and those that nearly do.
                    (state >> 60) as u8 * u8::from(state >> 59 & 1 == 0)
                })
                .collect();
            let _ = messages(&bytes, &mut |_, body| drop(attributes(body)));
            let _ = attributes(&bytes);
        }
    }

    /// The kernel vouches: there is a loopback interface in every namespace.
    #[test]
    fn the_kernel_answers() {
        let asking = Asking::open(Part::Route).unwrap();
        let mut names = Vec::new();
        asking
            .dump(18, &[0; 16], &mut |_, body| {
                let all = attributes(body.get(16..).unwrap_or_default());
                names.extend(all.iter().filter(|one| one.0 == 3).map(|one| one.1.to_vec()));
            })
            .unwrap();
        assert!(names.contains(&b"lo\0".to_vec()), "{names:?}");
    }
}
