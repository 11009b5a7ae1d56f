//! A key slot: derive, decrypt its area, join the stripes; and the digest that tells whether the key is right.

use super::kdf::{Hash, Kdf};
use crate::bytes::{to_u64, to_usize};
use crate::error::EvidenceError;
use crate::source::Source;
use crate::volume::crypt::{SectorCipher, xor};
use std::sync::Arc;
use zeroize::Zeroizing;

/// cryptsetup writes 4000 stripes and keys of at most 512 bits.
const MOST_STRIPES: u32 = 16_384;
const MOST_KEY_BYTES: usize = 512;

/// How a slot hides the volume key.
pub(super) struct Keyslot {
    pub(super) number: u32,
    pub(super) kdf: Kdf,
    /// Length of the volume key.
    pub(super) key_bytes: usize,
    pub(super) area_offset_bytes: u64,
    pub(super) area_encryption: String,
    pub(super) area_key_bytes: usize,
    pub(super) stripes: u32,
    pub(super) stripes_hash: String,
}

impl Keyslot {
    /// The volume key that `secret` gives, right or wrong.
    pub(super) fn open(
        &self,
        source: &Arc<dyn Source>,
        secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, EvidenceError> {
        let bad_key = self.key_bytes == 0 || self.key_bytes > MOST_KEY_BYTES;
        if bad_key || self.area_key_bytes > MOST_KEY_BYTES || self.stripes > MOST_STRIPES {
            return Err(EvidenceError::refused(format!(
                "a key of {} bytes in {} stripes, at most {MOST_KEY_BYTES} and {MOST_STRIPES} are read",
                self.key_bytes, self.stripes
            )));
        }
        let length = self.key_bytes.saturating_mul(to_usize(u64::from(self.stripes)));
        let mut area = Zeroizing::new(vec![0_u8; length.next_multiple_of(512)]);
        source
            .fill(self.area_offset_bytes, &mut area)
            .map_err(EvidenceError::read(format!("the area of key slot {}", self.number)))?;
        let hash = Hash::named(&self.stripes_hash)?;
        let key = self.kdf.derive(secret, self.area_key_bytes)?;
        SectorCipher::dm_crypt(&self.area_encryption, &key, 512)?.decrypt(0, &mut area);
        Ok(merge(area.get(..length).unwrap_or(&[]), self.key_bytes, hash))
    }
}

/// Joins anti-forensic stripes (LUKS1 specification, 2.4).
fn merge(stripes: &[u8], key_bytes: usize, hash: Hash) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(vec![0_u8; key_bytes]);
    let mut all = stripes.chunks_exact(key_bytes).peekable();
    while let Some(stripe) = all.next() {
        xor(&mut key, stripe);
        if all.peek().is_some() {
            diffuse(&mut key, hash);
        }
    }
    key
}

fn diffuse(key: &mut [u8], hash: Hash) {
    let digest_bytes = hash.of(&[]).len().max(1);
    for (number, part) in key.chunks_mut(digest_bytes).enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        let digest = hash.of(&[&number, part]);
        for (to, from) in part.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
    }
}

/// A digest of the volume key.
pub(super) struct Digest {
    pub(super) kdf: Kdf,
    pub(super) expected: Vec<u8>,
    /// The slots it is for; `None` for all.
    pub(super) slots: Option<Vec<u32>>,
}

impl Digest {
    pub(super) fn covers(&self, slot: u32) -> bool {
        self.slots.as_ref().is_none_or(|slots| slots.contains(&slot))
    }

    /// Whether `key` is the volume key.
    pub(super) fn agrees(&self, key: &[u8]) -> Result<bool, EvidenceError> {
        if self.expected.is_empty() || to_u64(self.expected.len()) > 1024 {
            return Err(EvidenceError::corrupt(format!(
                "the key's digest has {} bytes",
                self.expected.len()
            )));
        }
        Ok(*self.kdf.derive(key, self.expected.len())? == self.expected)
    }
}
