//! Logical volumes as sources, made from their segments and from each other.
//!
//! The metadata may name volumes in circles or nest them without end; the depth, the levels of redundancy and the number
//! of sources made are bounded.

use super::group::{Group, shown};
use super::metadata::{Physical, Volume};
use super::snapshot::Snapshot;
use super::thin::Pool;
use super::{metadata, segment};
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::{Source, Window};
use crate::volume::Assembled;
use crate::volume::pieces::{Piece, Pieces};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const MOST_DEPTH: usize = 12;
/// Mirrors of mirrors are as far as anybody goes; each level multiplies the price of an unreadable sector.
const MOST_REDUNDANCY: u32 = 2;
const MOST_SEGMENTS: usize = 100_000;

/// Why a volume is not readable.
#[derive(Clone, Debug)]
pub(super) struct Fault(pub(super) ProblemKind, pub(super) String);

impl Fault {
    pub(super) fn corrupt(text: impl Into<String>) -> Self {
        Self(ProblemKind::Corrupt, text.into())
    }

    pub(super) fn unsupported(text: impl Into<String>) -> Self {
        Self(ProblemKind::Unsupported, text.into())
    }

    pub(super) fn missing(text: impl Into<String>) -> Self {
        Self(ProblemKind::Io, text.into())
    }

    pub(super) fn problem(self) -> Problem {
        Problem::new(self.0, Place::Source, self.1)
    }
}

/// A volume that was made, with what has to be said of it.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) source: Arc<dyn Source>,
    pub(super) faults: Vec<Fault>,
    /// Names of the members in it.
    pub(super) members: BTreeSet<String>,
    /// Levels of redundancy in it.
    pub(super) redundancy: u32,
}

/// Makes the volumes of one group.
pub(super) struct Builder<'a> {
    pub(super) group: &'a Group,
    volumes: BTreeMap<&'a str, &'a Volume>,
    physical: BTreeMap<&'a str, &'a Physical>,
    made: BTreeMap<String, Result<Made, Fault>>,
    pub(super) pools: BTreeMap<String, Arc<Pool>>,
    depth: usize,
    segments_left: usize,
}

/// What a segment gathers from its areas.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) faults: Vec<Fault>,
    pub(super) members: BTreeSet<String>,
    pub(super) redundancy: u32,
}

impl Parts {
    /// Takes over what is said of a volume that is used.
    pub(super) fn join(&mut self, made: &Made) {
        self.faults.extend(made.faults.iter().cloned());
        self.members.extend(made.members.iter().cloned());
        self.redundancy = self.redundancy.max(made.redundancy);
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(group: &'a Group) -> Self {
        let metadata = &group.metadata;
        Self {
            group,
            volumes: metadata.volumes.iter().map(|one| (one.name.as_str(), one)).collect(),
            physical: metadata.physical.iter().map(|one| (one.name.as_str(), one)).collect(),
            made: BTreeMap::new(),
            pools: BTreeMap::new(),
            depth: 0,
            segments_left: MOST_SEGMENTS,
        }
    }

    /// The bytes of this many extents.
    pub(super) fn bytes(&self, extents: u64) -> u64 {
        extents.saturating_mul(self.group.metadata.extent_bytes)
    }

    /// The volume of this name in the metadata.
    pub(super) fn named(&self, name: &str) -> Result<&'a Volume, Fault> {
        let missing = || Fault::corrupt(format!("there is no volume {} in the group", shown(name)));
        self.volumes.get(name).copied().ok_or_else(missing)
    }

    /// A visible volume for the caller.
    pub(super) fn assemble(&mut self, volume: &Volume) -> Assembled {
        let mut kinds: Vec<String> = Vec::new();
        for segment in &volume.segments {
            let text = segment::describe(segment);
            if kinds.last() != Some(&text) {
                kinds.push(text);
            }
        }
        kinds.truncate(8);
        let mut problems = self.group.problems.clone();
        let mut assembled = Assembled {
            name: format!("{}/{}", shown(&self.group.metadata.name), shown(&volume.name)),
            uuid: Some(shown(&volume.uuid)),
            description: kinds.join("; "),
            source: None,
            members: Vec::new(),
            problems: Vec::new(),
        };
        let is_pool = volume.segments.iter().any(|one| one.kind.ends_with("-pool"));
        if !is_pool {
            match self.top(volume, &mut assembled.description) {
                Ok(made) => {
                    assembled.source = Some(made.source);
                    assembled.members = made.members.into_iter().collect();
                    problems.extend(made.faults.into_iter().map(Fault::problem));
                }
                Err(fault) => problems.push(fault.problem()),
            }
        }
        problems.dedup();
        assembled.problems = problems;
        assembled
    }

