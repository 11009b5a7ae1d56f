//! How long and how much: every wait and every count has an end.

use std::time::Duration;

/// Times and amounts of both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A connection that has not proved to know the code by then is closed.
    pub handshake: Duration,
    /// The longest silence of a receiver that is to answer; flushing a slow medium takes time.
    pub silence: Duration,
    /// For how long a sender tries to connect again.
    pub patience: Duration,
    /// For how long a receiver that has everything waits for a sender that did not hear so.
    pub grace: Duration,
    /// Connections that may be proving themselves at once.
    pub strangers: usize,
    /// Bytes sent that the receiver has not yet said to be on its medium; what a sender holds in memory.
    pub window_bytes: u64,
    /// After so many bytes the receiver flushes and says so.
    pub keep_every_bytes: u64,
    /// Files in one transfer.
    pub files: usize,
}

impl Default for Limits {
    /// 10 s to prove oneself (8 at once), 2 minutes of silence, 1 minute of patience, 20 s of grace, 48 MiB in memory,
    /// flushed every 16 MiB, 4096 files.
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            silence: Duration::from_secs(120),
            patience: Duration::from_secs(60),
            grace: Duration::from_secs(20),
            strangers: 8,
            window_bytes: 48 << 20,
            keep_every_bytes: 16 << 20,
            files: 4096,
        }
    }
}
