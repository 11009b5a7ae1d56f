//! One packet each way over a local socket, with at most one descriptor beside it.
//!
//! `SOCK_SEQPACKET` keeps packet borders, so there is no framing to get wrong; a packet over
//! [`LIMIT_BYTES`] is refused on both sides.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};

/// Largest packet in bytes. A status of a thousand disks fits.
pub const LIMIT_BYTES: usize = 1 << 20;

/// Makes room in the kernel for the largest packet.
///
/// # Errors
/// What the kernel says of the socket.
pub fn make_room(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_send_buffer_size(&socket, LIMIT_BYTES)?;
    sockopt::set_socket_recv_buffer_size(&socket, LIMIT_BYTES)?;
    Ok(())
}

/// Sends one packet, with a descriptor beside it if given.
///
/// # Errors
/// `InvalidInput` over [`LIMIT_BYTES`]; otherwise what the kernel says.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    if bytes.len() > LIMIT_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "packet over the limit"));
    }
    let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for the descriptor"));
    }
    let sent = sendmsg(socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::Error::other("packet sent in part")) }
}

/// Receives one packet and the descriptor beside it; an empty packet means the other side left.
///
/// # Errors
/// `InvalidData` for a packet over [`LIMIT_BYTES`]; otherwise what the kernel says.
pub fn receive(socket: impl AsFd) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = vec![0; LIMIT_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let message =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "packet over the limit"));
    }
    bytes.truncate(message.bytes);
    Ok((bytes, descriptor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::Read;

    fn pair() -> (OwnedFd, OwnedFd) {
        let pair =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        make_room(&pair.0).unwrap();
        make_room(&pair.1).unwrap();
        pair
    }

    #[test]
    fn bytes_and_a_descriptor_arrive_together() {
        let (one, two) = pair();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"content").unwrap();
        io::Seek::rewind(&mut file).unwrap();
        send(&one, b"hello", Some(file.as_fd())).unwrap();
        let (bytes, descriptor) = receive(&two).unwrap();
        assert_eq!(bytes, b"hello");
        let mut text = String::new();
        std::fs::File::from(descriptor.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
    }

    #[test]
    fn leaving_is_an_empty_packet_and_too_much_is_refused() {
        let (one, two) = pair();
        assert!(send(&one, &vec![0; LIMIT_BYTES + 1], None).is_err());
        drop(one);
        assert!(receive(&two).unwrap().0.is_empty());
    }
}
