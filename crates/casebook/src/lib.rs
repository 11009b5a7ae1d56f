//! The case on the examiner's medium: hash-chained, signed acts and numbered exhibits.
//!
//! A case is a directory that a person can read without this program:
//!
//! ```text
//! case.toml          what the case is, and the public key its acts are signed with
//! case.pub           that key again, as the `minisign` program wants it
//! acts.jsonl         one signed act a line, append-only
//! acts.copy.jsonl    the same again, written after it: a power cut damages one of them at most
//! acts.open-N        an act that has begun, and the exhibits it claims (its writer locks this file)
//! acts.unfinished-N  an act whose writer died; named in a later act
//! acts.torn-N        bytes of a line that a power cut tore; named in a later act
//! exhibits/NNN-label/
//! ```
//!
//! A line is `{"act":{…},"hash":"…","signature":"…","comment_signature":"…"}` with no blank outside
//! the act. **The canonical form of an act is the bytes between `"act":` and `,"hash":`, as they
//! stand in the file**: hash (SHA-256) and signature are computed over those bytes, so no reader has
//! to re-serialise anything. `previous` in an act is the hash of the act before it, in the first act
//! the SHA-256 of `case.toml`. Signatures are minisign's (Ed25519 over BLAKE2b-512); the trusted
//! comment is `sha256:` followed by the hash.
//!
//! There is no function here that overwrites or deletes anything once it was recorded: a damaged list
//! is made anew from its copy, and what else stood in it is put aside. The end of the list can only be protected by knowing its head: [`Status::head`] is worth writing down on
//! paper, and [`VerifyOptions::expected_head`] checks it.
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

mod act;
pub mod age;
pub mod bag;
mod case;
pub mod contact;
pub mod custody;
mod error;
mod exhibit;
pub mod export;
mod files;
mod info;
mod journal;
mod key;
mod label;
mod left;
mod line;
mod marker;
mod members;
mod multiples;
mod open_act;
pub mod openpgp;
mod pair;
mod recovery;
pub mod sealed;
mod status;
mod time;
mod verify;

pub use act::{Act, ActDraft, Clock, Completion, Item, Mode, Outcome, OutcomeKind, SetAside, Tool};
pub use case::Case;
pub use error::{Error, ErrorKind};
pub use exhibit::ExhibitDir;
pub use info::{CaseInfo, NewCase};
pub use key::{KeyText, PublicKey, Signer};
pub use label::safe_label;
pub use line::{SignedAct, SignedActs, acts, read_acts};
pub use members::{Copied, Progress, duplicate};
pub use open_act::OpenAct;
pub use status::{OpenMarker, Status, status};
pub use time::Timestamp;
pub use verify::{Place, Problem, Reader, Verification, VerifyOptions, verify, verify_reading};
