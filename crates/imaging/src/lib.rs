//! Acquisition: read once, hash, write, map bad sectors, verify.
