//! What is imaged: a disk, a file as it is, or one volume of a disk or an image.
//!
//! A partition is read from the disk itself, past the cache as the whole disk is; what was put together or unlocked, and
//! what lies in an image, is read through the layers that assemble it.

use std::sync::Arc;

use casebook::Item;
use evidence::stack::{Stack, VolumeId};
use guard::{Disk, Guard};
use hashing::Digests;
use imaging::{FileSource, PartOf, ReadAt};
use serde_json::{Value, json};

use super::stored;
use crate::acting;
use crate::failure::Failure;
use crate::opened::Layers;
use crate::output::{Colour, paint, say};
use crate::target::{self, Target};

/// What is imaged.
pub(super) struct Subject {
    /// The disk or file.
    pub(super) target: Target,
    /// The volume of it, if not all of it is meant.
    part: Option<Part>,
    /// The bytes that are copied.
    bytes: Arc<dyn ReadAt>,
}

/// A volume.
struct Part {
    label: String,
    /// `DISK:LABEL`.
    address: String,
    /// Where it begins on the disk, if it is one piece of it.
    start_bytes: Option<u64>,
    length_bytes: u64,
    /// What is known of it.
    facts: Value,
    /// Other disks it spreads over.
    beside: Vec<Disk>,
}

impl Subject {
    /// Opens what a word names; `label` is the volume meant where the word names none.
    ///
    /// # Errors
    /// If there is no such disk, file or volume, or it cannot be opened.
    pub(super) fn open(
        word: &str,
        label: Option<&str>,
        layers: &Layers,
        guard: &Guard,
    ) -> Result<Self, Failure> {
        let address = target::address(word);
        if address.object.is_some() {
            return Err(Failure::new("an image is of a disk or a volume, not of a file in it")
                .hint(format!("glovebox cp {word} --to FOLDER")));
        }
        let source = String::from_utf8_lossy(&address.source).into_owned();
        let target = target::open(&source, guard)?;
        let Some(label) = address.label.as_deref().or(label) else {
            let bytes = Arc::new(FileSource::new(target.file.try_clone()?, target.sector_bytes)?);
            return Ok(Self { target, part: None, bytes });
        };
        let named = target::disk_source(&source, guard)?;
        let name = named.name.clone();
        let stack = layers.examine(named, guard)?;
        let found = stack.find(&name, label);
        let id = found.ok_or_else(|| no_volume(&stack, &name, label))?;
        say_problems(&stack, &name);
        let (part, bytes) = part(&stack, id, &target, guard)?;
        Ok(Self { target, part: Some(part), bytes })
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> Arc<dyn ReadAt> {
        Arc::clone(&self.bytes)
    }

    /// Size in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.bytes.size_bytes()
    }

    /// How people name it.
    pub(super) fn name(&self) -> &str {
        self.part.as_ref().map_or(&self.target.name, |part| &part.address)
    }

    /// Whether it is a whole disk.
    pub(super) fn is_disk(&self) -> bool {
        self.part.is_none() && self.target.disk.is_some()
    }

    /// Every disk it is read from.
    pub(super) fn disks(&self) -> impl Iterator<Item = &Disk> {
        let beside = self.part.iter().flat_map(|part| &part.beside);
        self.target.disk.iter().chain(beside)
    }

    /// What it is recognised by when work goes on.
    pub(super) fn identity(&self) -> Value {
        let mut identity = match &self.target.disk {
            Some(disk) => json!({
                "name": self.target.name,
                "model": disk.model,
                "serial": disk.serial,
            }),
            None => {
                let name = std::fs::canonicalize(&self.target.name)
                    .map_or_else(|_| self.target.name.clone(), |path| path.display().to_string());
                json!({ "name": name, "model": null, "serial": null })
            }
        };
        if let (Value::Object(fields), Some(part)) = (&mut identity, &self.part) {
            let place = json!({
                "label": part.label,
                "start_bytes": part.start_bytes,
                "length_bytes": part.length_bytes,
            });
            fields.insert("volume".to_owned(), place);
        }
        identity
    }

    /// The label of an exhibit nobody named.
    pub(super) fn default_label(&self) -> String {
        let whole = match &self.target.disk {
            Some(disk) if !disk.serial.is_empty() => format!("{}-{}", disk.name, disk.serial),
            Some(disk) => disk.name.to_string(),
            None => std::path::Path::new(&self.target.name)
                .file_stem()
                .map_or_else(|| "image".to_owned(), |stem| stem.to_string_lossy().into_owned()),
        };
        match &self.part {
            Some(part) => format!("{whole}-{}", part.label),
            None => whole,
        }
    }

