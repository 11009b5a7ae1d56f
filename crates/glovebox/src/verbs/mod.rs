//! One file per verb: its arguments and `run`.

pub(crate) mod case;
pub(crate) mod guard;
pub(crate) mod hash;
pub(crate) mod image;
pub(crate) mod power;
pub(crate) mod survey;
pub(crate) mod triage;
pub(crate) mod welcome;
