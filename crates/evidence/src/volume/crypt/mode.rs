//! Modes over whole sectors: ECB, CBC and XTS, and the ways to make a sector's initial vector.

use super::elephant::Diffuser;
use super::{BlockCipher, block_cipher, xor};
use crate::bytes::to_u64;
use crate::error::EvidenceError;
use sha2::{Digest, Sha256};

/// How a sector's initial vector is made.
enum Vector {
    Zero,
    /// The sector's number in 32 bits.
    Plain,
    Plain64,
    Plain64Big,
    /// The number encrypted with a hash of the key.
    Essiv(Box<dyn BlockCipher>),
    /// The byte offset encrypted with the key itself: BitLocker.
    ByteOffset(Box<dyn BlockCipher>),
}

enum Mode {
    Ecb,
    Cbc,
    /// With the cipher of the tweak key (IEEE 1619).
    Xts(Box<dyn BlockCipher>),
}

/// Decrypts sectors in place.
pub(crate) struct SectorCipher {
    data: Box<dyn BlockCipher>,
    mode: Mode,
    vector: Vector,
    diffuser: Option<Diffuser>,
    sector_bytes: usize,
    /// Bytes for which the vector's number goes up by one.
    step_bytes: u64,
}

/// The largest sector: dm-crypt's bound, and that of the buffers on the stack below.
const MOST_SECTOR_BYTES: usize = 4096;

impl SectorCipher {
    /// By dm-crypt's specification, such as `aes-xts-plain64`, whose vectors count 512 bytes whatever the sector.
    ///
    /// # Errors
    /// `Unsupported` naming the specification, `Corrupt` for a sector size nobody makes.
    pub(crate) fn dm_crypt(
        specification: &str,
        key: &[u8],
        sector_bytes: u32,
    ) -> Result<Self, EvidenceError> {
        let unknown = || {
            EvidenceError::unsupported(format!(
                "encryption {} with a key of {} bits",
                crate::escape_bytes(specification.as_bytes()),
                key.len().saturating_mul(8)
            ))
        };
        let mut parts = specification.splitn(3, '-');
        let name = parts.next().unwrap_or_default();
        let mode = parts.next().unwrap_or("cbc");
        let vector = match parts.next().unwrap_or(if mode == "ecb" { "null" } else { "plain" }) {
            "null" => Vector::Zero,
            "plain" => Vector::Plain,
            "plain64" => Vector::Plain64,
            "plain64be" => Vector::Plain64Big,
            "essiv:sha256" => {
                let salt = zeroize::Zeroizing::new(<[u8; 32]>::from(Sha256::digest(key)));
                Vector::Essiv(block_cipher(name, &*salt).ok_or_else(unknown)?)
            }
            _ => return Err(unknown()),
        };
        let (mode, data_key) = match mode {
            "ecb" => (Mode::Ecb, key),
            "cbc" => (Mode::Cbc, key),
            "xts" => {
                let (data, tweak) = key.split_at_checked(key.len() / 2).ok_or_else(unknown)?;
                (Mode::Xts(block_cipher(name, tweak).ok_or_else(unknown)?), data)
            }
            _ => return Err(unknown()),
        };
        let data = block_cipher(name, data_key).ok_or_else(unknown)?;
        Self { data, mode, vector, diffuser: None, sector_bytes: 0, step_bytes: 512 }
            .with_sector(sector_bytes)
    }

    /// BitLocker's AES-XTS, whose vectors count the volume's sectors.
    ///
    /// # Errors
    /// As [`SectorCipher::dm_crypt`].
    pub(crate) fn bitlocker_xts(key: &[u8], sector_bytes: u32) -> Result<Self, EvidenceError> {
        let mut made = Self::dm_crypt("aes-xts-plain64", key, sector_bytes)?;
        made.step_bytes = u64::from(sector_bytes);
        Ok(made)
    }

