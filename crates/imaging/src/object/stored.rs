//! Objects read as files: what `s3://BUCKET/KEY` names, and the files beside it.
//!
//! A request costs the time of many bytes. So a stretch that follows one read before is fetched with eight mebibytes of what
//! comes next, and the last 24 are kept, for all files of an image together.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bucket::{Client, Object};
use evidence::container::Siblings;
use evidence::source::{Source, SourceError};
use serde_json::Value;

use super::PROOF;

/// What is fetched at least.
const BLOCK_BYTES: u64 = 1 << 20;
/// Blocks fetched at once when they follow others.
const AHEAD: u64 = 8;
/// Longest proof read: it lists every object of the copy.
const PROOF_BYTES: u64 = 8 << 20;
/// Blocks kept.
const KEPT: usize = 24;

/// The objects below one prefix.
#[derive(Clone)]
pub struct StoredObjects {
    client: Arc<Client>,
    bucket: String,
    prefix: String,
    cache: Arc<Mutex<Cache>>,
    /// The store went away: it is not waited for once more for every sector.
    gone: Arc<AtomicBool>,
}

/// Key of the object, and number of the block.
type Place = (String, u64);

#[derive(Default)]
struct Cache {
    blocks: BTreeMap<Place, (u64, Arc<Vec<u8>>)>,
    clock: u64,
}

impl Cache {
    fn get(&mut self, place: &Place) -> Option<Arc<Vec<u8>>> {
        self.clock = self.clock.saturating_add(1);
        let (used, block) = self.blocks.get_mut(place)?;
        *used = self.clock;
        Some(Arc::clone(block))
    }

    fn put(&mut self, place: Place, block: Arc<Vec<u8>>) {
        self.clock = self.clock.saturating_add(1);
        self.blocks.insert(place, (self.clock, block));
        while self.blocks.len() > KEPT {
            let oldest = self.blocks.iter().min_by_key(|(_, (used, _))| *used);
            let Some(oldest) = oldest.map(|(place, _)| place.clone()) else { return };
            self.blocks.remove(&oldest);
        }
    }
}

impl StoredObjects {
    /// Those of this bucket below `prefix`, which may be empty.
    #[must_use]
    pub fn new(client: Arc<Client>, bucket: &str, prefix: &str) -> Self {
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Self { client, bucket, prefix, cache: Arc::default(), gone: Arc::default() }
    }

    /// The same, which sets `gone` when the store no longer gives what it has: what could not be read from then on says
    /// nothing of the objects.
    #[must_use]
    pub fn telling(self, gone: Arc<AtomicBool>) -> Self {
        Self { gone, ..self }
    }

    /// The object of this name; `None` if there is none.
    ///
    /// # Errors
    /// When the name is impossible or the store does not say.
    pub fn open(&self, name: &str) -> Result<Option<Arc<dyn Source>>, bucket::Error> {
        let object = self.object(name)?;
        let Some(size_bytes) = self.client.size_bytes(&object)? else { return Ok(None) };
        let (client, cache) = (Arc::clone(&self.client), Arc::clone(&self.cache));
        let gone = Arc::clone(&self.gone);
        Ok(Some(Arc::new(StoredObject { client, object, size_bytes, cache, gone })))
    }

    /// The SHA-256 of the disk that stands beside an image of ours since it was read back; `None` if there is none.
    ///
    /// # Errors
    /// When the store does not say.
    pub fn proof(&self, first: &str) -> Result<Option<String>, bucket::Error> {
        let object = self.object(&format!("{first}.{PROOF}"))?;
        let size_bytes = self.client.size_bytes(&object)?;
        let Some(size_bytes) = size_bytes.filter(|size| (1..=PROOF_BYTES).contains(size)) else {
            return Ok(None);
        };
        let text = self.client.read_at(&object, 0..size_bytes)?;
        let proof: Value = serde_json::from_slice(&text).unwrap_or_default();
        let is_hex =
            |text: &&str| text.len() == 64 && text.bytes().all(|one| one.is_ascii_hexdigit());
        let found = proof.get("sha256").and_then(Value::as_str);
        Ok(found.filter(is_hex).map(str::to_owned))
    }

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) fn object(&self, name: &str) -> Result<Object, bucket::Error> {
        if self.prefix.is_empty() {
            return Object::new(&self.bucket, name);
        }
        Object::new(&self.bucket, &format!("{}/{name}", self.prefix))
    }

    /// Where the object of this name is, for people.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        let mut path = PathBuf::from(format!("s3://{}", self.bucket));
        [self.prefix.as_str(), name].iter().filter(|part| !part.is_empty()).for_each(|part| {
            path.push(part);
        });
        path
    }
}

impl Siblings for StoredObjects {
    fn open(&self, name: &[u8]) -> io::Result<Option<Arc<dyn Source>>> {
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| !name.contains('/')) else {
            return Ok(None);
        };
        Ok(Self::open(self, name)?)
    }
}

struct StoredObject {
    client: Arc<Client>,
    object: Object,
    size_bytes: u64,
    cache: Arc<Mutex<Cache>>,
    gone: Arc<AtomicBool>,
}

impl StoredObject {
    fn place(&self, block: u64) -> Place {
        (self.object.key.clone(), block)
    }

    fn block(&self, block: u64) -> io::Result<Arc<Vec<u8>>> {
        // Held while fetching: whoever waits most likely waits for the same stretch.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(&self.place(block)) {
            return Ok(found);
        }
        let follows = block > 0 && cache.blocks.contains_key(&self.place(block.saturating_sub(1)));
        let count = if follows { AHEAD } else { 1 };
        let start = block.saturating_mul(BLOCK_BYTES);
        let end = block.saturating_add(count).saturating_mul(BLOCK_BYTES).min(self.size_bytes);
        if self.gone.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let bytes = self.client.read_at(&self.object, start..end).map_err(|error| {
            self.gone.store(true, Ordering::Relaxed);
            io::Error::from(error)
        })?;
        let mut first = None;
        let length = usize::try_from(BLOCK_BYTES).unwrap_or(1 << 20);
        for (piece, number) in bytes.chunks(length).zip(block..) {
            let piece = Arc::new(piece.to_vec());
            first.get_or_insert_with(|| Arc::clone(&piece));
            cache.put(self.place(number), piece);
        }
        Ok(first.unwrap_or_default())
    }
}

impl Source for StoredObject {
    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> Result<usize, SourceError> {
        let length_bytes = buf.len();
        let mut done = 0_usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset_bytes.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            if at >= self.size_bytes {
                break;
            }
            let block = self.block(at / BLOCK_BYTES).map_err(|error| SourceError {
                offset_bytes: at,
                length_bytes: length_bytes.saturating_sub(done),
                source: error,
            })?;
            let within = usize::try_from(at % BLOCK_BYTES).unwrap_or(usize::MAX);
            let from = block.get(within..).unwrap_or_default();
            let count = from.len().min(rest.len());
            if count == 0 {
                break;
            }
            if let (Some(to), Some(from)) = (rest.get_mut(..count), from.get(..count)) {
                to.copy_from_slice(from);
            }
            done = done.saturating_add(count);
        }
        Ok(done)
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}
