//! A free tripwire: the kernel warns when something writes to a device whose lock is set.
//!
//! The block layer lets such a write pass (`bio_check_ro`, block/blk-core.c of Linux 6.12), so its
//! warning means that evidence may have changed. It is shown and kept like any other problem.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};

const WARNING: &str = "Trying to write to read-only block-device";
/// Records worked off in one go, so that a chatty driver cannot hold up the broker.
const RECORDS_AT_ONCE: usize = 4096;

/// Reads the kernel's messages from the first one on.
#[derive(Debug)]
pub(crate) struct Tripwire(OwnedFd);

impl Tripwire {
    /// Opens the kernel's messages.
    pub(crate) fn open() -> rustix::io::Result<Self> {
        open("/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
            .map(Self)
    }

    /// The warnings among the messages that came since the last call.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut buffer = [0_u8; 8192];
        for _ in 0..RECORDS_AT_ONCE {
            match read(&self.0, &mut buffer) {
                Ok(length) => {
                    let record = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
                    found.extend(warning(&record));
                }
                // Messages were overwritten before we read them, or we were interrupted: go on.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(_) => break,
            }
        }
        found
    }
}

/// The text of a record (`priority,sequence,time,flags;text`) if it is the warning.
fn warning(record: &str) -> Option<String> {
    let text = record.split_once(';')?.1.lines().next()?;
    text.contains(WARNING).then(|| format!("the kernel warns: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_warning_trips() {
        let record = "4,1234,5678,-;Trying to write to read-only block-device sda (8:0)\n SUB=x\n";
        let text = warning(record).unwrap();
        assert_eq!(text, "the kernel warns: Trying to write to read-only block-device sda (8:0)");
        assert_eq!(warning("6,1,2,-;sda: sda1\n"), None);
        assert_eq!(warning("no record"), None);
    }
}
