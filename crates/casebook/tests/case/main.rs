//! A case as other programs see it: on disk, checked by independent tools, killed and tampered with.
//!
//! One program for all of it, so that it is linked once.

mod age;
mod common;
mod exchange;
mod interruption;
mod minisign;
mod openpgp;
mod people;
mod power_cut;
mod tamper;
mod unfinished;
