//! Asks a drive about itself for a tool: the tool names a question, the command for it is made and judged in `guard`.
//!
//! A dying drive may take its time for an answer; the broker must not wait with it. So each question is put by a thread
//! that answers the tool itself. What the drive said is passed on as it came: nothing of it is understood here.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, LazyLock};

use guard::{Answer, DiskName, Question, channel};

use crate::broker::World;

/// Most drives asked at once.
const LIMIT: usize = 8;

/// Held once for each that is under way, and once by itself.
static TURNS: LazyLock<Arc<()>> = LazyLock::new(Arc::default);

fn turn() -> Option<Arc<()>> {
    let turn = Arc::clone(&TURNS);
    (Arc::strong_count(&turn) <= LIMIT.saturating_add(1)).then_some(turn)
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
    later(client, move || (Answer::Told(Box::new(guard::ask(&device, question))), None))
}

/// Lets a thread find the answer and send it.
///
/// # Errors
/// In words, for the tool, if there are too many or there is no thread to be had.
pub(crate) fn later(
    client: &OwnedFd,
    find: impl FnOnce() -> (Answer, Option<OwnedFd>) + Send + 'static,
) -> Result<(), String> {
    let turn = turn().ok_or("too many questions are under way; ask again")?;
    let client =
        client.try_clone().map_err(|problem| format!("keeping the way back: {problem}"))?;
    let work = move || {
        let (answer, descriptor) = find();
        drop(turn);
        let bytes = serde_json::to_vec(&answer).unwrap_or_default();
        // The tool may have left meanwhile.
        let _left = channel::send(&client, &bytes, descriptor.as_ref().map(AsFd::as_fd));
    };
    let started = std::thread::Builder::new().name("question".to_owned()).spawn(work);
    started.map(drop).map_err(|problem| format!("starting a thread: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_bounded_and_given_back() {
        let turns: Vec<_> = std::iter::from_fn(turn).collect();
        assert_eq!(turns.len(), LIMIT);
        drop(turns);
        assert!(turn().is_some());
    }
}
