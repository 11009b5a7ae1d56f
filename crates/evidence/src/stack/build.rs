//! Building the stack: look at a source, and go on with what was found on it until nothing new turns up.
//!
//! Depth and number of layers are bounded: a hostile disk can describe arrays on volumes on arrays without end.

use super::{Closed, Disk, Layer, Origin, Stack, VolumeId, label_below};
use crate::disk;
use crate::error::EvidenceError;
use crate::fs::View;
use crate::partition::{self, Scheme};
use crate::probe::ContentKind;
use crate::problem::{Place, Problem, ProblemKind};
use crate::source::Source;
use crate::volume::{Assembled, Key, Member, bitlocker, luks, lvm, md};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rounds of assembling: arrays on volumes on encrypted partitions are three.
const MAX_ROUNDS: usize = 6;
/// Layers in all.
const MAX_LAYERS: usize = 1024;

pub(super) fn build(disks: &[Disk], keys: &[Key]) -> Stack {
    let mut stack = Stack { layers: Vec::new(), closed: Vec::new() };
    for disk in disks {
        stack.push(&disk.name, "", Origin::Disk, &disk.source, Vec::new());
    }
    let mut seen = Seen::default();
    for round in 0..=MAX_ROUNDS {
        let before = stack.layers.len();
        stack.descend(&mut seen, keys);
        stack.assemble("md", &md::assemble(&stack.members(ContentKind::MdMember)), &mut seen);
        stack.assemble("lvm", &lvm::assemble(&stack.members(ContentKind::LvmMember)), &mut seen);
        if stack.layers.len() == before {
            break;
        }
        if round == MAX_ROUNDS || stack.layers.len() >= MAX_LAYERS {
            let text = format!(
                "more than {MAX_ROUNDS} rounds of assembling or {MAX_LAYERS} layers; the rest was not looked at"
            );
            let problem = Problem::new(ProblemKind::Refused, Place::Source, text);
            if let Some(layer) = stack.layers.first_mut() {
                layer.problems.push(problem);
            }
            break;
        }
    }
    stack.join_btrfs();
    // An array that could not be opened at first may have been completed by a later round.
    let open: BTreeSet<String> =
        stack.layers.iter().map(|layer| format!("{}:{}", layer.disk, layer.label)).collect();
    stack.closed.retain(|closed| !open.contains(&closed.address));
    stack
}

/// What was dealt with in an earlier round.
#[derive(Default)]
struct Seen {
    volumes: BTreeSet<VolumeId>,
    assembled: BTreeSet<String>,
}

impl Stack {
    fn push(
        &mut self,
        disk: &str,
        label: &str,
        origin: Origin,
        source: &Arc<dyn Source>,
        problems: Vec<Problem>,
    ) {
        if self.layers.len() < MAX_LAYERS {
            self.layers.push(Layer {
                disk: disk.to_owned(),
                label: label.to_owned(),
                origin,
                view: disk::examine(source),
                problems,
                source: Arc::clone(source),
            });
        }
    }

    /// Opens encrypted ranges and ranges with a partition table of their own.
    fn descend(&mut self, seen: &mut Seen, keys: &[Key]) {
        let fresh: Vec<VolumeId> = self.volumes().filter(|id| seen.volumes.insert(*id)).collect();
        for id in fresh {
            let Some(source) = self.source(id) else { continue };
            let (disk, label, on) = (self.disk_of(id).to_owned(), self.label(id), self.address(id));
            let deciding = self.volume(id).and_then(|volume| volume.contents.first());
            match deciding.map(|content| content.kind) {
                Some(kind @ (ContentKind::Luks1 | ContentKind::Luks2 | ContentKind::BitLocker)) => {
                    let (by, opened) = unlock(kind, source, keys);
                    match opened {
                        Ok(clear) => {
                            let origin = Origin::Unlocked { on, by };
                            self.push(&disk, &label, origin, &clear, Vec::new());
                        }
                        Err(error) => {
                            self.close(
                                on,
                                format!("{kind:?}, locked"),
                                vec![error.to_problem(Place::Source)],
                            );
                        }
                    }
                }
                None if self.is_partition(id)
                    && partition::read_table(&*source).scheme != Scheme::None =>
                {
                    self.push(&disk, &label, Origin::Nested { on }, &source, Vec::new());
                }
                _ => {}
            }
        }
    }

