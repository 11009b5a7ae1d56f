//! A source whose reads are given up after a time: a dying disk may answer after minutes, or never.
//!
//! A read that the kernel does not end cannot be called back, so each runs in a thread with memory of its own, which is left
//! behind when the time is over. A few may hang at once; while all of them do, nothing more is asked, because commands that
//! queue up behind a hung one say nothing about the disk.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::ReadAt;
use crate::buffer::Buffer;

/// Reads that may hang at once, each with a chunk of memory.
const MOST_HUNG: usize = 16;

/// Another source, with a limit in time for each read.
pub struct TimedSource {
    source: Arc<dyn ReadAt>,
    limit: Duration,
    workers: Mutex<Workers>,
}

#[derive(Default)]
struct Workers {
    idle: Vec<Worker>,
    hung: Vec<Worker>,
}

/// A thread that reads, and ends when nobody asks any more.
struct Worker {
    asks: Sender<Ask>,
    answers: Receiver<Answer>,
    memory: Option<Buffer>,
}

struct Ask {
    offset_bytes: u64,
    length: usize,
    /// What the last answer came in, to be used again.
    memory: Option<Buffer>,
}

struct Answer {
    memory: Buffer,
    result: io::Result<usize>,
}

impl TimedSource {
    /// Gives each read of `source` at most `limit`.
    #[must_use]
    pub fn new(source: Arc<dyn ReadAt>, limit: Duration) -> Self {
        Self { source, limit, workers: Mutex::new(Workers::default()) }
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker without work.
    fn free_worker(&self) -> io::Result<Worker> {
        let mut workers = self.workers();
        let Workers { idle, hung } = &mut *workers;
        // Whatever has come back meanwhile comes too late for its place, but the thread is free again.
        let (back, still): (Vec<_>, Vec<_>) =
            hung.drain(..).partition(|worker| worker.answers.try_recv().is_ok());
        idle.extend(back);
        *hung = still;
        if let Some(worker) = idle.pop() {
            return Ok(worker);
        }
        if hung.len() >= MOST_HUNG {
            let first = hung.remove(0);
            return match first.answers.recv_timeout(self.limit) {
                Ok(_late) => Ok(first),
                Err(_) => {
                    hung.push(first);
                    Err(silence(self.limit))
                }
            };
        }
        self.start()
    }

    fn start(&self) -> io::Result<Worker> {
        let (asks, asked) = channel::<Ask>();
        let (answer, answers) = channel();
        let source = Arc::clone(&self.source);
        thread::Builder::new().name("timed read".to_owned()).spawn(move || {
            for Ask { offset_bytes, length, memory } in asked {
                let known = memory.filter(|memory| memory.length() >= length);
                let mut memory = known.unwrap_or_else(|| Buffer::new(length));
                let result = source.read_at(offset_bytes, memory.bytes_mut(length));
                if answer.send(Answer { memory, result }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Worker { asks, answers, memory: None })
    }
}

fn silence(limit: Duration) -> io::Error {
    let seconds = limit.as_secs_f64();
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {seconds} seconds"))
}

impl ReadAt for TimedSource {
    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let ended = || io::Error::other("the reading thread ended");
        let mut worker = self.free_worker()?;
        let ask = Ask { offset_bytes, length: buffer.len(), memory: worker.memory.take() };
        worker.asks.send(ask).map_err(|_closed| ended())?;
        match worker.answers.recv_timeout(self.limit) {
            Ok(Answer { memory, result }) => {
                let count = result.as_ref().map_or(0, |count| *count).min(buffer.len());
                let (to, from) = (buffer.get_mut(..count), memory.bytes(count));
                if let Some(to) = to.filter(|to| to.len() == from.len()) {
                    to.copy_from_slice(from);
                }
                worker.memory = Some(memory);
                self.workers().idle.push(worker);
                result.map(|_| count)
            }
            Err(RecvTimeoutError::Timeout) => {
                self.workers().hung.push(worker);
                Err(silence(self.limit))
            }
            Err(RecvTimeoutError::Disconnected) => Err(ended()),
        }
    }

    fn size_bytes(&self) -> u64 {
        self.source.size_bytes()
    }

    fn sector_bytes(&self) -> u32 {
        self.source.sector_bytes()
    }

    fn forget_cached(&self, offset_bytes: u64, length_bytes: u64) {
        self.source.forget_cached(offset_bytes, length_bytes);
    }
}
