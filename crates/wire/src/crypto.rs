//! What the Noise protocol is computed with: the crates the case is sealed with, so that the channel brings no second set.
//!
//! Noise_NNpsk0_25519_ChaChaPoly_SHA256, revision 34 of the specification. Section 12.3: the nonce of ChaChaPoly is four
//! zero bytes and the counter in little endian.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use curve25519_dalek::MontgomeryPoint;
use sha2::{Digest as _, Sha256};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroize as _;

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";

/// One end of a handshake.
pub(crate) fn builder<'key>(
    key: &'key [u8; 32],
    prologue: &'key [u8],
) -> Result<snow::Builder<'key>, Error> {
    snow::Builder::with_resolver(PATTERN.parse()?, Box::new(Ours)).prologue(prologue)?.psk(0, key)
}

struct Ours;

impl CryptoResolver for Ours {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Kernel))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let ours: Box<dyn Dh> = Box::<Curve>::default();
        matches!(choice, DHChoice::Curve25519).then_some(ours)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        let ours: Box<dyn Hash> = Box::<Sha>::default();
        matches!(choice, HashChoice::SHA256).then_some(ours)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let ours: Box<dyn Cipher> = Box::<ChaCha>::default();
        matches!(choice, CipherChoice::ChaChaPoly).then_some(ours)
    }
}

struct Kernel;

impl Random for Kernel {
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        getrandom::fill(bytes).map_err(|_| Error::Rng)
    }
}

#[derive(Default)]
struct Curve {
    private: [u8; 32],
    public: [u8; 32],
}

impl Drop for Curve {
    fn drop(&mut self) {
        self.private.zeroize();
    }
}

impl Dh for Curve {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        self.private = private.try_into().unwrap_or_default();
        self.public = MontgomeryPoint::mul_base_clamped(self.private).to_bytes();
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut private = [0; 32];
        random.try_fill_bytes(&mut private)?;
        self.set(&private);
        private.zeroize();
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.private
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let point: [u8; 32] =
            public.get(..32).and_then(|point| point.try_into().ok()).ok_or(Error::Dh)?;
        let shared = MontgomeryPoint(point).mul_clamped(self.private).to_bytes();
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(&shared);
        Ok(())
    }
}

#[derive(Default)]
struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest = std::mem::take(&mut self.0).finalize();
        out.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    }
}

struct ChaCha(ChaCha20Poly1305);

impl Default for ChaCha {
    fn default() -> Self {
        Self(ChaCha20Poly1305::new(&[0; 32].into()))
    }
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    if let Some(place) = nonce.get_mut(4..) {
        place.copy_from_slice(&counter.to_le_bytes());
    }
    nonce.into()
}

impl Cipher for ChaCha {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = ChaCha20Poly1305::new(key.into());
    }

    fn encrypt(&self, counter: u64, aad: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        // Only refuses what is longer than 256 GiB; then nothing is sent, and the other end refuses the frame.
        let sealed =
            self.0.encrypt(&nonce(counter), Payload { msg: plain, aad }).unwrap_or_default();
        match out.get_mut(..sealed.len()) {
            Some(place) => {
                place.copy_from_slice(&sealed);
                sealed.len()
            }
            None => 0,
        }
    }

    fn decrypt(
        &self,
        counter: u64,
        aad: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let plain = self
            .0
            .decrypt(&nonce(counter), Payload { msg: sealed, aad })
            .map_err(|_| Error::Decrypt)?;
        out.get_mut(..plain.len()).ok_or(Error::Decrypt)?.copy_from_slice(&plain);
        Ok(plain.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Test vector of the cacophony implementation for Noise_NNpsk0_25519_ChaChaPoly_SHA256: an independent implementation
    /// vouches.
    #[test]
    fn the_channel_is_what_the_noise_specification_says() {
        let key: [u8; 32] =
            unhex("54686973206973206d7920417573747269616e20706572737065637469766521")
                .try_into()
                .unwrap();
        let prologue = unhex("4a6f686e2047616c74");
        let ours = unhex("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a");
        let theirs = unhex("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b");
        let end = |ephemeral: &'static [u8]| {
            builder(&key, &prologue).unwrap().fixed_ephemeral_key_for_testing_only(ephemeral)
        };
        let mut one = end(ours.leak()).build_initiator().unwrap();
        let mut other = end(theirs.leak()).build_responder().unwrap();
        let messages = [
            (
                "4c756477696720766f6e204d69736573",
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c794479b962b8aff8485742ac32f905ba45369e2465fb59e138a93d67a0d1266b6a54",
            ),
            (
                "4d757272617920526f746862617264",
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843d6062704d5a9c422a8e834423f8c1feada7e8d0d910a1a2cd030fb584221e3",
            ),
            ("462e20412e20486179656b", "e632c3763d7669067383433197a3baddf146e9e70ad4b4e9e59e0f"),
            ("4361726c204d656e676572", "64c6bee32ea91c8474bb4c21d7a700109ad45af77b29764ba5eb1e"),
        ];
        let (mut out, mut back) = ([0; 200], [0; 200]);
        for (index, (payload, expected)) in messages[..2].iter().enumerate() {
            let (from, to) =
                if index == 0 { (&mut one, &mut other) } else { (&mut other, &mut one) };
            let length = from.write_message(&unhex(payload), &mut out).unwrap();
            assert_eq!(out[..length], unhex(expected));
            let length = to.read_message(&out[..length], &mut back).unwrap();
            assert_eq!(back[..length], unhex(payload));
        }
        let hash = "f4d03dc34495c95729ea6de9e1b59004b59733102488b3e24bc441e0be208eaf";
        assert_eq!(one.get_handshake_hash(), unhex(hash));
        let mut one = one.into_transport_mode().unwrap();
        let mut other = other.into_transport_mode().unwrap();
        let length = one.write_message(&unhex(messages[2].0), &mut out).unwrap();
        assert_eq!(out[..length], unhex(messages[2].1));
        let length = other.write_message(&unhex(messages[3].0), &mut out).unwrap();
        assert_eq!(out[..length], unhex(messages[3].1));
        let mut changed = out[..length].to_vec();
        changed[0] ^= 1;
        assert!(one.read_message(&changed, &mut back).is_err());
        let length = one.read_message(&out[..length], &mut back).unwrap();
        assert_eq!(back[..length], unhex(messages[3].0));
    }
}
