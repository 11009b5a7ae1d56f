//! One chunk on its way through the pipeline, with the places where its encodings will be put.
//!
//! Writers take jobs in order and wait for the encoding they need; workers fill the places in any order. So nothing has to
//! be sorted, and the number of buffers bounds everything that is under way.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::buffer::Chunk;
use crate::{Encoded, Run};

/// A chunk, and what becomes of it.
pub(crate) struct Job {
    pub(crate) chunk: Chunk,
    /// Behind this chunk copies can be continued: what was found unreadable since the last such place.
    pub(crate) checkpoint: Option<Vec<Run>>,
    places: Vec<Place>,
}

#[derive(Default)]
struct Place {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Done(Arc<Encoded>),
    Failed(String),
}

impl Job {
    pub(crate) fn new(chunk: Chunk, checkpoint: Option<Vec<Run>>, encodings: usize) -> Self {
        let places = std::iter::repeat_with(Place::default).take(encodings).collect();
        Self { chunk, checkpoint, places }
    }

    /// The offset just behind the chunk.
    pub(crate) fn end_bytes(&self) -> u64 {
        let length = u64::try_from(self.chunk.bytes().len()).unwrap_or(u64::MAX);
        self.chunk.offset_bytes().saturating_add(length)
    }

    /// Puts in what a worker made; the first result counts.
    pub(crate) fn fill(&self, encoding: usize, result: io::Result<Encoded>) {
        let Some(place) = self.places.get(encoding) else { return };
        let mut state = place.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Waiting) {
            *state = match result {
                Ok(encoded) => State::Done(Arc::new(encoded)),
                Err(error) => State::Failed(error.to_string()),
            };
            place.filled.notify_all();
        }
    }

    /// Waits for a worker's result.
    pub(crate) fn encoded(&self, encoding: usize) -> io::Result<Arc<Encoded>> {
        let missing = || io::Error::other("no such encoding");
        let place = self.places.get(encoding).ok_or_else(missing)?;
        let mut state = place.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                State::Done(encoded) => return Ok(Arc::clone(encoded)),
                State::Failed(reason) => {
                    return Err(io::Error::other(format!("compressing: {reason}")));
                }
                State::Waiting => {
                    state = place.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// Fails what a worker did not fill, so that a worker that dies leaves no writer waiting.
pub(crate) struct Owed<'a>(pub(crate) &'a Job);

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        for encoding in 0..self.0.places.len() {
            self.0.fill(encoding, Err(io::Error::other("the worker ended")));
        }
    }
}
