//! A group out of its members: which text counts, who is missing, stale or there twice.

use super::facts::{GroupFacts, LogicalFacts, PhysicalFacts};
use super::label;
use super::metadata::{self, Metadata};
use crate::problem::{Place, Problem, ProblemKind};
use crate::volume::Member;
use std::collections::BTreeMap;

/// A group with the members that were found.
pub(super) struct Group {
    pub(super) metadata: Metadata,
    /// Members by the name their physical volume has in the text.
    pub(super) members: BTreeMap<String, Member>,
    pub(super) problems: Vec<Problem>,
}

/// A member with its own word.
struct Found<'a> {
    member: &'a Member,
    uuid: String,
    texts: Vec<Metadata>,
    problems: Vec<Problem>,
}

fn read(member: &Member) -> Option<Found<'_>> {
    let label = label::read(&member.source)?;
    let mut problems = label.problems;
    let mut texts = Vec::new();
    for text in &label.texts {
        match metadata::read(text) {
            Some(read) => texts.push(read),
            None => problems.push(Problem::new(
                ProblemKind::Corrupt,
                Place::Source,
                "the LVM metadata lacks what every group has",
            )),
        }
    }
    for problem in &mut problems {
        problem.text = format!("{}: {}", member.name, problem.text);
    }
    Some(Found { member, uuid: label.uuid, texts, problems })
}

/// All groups, in order of name.
pub(super) fn find(members: &[Member]) -> Vec<Group> {
    let found: Vec<Found<'_>> = members.iter().filter_map(read).collect();
    let mut newest: BTreeMap<(String, String), &Metadata> = BTreeMap::new();
    for text in found.iter().flat_map(|one| &one.texts) {
        let key = (text.name.clone(), text.uuid.clone());
        match newest.get(&key) {
            Some(known) if known.sequence >= text.sequence => {}
            _ => {
                newest.insert(key, text);
            }
        }
    }
    newest.into_values().map(|metadata| group(metadata, &found)).collect()
}

fn group(metadata: &Metadata, found: &[Found<'_>]) -> Group {
    let mut problems = Vec::new();
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    for physical in &metadata.physical {
        let wanted = physical.uuid.replace('-', "");
        for one in found.iter().filter(|one| one.uuid == wanted) {
            problems.extend(one.problems.iter().cloned());
            if let Some(first) = members.get(&physical.name) {
                problems.push(Problem::new(
                    ProblemKind::Corrupt,
                    Place::Source,
                    format!(
                        "{} and {} have the same LVM UUID, the second is not used",
                        first.name, one.member.name
                    ),
                ));
                continue;
            }
            let own = one.texts.iter().filter(|text| text.uuid == metadata.uuid);
            let sequence = own.map(|text| text.sequence).max();
            if let Some(sequence) = sequence.filter(|sequence| *sequence < metadata.sequence) {
                problems.push(Problem::new(
                    ProblemKind::Corrupt,
                    Place::Source,
                    format!(
                        "{} is stale: its LVM metadata has sequence number {sequence}, the newest {}",
                        one.member.name, metadata.sequence
                    ),
                ));
            }
            members.insert(physical.name.clone(), one.member.clone());
        }
        if !members.contains_key(&physical.name) {
            let device = physical.device.as_deref().unwrap_or("an unknown device");
            problems.push(Problem::new(
                ProblemKind::Io,
                Place::Source,
                format!(
                    "physical volume {} (once {}) is missing",
                    shown(&physical.uuid),
                    shown(device)
                ),
            ));
        }
    }
    Group { metadata: metadata.clone(), members, problems }
}

/// Text from the evidence, made safe to show.
pub(super) fn shown(text: &str) -> String {
    crate::escape_bytes(text.as_bytes())
}

impl Group {
    pub(super) fn facts(&self) -> GroupFacts {
        let metadata = &self.metadata;
        let all = |texts: &[String]| texts.iter().map(|text| shown(text)).collect();
        let bytes = |extents: u64| extents.saturating_mul(metadata.extent_bytes);
        GroupFacts {
            name: shown(&metadata.name),
            uuid: shown(&metadata.uuid),
            sequence: metadata.sequence,
            extent_bytes: metadata.extent_bytes,
            host: metadata.host.as_deref().map(shown),
            written: metadata.written,
            written_by: metadata.written_by.as_deref().map(shown),
            physical: metadata
                .physical
                .iter()
                .map(|physical| PhysicalFacts {
                    uuid: shown(&physical.uuid),
                    device: physical.device.as_deref().map(shown),
                    member: self.members.get(&physical.name).map(|member| member.name.clone()),
                    size_bytes: bytes(physical.extents),
                    flags: all(&physical.flags),
                })
                .collect(),
            logical: metadata
                .volumes
                .iter()
                .map(|volume| LogicalFacts {
                    name: shown(&volume.name),
                    uuid: shown(&volume.uuid),
                    size_bytes: bytes(volume.extents()),
                    kinds: volume.segments.iter().map(|one| shown(&one.kind)).collect(),
                    flags: all(&volume.flags),
                    is_visible: volume.is_visible,
                    host: volume.host.as_deref().map(shown),
                    created: volume.created,
                })
                .collect(),
            problems: self.problems.clone(),
        }
    }
}
