//! The words between the disk broker and the tools: disks, lock state, write counters, unlock.
