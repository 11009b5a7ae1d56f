//! The LUKS1 header: 592 bytes, big endian, with eight key slots (LUKS1 specification, 2.3).

use super::description::{Description, Slot};
use super::kdf::Kdf;
use super::keyslot::{Digest, Keyslot};
use super::{Header, Segment};
use crate::bytes::{Fields, padded_text, to_usize};
use crate::error::EvidenceError;
use crate::source::Source;
use std::sync::Arc;

const SLOT_IN_USE: u32 = 0x00ac_71f3;

pub(super) fn read(source: &Arc<dyn Source>) -> Result<Header, EvidenceError> {
    let raw = source.bytes_at(0, 592).map_err(EvidenceError::read("the LUKS1 header"))?;
    if raw.len() < 592 {
        return Err(EvidenceError::corrupt(format!(
            "the LUKS1 header has {} bytes of 592",
            raw.len()
        )));
    }
    let fields = Fields(&raw);
    let text = |at: usize| {
        let raw = fields.slice(at, 32);
        let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
        String::from_utf8_lossy(raw.get(..end).unwrap_or(raw)).into_owned()
    };
    let hash = text(72);
    let encryption = format!("{}-{}", text(8), text(40));
    let key_bytes = to_usize(u64::from(fields.be32(108)));
    let digest = Digest {
        kdf: Kdf::Pbkdf2 {
            hash: hash.clone(),
            iterations: fields.be32(164),
            salt: fields.slice(132, 32).to_vec(),
        },
        expected: fields.slice(112, 20).to_vec(),
        slots: None,
    };
    let mut slots = Vec::new();
    for number in 0..8_u32 {
        let at = to_usize(u64::from(number)).saturating_mul(48).saturating_add(208);
        if fields.be32(at) != SLOT_IN_USE {
            continue;
        }
        slots.push(Keyslot {
            number,
            kdf: Kdf::Pbkdf2 {
                hash: hash.clone(),
                iterations: fields.be32(at.saturating_add(4)),
                salt: fields.slice(at.saturating_add(8), 32).to_vec(),
            },
            key_bytes,
            area_offset_bytes: u64::from(fields.be32(at.saturating_add(40))).saturating_mul(512),
            area_encryption: encryption.clone(),
            area_key_bytes: key_bytes,
            stripes: fields.be32(at.saturating_add(44)),
            stripes_hash: hash.clone(),
        });
    }
    let data_offset_bytes = u64::from(fields.be32(104)).saturating_mul(512);
    let shown = crate::escape_bytes(encryption.as_bytes());
    let description = Description {
        version: 1,
        uuid: padded_text(fields.slice(168, 40)),
        label: None,
        cipher: shown.clone(),
        key_bits: fields.be32(108).saturating_mul(8),
        sector_bytes: 512,
        data_offset_bytes,
        slots: slots
            .iter()
            .map(|slot| Slot {
                number: slot.number,
                kdf: slot.kdf.text(),
                encryption: shown.clone(),
            })
            .collect(),
        tokens: Vec::new(),
        notes: Vec::new(),
        problems: Vec::new(),
    };
    let segment = Segment {
        offset_bytes: data_offset_bytes,
        size_bytes: None,
        encryption,
        sector_bytes: 512,
        vector_sectors: 0,
    };
    Ok(Header { description, slots, digests: vec![digest], data: Ok(segment) })
}
