//! Safe wrappers of the few kernel calls that no well-kept crate offers safely, and the one digest loop none has.
//!
//! The only crate of the workspace that may say `unsafe`; each block is one call, or one piece of assembly, long and says
//! why it is sound. There is no policy here: what may be called when is decided by the callers.

#![expect(unsafe_code, reason = "this crate exists so that no other needs it")]

pub mod block;
pub mod device_filter;
pub mod digest;
pub mod network;
pub mod observe;
pub mod passthrough;
