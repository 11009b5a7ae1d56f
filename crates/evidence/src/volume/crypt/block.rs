//! Block ciphers by the names dm-crypt gives them.

use cipher::consts::U16;
use cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};

/// A cipher of 16-byte blocks with its key.
pub(crate) trait BlockCipher: Send + Sync {
    /// Encrypts each block by itself.
    fn encrypt(&self, blocks: &mut [[u8; 16]]);
    /// Decrypts each block by itself.
    fn decrypt(&self, blocks: &mut [[u8; 16]]);
}

impl<C> BlockCipher for C
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        self.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
    }

    fn decrypt(&self, blocks: &mut [[u8; 16]]) {
        self.decrypt_blocks(Array::cast_slice_from_core_mut(blocks));
    }
}

/// `cipher_null`: nothing is changed. cryptsetup makes such volumes while it takes encryption off.
struct Null;

impl BlockCipher for Null {
    fn encrypt(&self, _blocks: &mut [[u8; 16]]) {}
    fn decrypt(&self, _blocks: &mut [[u8; 16]]) {}
}

fn keyed<C: KeyInit + BlockCipher + 'static>(key: &[u8]) -> Option<Box<dyn BlockCipher>> {
    match C::new_from_slice(key) {
        Ok(cipher) => Some(Box::new(cipher)),
        Err(_) => None,
    }
}

/// The cipher of this name with this key; `None` when the name or the length of the key is not known.
pub(crate) fn block_cipher(name: &str, key: &[u8]) -> Option<Box<dyn BlockCipher>> {
    match (name, key.len()) {
        ("aes", 16) => keyed::<aes::Aes128>(key),
        ("aes", 24) => keyed::<aes::Aes192>(key),
        ("aes", 32) => keyed::<aes::Aes256>(key),
        ("serpent", 16 | 24 | 32) => keyed::<serpent::Serpent>(key),
        ("twofish", 16 | 24 | 32) => keyed::<twofish::Twofish>(key),
        ("cipher_null", _) => Some(Box::new(Null)),
        _ => None,
    }
}
