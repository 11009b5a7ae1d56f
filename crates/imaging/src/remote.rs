//! A copy on another machine: the bytes of the disk to a receiver of ours, which reads them back from its own medium.
//!
//! Always raw bytes: what a format adds would have to be written back and forth. Two copies in one run are two proofs;
//! that one of them went over a network changes nothing of the other.

use std::io;
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashing::{Algorithm, Digest, Digests, escape_name};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wire::{Dial, Hello, Limits, PairingCode, Sender, Start, TransferId};

use crate::{
    Acquisition, Checkpoint, Destination, Error, Flush, ImageWriter, Medium, Part, Tick, Verified,
};

/// The file at the receiver.
const FILE: &str = "image.raw";

/// A receiver that is wanted; everything but the code, which is a secret and is asked for each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Host and port.
    pub address: String,
    /// What ties the connections together.
    transfer: String,
    /// What is sent, for the receiver's record.
    pub what: Value,
}

impl Remote {
    /// A new transfer to this host and port.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn new(address: &str, what: Value) -> Result<Self, Error> {
        let transfer = TransferId::generate().map_err(|source| failed(address, source))?.to_hex();
        Ok(Self { address: address.to_owned(), transfer, what })
    }
}

#[derive(Serialize, Deserialize)]
struct State {
    at_bytes: u64,
}

/// A copy being sent.
pub struct RemoteCopy {
    sender: Sender,
    remote: Remote,
    receipt: Option<Value>,
    unrecorded: Option<String>,
}

impl RemoteCopy {
    /// Connects and begins the copy; with the state of a checkpoint it goes on from there.
    ///
    /// # Errors
    /// When the receiver cannot be reached, has another code, or does not take it.
    pub fn open(
        remote: Remote,
        code: PairingCode,
        medium: &Medium,
        state: Option<&Value>,
        limits: Limits,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let dial: Dial = Arc::new(|to, within| TcpStream::connect_timeout(&to, within));
        Self::open_by((dial, stop), remote, code, medium, state, limits)
    }

    /// The same over connections that somebody else makes, until told to stop.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_by(
        (dial, stop): (Dial, Arc<AtomicBool>),
        remote: Remote,
        code: PairingCode,
        medium: &Medium,
        state: Option<&Value>,
        limits: Limits,
    ) -> Result<Self, Error> {
        let broken = || Error::Journal {
            path: PathBuf::from(&remote.address),
            reason: "the state of a copy at a receiver is not whole",
        };
        let transfer = TransferId::from_hex(&remote.transfer).ok_or_else(broken)?;
        let offset_bytes = match state {
            Some(state) => State::deserialize(state).map_err(|_error| broken())?.at_bytes,
            None => 0,
        };
        let hello = Hello { transfer, what: remote.what.to_string() };
        let sender = Sender::connect_by(dial, &remote.address, code, hello, limits, stop);
        let begun = sender.and_then(|mut sender| {
            let size_bytes = Some(medium.size_bytes);
            sender.begin(Start { name: FILE.to_owned(), size_bytes, offset_bytes })?;
            Ok(sender)
        });
        match begun {
            Ok(sender) => Ok(Self { sender, remote, receipt: None, unrecorded: None }),
            Err(source) => Err(failed(&remote.address, source)),
        }
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(ImageWriter::name(self))
    }
}

fn failed(address: &str, source: wire::Error) -> Error {
    let path = PathBuf::from(format!("receiver {}", escape_name(address.as_bytes())));
    Error::io("sending to", &path)(source.into())
}

impl ImageWriter for RemoteCopy {
    fn name(&self) -> String {
        format!("receiver:{}", escape_name(self.remote.address.as_bytes()))
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        Ok(self.sender.write(part.bytes)?)
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        // Flushed over there, and said so, before the journal may speak of it.
        let at_bytes = self.sender.keep()?;
        Ok(Checkpoint { flush: Flush::default(), state: json!(State { at_bytes }) })
    }

    fn complete(&mut self, _acquisition: &Acquisition) -> io::Result<()> {
        self.sender.keep()?;
        Ok(())
    }
}

impl Destination for RemoteCopy {
    fn paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn verify(
        &mut self,
        acquisition: &Acquisition,
        progress: &mut dyn FnMut(Tick),
        cancel: &AtomicBool,
    ) -> Result<Verified, Error> {
        let path = self.place();
        acquisition.ensure_complete(&path)?;
        let size_bytes = acquisition.size_bytes;
        let sent = self.sender.end(&mut |done_bytes| {
            progress(Tick { done_bytes, total_bytes: size_bytes, bad_bytes: 0 });
            if cancel.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        let sent = sent.map_err(|source| failed(&self.remote.address, source))?;
        let hex: String = sent.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let found: Digests = Digest::from_hex(Algorithm::Sha256, &hex).into_iter().collect();
        if sent.size_bytes != size_bytes || !acquisition.digests.agrees_with(&found) {
            let expected = acquisition.digests.clone();
            return Err(Error::Mismatch { path, expected, found });
        }
        Ok(Verified::new(path, found, size_bytes))
    }

    fn publish(&mut self, verified: &Verified) -> Result<(), Error> {
        let sha256 =
            verified.digests().of(Algorithm::Sha256).and_then(|one| one.as_bytes().try_into().ok());
        let (true, Some(sha256)) = (verified.path() == self.place(), sha256) else {
            return Err(Error::Exists { path: verified.path().to_path_buf() });
        };
        self.sender.publish(sha256).map_err(|source| failed(&self.remote.address, source))?;
        match self.sender.finish() {
            Ok(receipt) => {
                let receipt = serde_json::from_str(&receipt).unwrap_or(Value::String(receipt));
                self.receipt = Some(receipt);
            }
            // The copy is there, proved and named. What is missing is the word that it was recorded there too.
            Err(error) => self.unrecorded = Some(error.to_string()),
        }
        Ok(())
    }

    fn discard(&mut self) {
        // Nothing of it lies here. The receiver keeps an empty unfinished file and says so.
    }

    fn facts(&self) -> Value {
        let receiver = self.sender.receiver();
        json!({
            "receiver": self.remote.address,
            "received_by": serde_json::from_str(receiver).unwrap_or(Value::String(receiver.to_owned())),
            "transfer": self.remote.transfer,
            "handshake": self.sender.fingerprint(),
            "connections": self.sender.connections(),
            "receipt": self.receipt,
            "no_receipt_because": self.unrecorded,
        })
    }
}
