//! One file per verb: its arguments and `run`.

pub(crate) mod archive;
pub(crate) mod baseline;
pub(crate) mod bodyfile;
pub(crate) mod case;
pub(crate) mod cat;
pub(crate) mod contact;
pub(crate) mod cp;
pub(crate) mod find;
pub(crate) mod guard;
pub(crate) mod hash;
pub(crate) mod image;
pub(crate) mod keys;
pub(crate) mod ls;
pub(crate) mod map;
pub(crate) mod memory;
pub(crate) mod net;
pub(crate) mod power;
pub(crate) mod receive;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod stat;
pub(crate) mod survey;
pub(crate) mod triage;
pub(crate) mod verify;
pub(crate) mod welcome;
