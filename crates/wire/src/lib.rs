//! Files sent to a listener of ours: authenticated, encrypted, resumable, proved by reading back.
//!
//! Two programs meet over TCP with nothing but a pairing code that a person carries from one to the other. The Noise
//! protocol (pattern NNpsk0) turns it into a channel nobody else can read, change, repeat or shorten. What arrives is
//! `….partial` until the receiver has read it back from its own medium and the sender has agreed to the digest.
//!
//! A connection that breaks is made again and goes on where the receiver's medium stands. Everything a peer says is
//! bounded before it is believed: frames by their length, connections by number and time, names by letters.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod channel;
mod code;
mod crypto;
mod error;
mod limits;
mod listener;
mod message;
mod reception;
mod sender;
mod serve;

pub use channel::{Channel, Role};
pub use code::PairingCode;
pub use error::{Error, ErrorKind};
pub use limits::Limits;
pub use listener::Listener;
pub use message::{DATA_BYTES, Hello, Message, TransferId};
pub use reception::{Received, Reception};
pub use sender::{Dial, Sender, Sent, Start};
pub use serve::{Handler, Told};
