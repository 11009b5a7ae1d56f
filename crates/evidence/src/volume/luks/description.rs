//! What a LUKS header tells to anybody.

use crate::problem::Problem;
use serde::Serialize;

/// A LUKS header in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// 1 or 2.
    pub version: u32,
    /// The volume's UUID, escaped.
    pub uuid: Option<String>,
    /// The label, escaped; LUKS2 only.
    pub label: Option<String>,
    /// Cipher and mode as dm-crypt writes them, escaped.
    pub cipher: String,
    /// Bits of the volume key.
    pub key_bits: u32,
    /// Bytes of an encryption sector.
    pub sector_bytes: u32,
    /// Where the data begins, in bytes.
    pub data_offset_bytes: u64,
    /// Key slots in use, in order.
    pub slots: Vec<Slot>,
    /// Tokens, in order: how programs such as systemd or Clevis find a key.
    pub tokens: Vec<Token>,
    /// Flags and requirements, such as a re-encryption under way.
    pub notes: Vec<String>,
    /// What contradicts the format.
    pub problems: Vec<Problem>,
}

/// A key slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// Its number.
    pub number: u32,
    /// Key derivation with its costs: `argon2id, time 4, memory 1048576 KiB, 4 lanes`.
    pub kdf: String,
    /// Encryption of the slot's own area, escaped.
    pub encryption: String,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// Its number.
    pub number: u32,
    /// Its type, such as `systemd-tpm2`, escaped.
    pub kind: String,
    /// The slots it opens.
    pub slots: Vec<u32>,
}
