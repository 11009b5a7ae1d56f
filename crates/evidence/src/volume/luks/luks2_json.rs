//! The JSON part of LUKS2: key slots, digests, segments, tokens and requirements (LUKS2 specification, 3).

use super::description::{Description, Slot, Token};
use super::kdf::Kdf;
use super::keyslot::{Digest, Keyslot};
use super::{Header, Segment};
use crate::bytes::to_usize;
use crate::error::EvidenceError;
use crate::problem::{Place, Problem, ProblemKind};
use hashing::base64;
use serde_json::Value;

/// cryptsetup allows 32 of each.
const MOST_OBJECTS: usize = 256;

/// Reads the text; serde_json bounds the depth, the header its length.
pub(super) fn read(json: &[u8]) -> Result<Header, EvidenceError> {
    let root: Value = serde_json::from_slice(json)
        .map_err(|error| EvidenceError::corrupt(format!("LUKS2 metadata: {error}")))?;
    let mut problems = Vec::new();
    let mut notes = requirements(&root);
    let mut slots = Vec::new();
    let mut described = Vec::new();
    for (number, object) in objects(&root, "keyslots") {
        let kind = text(object, "type");
        if kind != "luks2" {
            notes.push(format!("key slot {number} is of type {}", shown(&kind)));
            continue;
        }
        match keyslot(number, object) {
            Some(slot) => {
                described.push(Slot {
                    number,
                    kdf: slot.kdf.text(),
                    encryption: shown(&slot.area_encryption),
                });
                slots.push(slot);
            }
            None => problems.push(incomplete("key slot", number)),
        }
    }
    let mut digests = Vec::new();
    for (number, object) in objects(&root, "digests") {
        match digest(object) {
            Some(digest) => digests.push(digest),
            None => problems.push(incomplete("digest", number)),
        }
    }
    let tokens = objects(&root, "tokens")
        .map(|(number, object)| Token {
            number,
            kind: shown(&text(object, "type")),
            slots: numbers(object, "keyslots"),
        })
        .collect();
    let data = segment(&root);
    let (mut cipher, mut sector_bytes, mut data_offset_bytes) = (String::new(), 0, 0);
    if let Ok(segment) = &data {
        cipher = shown(&segment.encryption);
        sector_bytes = segment.sector_bytes;
        data_offset_bytes = segment.offset_bytes;
    }
    let key_bytes = slots.first().map_or(0, |slot| slot.key_bytes);
    let description = Description {
        version: 2,
        uuid: None,
        label: None,
        cipher,
        key_bits: u32::try_from(key_bytes.saturating_mul(8)).unwrap_or(u32::MAX),
        sector_bytes,
        data_offset_bytes,
        slots: described,
        tokens,
        notes,
        problems,
    };
    Ok(Header { description, slots, digests, data })
}

fn incomplete(what: &str, number: u32) -> Problem {
    let text = format!("LUKS2 {what} {number} lacks a part or is of an unknown type");
    Problem::new(ProblemKind::Unsupported, Place::Source, text)
}

fn shown(text: &str) -> String {
    crate::escape_bytes(text.as_bytes())
}

/// The objects of a table by their numbers, in order.
fn objects<'a>(root: &'a Value, table: &str) -> impl Iterator<Item = (u32, &'a Value)> {
    let mut found: Vec<(u32, &Value)> = root
        .get(table)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, object)| Some((name.parse().ok()?, object)))
        .take(MOST_OBJECTS)
        .collect();
    found.sort_by_key(|(number, _)| *number);
    found.into_iter()
}

