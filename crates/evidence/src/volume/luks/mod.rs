//! LUKS1 and LUKS2, opened in memory with a key the examiner gives.
//!
//! The `luks` crate was read and left: it unlocks the volume key but hands the data to `dmsetup`, opens paths itself,
//! knows XTS only and brings a random generator. The ciphers and key derivations are kept crates; the rest is here.
//! Specifications: "LUKS1 On-Disk Format 1.2.3" and "LUKS2 On-Disk Format 1.1.1" of the cryptsetup project.

mod description;
mod kdf;
mod keyslot;
mod luks1;
mod luks2;
mod luks2_json;

pub use description::{Description, Slot, Token};

use super::Key;
use super::crypt::{Decrypted, SectorCipher};
use crate::error::EvidenceError;
use crate::source::Source;
use keyslot::{Digest, Keyslot};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What both versions tell: how to get the volume key, and what it opens.
struct Header {
    description: Description,
    slots: Vec<Keyslot>,
    digests: Vec<Digest>,
    data: Result<Segment, EvidenceError>,
}

/// The encrypted range.
struct Segment {
    offset_bytes: u64,
    /// `None`: as far as the source goes.
    size_bytes: Option<u64>,
    encryption: String,
    sector_bytes: u32,
    /// Sectors of 512 bytes added to the number each vector is made from.
    vector_sectors: u64,
}

fn header(source: &Arc<dyn Source>) -> Result<Header, EvidenceError> {
    let start = source.bytes_at(0, 8).unwrap_or_default();
    match start.get(..8) {
        Some([b'L', b'U', b'K', b'S', 0xba, 0xbe, 0, 1]) => luks1::read(source),
        _ => luks2::read(source),
    }
}

/// What the header tells without a key: cipher, key slots, tokens.
///
/// # Errors
/// `Corrupt` when there is no header that agrees with its checksum, else as reading.
pub fn describe(source: &Arc<dyn Source>) -> Result<Description, EvidenceError> {
    header(source).map(|header| header.description)
}

/// The clear content of the volume `source`, opened by the first of `keys` that fits.
///
/// # Errors
/// `Refused` when no key fits, `Unsupported` naming a cipher or kind of key this version lacks, else as reading.
pub fn unlock(source: Arc<dyn Source>, keys: &[Key]) -> Result<Arc<dyn Source>, EvidenceError> {
    unlock_with_header(&Arc::clone(&source), source, keys)
}

/// As [`unlock`], with the header in a place of its own (`cryptsetup --header`).
///
/// # Errors
/// As [`unlock`].
pub fn unlock_with_header(
    header_source: &Arc<dyn Source>,
    data: Arc<dyn Source>,
    keys: &[Key],
) -> Result<Arc<dyn Source>, EvidenceError> {
    let header = header(header_source)?;
    let segment = header.data?;
    let mut hindrances: Vec<String> = Vec::new();
    for key in keys {
        let secret = bytes_of(key);
        for slot in &header.slots {
            match volume_key(header_source, slot, &header.digests, &secret) {
                Ok(Some(key)) => return open(&segment, data, &key),
                Ok(None) => {}
                Err(error) => {
                    let text = format!("key slot {}: {}", slot.number, with_cause(&error));
                    if !hindrances.contains(&text) {
                        hindrances.push(text);
                    }
                }
            }
        }
    }
    let mut text = format!(
        "none of the {} keys given opens any of the {} key slots",
        keys.len(),
        header.slots.len()
    );
    for hindrance in &hindrances {
        text.push_str("; ");
        text.push_str(hindrance);
    }
    Err(EvidenceError::refused(text))
}

fn with_cause(error: &EvidenceError) -> String {
    error.to_problem(crate::problem::Place::Source).text
}

/// Every kind of key is a row of bytes for LUKS; only a printed recovery key may have blanks around it.
fn bytes_of(key: &Key) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match key {
        Key::Passphrase(bytes) | Key::File(bytes) => bytes.clone(),
        Key::Recovery(text) => text.trim().as_bytes().to_vec(),
    })
}

/// The volume key this slot gives for `secret`; `None` when the digest says it is wrong.
fn volume_key(
    source: &Arc<dyn Source>,
    slot: &Keyslot,
    digests: &[Digest],
    secret: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, EvidenceError> {
    let candidate = slot.open(source, secret)?;
    for digest in digests.iter().filter(|digest| digest.covers(slot.number)) {
        if digest.agrees(&candidate)? {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

fn open(
    segment: &Segment,
    data: Arc<dyn Source>,
    key: &[u8],
) -> Result<Arc<dyn Source>, EvidenceError> {
    let cipher = SectorCipher::dm_crypt(&segment.encryption, key, segment.sector_bytes)?;
    let size = segment.size_bytes.unwrap_or(u64::MAX);
    let vector_bytes = segment.vector_sectors.wrapping_mul(512);
    Ok(Arc::new(Decrypted::new(data, cipher, segment.offset_bytes, size, vector_bytes)))
}
