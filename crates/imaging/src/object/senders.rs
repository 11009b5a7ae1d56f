//! Parts on their way, several at a time. A part is a file and goes through a small buffer, so this takes no memory worth
//! counting; whoever has more to send than can be sent waits.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bucket::Upload;

/// Parts sent at a time: one connection alone seldom fills a line.
const SENDERS: usize = 4;

/// A part: the number of its file, and its own in it.
pub(super) type Number = (usize, u64);

/// One to be sent.
pub(super) struct Task {
    pub(super) number: Number,
    pub(super) upload: Upload,
    pub(super) path: PathBuf,
}

/// What the threads tell.
#[derive(Default)]
struct Done {
    /// What the store calls each part it has.
    etags: BTreeMap<Number, String>,
    /// Parts that were sent or given up.
    ended: u64,
    has_failed: bool,
    failure: Option<bucket::Error>,
}

#[derive(Default)]
struct Shared {
    done: Mutex<Done>,
    changed: Condvar,
}

impl Shared {
    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads; they end when this is gone, each after the part it is sending.
pub(super) struct Senders {
    queue: SyncSender<Task>,
    shared: Arc<Shared>,
    given: u64,
}

impl Senders {
    pub(super) fn start() -> Self {
        // A short queue: what waits lies on the disk.
        let (queue, tasks) = sync_channel(1);
        let (tasks, shared) = (Arc::new(Mutex::new(tasks)), Arc::<Shared>::default());
        for _ in 0..SENDERS {
            let (tasks, shared) = (Arc::clone(&tasks), Arc::clone(&shared));
            std::thread::spawn(move || send_all(&tasks, &shared));
        }
        Self { queue, shared, given: 0 }
    }

    /// Hands a part over, as soon as a thread has time for it.
    pub(super) fn give(&mut self, task: Task) -> io::Result<()> {
        self.check()?;
        self.given = self.given.saturating_add(1);
        self.queue.send(task).map_err(|_| io::Error::other("the threads that send have ended"))
    }

    /// Waits until everything that was handed over is at the store.
    pub(super) fn wait(&self) -> io::Result<()> {
        let mut done = self.shared.done();
        while done.ended < self.given {
            done = self.shared.changed.wait(done).unwrap_or_else(PoisonError::into_inner);
        }
        drop(done);
        self.check()
    }

    /// A part that the store had before.
    pub(super) fn had(&self, number: Number, etag: String) {
        self.shared.done().etags.insert(number, etag);
    }

    pub(super) fn has(&self, number: Number) -> bool {
        self.shared.done().etags.contains_key(&number)
    }

    /// The store's names of all parts of a file, if it has so many without a gap.
    pub(super) fn etags(&self, file: usize, parts: u64) -> Option<Vec<String>> {
        let done = self.shared.done();
        (1..=parts).map(|part| done.etags.get(&(file, part)).cloned()).collect()
    }

    fn check(&self) -> io::Result<()> {
        let mut done = self.shared.done();
        match (done.failure.take(), done.has_failed) {
            (Some(error), _) => Err(error.into()),
            (None, true) => Err(io::Error::other("a part could not be sent")),
            (None, false) => Ok(()),
        }
    }
}

fn send_all(tasks: &Mutex<Receiver<Task>>, shared: &Shared) {
    loop {
        // One waits for the next part and the others for this one: the lock is free while sending.
        let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = next else { return };
        let has_failed = shared.done().has_failed;
        let sent = (!has_failed).then(|| task.upload.send(task.number.1, &task.path));
        let mut done = shared.done();
        match sent {
            Some(Ok(etag)) => drop(done.etags.insert(task.number, etag)),
            Some(Err(error)) => {
                done.has_failed = true;
                done.failure.get_or_insert(error);
            }
            None => {}
        }
        done.ended = done.ended.saturating_add(1);
        shared.changed.notify_all();
    }
}
