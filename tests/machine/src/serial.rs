//! The serial line of the guest: everything it said, and waiting for what it will say.
//!
//! A thread reads the line all the time, so the guest is never held up. Terminal questions
//! (cursor position, device attributes) are answered there, because a line editor in the guest
//! waits for the answer before it shows a prompt.

use crate::error::{Error, Result, test};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    closed: bool,
}

type Shared = Arc<(Mutex<Heard>, Condvar)>;

/// One serial line.
#[derive(Debug)]
pub struct Serial {
    writer: UnixStream,
    shared: Shared,
}

impl Serial {
    /// Starts listening on `stream`.
    ///
    /// # Errors
    /// [`Error::Machine`] when the stream cannot be shared with the listening thread.
    pub fn listen(stream: UnixStream) -> Result<Self> {
        let lost = |e| Error::Machine(format!("sharing the serial line: {e}"));
        let writer = stream.try_clone().map_err(lost)?;
        let answers = stream.try_clone().map_err(lost)?;
        let shared = Shared::default();
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || hear(stream, answers, &ours));
        Ok(Self { writer, shared })
    }

    /// Types bytes.
    ///
    /// # Errors
    /// [`Error::Machine`] when QEMU is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer
            .write_all(bytes)
            .map_err(|e| Error::Machine(format!("typing on the serial line: {e}")))
    }

    /// Number of bytes heard so far; a position for [`Serial::expect`].
    #[must_use]
    pub fn heard(&self) -> usize {
        self.lock().bytes.len()
    }

    /// Everything heard since `from`, as plain text.
    #[must_use]
    pub fn text(&self, from: usize) -> String {
        plain(self.lock().bytes.get(from..).unwrap_or_default())
    }

    /// Waits until `found` gives something for the plain text heard since `from`.
    ///
    /// # Errors
    /// [`Error::Test`] naming `what` when it has not come after `limit`; [`Error::Machine`] when
    /// the line was closed before.
    pub fn expect<T>(
        &self,
        what: &str,
        from: usize,
        limit: Duration,
        found: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        let mut seen = None;
        let mut guard = self.lock();
        loop {
            if seen != Some(guard.bytes.len()) {
                seen = Some(guard.bytes.len());
                if let Some(value) = found(&plain(guard.bytes.get(from..).unwrap_or_default())) {
                    return Ok(value);
                }
            }
            let now = Instant::now();
            if guard.closed || now >= end {
                let tail = tail(&plain(guard.bytes.get(from..).unwrap_or_default()));
                if guard.closed {
                    return crate::error::machine(format!(
                        "the serial line closed before {what}; last heard: {tail}"
                    ));
                }
                return test(format!("no {what} within {limit:?}; last heard: {tail}"));
            }
            guard = self
                .shared
                .1
                .wait_timeout(guard, (end - now).min(Duration::from_millis(500)))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hear(mut stream: UnixStream, mut answers: UnixStream, shared: &Shared) {
    let mut buffer = [0u8; 16384];
    loop {
        let got = stream.read(&mut buffer).unwrap_or(0);
        let mut heard = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = heard.bytes.len().saturating_sub(3);
        heard.bytes.extend_from_slice(&buffer[..got]);
        heard.closed = got == 0;
        // A question may be cut by the read boundary: look a little back, and only once.
        let asked: Vec<&[u8]> = QUESTIONS
            .iter()
            .flat_map(|(question, answer)| {
                let fresh = &heard.bytes[before..];
                let old = heard.bytes.len() - got - before;
                fresh
                    .windows(question.len())
                    .enumerate()
                    .filter(move |(at, w)| w == question && at + question.len() > old)
                    .map(|_| *answer)
            })
            .collect();
        shared.1.notify_all();
        drop(heard);
        for answer in asked {
            let _ = answers.write_all(answer);
        }
        if got == 0 {
            return;
        }
    }
}

/// Cursor position and device attributes, with the answer of a plain terminal.
const QUESTIONS: [(&[u8], &[u8]); 2] = [(b"\x1b[6n", b"\x1b[1;1R"), (b"\x1b[c", b"\x1b[?1;2c")];

fn tail(text: &str) -> String {
    let from = text.len().saturating_sub(600);
    let from = (from..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
    text[from..].escape_debug().to_string()
}

/// Text as it stands on the screen at the end: without escape sequences and other control bytes, and
/// of a line that was written over (progress) only the last state.
#[must_use]
pub fn plain(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    let mut line = 0;
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            0x1b => skip_escape(&mut rest),
            b'\r' => {
                while rest.next_if_eq(&b'\r').is_some() {}
                if rest.peek().is_some_and(|next| *next != b'\n') {
                    out.truncate(line);
                }
            }
            b'\n' => {
                out.push(byte);
                line = out.len();
            }
            b'\t' | 0x20..=0x7e | 0x80.. => out.push(byte),
            _ => {}
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn skip_escape(rest: &mut std::iter::Peekable<impl Iterator<Item = u8>>) {
    match rest.next() {
        Some(b'[') => while rest.next().is_some_and(|b| !(0x40..=0x7e).contains(&b)) {},
        // An operating-system command ends with BEL or ESC \.
        Some(b']') => {
            while let Some(byte) = rest.next() {
                if byte == 0x07 || (byte == 0x1b && rest.next_if_eq(&b'\\').is_some()) {
                    return;
                }
            }
        }
        Some(b'(' | b')' | b'#') => {
            rest.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_drops_colour_title_and_returns() {
        assert_eq!(plain(b"\x1b[1;31mred\x1b[0m\r\n\x1b]0;title\x07ok\x1b(B!"), "red\nok!");
    }

    #[test]
    fn progress_leaves_only_its_last_state() {
        assert_eq!(plain(b"a\r\n1%\r2%\r{\"x\":1}\r\r\nb\r"), "a\n{\"x\":1}\nb");
    }

    #[test]
    fn cursor_question_is_answered_once_even_when_cut() {
        let (guest, host) = UnixStream::pair().expect("pair");
        let serial = Serial::listen(host).expect("listen");
        let mut far = guest.try_clone().expect("clone");
        far.write_all(b"prompt\x1b[").expect("first half");
        while serial.heard() < 8 {
            std::thread::sleep(Duration::from_millis(5));
        }
        far.write_all(b"6n").expect("second half");
        let mut near = guest;
        let mut answer = [0u8; 6];
        near.read_exact(&mut answer).expect("answer");
        assert_eq!(&answer, b"\x1b[1;1R");
        far.write_all(b"more text").expect("more");
        near.set_read_timeout(Some(Duration::from_millis(100))).expect("timeout");
        assert!(near.read(&mut answer).is_err(), "answered twice");
    }

    #[test]
    fn silence_is_a_test_failure_and_a_closed_line_a_machine_failure() {
        let (guest, host) = UnixStream::pair().expect("pair");
        let serial = Serial::listen(host).expect("listen");
        let wait = |limit| serial.expect("x", 0, limit, |t| t.contains('x').then_some(()));
        assert!(!wait(Duration::from_millis(30)).expect_err("silent").is_machine());
        drop(guest);
        assert!(wait(Duration::from_secs(5)).expect_err("closed").is_machine());
    }
}
