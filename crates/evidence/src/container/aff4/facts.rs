//! What an AFF4 image says about itself: the case, the disk, the digests.

use super::turtle::Value;
use super::volume::{SCHEMA, Volume};
use crate::container::below::Notes;
use crate::container::{Counted, Recorded};
use crate::escape_bytes;

/// Properties by the names E01 gives the same things, where it has them.
const NAMES: [(&str, &str); 24] = [
    ("caseNumber", "case number"),
    ("caseName", "case name"),
    ("caseDescription", "description"),
    ("evidenceNumber", "evidence number"),
    ("examiner", "examiner"),
    ("notes", "notes"),
    ("startTime", "acquired"),
    ("endTime", "acquisition ended"),
    ("diskMake", "make"),
    ("diskModel", "model"),
    ("diskSerial", "serial number"),
    ("diskFirmware", "firmware"),
    ("diskInterfaceType", "interface"),
    ("diskDeviceName", "device"),
    ("diskDeviceType", "media"),
    ("diskPartitionTableType", "partition table"),
    ("deviceHPAMaxSector", "HPA first sector"),
    ("deviceDCOMaxSector", "DCO first sector"),
    ("acquisitionType", "acquisition type"),
    ("acquisitionCompletionState", "acquisition state"),
    ("blockSize", "sector bytes"),
    ("sectorCount", "sectors"),
    ("creationTime", "created"),
    ("tool", "acquiry software version"),
];

/// Our own property: a digest taken while reading, which counts zeros where the Standard's counts a text.
const WITH_ZEROS: &str = "urn:glovebox:hashUnreadableAsZeros";

/// Facts one image may have.
const MAX_FACTS: usize = 256;

const MAX_VALUE_BYTES: usize = 1000;

/// Takes the facts about an image, and of what says that it is about the image.
pub(super) fn of(volume: &Volume, image: &str, notes: &mut Notes) {
    notes.fact("volume", escape_bytes(volume.urn.as_bytes()));
    let version = |name: &str| {
        let found = volume.version.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| escape_bytes(value.as_bytes()))
    };
    if let (Some(major), Some(minor)) = (version("major"), version("minor")) {
        notes.fact("version", format!("{major}.{minor}"));
    }
    if let Some(tool) = version("tool") {
        notes.fact("acquiry software version", tool);
    }
    let about_image = |subject: &&str| {
        *subject == image
            || volume.property(subject, "target").is_some_and(|value| value.text() == image)
    };
    for subject in volume.graph.subjects().filter(about_image) {
        // Maps point back at their image too, but what they say is about themselves.
        if subject != image && (volume.is_a(subject, "Map") || volume.is_a(subject, "ImageStream"))
        {
            continue;
        }
        for (name, value) in volume.graph.about(subject) {
            if name == WITH_ZEROS {
                digest(value, Counted::AsZeros, notes);
            }
            let Some(name) = name.strip_prefix(SCHEMA) else { continue };
            if name == "hash" {
                digest(value, Counted::AsShown, notes);
                continue;
            }
            let Some((_, known)) = NAMES.iter().find(|(property, _)| *property == name) else {
                continue;
            };
            let mut text = escape_bytes(value.text().trim().as_bytes());
            text.truncate(text.floor_char_boundary(MAX_VALUE_BYTES));
            let fact = ((*known).to_owned(), text);
            if !fact.1.is_empty() && notes.facts.len() < MAX_FACTS && !notes.facts.contains(&fact) {
                notes.facts.push(fact);
            }
        }
    }
}

/// A digest over the image; its type names the algorithm.
fn digest(value: &Value, counted: Counted, notes: &mut Notes) {
    let Value::Text(text, kind) = value else { return };
    let kind = kind.strip_prefix(SCHEMA).unwrap_or("").to_ascii_lowercase();
    let text = escape_bytes(text.trim().to_ascii_lowercase().as_bytes());
    if kind.is_empty() || text.len() > 256 {
        return;
    }
    if let Some(algorithm) = kind.strip_prefix("blockmaphash") {
        notes.fact(&format!("block map hash {algorithm}"), text);
        return;
    }
    match counted {
        Counted::AsShown => notes.fact(&kind, &text),
        Counted::AsZeros => notes.fact(&format!("{kind} with zeros for unreadable"), &text),
    }
    notes.digests.push(Recorded { algorithm: kind, hex: text, counted });
}
