//! The sending end: one file after the other, over as many connections as it takes.
//!
//! What the receiver has not yet said to be on its medium is held in memory, up to a limit; so a connection that breaks
//! costs nothing but time, whatever the source of the bytes can or cannot do again.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::reception::hex;
use crate::{Channel, DATA_BYTES, Error, Hello, Limits, Message, PairingCode, Role};

/// The pause before another try to connect, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How a connection is made: to an address, within a time. Where a program may not connect, somebody does it for it.
pub type Dial = Arc<dyn Fn(SocketAddr, Duration) -> io::Result<TcpStream> + Send + Sync>;

/// A file about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Its name; letters, digits and a few signs, no folder.
    pub name: String,
    /// Its size in bytes, if known.
    pub size_bytes: Option<u64>,
    /// The first offset that will be written; not 0 when an earlier transfer goes on.
    pub offset_bytes: u64,
}

/// A file the receiver has read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of what the receiver's medium gave.
    pub sha256: [u8; 32],
}

/// One transfer to one receiver.
pub struct Sender {
    dial: Dial,
    address: String,
    code: PairingCode,
    hello: Hello,
    limits: Limits,
    stop: Arc<AtomicBool>,
    channel: Option<Channel>,
    receiver: String,
    fingerprint: String,
    connections: u64,
    file: Option<Outgoing>,
}

/// The file being sent.
struct Outgoing {
    start: Start,
    /// Not known to be on the receiver's medium; in order.
    window: VecDeque<Piece>,
    window_bytes: u64,
    /// The offset behind everything written.
    end_bytes: u64,
    /// How many pieces of the window this connection has been given.
    given: usize,
    /// Bytes given since the receiver was last asked to flush.
    since_keep_bytes: u64,
}

struct Piece {
    offset_bytes: u64,
    bytes: Vec<u8>,
}

impl Piece {
    fn length(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }
}

impl Outgoing {
    fn first_bytes(&self) -> u64 {
        self.window.front().map_or(self.end_bytes, |piece| piece.offset_bytes)
    }

    /// Lets go of what lies before the offset.
    fn kept(&mut self, offset_bytes: u64) {
        while let Some(piece) = self.window.front()
            && piece.offset_bytes.saturating_add(piece.length()) <= offset_bytes
        {
            self.window_bytes = self.window_bytes.saturating_sub(piece.length());
            self.given = self.given.saturating_sub(1);
            self.window.pop_front();
        }
    }
}

impl Sender {
    /// Connects and proves itself. One that cannot be reached at all is said at once, not after the limit of patience.
    ///
    /// # Errors
    /// When the receiver cannot be reached, has another code, or says no.
    pub fn connect(
        address: &str,
        code: PairingCode,
        hello: Hello,
        limits: Limits,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let dial: Dial = Arc::new(|to, within| TcpStream::connect_timeout(&to, within));
        Self::connect_by(dial, address, code, hello, limits, stop)
    }

