//! One connection after its handshake: messages in frames that cannot be read, changed, repeated, left out or reordered.
//!
//! A frame is its length in two bytes and a Noise message. Each direction counts its frames, and the count is part of the
//! key stream: a frame at another place does not open. An end without the last message is an end in the middle.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use snow::TransportState;

use crate::{DATA_BYTES, Error, Message, PairingCode, crypto};

/// Longest frame, by Noise section 3.
const FRAME_BYTES: usize = 65_535;
/// The authentication tag of each frame, and of each handshake message.
const TAG_BYTES: usize = 16;
/// Both handshake messages of NNpsk0 are an ephemeral key and a tag.
const HANDSHAKE_BYTES: usize = 48;
/// What is written to the network at once.
const BATCH_BYTES: usize = 256 << 10;
/// Binds the handshake to this protocol and its version.
const PROLOGUE: &[u8] = b"glovebox wire 1";

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Connected, and speaks first.
    Sender,
    /// Listened.
    Receiver,
}

/// A proved connection.
pub struct Channel {
    stream: TcpStream,
    keys: TransportState,
    fingerprint: [u8; 32],
    /// Frames not written yet.
    out: Vec<u8>,
    /// What was read and is not a whole frame yet.
    held: Vec<u8>,
    plain: Vec<u8>,
}

impl Channel {
    /// Proves to the other end that this one has the code, and has it proved.
    ///
    /// # Errors
    /// When the other end does not have the code, is not done in time, or the network fails.
    pub fn establish(
        mut stream: TcpStream,
        role: Role,
        code: &PairingCode,
        within: Duration,
    ) -> Result<Self, Error> {
        let deadline = Instant::now().checked_add(within);
        stream.set_nodelay(true).map_err(Error::io("setting up a connection"))?;
        stream.set_write_timeout(Some(within)).map_err(Error::io("setting up a connection"))?;
        let key = code.key();
        let crypto = |_error| Error::Crypto;
        let builder = crypto::builder(&key, PROLOGUE).map_err(crypto)?;
        let (mut sent, mut found) = ([0; HANDSHAKE_BYTES], [0; HANDSHAKE_BYTES]);
        let mut nothing = [0; HANDSHAKE_BYTES];
        let mut say = |stream: &mut TcpStream, state: &mut snow::HandshakeState| {
            state.write_message(&[], &mut sent).map_err(crypto)?;
            stream.write_all(&sent).map_err(Error::io("sending the handshake"))
        };
        let mut state;
        match role {
            Role::Sender => {
                state = builder.build_initiator().map_err(crypto)?;
                say(&mut stream, &mut state)?;
                read_by(&mut stream, &mut found, deadline, within)?;
                state.read_message(&found, &mut nothing).map_err(|_| Error::OtherCode)?;
            }
            Role::Receiver => {
                state = builder.build_responder().map_err(crypto)?;
                read_by(&mut stream, &mut found, deadline, within)?;
                state.read_message(&found, &mut nothing).map_err(|_| Error::OtherCode)?;
                say(&mut stream, &mut state)?;
            }
        }
        let fingerprint = state.get_handshake_hash().try_into().unwrap_or_default();
        let keys = state.into_transport_mode().map_err(crypto)?;
        let plain = vec![0; FRAME_BYTES];
        Ok(Self { stream, keys, fingerprint, out: Vec::new(), held: Vec::new(), plain })
    }

    /// The hash of the handshake: the same at both ends of this very connection, and of no other.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Puts a message in line; it leaves with the next [`Self::flush`], or when enough has gathered.
    ///
    /// # Errors
    /// When the network fails.
    pub fn say(&mut self, message: &Message) -> Result<(), Error> {
        let mut plain = Vec::with_capacity(DATA_BYTES.saturating_add(64));
        message.put(&mut plain);
        let mut sealed = vec![0; plain.len().saturating_add(TAG_BYTES)];
        let length = self.keys.write_message(&plain, &mut sealed).map_err(|_| Error::Crypto)?;
        let prefix = u16::try_from(length).map_err(|_| Error::Crypto)?;
        self.out.extend(prefix.to_be_bytes());
        self.out.extend(sealed.get(..length).unwrap_or_default());
        if self.out.len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Sends what is in line.
    ///
    /// # Errors
    /// When the network fails.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.stream.write_all(&self.out).map_err(Error::io("sending"))?;
        self.out.clear();
        Ok(())
    }

    /// Waits for a message at most `wait`; `None` when none came.
    ///
    /// # Errors
    /// When the connection ended, or what came does not open.
    pub fn hear(&mut self, wait: Duration) -> Result<Option<Message>, Error> {
        let deadline = Instant::now().checked_add(wait);
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            let left =
                deadline.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
            // Zero would mean to wait for ever.
            self.stream
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .map_err(Error::io("setting up a connection"))?;
            let mut piece = [0; 64 << 10];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Error::Closed),
                Ok(length) => self.held.extend(piece.get(..length).unwrap_or_default()),
                Err(error) if is_timeout(&error) && left.is_zero() => return Ok(None),
                Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("receiving")(error)),
            }
        }
    }

    /// Waits for a message for as long as the other end may be silent.
    ///
    /// # Errors
    /// As [`Self::hear`]; when it stays silent; when what it says is no.
    pub fn answer(&mut self, silence: Duration) -> Result<Message, Error> {
        self.flush()?;
        match self.hear(silence)? {
            Some(Message::Refused { reason }) => {
                Err(Error::Refused { reason: hashing::escape_name(reason.as_bytes()) })
            }
            Some(message) => Ok(message),
            None => Err(Error::Silent { seconds: silence.as_secs() }),
        }
    }

    /// Says no, and gives the other end time to hear it before the connection goes away.
    pub fn refuse(mut self, reason: &str) {
        let said = self.say(&Message::Refused { reason: reason.to_owned() });
        if said.and_then(|()| self.flush()).is_err()
            || self.stream.shutdown(Shutdown::Write).is_err()
        {
            return;
        }
        // Closing while unread bytes wait would reset the connection and lose the reason.
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(500)));
        let mut piece = [0; 16 << 10];
        let until = Instant::now().checked_add(Duration::from_secs(5));
        while until.is_some_and(|until| Instant::now() < until) {
            if !matches!(self.stream.read(&mut piece), Ok(1..)) {
                return;
            }
        }
    }

    /// The next whole frame of what was read.
    fn take(&mut self) -> Result<Option<Message>, Error> {
        let Some((length, rest)) = self.held.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length <= TAG_BYTES {
            return Err(Error::Protocol { what: "a frame too short" });
        }
        let Some(sealed) = rest.get(..length) else { return Ok(None) };
        let opened = self.keys.read_message(sealed, &mut self.plain);
        let opened = opened.map_err(|_| Error::Protocol { what: "a frame that does not open" })?;
        let message = Message::parse(self.plain.get(..opened).unwrap_or_default())?;
        self.held.drain(..length.saturating_add(2));
        Ok(Some(message))
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Reads exactly so much before the deadline, however slowly it trickles in.
fn read_by(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    deadline: Option<Instant>,
    within: Duration,
) -> Result<(), Error> {
    let mut filled = 0usize;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let left =
            deadline.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(Error::Silent { seconds: within.as_secs() });
        }
        stream.set_read_timeout(Some(left)).map_err(Error::io("setting up a connection"))?;
        match stream.read(rest) {
            Ok(0) => return Err(Error::Closed),
            Ok(length) => filled = filled.saturating_add(length),
            Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("receiving the handshake")(error)),
        }
    }
    Ok(())
}