    fn is_partition(&self, id: VolumeId) -> bool {
        self.volume(id).is_some_and(|volume| volume.partition.is_some())
    }

    /// Opens each Btrfs that spreads over several devices once, for what is wrong with it as a whole.
    fn join_btrfs(&mut self) {
        let mut joined = BTreeSet::new();
        let mut met: Vec<(usize, Problem)> = Vec::new();
        for id in self.volumes() {
            let Some(volume) = self.volume(id) else { continue };
            let Some(content) = volume.contents.iter().find(|one| one.devices.is_some()) else {
                continue;
            };
            if joined.insert(content.uuid.clone()) {
                let place = volume.partition.map_or(Place::Source, Place::Partition);
                match crate::btrfs::open(self.devices(content), View::Recovered) {
                    Ok(fs) => met.extend(fs.problems().iter().map(|one| (id.layer, one.clone()))),
                    Err(error) => met.push((id.layer, error.to_problem(place))),
                }
            }
        }
        for (layer, problem) in met {
            self.layers
                .get_mut(layer)
                .into_iter()
                .for_each(|layer| layer.problems.push(problem.clone()));
        }
    }

    fn close(&mut self, address: String, description: String, problems: Vec<Problem>) {
        if !self.closed.iter().any(|closed| closed.address == address) {
            self.closed.push(Closed { address, description, problems });
        }
    }

    /// The ranges that say they are part of something.
    fn members(&self, kind: ContentKind) -> Vec<Member> {
        self.volumes()
            .filter(|id| {
                self.volume(*id)
                    .and_then(|volume| volume.contents.first())
                    .is_some_and(|content| content.kind == kind)
            })
            .filter_map(|id| Some(Member { name: self.address(id), source: self.source(id)? }))
            .collect()
    }

    fn assemble(&mut self, by: &'static str, volumes: &[Assembled], seen: &mut Seen) {
        for volume in volumes {
            let disk = disk_of(&volume.members).unwrap_or_else(|| {
                self.layers.first().map_or(String::new(), |layer| layer.disk.clone())
            });
            let label = label_of(by, &volume.name);
            let key = format!("{by} {:?} {label}", volume.uuid);
            let address = format!("{disk}:{label}");
            let Some(source) = &volume.source else {
                self.close(
                    address,
                    format!("{by} {}", volume.description),
                    volume.problems.clone(),
                );
                continue;
            };
            if !seen.assembled.insert(key) {
                continue;
            }
            let taken = self.layers.iter().filter(|layer| layer.label == label).count();
            let label =
                if taken == 0 { label } else { format!("{label}~{}", taken.saturating_add(1)) };
            let origin = Origin::Assembled {
                by,
                description: volume.description.clone(),
                uuid: volume.uuid.clone(),
                members: volume.members.clone(),
            };
            self.push(&disk, &label, origin, source, volume.problems.clone());
        }
    }
}

fn unlock(
    kind: ContentKind,
    source: Arc<dyn Source>,
    keys: &[Key],
) -> (&'static str, Result<Arc<dyn Source>, EvidenceError>) {
    if kind == ContentKind::BitLocker {
        ("bitlocker", bitlocker::unlock(source, keys))
    } else if keys.is_empty() {
        ("luks", Err(EvidenceError::refused("locked: no key was given")))
    } else {
        ("luks", luks::unlock(source, keys))
    }
}

/// The disk of the first member.
fn disk_of(members: &[String]) -> Option<String> {
    let first = members.first()?;
    Some(first.rsplit_once(':').map_or(first.as_str(), |(disk, _)| disk).to_owned())
}

/// A logical volume keeps its name `vg/lv`; an array has a host before its name, which says nothing here.
fn label_of(by: &str, name: &str) -> String {
    if by == "md" {
        let short = name.rsplit_once(':').map_or(name, |(_, short)| short);
        label_below(&format!("md/{short}"), None)
    } else {
        name.to_owned()
    }
}
