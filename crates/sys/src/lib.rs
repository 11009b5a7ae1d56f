//! Safe wrappers of the kernel calls Glovebox needs; the only crate with `unsafe`, and without policy.
