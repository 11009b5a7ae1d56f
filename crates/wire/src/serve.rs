//! The receiving end of one transfer, from the first connection to the last word.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::listener::Guest;
use crate::{Channel, Error, Hello, Listener, Message, Received, Reception};

/// How often the receiver looks for something else than the next message.
const GLANCE: Duration = Duration::from_millis(250);
/// How often it says that it is alive while it reads back.
const ALIVE_EVERY_BYTES: u64 = 64 << 20;

/// What a receiver tells the person beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A sender connected, for the first time or again.
    Connected {
        /// From where.
        from: SocketAddr,
        /// What the handshake of this connection hashes to, in hexadecimal; the sender has the same.
        fingerprint: String,
    },
    /// The connection ended; the sender may come back.
    Disconnected {
        /// Why.
        why: String,
    },
    /// So much of a file is here.
    Arrived {
        /// Its name.
        name: String,
        /// In bytes.
        done_bytes: u64,
        /// In bytes, if known.
        size_bytes: Option<u64>,
    },
    /// So much of the file was read back.
    ReadBack {
        /// In bytes.
        done_bytes: u64,
        /// In bytes.
        size_bytes: u64,
    },
}

/// What the receiving program decides.
pub trait Handler {
    /// Who receives, for the sender's record.
    fn receiver(&self) -> String;

    /// The folder for a transfer: the one where it stood, if it is to go on.
    ///
    /// # Errors
    /// A sentence for the sender, when there is no place for it.
    fn place(&mut self, hello: &Hello) -> Result<PathBuf, String>;

    /// Something happened.
    fn told(&mut self, told: Told);

    /// Everything has its name: records it, and gives the receipt for the sender. Called once.
    ///
    /// # Errors
    /// A sentence for the sender, when it could not be recorded.
    fn finish(&mut self, reception: &Reception) -> Result<String, String>;
}

/// How a connection ended that did not fail.
enum Ended {
    /// The sender heard that all is well.
    Heard,
    /// Another connection of the same transfer waits: this one is dead and does not know it yet.
    Replaced(Box<Guest>),
}

/// A transfer under way.
struct Work<'a> {
    listener: &'a Listener,
    handler: &'a mut dyn Handler,
    cancel: &'a AtomicBool,
    reception: Option<Reception>,
    receipt: Option<String>,
    files: Vec<Received>,
}

impl Listener {
    /// Receives one transfer, over as many connections as it takes; gives what has its name and what has not.
    ///
    /// # Errors
    /// When `cancel` was set; the state stays, and the transfer can go on with another listener.
    pub fn receive(
        self,
        handler: &mut dyn Handler,
        cancel: &AtomicBool,
    ) -> Result<Vec<Received>, Error> {
        let mut work = Work {
            listener: &self,
            handler,
            cancel,
            reception: None,
            receipt: None,
            files: Vec::new(),
        };
        let mut waiting: Option<Guest> = None;
        let mut alone_since = Instant::now();
        loop {
            if cancel.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            if work.receipt.is_some() && alone_since.elapsed() > self.limits.grace {
                // Recorded here; whether the sender heard so is its own concern.
                return Ok(work.files);
            }
            let Some(guest) = waiting.take().or_else(|| self.next(GLANCE)) else { continue };
            match work.serve(guest) {
                Ok(Ended::Heard) => return Ok(work.files),
                Ok(Ended::Replaced(guest)) => waiting = Some(*guest),
                Err(Error::Stopped) => return Err(Error::Stopped),
                Err(error) => work.handler.told(Told::Disconnected { why: chain(&error) }),
            }
            alone_since = Instant::now();
        }
    }
}

fn chain(error: &Error) -> String {
    match error {
        Error::Io { doing, source } => format!("{doing}: {source}"),
        other => other.to_string(),
    }
}

