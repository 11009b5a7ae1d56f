//! What the tests of both ends share: a receiver in a folder, and a network in between that misbehaves by plan.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use wire::{
    Error, Handler, Hello, Limits, Listener, PairingCode, Received, Reception, Told, TransferId,
};

/// A receiver that puts everything into one folder.
pub(crate) struct Shelf {
    pub(crate) folder: PathBuf,
    pub(crate) told: Arc<Mutex<Vec<Told>>>,
}

impl Handler for Shelf {
    fn receiver(&self) -> String {
        "shelf".to_owned()
    }

    fn place(&mut self, _hello: &Hello) -> Result<PathBuf, String> {
        Ok(self.folder.clone())
    }

    fn told(&mut self, told: Told) {
        self.told.lock().unwrap().push(told);
    }

    fn finish(&mut self, reception: &Reception) -> Result<String, String> {
        Ok(format!("receipt for {} files", reception.files().len()))
    }
}

/// A folder in memory: flushing is part of what is tested, waiting for a medium is not.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Limits with which nothing takes long.
pub(crate) fn limits() -> Limits {
    Limits {
        handshake: Duration::from_millis(1500),
        silence: Duration::from_secs(5),
        patience: Duration::from_secs(5),
        grace: Duration::from_millis(300),
        strangers: 4,
        window_bytes: 512 << 10,
        keep_every_bytes: 128 << 10,
        files: 8,
    }
}

/// A receiver at work in a thread.
pub(crate) struct AtWork {
    pub(crate) address: SocketAddr,
    pub(crate) cancel: Arc<AtomicBool>,
    pub(crate) told: Arc<Mutex<Vec<Told>>>,
    thread: JoinHandle<Result<Vec<Received>, Error>>,
}

pub(crate) fn receive(folder: PathBuf, code: &PairingCode, limits: Limits) -> AtWork {
    let listener = Listener::bind("127.0.0.1:0", code.clone(), limits).unwrap();
    let address = listener.address();
    let (cancel, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (stop, heard) = (Arc::clone(&cancel), Arc::clone(&told));
    let thread =
        std::thread::spawn(move || listener.receive(&mut Shelf { folder, told: heard }, &stop));
    AtWork { address, cancel, told, thread }
}

impl AtWork {
    pub(crate) fn end(self) -> Result<Vec<Received>, Error> {
        self.thread.join().unwrap()
    }

    pub(crate) fn stop(self) {
        self.cancel.store(true, Ordering::SeqCst);
        assert!(matches!(self.end(), Err(Error::Stopped)));
    }
}

pub(crate) fn hello() -> Hello {
    Hello { transfer: TransferId::generate().unwrap(), what: "a test".to_owned() }
}

/// Bytes that do not repeat.
pub(crate) fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// What happens to the bytes on their way to the receiver, once in each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The connection ends here, both ways.
    Cut(usize),
    /// One bit is another one.
    Flip(usize),
    /// The connection ends after so many bytes of answers.
    CutAnswers(usize),
    /// Sixteen bytes are missing.
    Drop(usize),
    /// Sixteen bytes come twice.
    Repeat(usize),
    /// Two frames change places. For this the proxy understands the lengths of frames.
    Swap(usize),
    /// A whole frame comes twice.
    Replay(usize),
}

/// A network in between. Its plan says what happens to the first connection, the second, and so on; then nothing does.
pub(crate) fn network(to: SocketAddr, plan: Vec<Fault>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            let number = count.fetch_add(1, Ordering::SeqCst);
            let fault = plan.get(number).copied().unwrap_or(Fault::None);
            let Ok(server) = TcpStream::connect(to) else { continue };
            let (mut back_from, mut back_to) =
                (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let most = if let Fault::CutAnswers(at) = fault { at as u64 } else { u64::MAX };
                let _ = std::io::copy(&mut (&mut back_from).take(most), &mut back_to);
                let _ = back_from.shutdown(Shutdown::Both);
                let _ = back_to.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || forward(client, server, fault));
        }
    });
    (address, connections)
}

fn forward(mut from: TcpStream, mut to: TcpStream, fault: Fault) {
    let _ = match fault {
        Fault::Swap(at) => frames(&mut from, &mut to, at, false),
        Fault::Replay(at) => frames(&mut from, &mut to, at, true),
        _ => bytes(&mut from, &mut to, fault),
    };
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn bytes(from: &mut TcpStream, to: &mut TcpStream, fault: Fault) -> std::io::Result<()> {
    let (mut passed, mut piece) = (0usize, vec![0; 32 << 10]);
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        let mut bytes = piece[..length].to_vec();
        let here = |at: usize| (passed..passed + length).contains(&at).then(|| at - passed);
        match fault {
            Fault::Cut(at) => {
                if let Some(at) = here(at) {
                    to.write_all(&bytes[..at])?;
                    return Ok(());
                }
            }
            Fault::Flip(at) => {
                if let Some(at) = here(at) {
                    bytes[at] ^= 1 << (at % 8);
                }
            }
            Fault::Drop(at) => {
                if let Some(at) = here(at) {
                    bytes.drain(at..(at + 16).min(length));
                }
            }
            Fault::Repeat(at) => {
                if let Some(at) = here(at) {
                    let again = bytes[at..(at + 16).min(length)].to_vec();
                    bytes.splice(at..at, again);
                }
            }
            _ => {}
        }
        passed += length;
        to.write_all(&bytes)?;
    }
}

/// Behind the handshake (48 bytes) a frame is two bytes of length and so many bytes.
fn frames(
    from: &mut TcpStream,
    to: &mut TcpStream,
    at: usize,
    is_replay: bool,
) -> std::io::Result<()> {
    let mut handshake = [0; 48];
    from.read_exact(&mut handshake)?;
    to.write_all(&handshake)?;
    let (mut number, mut held) = (0, None);
    loop {
        let mut length = [0; 2];
        from.read_exact(&mut length)?;
        let mut frame = vec![0; usize::from(u16::from_be_bytes(length))];
        from.read_exact(&mut frame)?;
        frame.splice(0..0, length);
        if number == at && !is_replay {
            held = Some(frame);
        } else {
            to.write_all(&frame)?;
            if number == at {
                to.write_all(&frame)?;
            }
            if let Some(earlier) = held.take() {
                to.write_all(&earlier)?;
            }
        }
        number += 1;
    }
}