    /// A volume as a system shows it: the store of a snapshot stands for the snapshot.
    fn top(&mut self, volume: &Volume, description: &mut String) -> Result<Made, Fault> {
        let store = self.volume(&volume.name)?;
        let segments = self.group.metadata.volumes.iter().flat_map(|one| &one.segments);
        let mut snapshots = segments.filter(|one| one.kind == "snapshot");
        let own = |segment: &metadata::Segment, field: &str| {
            segment.fields.text(field) == Some(volume.name.as_str())
        };
        let Some(segment) =
            snapshots.find(|one| own(one, "cow_store") || own(one, "merging_store"))
        else {
            return Ok(store);
        };
        let origin = segment.fields.text("origin").unwrap_or_default();
        *description = format!("snapshot of {}", shown(origin));
        let origin = self.volume(origin)?;
        let mut parts = Parts::default();
        parts.join(&store);
        parts.join(&origin);
        if own(segment, "merging_store") {
            parts.faults.push(Fault::unsupported("the snapshot was being merged into its origin"));
        }
        let source = Arc::new(Snapshot::open(origin.source, store.source)?);
        let Parts { faults, members, redundancy } = parts;
        Ok(Made { source, faults, members, redundancy })
    }

    /// A volume by its name, made once.
    pub(super) fn volume(&mut self, name: &str) -> Result<Made, Fault> {
        if let Some(made) = self.made.get(name) {
            return made.clone();
        }
        if self.depth >= MOST_DEPTH {
            return Err(Fault::corrupt(format!(
                "volume {} is nested more than {MOST_DEPTH} deep or contains itself",
                shown(name)
            )));
        }
        self.depth = self.depth.saturating_add(1);
        let made = self.make(name);
        self.depth = self.depth.saturating_sub(1);
        self.made.insert(name.to_owned(), made.clone());
        made
    }

    fn make(&mut self, name: &str) -> Result<Made, Fault> {
        let volume = self.named(name)?;
        let mut parts = Parts::default();
        let mut pieces = Vec::new();
        let mut last_fault = None;
        for segment in &volume.segments {
            let Some(left) = self.segments_left.checked_sub(1) else {
                return Err(Fault(
                    ProblemKind::Refused,
                    format!("more than {MOST_SEGMENTS} segments have to be read"),
                ));
            };
            self.segments_left = left;
            let source = match segment::make(self, segment, &mut parts) {
                Ok(source) => Some(source),
                Err(fault) => {
                    last_fault = Some(fault);
                    None
                }
            };
            pieces.push(Piece {
                start_bytes: self.bytes(segment.first_extent),
                length_bytes: self.bytes(segment.extents),
                source,
                source_bytes: 0,
            });
        }
        if let Some(fault) = last_fault {
            if pieces.iter().all(|piece| piece.source.is_none()) {
                return Err(fault);
            }
            parts.faults.push(fault);
        }
        if parts.redundancy > MOST_REDUNDANCY {
            return Err(Fault(
                ProblemKind::Refused,
                format!(
                    "volume {} has more than {MOST_REDUNDANCY} levels of redundancy",
                    shown(name)
                ),
            ));
        }
        let source = Arc::new(Pieces::new(pieces));
        let Parts { faults, members, redundancy } = parts;
        Ok(Made { source, faults, members, redundancy })
    }

    /// `length_bytes` from this extent of a physical or logical volume.
    pub(super) fn area(
        &mut self,
        name: &str,
        extent: u64,
        length_bytes: u64,
        parts: &mut Parts,
    ) -> Result<Arc<dyn Source>, Fault> {
        let start = self.bytes(extent);
        let Some(physical) = self.physical.get(name) else {
            let made = self.volume(name)?;
            parts.join(&made);
            return Ok(Arc::new(Window::new(made.source, start, length_bytes)));
        };
        let Some(member) = self.group.members.get(name) else {
            return Err(Fault::missing(format!(
                "a part lies on the missing physical volume {}",
                shown(&physical.uuid)
            )));
        };
        parts.members.insert(member.name.clone());
        let start = physical.start_bytes.saturating_add(start);
        Ok(Arc::new(Window::new(Arc::clone(&member.source), start, length_bytes)))
    }
}
