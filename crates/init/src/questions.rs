//! Asks a drive about itself for a tool: the tool names a question, the command for it is made and judged in `guard`.
//!
//! A dying drive may take its time for an answer; the broker must not wait with it. So each question is put by a thread
//! that answers the tool itself. What the drive said is passed on as it came: nothing of it is understood here.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use guard::{Answer, DiskName, Question, channel};

use crate::broker::World;

/// Most drives asked at once.
const LIMIT: usize = 8;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// One question that is counted while it is under way.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        let next = |count: usize| (count < LIMIT).then(|| count.saturating_add(1));
        let taken = UNDER_WAY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.ok().map(|_| Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = |count: usize| Some(count.saturating_sub(1));
        let _counted = UNDER_WAY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// Puts a question; a thread sends the answer.
///
/// # Errors
/// In words, for the tool, if it is not put.
pub(crate) fn put(
    client: &OwnedFd,
    world: &World,
    name: &DiskName,
    question: Question,
) -> Result<(), String> {
    let device = world.disks.open_to_ask(name)?;
    let turn = Turn::take().ok_or("too many questions to drives are under way; ask again")?;
    let client =
        client.try_clone().map_err(|problem| format!("keeping the way back: {problem}"))?;
    let work = move || {
        let answer = Answer::Told(Box::new(guard::ask(&device, question)));
        drop((device, turn));
        let bytes = serde_json::to_vec(&answer).unwrap_or_default();
        // The tool may have left meanwhile.
        let _left = channel::send(&client, &bytes, None);
    };
    let started = std::thread::Builder::new().name("question".to_owned()).spawn(work);
    started.map(drop).map_err(|problem| format!("starting a thread: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_bounded_and_given_back() {
        let turns: Vec<Turn> = std::iter::from_fn(Turn::take).collect();
        assert_eq!(turns.len(), LIMIT);
        drop(turns);
        assert!(Turn::take().is_some());
    }
}