    /// What is copied, as the input of an act: its digests are those of the image.
    pub(super) fn item(&self) -> Item {
        match (&self.part, &self.target.disk) {
            (Some(part), _) => Item {
                name: part.address.clone(),
                size_bytes: Some(part.length_bytes),
                digests: Digests::default(),
                facts: part.facts.clone(),
            },
            (None, Some(disk)) => acting::disk_item(disk),
            (None, None) => Item {
                name: self.target.name.clone(),
                size_bytes: Some(self.size_bytes()),
                digests: Digests::default(),
                facts: Value::Null,
            },
        }
    }

    /// The disk a volume lies on, as a further input: it says that only a part of it was read.
    pub(super) fn around(&self) -> Option<Item> {
        let part = self.part.as_ref()?;
        Some(self.target.disk.as_ref().map_or_else(
            || {
                let facts = json!({ "is": "disk in an image", "only": part.address });
                let name = self.target.name.clone();
                Item { name, size_bytes: None, digests: Digests::default(), facts }
            },
            |disk| part.of(disk),
        ))
    }

    /// Further disks a volume spreads over.
    pub(super) fn beside(&self) -> Vec<Item> {
        let part = self.part.iter();
        part.flat_map(|part| part.beside.iter().map(|disk| part.of(disk))).collect()
    }
}

impl Part {
    fn of(&self, disk: &Disk) -> Item {
        let mut item = acting::disk_item(disk);
        if let Value::Object(facts) = &mut item.facts {
            facts.insert("only".to_owned(), json!(self.address));
        }
        item
    }
}

fn part(
    stack: &Stack,
    id: VolumeId,
    target: &Target,
    guard: &Guard,
) -> Result<(Part, Arc<dyn ReadAt>), Failure> {
    let nothing = || Failure::new("there is no such volume");
    let (volume, source) =
        (stack.volume(id).ok_or_else(nothing)?, stack.source(id).ok_or_else(nothing)?);
    let (length_bytes, address) = (source.size_bytes(), stack.address(id));
    if length_bytes < volume.length_bytes {
        say(&paint(
            &format!(
                "problem: {address} says it has {} bytes, of which only {length_bytes} are there",
                volume.length_bytes
            ),
            Colour::Yellow,
        ));
    }
    let start_bytes = stack.start_on_disk_bytes(id);
    // A range that does not begin on a sector could not be read past the cache.
    let is_aligned = |start: &u64| start.is_multiple_of(u64::from(target.sector_bytes.max(1)));
    let direct = start_bytes
        .filter(is_aligned)
        .filter(|_| target.disk.is_some() && stack.disk_of(id) == target.name);
    let bytes: Arc<dyn ReadAt> = match direct {
        Some(start_bytes) => {
            let disk = FileSource::new(target.file.try_clone()?, target.sector_bytes)?;
            Arc::new(PartOf::new(Arc::new(disk), start_bytes, length_bytes))
        }
        None => Arc::new(stored::Reading(source)),
    };
    let contents: Vec<Value> = volume
        .contents
        .iter()
        .map(|content| json!({ "kind": format!("{:?}", content.kind), "label": content.label, "uuid": content.uuid }))
        .collect();
    let facts = json!({
        "is": "volume",
        "of": stack.disk_of(id),
        "first_byte": start_bytes,
        "length_bytes": length_bytes,
        "declared_length_bytes": volume.length_bytes,
        "origin": stack.origin(id),
        "partition": stack.partition(id),
        "contents": contents,
        "read": if direct.is_some() { "from the disk" } else { "through its layers" },
    });
    let others = stack.disks_of(id).into_iter().filter(|name| *name != target.name);
    let beside = others.filter_map(|name| target::known_disk(&name, guard)).collect();
    let label = stack.label(id);
    Ok((Part { label, address, start_bytes, length_bytes, facts, beside }, bytes))
}

fn no_volume(stack: &Stack, name: &str, label: &str) -> Failure {
    let known: Vec<String> = stack.volumes().map(|id| stack.label(id)).collect();
    Failure::new(format!("{name} has no volume \"{label}\""))
        .hint(format!("its volumes are: {}", known.join(", ")))
        .hint(format!("glovebox ls {name}"))
}

fn say_problems(stack: &Stack, name: &str) {
    for (address, problem) in stack.problems() {
        let is_of_it = address.strip_prefix(name);
        if is_of_it.is_some_and(|rest| rest.is_empty() || rest.starts_with(':')) {
            say(&paint(&format!("problem: {address}: {problem}"), Colour::Yellow));
        }
    }
}
