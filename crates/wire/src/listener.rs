//! The listening end: strangers prove themselves beside the work, few at a time and not for long.

use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::{Channel, Error, Hello, Limits, Message, PairingCode, Role, TransferId};

/// How often a waiting listener looks whether it is to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// A connection that has proved itself and said what it wants.
pub(crate) struct Guest {
    pub(crate) channel: Channel,
    pub(crate) hello: Hello,
    pub(crate) from: SocketAddr,
}

/// What the threads at the door share.
struct Door {
    code: PairingCode,
    limits: Limits,
    strangers: AtomicUsize,
    turned_away: AtomicUsize,
    /// The first transfer that came in with the code; the code is good for no other.
    bound: Mutex<Option<TransferId>>,
    guests: SyncSender<Guest>,
}

/// A bound address and the code that opens it.
pub struct Listener {
    address: SocketAddr,
    door: Arc<Door>,
    queue: Receiver<Guest>,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    pub(crate) limits: Limits,
}

impl Listener {
    /// Listens, from now on.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(
        address: impl ToSocketAddrs,
        code: PairingCode,
        limits: Limits,
    ) -> Result<Self, Error> {
        let doing = "listening";
        let socket = TcpListener::bind(address).map_err(Error::io(doing))?;
        let address = socket.local_addr().map_err(Error::io(doing))?;
        socket.set_nonblocking(true).map_err(Error::io(doing))?;
        let (guests, queue) = sync_channel(1);
        let door = Arc::new(Door {
            code,
            limits,
            strangers: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            bound: Mutex::new(None),
            guests,
        });
        let closed = Arc::new(AtomicBool::new(false));
        let (at_door, is_closed) = (Arc::clone(&door), Arc::clone(&closed));
        let thread = std::thread::spawn(move || {
            while !is_closed.load(Ordering::Relaxed) {
                match socket.accept() {
                    Ok((stream, from)) => at_door.admit(stream, from),
                    // Also what a stranger can cause (a reset, too many descriptors): nothing to end for.
                    Err(_) => std::thread::sleep(GLANCE),
                }
            }
        });
        Ok(Self { address, door, queue, closed, thread: Some(thread), limits })
    }

    /// Where it listens; with the port the system chose, if it was to choose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that did not know the code, or did not say so in time.
    #[must_use]
    pub fn turned_away(&self) -> usize {
        self.door.turned_away.load(Ordering::Relaxed)
    }

    /// The next connection that proved itself.
    pub(crate) fn next(&self, wait: Duration) -> Option<Guest> {
        self.queue.recv_timeout(wait).ok()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Door {
    fn admit(self: &Arc<Self>, stream: TcpStream, from: SocketAddr) {
        if self.strangers.fetch_add(1, Ordering::SeqCst) >= self.limits.strangers {
            self.strangers.fetch_sub(1, Ordering::SeqCst);
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let door = Arc::clone(self);
        std::thread::spawn(move || {
            let guest = door.prove(stream, from);
            door.strangers.fetch_sub(1, Ordering::SeqCst);
            match guest {
                Ok(guest) => {
                    // Another one waits already: a sender that still wants in will come again.
                    let _ = door.guests.try_send(guest);
                }
                Err(_) => {
                    door.turned_away.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    fn prove(&self, stream: TcpStream, from: SocketAddr) -> Result<Guest, Error> {
        let doing = "setting up a connection";
        stream.set_nonblocking(false).map_err(Error::io(doing))?;
        let begun = Instant::now();
        let mut channel =
            Channel::establish(stream, Role::Receiver, &self.code, self.limits.handshake)?;
        let left = self.limits.handshake.saturating_sub(begun.elapsed());
        let Some(Message::Hello(hello)) = channel.hear(left)? else {
            return Err(Error::Protocol { what: "a beginning without a greeting" });
        };
        let is_welcome = {
            let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
            *bound.get_or_insert(hello.transfer) == hello.transfer
        };
        if is_welcome {
            return Ok(Guest { channel, hello, from });
        }
        let reason = "this pairing code is in use for another transfer";
        channel.refuse(reason);
        Err(Error::Refused { reason: reason.to_owned() })
    }
}
