//! Several digests of one stream, from one read.
//!
//! All digests take a block before the next block is fetched, so the block stays in the processor's
//! cache; hashing the whole buffer once for each algorithm costs a trip to memory each time.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::block64::Block64;
use crate::block128::Block128;
use crate::groups::Groups;
use crate::saved::{Reader, put_bytes};
use crate::{Algorithm, Algorithms, Digests, Error};

/// Bytes given to each algorithm in turn; small enough to stay in a core's own cache.
pub(crate) const BLOCK_BYTES: usize = 128 * 1024;

/// How a saved state begins: a name, and the version of what follows.
const SAVED: &[u8] = b"glovebox digest state 1\n";

/// Computes the chosen digests of one stream.
///
/// MD5 and SHA-256 of one stream, and SHA-1 with them, are computed together where the processor has SHA
/// instructions, and then cost about what MD5 costs alone.
#[derive(Clone)]
pub struct MultiHasher {
    algorithms: Algorithms,
    block64: Option<Box<Block64>>,
    sha512: Option<Box<Block128>>,
    blake3: Option<Box<Groups>>,
}

impl MultiHasher {
    /// A hasher that has seen no bytes yet.
    #[must_use]
    pub fn new(algorithms: &Algorithms) -> Self {
        Self {
            algorithms: algorithms.clone(),
            block64: Block64::new(algorithms).map(Box::new),
            sha512: algorithms.has(Algorithm::Sha512).then(|| Box::new(Block128::new())),
            blake3: algorithms.has(Algorithm::Blake3).then(Box::default),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK_BYTES) {
            if let Some(state) = &mut self.block64 {
                state.update(block);
            }
            if let Some(state) = &mut self.sha512 {
                state.update(block);
            }
            if let Some(state) = &mut self.blake3 {
                state.update(block);
            }
        }
    }

    /// The digests of all bytes taken.
    #[must_use]
    pub fn finish(self) -> Digests {
        let mut digests = Digests::default();
        if let Some(state) = self.block64 {
            state.finish(&mut digests);
        }
        if let Some(state) = self.sha512 {
            state.finish(&mut digests);
        }
        if let Some(state) = self.blake3 {
            state.finish(&mut digests);
        }
        digests
    }

    /// The state as bytes, for [`Self::from_state`] to go on with, also in another run of the program.
    ///
    /// At most 70,000 bytes. They carry no digest of their own: whoever keeps them must keep them as
    /// safe as the digests that come of them.
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        let mut out = SAVED.to_vec();
        let names: Vec<&str> = self.algorithms.iter().map(Algorithm::name).collect();
        put_bytes(&mut out, names.join(" ").as_bytes());
        if let Some(state) = &self.block64 {
            state.save(&mut out);
        }
        if let Some(state) = &self.sha512 {
            state.save(&mut out);
        }
        if let Some(state) = &self.blake3 {
            state.save(&mut out);
        }
        out
    }

    /// The hasher that [`Self::state`] described.
    ///
    /// # Errors
    /// When the bytes are not such a description.
    pub fn from_state(state: &[u8]) -> Result<Self, Error> {
        Self::restore(state).ok_or(Error::SavedState { length_bytes: state.len() })
    }

    fn restore(state: &[u8]) -> Option<Self> {
        let mut from = Reader(state.strip_prefix(SAVED)?);
        let names = std::str::from_utf8(from.bytes()?).ok()?;
        let algorithms = names.split(' ').map(|name| name.parse().ok()).collect::<Option<Vec<_>>>();
        let mut hasher = Self::new(&Algorithms::exactly(algorithms?)?);
        if hasher.block64.is_some() {
            hasher.block64 = Some(Box::new(Block64::restore(&hasher.algorithms, &mut from)?));
        }
        if hasher.sha512.is_some() {
            hasher.sha512 = Some(Box::new(Block128::restore(&mut from)?));
        }
        if hasher.blake3.is_some() {
            hasher.blake3 = Some(Box::new(Groups::restore(&mut from)?));
        }
        from.is_at_end().then_some(hasher)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> Algorithms {
        Algorithm::ALL.into_iter().collect()
    }

    proptest! {
        /// Independent path: the same bytes without a stop.
        #[test]
        fn a_state_goes_on_where_it_stood(
            lengths in proptest::collection::vec(0usize..150_000, 1..5),
            chosen in proptest::sample::subsequence(Algorithm::ALL.to_vec(), 1..=5),
        ) {
            let algorithms = Algorithms::exactly(chosen).unwrap();
            let mut hasher = MultiHasher::new(&algorithms);
            let mut whole = Vec::new();
            for (number, length) in lengths.iter().enumerate() {
                let piece = vec![number as u8 ^ 0x35; *length];
                hasher = MultiHasher::from_state(&hasher.state()).unwrap();
                hasher.update(&piece);
                whole.extend(piece);
            }
            hasher = MultiHasher::from_state(&hasher.state()).unwrap();
            prop_assert_eq!(hasher.finish(), digest_bytes(&whole, &algorithms));
        }

        /// Only us: a damaged state is refused or is another state, and never a panic.
        #[test]
        fn damaged_states_are_survived(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let mut hasher = MultiHasher::new(&all());
            hasher.update(&[7; 200_000]);
            let mut state = hasher.state();
            let at = at.index(state.len());
            state[at] = byte;
            if let Ok(mut hasher) = MultiHasher::from_state(&state) {
                hasher.update(&[1; 70_000]);
                let _ = hasher.finish();
            }
            prop_assert!(MultiHasher::from_state(&state[..cut.index(state.len())]).is_err());
        }
    }

    #[test]
    fn states_at_the_edges_of_groups_are_taken_up() {
        for length in [0, 1, 63, 64, 127, 128, 65_535, 65_536, 65_537, 131_072, 131_073, 458_752] {
            let bytes = vec![0x77; length];
            let mut hasher = MultiHasher::new(&all());
            hasher.update(&bytes);
            let state = hasher.state();
            assert!(state.len() < 70_000, "{}", state.len());
            let hasher = MultiHasher::from_state(&state).unwrap();
            assert_eq!(hasher.finish(), digest_bytes(&bytes, &all()), "{length} bytes");
        }
    }
}