    /// The same over connections that somebody else makes.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_by(
        dial: Dial,
        address: &str,
        code: PairingCode,
        hello: Hello,
        limits: Limits,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let mut sender = Self {
            dial,
            address: address.to_owned(),
            code,
            hello,
            limits,
            stop,
            channel: None,
            receiver: String::new(),
            fingerprint: String::new(),
            connections: 0,
            file: None,
        };
        sender.attach()?;
        Ok(sender)
    }

    /// Who receives, in its own words.
    #[must_use]
    pub fn receiver(&self) -> &str {
        &self.receiver
    }

    /// The hash of the latest connection's handshake, in hexadecimal; the receiver has the same.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// How many connections it took so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Begins a file.
    ///
    /// # Errors
    /// When the receiver says no, or cannot be reached again.
    pub fn begin(&mut self, start: Start) -> Result<(), Error> {
        let end_bytes = start.offset_bytes;
        self.file = Some(Outgoing {
            start,
            window: VecDeque::new(),
            window_bytes: 0,
            end_bytes,
            given: 0,
            since_keep_bytes: 0,
        });
        self.persist(|sender| {
            let channel = sender.channel.as_mut().ok_or(Error::Closed)?;
            begin(channel, sender.file.as_mut(), sender.limits.silence)
        })
    }

    /// Sends the next bytes; waits while more than the window is under way.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let file = self.file.as_mut().ok_or(Error::Protocol { what: "bytes without a file" })?;
        let piece = Piece { offset_bytes: file.end_bytes, bytes: bytes.to_vec() };
        file.end_bytes = file.end_bytes.saturating_add(piece.length());
        file.window_bytes = file.window_bytes.saturating_add(piece.length());
        file.window.push_back(piece);
        let most_bytes = self.limits.window_bytes;
        self.persist(|sender| {
            sender.give()?;
            while let Some(file) =
                sender.file.as_ref().filter(|file| file.window_bytes > most_bytes)
            {
                if file.since_keep_bytes >= file.window_bytes {
                    // The receiver was not asked for any of it.
                    sender.ask_to_keep()?;
                }
                sender.hear_kept()?;
            }
            Ok(())
        })
    }

    /// Waits until everything written is on the receiver's medium; gives the offset behind it.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn keep(&mut self) -> Result<u64, Error> {
        self.persist(|sender| {
            sender.give()?;
            sender.ask_to_keep()?;
            let end_bytes = sender.file.as_ref().map_or(0, |file| file.end_bytes);
            while sender.hear_kept()? < end_bytes {}
            Ok(end_bytes)
        })
    }

    /// Has the receiver read the file back. `progress` is given the bytes it has read, now and then.
    ///
    /// # Errors
    /// As [`Self::begin`]; [`Error::Stopped`] when `progress` says so.
    pub fn end(&mut self, progress: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Sent, Error> {
        self.persist(|sender| {
            sender.give()?;
            let size_bytes = sender.file.as_ref().map_or(0, |file| file.end_bytes);
            let silence = sender.limits.silence;
            let channel = sender.channel.as_mut().ok_or(Error::Closed)?;
            channel.say(&Message::End { size_bytes })?;
            loop {
                match channel.answer(silence)? {
                    Message::Kept { .. } => {}
                    Message::Working { done_bytes } => {
                        if progress(done_bytes).is_break() {
                            return Err(Error::Stopped);
                        }
                    }
                    Message::ReadBack { size_bytes: found, sha256 } if found == size_bytes => {
                        return Ok(Sent { size_bytes, sha256 });
                    }
                    _ => return Err(Error::Protocol { what: "an answer that was not asked for" }),
                }
            }
        })
    }

    /// Agrees to what was read back: the file gets its name.
    ///
    /// # Errors
    /// When `sha256`, of what was sent, is not what was read back; else as [`Self::begin`].
    pub fn publish(&mut self, sha256: [u8; 32]) -> Result<(), Error> {
        let mut connection = self.connections;
        loop {
            let said = self.say_publish(sha256);
            match said {
                Ok(()) => {
                    self.file = None;
                    return Ok(());
                }
                Err(error) if error.is_passing() => {
                    // Whether it has its name by now is not known. Reading back again is slow, rare and always right.
                    let sent = self.end(&mut |_done| ControlFlow::Continue(()))?;
                    if sent.sha256 != sha256 {
                        return Err(Error::Mismatch {
                            found: hex(&sent.sha256),
                            expected: hex(&sha256),
                        });
                    }
                    if connection == self.connections {
                        return Err(error);
                    }
                    connection = self.connections;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn say_publish(&mut self, sha256: [u8; 32]) -> Result<(), Error> {
        let channel = self.channel.as_mut().ok_or(Error::Closed)?;
        let said = channel
            .say(&Message::Publish { sha256 })
            .and_then(|()| channel.answer(self.limits.silence));
        match said {
            Ok(Message::Published) => Ok(()),
            Ok(_) => Err(Error::Protocol { what: "an answer that was not asked for" }),
            Err(error) => {
                self.channel = None;
                Err(error)
            }
        }
    }

    /// Ends the transfer; gives the receiver's receipt.
    ///
    /// # Errors
    /// When the receiver could not record it, or cannot be reached again.
    pub fn finish(&mut self) -> Result<String, Error> {
        self.persist(|sender| {
            let silence = sender.limits.silence;
            let channel = sender.channel.as_mut().ok_or(Error::Closed)?;
            channel.say(&Message::Finish)?;
            let Message::Finished { receipt } = channel.answer(silence)? else {
                return Err(Error::Protocol { what: "an answer that was not asked for" });
            };
            // It has recorded everything; if this does not reach it, it waits a little and ends too.
            let _ = channel.say(&Message::Bye).and_then(|()| channel.flush());
            Ok(receipt)
        })
    }

    /// Gives the connection everything it was not given yet.
    fn give(&mut self) -> Result<(), Error> {
        let channel = self.channel.as_mut().ok_or(Error::Closed)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        while let Some(piece) = file.window.get(file.given) {
            let mut offset_bytes = piece.offset_bytes;
            for bytes in piece.bytes.chunks(DATA_BYTES) {
                channel.say(&Message::Data { offset_bytes, bytes: bytes.to_vec() })?;
                offset_bytes = offset_bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
            }
            file.since_keep_bytes = file.since_keep_bytes.saturating_add(piece.length());
            file.given = file.given.saturating_add(1);
            if file.since_keep_bytes >= self.limits.keep_every_bytes {
                file.since_keep_bytes = 0;
                channel.say(&Message::Keep)?;
            }
        }
        channel.flush()
    }

    fn ask_to_keep(&mut self) -> Result<(), Error> {
        if let Some(file) = &mut self.file {
            file.since_keep_bytes = 0;
        }
        self.channel.as_mut().ok_or(Error::Closed)?.say(&Message::Keep)
    }

    fn hear_kept(&mut self) -> Result<u64, Error> {
        let channel = self.channel.as_mut().ok_or(Error::Closed)?;
        match channel.answer(self.limits.silence)? {
            Message::Kept { offset_bytes } => {
                if let Some(file) = &mut self.file {
                    file.kept(offset_bytes);
                }
                Ok(offset_bytes)
            }
            _ => Err(Error::Protocol { what: "an answer that was not asked for" }),
        }
    }

    /// Does something, over new connections if it has to be. Each time it got further, patience begins anew.
    fn persist<T>(
        &mut self,
        mut work: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (mut since, mut pause) = (Instant::now(), FIRST_PAUSE);
        let mut stood = self.stands();
        let mut result = work(self);
        loop {
            let error = match result {
                Err(error) if error.is_passing() => self.last_word(error),
                other => return other,
            };
            if !error.is_passing() {
                return Err(error);
            }
            if self.stands() != stood {
                (stood, since, pause) = (self.stands(), Instant::now(), FIRST_PAUSE);
            }
            if since.elapsed() >= self.limits.patience {
                return Err(error);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            result = match self.attach() {
                Ok(()) => work(self),
                // Somebody in between can make this appear; the code was right before.
                Err(Error::OtherCode) => Err(Error::Io {
                    doing: "connecting again".to_owned(),
                    source: std::io::Error::other(Error::OtherCode),
                }),
                Err(error) => Err(error),
            };
        }
    }

    fn stands(&self) -> u64 {
        self.file.as_ref().map_or(0, Outgoing::first_bytes)
    }

    /// A connection that broke may still hold the reason.
    fn last_word(&mut self, error: Error) -> Error {
        let Some(mut channel) = self.channel.take() else { return error };
        while let Ok(Some(message)) = channel.hear(Duration::from_millis(50)) {
            if let Message::Refused { reason } = message {
                return Error::Refused { reason: hashing::escape_name(reason.as_bytes()) };
            }
        }
        error
    }

    /// A new connection, standing where the receiver stands.
    fn attach(&mut self) -> Result<(), Error> {
        let doing = || format!("connecting to {}", self.address);
        let addresses = self.address.to_socket_addrs().map_err(Error::io(doing()))?;
        let mut result =
            Err(Error::Io { doing: doing(), source: std::io::ErrorKind::NotFound.into() });
        for address in addresses {
            let connected = (self.dial)(address, self.limits.handshake);
            match connected.map_err(Error::io(doing())) {
                Ok(stream) => {
                    result = Ok(stream);
                    break;
                }
                Err(error) => result = Err(error),
            }
        }
        let mut channel =
            Channel::establish(result?, Role::Sender, &self.code, self.limits.handshake)?;
        channel.say(&Message::Hello(self.hello.clone()))?;
        let Message::Welcome { receiver } = channel.answer(self.limits.silence)? else {
            return Err(Error::Protocol { what: "an answer that was not asked for" });
        };
        self.receiver = receiver;
        self.fingerprint = hex(&channel.fingerprint());
        self.connections = self.connections.saturating_add(1);
        begin(&mut channel, self.file.as_mut(), self.limits.silence)?;
        self.channel = Some(channel);
        Ok(())
    }
}

/// Begins the file, or goes on with it, on this connection.
fn begin(
    channel: &mut Channel,
    file: Option<&mut Outgoing>,
    silence: Duration,
) -> Result<(), Error> {
    let Some(file) = file else { return Ok(()) };
    channel.say(&Message::Begin {
        name: file.start.name.clone(),
        size_bytes: file.start.size_bytes,
        from_bytes: file.end_bytes,
    })?;
    let Message::At { offset_bytes } = channel.answer(silence)? else {
        return Err(Error::Protocol { what: "an answer that was not asked for" });
    };
    let first_bytes = file.first_bytes();
    if offset_bytes < first_bytes || offset_bytes > file.end_bytes {
        return Err(Error::Lost { found: offset_bytes, expected: first_bytes });
    }
    // What the receiver has may not be on its medium: it stays in the window, and only the rest is given again.
    let pieces = file
        .window
        .iter()
        .position(|piece| piece.offset_bytes.saturating_add(piece.length()) > offset_bytes);
    file.given = pieces.unwrap_or(file.window.len());
    file.since_keep_bytes = file.window_bytes;
    if let Some(piece) = file.window.get(file.given)
        && let Some(head) = offset_bytes.checked_sub(piece.offset_bytes).filter(|head| *head > 0)
    {
        split(file, head);
    }
    Ok(())
}

/// Cuts the piece that is to be given next in two, so that its rest can be given alone.
fn split(file: &mut Outgoing, head_bytes: u64) {
    let Some(piece) = file.window.get_mut(file.given) else { return };
    let head = usize::try_from(head_bytes).unwrap_or(usize::MAX).min(piece.bytes.len());
    let bytes = piece.bytes.split_off(head);
    let offset_bytes = piece.offset_bytes.saturating_add(head_bytes);
    file.given = file.given.saturating_add(1);
    file.window.insert(file.given, Piece { offset_bytes, bytes });
}
