//! Where the content of a file lies.

use serde::Serialize;

/// A run of file content that is stored in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// First byte within the file.
    pub logical_bytes: u64,
    /// Length within the file, in bytes; the last one may reach past the size of the file to the end of its block.
    pub length_bytes: u64,
    /// How it is stored.
    pub stored: Stored,
}

/// How a run of content is stored; places are bytes from the start of the file system's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// As it is, from this byte on.
    At(u64),
    /// Nowhere: reads as zeros.
    Hole,
    /// Allocated from this byte on but never written: reads as zeros, and what stands there is older.
    Unwritten(u64),
    /// Inside the inode, record or directory entry.
    Inline,
    /// Compressed (or encrypted, or packed with other files): this many bytes from this byte on stand for the whole run.
    Packed {
        /// First stored byte.
        at: u64,
        /// Stored length in bytes.
        length_bytes: u64,
    },
    /// As it is, on another device of the same file system.
    OnDevice {
        /// Number of the device in the file system's own count.
        device: u64,
        /// First byte on it.
        at: u64,
    },
}
