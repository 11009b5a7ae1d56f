//! A case shown to people and programs: HTML, text, JSON, CASE/UCO.
//!
//! A pure function of a case directory: what stands in it is verified, read and shown. No clock, no
//! host, no network and no evidence but the exhibits the case itself holds, so the same case gives the
//! same bytes on every machine. Everything in a case is hostile: names come from suspects' disks, and the
//! case may have been tampered with. A case that does not hold still gives a report, which says so first.
//!
//! [`Report::read`] makes the one value; each writer shows it: [`html()`], [`text()`], [`json()`],
//! [`case_uco()`]. Findings and acts may be millions: the value keeps the worst and counts the rest, the JSON
//! writers read them again from the case, one at a time.
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
mod blocks;
mod case_uco;
mod coverage;
mod custody;
mod disks;
mod error;
mod examinations;
mod findings;
mod html;
mod inert;
mod json;
mod model;
mod moment;
mod notice;
mod people;
mod plain;
mod reading;
mod scan;
mod source;
mod spans;
mod timeline;
mod words;

pub use act::{ActLine, Acts};
pub use case_uco::case_uco;
pub use coverage::{Coverage, Examined, NotReached};
pub use custody::{Called, Custody, Sealing};
pub use disks::{Change, DiskProof, DiskVerdict};
pub use error::Error;
pub use findings::{Finding, Findings, RuleGroup, Severity};
pub use html::html;
pub use inert::Text;
pub use json::json;
pub use model::{CaseFacts, Exhibit, ExhibitFile, Report, Verdict};
pub use moment::Moment;
pub use notice::{Notice, NoticeRequest};
pub use people::{Entry, People};
pub use plain::text;
pub use spans::Span;
pub use timeline::{Event, Timeline};
pub use words::{Level, Statement};
