//! Keys: from what a person has to AES-256, and the AES-CCM boxes the metadata keeps keys in.

use super::datum::{self, Datum};
use crate::bytes::{Fields, to_u64, to_usize};
use crate::volume::crypt::{block_cipher, xor};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub(super) const AES_128_DIFFUSER: u16 = 0x8000;
pub(super) const AES_256_DIFFUSER: u16 = 0x8001;
pub(super) const AES_128: u16 = 0x8002;
pub(super) const AES_256: u16 = 0x8003;
pub(super) const AES_XTS_128: u16 = 0x8004;
pub(super) const AES_XTS_256: u16 = 0x8005;

/// How often a secret is hashed; the format fixes it.
const STRETCHES: u64 = 0x10_0000;

pub(super) fn method_name(method: u16) -> String {
    match method {
        AES_128_DIFFUSER => "AES-CBC 128 with Elephant diffuser".to_owned(),
        AES_256_DIFFUSER => "AES-CBC 256 with Elephant diffuser".to_owned(),
        AES_128 => "AES-CBC 128".to_owned(),
        AES_256 => "AES-CBC 256".to_owned(),
        AES_XTS_128 => "AES-XTS 128".to_owned(),
        AES_XTS_256 => "AES-XTS 256".to_owned(),
        other => format!("encryption method {other:#06x}"),
    }
}

type Secret = Zeroizing<[u8; 32]>;

fn hash(bytes: &[u8]) -> Secret {
    Zeroizing::new(Sha256::digest(bytes).into())
}

/// A passphrase, as the UTF-16 Windows hashes.
pub(super) fn passphrase(text: &str) -> Secret {
    let units = Zeroizing::new(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    hash(&*hash(&units))
}

/// A recovery password of eight numbers, each a multiple of 11; `None` when it is not one.
pub(super) fn recovery(text: &str) -> Option<Secret> {
    let numbers: Vec<&str> = text.trim().split('-').map(str::trim).collect();
    if numbers.len() != 8 {
        return None;
    }
    let mut key = Zeroizing::new(Vec::with_capacity(16));
    for number in numbers {
        let value: u32 = number.parse().ok().filter(|_| number.len() == 6)?;
        let part = u16::try_from(value / 11).ok().filter(|_| value.is_multiple_of(11))?;
        key.extend(part.to_le_bytes());
    }
    Some(hash(&key))
}

/// Hashes a secret with its salt a million times, each time with the last hash and a counter.
pub(super) fn stretch(secret: &[u8], salt: [u8; 16]) -> Secret {
    let mut last = Zeroizing::new([0_u8; 32]);
    for count in 0..STRETCHES {
        let mut state = Sha256::new();
        state.update(*last);
        state.update(secret);
        state.update(salt);
        state.update(count.to_le_bytes());
        *last = state.finalize().into();
    }
    last
}

/// Identifier and key of a startup or recovery key file (`.BEK`): a data set with an external key in it.
pub(super) fn external(file: &[u8]) -> Option<([u8; 16], Zeroizing<Vec<u8>>)> {
    let fields = Fields(file);
    let range = to_usize(u64::from(fields.le32(8)))..to_usize(u64::from(fields.le32(12)));
    let mut all = datum::all(file.get(range)?);
    let external = all.find(|one| one.role == 6 && one.kind == datum::EXTERNAL_KEY)?;
    let key = external.nested().find(|inner| inner.kind == datum::KEY)?;
    Some((external.identifier(), Zeroizing::new(key.key().to_vec())))
}

/// Opens an AES-CCM box (RFC 3610 with a nonce of 12 and a tag of 16 bytes); `None` when the key is wrong.
pub(super) fn unbox(key: &[u8], body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let nonce = body.get(..12)?;
    let tag = body.get(12..28)?;
    let mut clear = Zeroizing::new(body.get(28..)?.to_vec());
    let cipher = block_cipher("aes", key)?;
    let block = |flags: u8, counter: u64| {
        let mut block = [0_u8; 16];
        let [.., a, b, c] = counter.to_be_bytes();
        let bytes = [flags].into_iter().chain(nonce.iter().copied()).chain([a, b, c]);
        for (to, from) in block.iter_mut().zip(bytes) {
            *to = from;
        }
        block
    };
    let encrypted = |mut block: [u8; 16]| {
        cipher.encrypt(std::slice::from_mut(&mut block));
        block
    };
    for (part, counter) in clear.chunks_mut(16).zip(1..) {
        xor(part, &encrypted(block(2, counter)));
    }
    let mut sum = encrypted(block(0x3a, to_u64(clear.len())));
    for part in clear.chunks(16) {
        xor(&mut sum, part);
        sum = encrypted(sum);
    }
    xor(&mut sum, &encrypted(block(2, 0)));
    let differs = sum.iter().zip(tag).fold(0, |all, (a, b)| all | (a ^ b));
    let is_key = Datum::first(&clear).is_some();
    (differs == 0 && is_key).then_some(clear)
}
