//! From a passphrase to a key: PBKDF2 and Argon2, with bounds on what a header may demand.

use crate::error::EvidenceError;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// About an hour of one core; cryptsetup's own aim is two seconds.
const MOST_ITERATIONS: u32 = 1_000_000_000;
/// What cryptsetup itself allows (`--pbkdf-memory`).
const MOST_MEMORY_KIB: u32 = 4 << 20;
/// Memory times passes; cryptsetup asks for 4 GiB of it by default.
const MOST_ARGON_KIB: u64 = 256 << 20;

/// A hash by its name in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Ripemd160,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(super) fn named(name: &str) -> Result<Self, EvidenceError> {
        Ok(match name {
            "ripemd160" => Self::Ripemd160,
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            other => {
                let name = crate::escape_bytes(other.as_bytes());
                return Err(EvidenceError::unsupported(format!("hash {name}")));
            }
        })
    }

    /// The digest of the parts one after the other.
    pub(super) fn of(self, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        fn run<D: sha2::Digest>(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
            let mut state = D::new();
            for part in parts {
                state.update(part);
            }
            Zeroizing::new(state.finalize().to_vec())
        }
        match self {
            Self::Ripemd160 => run::<Ripemd160>(parts),
            Self::Sha1 => run::<Sha1>(parts),
            Self::Sha224 => run::<Sha224>(parts),
            Self::Sha256 => run::<Sha256>(parts),
            Self::Sha384 => run::<Sha384>(parts),
            Self::Sha512 => run::<Sha512>(parts),
        }
    }

    fn pbkdf2(self, secret: &[u8], salt: &[u8], iterations: u32, out: &mut [u8]) {
        match self {
            Self::Ripemd160 => pbkdf2::pbkdf2_hmac::<Ripemd160>(secret, salt, iterations, out),
            Self::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(secret, salt, iterations, out),
            Self::Sha224 => pbkdf2::pbkdf2_hmac::<Sha224>(secret, salt, iterations, out),
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(secret, salt, iterations, out),
            Self::Sha384 => pbkdf2::pbkdf2_hmac::<Sha384>(secret, salt, iterations, out),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(secret, salt, iterations, out),
        }
    }
}

/// A key derivation with its parameters.
#[derive(Clone, Debug)]
pub(super) enum Kdf {
    Pbkdf2 { hash: String, iterations: u32, salt: Vec<u8> },
    Argon2 { variant: String, passes: u32, memory_kib: u32, lanes: u32, salt: Vec<u8> },
}

impl Kdf {
    /// A key of `length` bytes from `secret`.
    ///
    /// # Errors
    /// `Unsupported` naming an unknown hash or variant, `Refused` when the header asks for more than our bounds.
    pub(super) fn derive(
        &self,
        secret: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, EvidenceError> {
        let mut out = Zeroizing::new(vec![0; length]);
        match self {
            Self::Pbkdf2 { hash, iterations, salt } => {
                if *iterations == 0 || *iterations > MOST_ITERATIONS {
                    return Err(EvidenceError::refused(format!(
                        "PBKDF2 with {iterations} iterations, 1 to {MOST_ITERATIONS} are done"
                    )));
                }
                Hash::named(hash)?.pbkdf2(secret, salt, *iterations, &mut out);
            }
            Self::Argon2 { variant, passes, memory_kib, lanes, salt } => {
                let algorithm = match variant.as_str() {
                    "argon2i" => Algorithm::Argon2i,
                    "argon2id" => Algorithm::Argon2id,
                    other => {
                        let name = crate::escape_bytes(other.as_bytes());
                        return Err(EvidenceError::unsupported(format!("key derivation {name}")));
                    }
                };
                let work = u64::from(*memory_kib).saturating_mul(u64::from(*passes));
                if *memory_kib > MOST_MEMORY_KIB || work > MOST_ARGON_KIB {
                    return Err(EvidenceError::refused(format!(
                        "{variant} with {memory_kib} KiB of memory and {passes} passes, at most {MOST_MEMORY_KIB} KiB \
                         and {MOST_ARGON_KIB} KiB over all passes are done"
                    )));
                }
                let wrong =
                    |error| EvidenceError::corrupt(format!("{variant} parameters: {error}"));
                let parameters =
                    Params::new(*memory_kib, *passes, *lanes, Some(length)).map_err(wrong)?;
                let count = parameters.block_count();
                let mut memory: Vec<Block> = Vec::new();
                memory.try_reserve_exact(count).map_err(|_| {
                    EvidenceError::refused(format!(
                        "{variant} needs {memory_kib} KiB of memory, which this machine does not give"
                    ))
                })?;
                memory.resize(count, Block::new());
                Argon2::new(algorithm, Version::V0x13, parameters)
                    .hash_password_into_with_memory(secret, salt, &mut out, &mut memory)
                    .map_err(wrong)?;
            }
        }
        Ok(out)
    }

    /// In words, for a description.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Pbkdf2 { hash, iterations, .. } => {
                let hash = crate::escape_bytes(hash.as_bytes());
                format!("pbkdf2 {hash}, {iterations} iterations")
            }
            Self::Argon2 { variant, passes, memory_kib, lanes, .. } => {
                let variant = crate::escape_bytes(variant.as_bytes());
                format!("{variant}, time {passes}, memory {memory_kib} KiB, {lanes} lanes")
            }
        }
    }
}