impl Work<'_> {
    fn serve(&mut self, guest: Guest) -> Result<Ended, Error> {
        let Guest { mut channel, hello, from } = guest;
        let fingerprint = crate::reception::hex(&channel.fingerprint());
        self.handler.told(Told::Connected { from, fingerprint });
        if let Err(error) = self.welcome(&mut channel, &hello) {
            return Err(said_no(channel, error));
        }
        match self.messages(&mut channel) {
            Err(error @ (Error::Refused { .. } | Error::Mismatch { .. } | Error::Lost { .. })) => {
                Err(said_no(channel, error))
            }
            other => other,
        }
    }

    fn welcome(&mut self, channel: &mut Channel, hello: &Hello) -> Result<(), Error> {
        if self.reception.is_none() && self.receipt.is_none() {
            let folder = self.handler.place(hello).map_err(|reason| Error::Refused { reason })?;
            self.reception = Some(Reception::open(&folder, hello)?);
        }
        channel.say(&Message::Welcome { receiver: self.handler.receiver() })?;
        channel.flush()
    }

    fn messages(&mut self, channel: &mut Channel) -> Result<Ended, Error> {
        let mut name = (String::new(), None);
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            let Some(message) = channel.hear(GLANCE)? else {
                // Only while this one is silent: what it has sent comes first.
                match self.listener.next(Duration::ZERO) {
                    Some(guest) => return Ok(Ended::Replaced(Box::new(guest))),
                    None => continue,
                }
            };
            if let Some(receipt) = &self.receipt {
                match message {
                    Message::Finish => {
                        channel.say(&Message::Finished { receipt: receipt.clone() })?;
                    }
                    Message::Bye => return Ok(Ended::Heard),
                    _ => {
                        return Err(Error::Refused {
                            reason: "this transfer is finished".to_owned(),
                        });
                    }
                }
                channel.flush()?;
                continue;
            }
            let reception = self
                .reception
                .as_mut()
                .ok_or(Error::Protocol { what: "a message before a greeting" })?;
            match message {
                Message::Begin { name: file, size_bytes, from_bytes } => {
                    let limit = self.listener.limits.files;
                    let offset_bytes = reception.begin(&file, size_bytes, from_bytes, limit)?;
                    name = (file, size_bytes);
                    channel.say(&Message::At { offset_bytes })?;
                }
                Message::Data { offset_bytes, bytes } => {
                    reception.append(offset_bytes, &bytes)?;
                    continue;
                }
                Message::Keep => {
                    let offset_bytes = reception.keep()?;
                    channel.say(&Message::Kept { offset_bytes })?;
                    let (name, size_bytes) = name.clone();
                    self.handler.told(Told::Arrived { name, done_bytes: offset_bytes, size_bytes });
                }
                Message::End { size_bytes } => {
                    let (mut said, handler, cancel) = (0u64, &mut *self.handler, self.cancel);
                    let (size_bytes, sha256) =
                        reception.read_back(size_bytes, &mut |done_bytes| {
                            if cancel.load(Ordering::Relaxed) {
                                return Err(Error::Stopped);
                            }
                            if done_bytes.saturating_sub(said) >= ALIVE_EVERY_BYTES {
                                said = done_bytes;
                                handler.told(Told::ReadBack { done_bytes, size_bytes });
                                channel.say(&Message::Working { done_bytes })?;
                                channel.flush()?;
                            }
                            Ok(())
                        })?;
                    channel.say(&Message::ReadBack { size_bytes, sha256 })?;
                }
                Message::Publish { sha256 } => {
                    reception.publish(sha256)?;
                    channel.say(&Message::Published)?;
                }
                Message::Finish => self.finish(channel)?,
                _ => return Err(Error::Protocol { what: "a message that is not for a receiver" }),
            }
            channel.flush()?;
        }
    }

    fn finish(&mut self, channel: &mut Channel) -> Result<(), Error> {
        let reception =
            self.reception.as_ref().ok_or(Error::Protocol { what: "an end before a beginning" })?;
        if reception.files().iter().any(|file| file.sha256.is_none()) {
            return Err(Error::Refused { reason: "not every file has its name".to_owned() });
        }
        self.files = reception.files().to_vec();
        // Before the record is made, so that it finds the folder as it will stay.
        reception.forget()?;
        let receipt = self.handler.finish(reception).map_err(|reason| Error::Refused { reason })?;
        self.receipt = Some(receipt.clone());
        channel.say(&Message::Finished { receipt })
    }
}

/// Tells the sender, and gives the error back.
fn said_no(channel: Channel, error: Error) -> Error {
    let reason = match &error {
        Error::Refused { reason } => reason.clone(),
        other => chain(other),
    };
    if !matches!(error, Error::Closed | Error::Stopped) {
        channel.refuse(&reason);
    }
    error
}