    /// BitLocker's AES-CBC, whose vectors are encrypted byte offsets, with or without the diffuser's key.
    ///
    /// # Errors
    /// As [`SectorCipher::dm_crypt`].
    pub(crate) fn bitlocker_cbc(
        key: &[u8],
        diffuser_key: Option<&[u8]>,
        sector_bytes: u32,
    ) -> Result<Self, EvidenceError> {
        let unknown =
            || EvidenceError::unsupported(format!("AES with a key of {} bytes", key.len()));
        let diffuser = match diffuser_key {
            Some(key) => Some(Diffuser::new(block_cipher("aes", key).ok_or_else(unknown)?)),
            None => None,
        };
        let data = block_cipher("aes", key).ok_or_else(unknown)?;
        let vector = Vector::ByteOffset(block_cipher("aes", key).ok_or_else(unknown)?);
        Self { data, mode: Mode::Cbc, vector, diffuser, sector_bytes: 0, step_bytes: 1 }
            .with_sector(sector_bytes)
    }

    fn with_sector(mut self, sector_bytes: u32) -> Result<Self, EvidenceError> {
        if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) {
            return Err(EvidenceError::corrupt(format!(
                "encryption sector size is {sector_bytes} bytes, expected 512 to 4096"
            )));
        }
        self.sector_bytes = usize::try_from(sector_bytes).unwrap_or(512);
        Ok(self)
    }

    /// The size of a sector in bytes.
    pub(crate) fn sector_bytes(&self) -> usize {
        self.sector_bytes
    }

    /// Decrypts whole sectors of which the first lies at `offset_bytes` as the vectors count; a part of a sector at the
    /// end is left alone.
    pub(crate) fn decrypt(&self, offset_bytes: u64, sectors: &mut [u8]) {
        let step = to_u64(self.sector_bytes);
        let mut at = offset_bytes;
        for sector in sectors.chunks_exact_mut(self.sector_bytes) {
            let mut vector = self.vector(at);
            let (blocks, _) = sector.as_chunks_mut::<16>();
            match &self.mode {
                Mode::Ecb => self.data.decrypt(blocks),
                Mode::Cbc => cbc(&*self.data, &vector, blocks),
                Mode::Xts(tweak) => {
                    tweak.encrypt(std::slice::from_mut(&mut vector));
                    xts(&*self.data, vector, blocks);
                }
            }
            if let Some(diffuser) = &self.diffuser {
                diffuser.undo(at, sector);
            }
            at = at.wrapping_add(step);
        }
    }

    fn vector(&self, offset_bytes: u64) -> [u8; 16] {
        let number = offset_bytes.checked_div(self.step_bytes).unwrap_or(0);
        let little = u128::from(number).to_le_bytes();
        match &self.vector {
            Vector::Zero => [0; 16],
            Vector::Plain => u128::from(number & 0xffff_ffff).to_le_bytes(),
            Vector::Plain64 => little,
            Vector::Plain64Big => u128::from(number).to_be_bytes(),
            Vector::Essiv(cipher) | Vector::ByteOffset(cipher) => {
                let mut block = little;
                cipher.encrypt(std::slice::from_mut(&mut block));
                block
            }
        }
    }
}

fn cbc(cipher: &dyn BlockCipher, vector: &[u8; 16], blocks: &mut [[u8; 16]]) {
    let mut before = [[0_u8; 16]; MOST_SECTOR_BYTES / 16];
    if let Some(first) = before.first_mut() {
        *first = *vector;
    }
    for (keep, block) in before.iter_mut().skip(1).zip(&*blocks) {
        *keep = *block;
    }
    cipher.decrypt(blocks);
    for (block, before) in blocks.iter_mut().zip(&before) {
        xor(block, before);
    }
}

fn xts(cipher: &dyn BlockCipher, first: [u8; 16], blocks: &mut [[u8; 16]]) {
    let mut tweaks = [0_u128; MOST_SECTOR_BYTES / 16];
    let mut tweak = u128::from_le_bytes(first);
    for (keep, block) in tweaks.iter_mut().zip(blocks.iter_mut()) {
        *keep = tweak;
        *block = (u128::from_le_bytes(*block) ^ tweak).to_le_bytes();
        // Multiplication by x in GF(2^128), IEEE 1619 5.2.
        tweak = (tweak << 1) ^ (if tweak >> 127 == 1 { 0x87 } else { 0 });
    }
    cipher.decrypt(blocks);
    for (keep, block) in tweaks.iter().zip(blocks.iter_mut()) {
        *block = (u128::from_le_bytes(*block) ^ keep).to_le_bytes();
    }
}
