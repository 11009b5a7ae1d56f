//! Sector encryption as dm-crypt and BitLocker do it: block ciphers, their modes, and a source that decrypts.
//!
//! The ciphers themselves are kept crates; the modes are ours, because each is a few lines over whole sectors and must
//! work in the caller's buffer, many blocks at once, with the sector number as dm-crypt counts it.

mod block;
mod elephant;
mod mode;
mod source;

use block::BlockCipher;
pub(super) use block::block_cipher;
pub(super) use mode::SectorCipher;
pub(super) use source::Decrypted;

/// XOR of `from` into `into`, as far as both reach.
pub(super) fn xor(into: &mut [u8], from: &[u8]) {
    for (to, from) in into.iter_mut().zip(from) {
        *to ^= from;
    }
}