fn text(object: &Value, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number, or one written as text because JSON numbers stop at 2^53.
fn number(object: &Value, name: &str) -> Option<u64> {
    let value = object.get(name)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn small(object: &Value, name: &str) -> Option<u32> {
    number(object, name).and_then(|value| u32::try_from(value).ok())
}

fn numbers(object: &Value, name: &str) -> Vec<u32> {
    let all = object.get(name).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|value| value.as_str()?.parse().ok()).take(MOST_OBJECTS).collect()
}

fn keyslot(number_of_slot: u32, object: &Value) -> Option<Keyslot> {
    let (area, af, kdf) = (object.get("area")?, object.get("af")?, object.get("kdf")?);
    if text(area, "type") != "raw" || text(af, "type") != "luks1" {
        return None;
    }
    let salt = base64::decode(kdf.get("salt")?.as_str()?)?;
    let kdf = match text(kdf, "type").as_str() {
        "pbkdf2" => {
            Kdf::Pbkdf2 { hash: text(kdf, "hash"), iterations: small(kdf, "iterations")?, salt }
        }
        variant => Kdf::Argon2 {
            variant: variant.to_owned(),
            passes: small(kdf, "time")?,
            memory_kib: small(kdf, "memory")?,
            lanes: small(kdf, "cpus")?,
            salt,
        },
    };
    Some(Keyslot {
        number: number_of_slot,
        kdf,
        key_bytes: to_usize(number(object, "key_size")?),
        area_offset_bytes: number(area, "offset")?,
        area_encryption: text(area, "encryption"),
        area_key_bytes: to_usize(number(area, "key_size")?),
        stripes: small(af, "stripes")?,
        stripes_hash: text(af, "hash"),
    })
}

fn digest(object: &Value) -> Option<Digest> {
    if text(object, "type") != "pbkdf2" {
        return None;
    }
    let salt = base64::decode(object.get("salt")?.as_str()?)?;
    Some(Digest {
        kdf: Kdf::Pbkdf2 {
            hash: text(object, "hash"),
            iterations: small(object, "iterations")?,
            salt,
        },
        expected: base64::decode(object.get("digest")?.as_str()?)?,
        slots: Some(numbers(object, "keyslots")),
    })
}

fn requirements(root: &Value) -> Vec<String> {
    let config = root.get("config");
    let mandatory = config.and_then(|config| config.get("requirements")?.get("mandatory"));
    let flags = config.and_then(|config| config.get("flags"));
    let mut notes = Vec::new();
    for (what, list) in [("requirement", mandatory), ("flag", flags)] {
        let all = list.and_then(Value::as_array).into_iter().flatten();
        for name in all.filter_map(Value::as_str).take(MOST_OBJECTS) {
            notes.push(format!("{what} {}", shown(name)));
        }
    }
    notes
}

/// The one segment that holds the data. More than one means a re-encryption that was not finished.
fn segment(root: &Value) -> Result<Segment, EvidenceError> {
    let flagged = |object: &Value, start: &str| {
        let flags = object.get("flags").and_then(Value::as_array);
        flags.into_iter().flatten().filter_map(Value::as_str).any(|flag| flag.starts_with(start))
    };
    let all: Vec<(u32, &Value)> = objects(root, "segments").collect();
    if all
        .iter()
        .any(|(_, object)| flagged(object, "in-reencryption") || flagged(object, "backup-"))
    {
        return Err(EvidenceError::unsupported("a LUKS2 re-encryption that is not finished"));
    }
    let [(_, object)] = all.as_slice() else {
        return Err(EvidenceError::unsupported(format!("LUKS2 with {} segments", all.len())));
    };
    let kind = text(object, "type");
    if kind != "crypt" {
        return Err(EvidenceError::unsupported(format!(
            "a LUKS2 segment of type {}",
            shown(&kind)
        )));
    }
    if object.get("integrity").is_some() {
        return Err(EvidenceError::unsupported("LUKS2 with integrity protection"));
    }
    let missing = || EvidenceError::corrupt("the LUKS2 segment lacks its offset or sector size");
    Ok(Segment {
        offset_bytes: number(object, "offset").ok_or_else(missing)?,
        size_bytes: number(object, "size"),
        encryption: text(object, "encryption"),
        sector_bytes: small(object, "sector_size").ok_or_else(missing)?,
        vector_sectors: number(object, "iv_tweak").unwrap_or(0),
    })
}
