//! Several digests of one stream, from one read.
//!
//! All digests take a block before the next block is fetched, so the block stays in the processor's
//! cache; hashing the whole buffer once for each algorithm costs a trip to memory each time.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::Digest as _;

use crate::{Algorithm, Algorithms, Digest, Digests, Error};

/// Bytes given to each algorithm in turn; small enough to stay in a core's own cache.
const BLOCK_BYTES: usize = 128 * 1024;

enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

/// Computes the chosen digests of one stream.
pub struct MultiHasher {
    states: Vec<State>,
}

impl MultiHasher {
    /// A hasher that has seen no bytes yet.
    #[must_use]
    pub fn new(algorithms: &Algorithms) -> Self {
        let states = algorithms
            .iter()
            .map(|algorithm| match algorithm {
                Algorithm::Md5 => State::Md5(md5::Md5::new()),
                Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
                Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
                Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
                Algorithm::Blake3 => State::Blake3(Box::default()),
            })
            .collect();
        Self { states }
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK_BYTES) {
            for state in &mut self.states {
                match state {
                    State::Md5(hasher) => hasher.update(block),
                    State::Sha1(hasher) => hasher.update(block),
                    State::Sha256(hasher) => hasher.update(block),
                    State::Sha512(hasher) => hasher.update(block),
                    State::Blake3(hasher) => drop(hasher.update(block)),
                }
            }
        }
    }

    /// The digests of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digests {
        let digest = |algorithm, bytes: &[u8]| Digest::new(algorithm, bytes).ok();
        self.states
            .into_iter()
            .filter_map(|state| match state {
                State::Md5(hasher) => digest(Algorithm::Md5, &hasher.finalize()),
                State::Sha1(hasher) => digest(Algorithm::Sha1, &hasher.finalize()),
                State::Sha256(hasher) => digest(Algorithm::Sha256, &hasher.finalize()),
                State::Sha512(hasher) => digest(Algorithm::Sha512, &hasher.finalize()),
                State::Blake3(hasher) => digest(Algorithm::Blake3, hasher.finalize().as_bytes()),
            })
            .collect()
    }
}

/// The digests of `bytes`.
#[must_use]
pub fn digest_bytes(bytes: &[u8], algorithms: &Algorithms) -> Digests {
    let mut hasher = MultiHasher::new(algorithms);
    hasher.update(bytes);
    hasher.finish()
}

/// The digests of everything `reader` gives, and how many bytes that was.
///
/// # Errors
/// The first read error, with the offset it came at; interrupted reads are repeated.
pub fn digest_reader(
    mut reader: impl Read,
    algorithms: &Algorithms,
) -> Result<(Digests, u64), Error> {
    let mut hasher = MultiHasher::new(algorithms);
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut size_bytes = 0u64;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), size_bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Read { offset_bytes: size_bytes, source }),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        size_bytes = size_bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// The digests and the size in bytes of the file or block device at `path`.
///
/// # Errors
/// When it cannot be opened or read to its end.
pub fn digest_file(path: &Path, algorithms: &Algorithms) -> Result<(Digests, u64), Error> {
    let file = File::open(path).map_err(|source| Error::Io {
        action: "opening",
        path: path.to_path_buf(),
        source,
    })?;
    digest_reader(file, algorithms).map_err(|error| match error {
        Error::Read { source, .. } => {
            Error::Io { action: "reading", path: path.to_path_buf(), source }
        }
        other => other,
    })
}
