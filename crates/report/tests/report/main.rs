//! Reports of whole cases, judged by parsers that are not ours.

mod common;
mod content;
mod custody;
mod inert;
mod judged;
mod page;
mod pictures;
mod size;
