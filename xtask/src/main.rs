//! Builds, checks and tests Glovebox.

fn main() {}
