//! A copy in an object store: the files of any format as objects, which nobody sees before the last byte of the last one has
//! come.
//!
//! Formats write as they always do; what they have written lies beside the journal in files of one part each, until the
//! format will not change it any more and it was sent. So nothing has to be written back to a store, the memory does not
//! grow, and the disk holds no more than a format may still change and what is on its way. Why the objects have their final
//! names before they were read back, and what tells that they were: `docs/decisions/0016-object-stores.md`.

mod ledger;
mod objects;
mod senders;
mod spool;
mod stored;

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bucket::{Client, Object, part_bytes};
use hashing::{Algorithm, Algorithms, MultiHasher};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::format::{self, parsed};
use crate::{
    Acquisition, Checkpoint, Destination, Encoding, Error, Format, ImageFile, ImageWriter, Medium,
    Part, Parts, Request, Tick, Verified, verify_copy,
};
use objects::Objects;
pub use stored::StoredObjects;

/// Behind the key of the first object of a copy that was read back and found whole stands one of this name that says so.
const PROOF: &str = "verified.json";

/// Where the copy goes, and where it is kept until it was sent.
#[derive(Debug, Clone)]
pub struct ObjectPlace {
    /// The bucket.
    pub bucket: String,
    /// What stands before the names of the files, without the slash between them.
    pub prefix: String,
    /// The copy; its folder means nothing here.
    pub request: Request,
    /// Beginning of the names of the files in which parts wait.
    pub aside: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct State {
    /// Of the format.
    image: Value,
    /// Of what was sent.
    sent: Value,
}

/// A copy being sent.
pub struct ObjectCopy {
    image: Box<dyn ImageFile>,
    store: StoredObjects,
    format: Format,
    is_proved: bool,
}

impl ObjectCopy {
    /// Begins the copy; with the state of a checkpoint it goes on from there.
    ///
    /// # Errors
    /// When the format cannot hold the source, the store refuses, has such an object already, or has not what was sent; or
    /// what was kept here is gone.
    pub fn open(
        client: Arc<Client>,
        place: ObjectPlace,
        medium: &Medium,
        state: Option<&Value>,
    ) -> Result<Self, Error> {
        let ObjectPlace { bucket, prefix, request, aside } = place;
        let store = StoredObjects::new(client, &bucket, &prefix);
        let most_bytes = format::most_bytes(&request, medium);
        let name = store.path("");
        let part_bytes =
            part_bytes(most_bytes).map_err(|error| Error::io("copying to", &name)(error.into()))?;
        let failed = |error: io::Error| Error::io("copying to", &name)(error);
        let image = match state {
            None => format::create_by(&request, medium, &mut |name| {
                let begun = Objects::begin(store.clone(), &aside, part_bytes, name);
                let carrier = begun.map_err(failed)?;
                Ok(Parts::elsewhere(Box::new(carrier), vec![name.to_owned()], 0))
            })?,
            Some(state) => {
                let State { image, sent } = parsed(state, &name)?;
                format::reopen_by(&request, medium, &image, &mut |names, at_bytes| {
                    let place = (names.as_slice(), at_bytes);
                    let carrier = Objects::resume(store.clone(), &aside, part_bytes, &sent, place)
                        .map_err(failed)?;
                    Ok(Parts::elsewhere(Box::new(carrier), names, at_bytes))
                })?
            }
        };
        Ok(Self { image, store, format: request.format, is_proved: false })
    }

    fn first(&self) -> &str {
        self.image.parts().names().first().map_or("", String::as_str)
    }

    fn place(&self) -> PathBuf {
        self.store.path(self.first())
    }

    /// The object that says that the copy was read back.
    fn proof(&self) -> Result<Object, bucket::Error> {
        self.store.object(&format!("{}.{PROOF}", self.first()))
    }

    /// What was sent as it is read in one go from each object, without a request for every stretch of it.
    fn verify_raw(
        &self,
        acquisition: &Acquisition,
        progress: &mut dyn FnMut(Tick),
        cancel: &AtomicBool,
    ) -> Result<Verified, Error> {
        let path = self.place();
        acquisition.ensure_complete(&path)?;
        let total_bytes = acquisition.size_bytes;
        let failed = |error: bucket::Error| Error::io("reading back", &path)(error.into());
        let client = self.store.client();
        let mut objects = Vec::new();
        let mut copied_bytes = 0_u64;
        for name in self.image.parts().names() {
            let object = self.store.object(name).map_err(failed)?;
            let size_bytes = client.size_bytes(&object).map_err(failed)?.unwrap_or(0);
            copied_bytes = copied_bytes.saturating_add(size_bytes);
            objects.push((object, size_bytes));
        }
        if copied_bytes != total_bytes {
            return Err(Error::Incomplete { path, copied_bytes, size_bytes: total_bytes });
        }
        let mut hasher = MultiHasher::new(&Algorithms::sha256());
        let mut done_bytes = 0_u64;
        for (object, size_bytes) in &objects {
            let read = client.read(object, *size_bytes, &mut |bytes| {
                hasher.update(bytes);
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                done_bytes = done_bytes.saturating_add(length);
                progress(Tick { done_bytes, total_bytes, bad_bytes: 0 });
                if cancel.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            read.map_err(failed)?;
        }
        let found = hasher.finish();
        if !acquisition.digests.agrees_with(&found) {
            let expected = acquisition.digests.clone();
            return Err(Error::Mismatch { path, expected, found });
        }
        Ok(Verified::new(path, found, total_bytes))
    }
}

impl ImageWriter for ObjectCopy {
    fn name(&self) -> String {
        self.image.name()
    }

    fn encoding(&self) -> Option<Arc<dyn Encoding>> {
        self.image.encoding()
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        self.image.write(part)
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        let Checkpoint { flush, state } = self.image.checkpoint()?;
        let carrier = self.image.parts_mut().carrier();
        let sent = carrier.map_or(Value::Null, |carrier| carrier.state());
        Ok(Checkpoint { flush, state: json!(State { image: state, sent }) })
    }

    fn complete(&mut self, acquisition: &Acquisition) -> io::Result<()> {
        self.image.complete(acquisition)
    }
}

impl Destination for ObjectCopy {
    fn paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn verify(
        &mut self,
        acquisition: &Acquisition,
        progress: &mut dyn FnMut(Tick),
        cancel: &AtomicBool,
    ) -> Result<Verified, Error> {
        let verified = match self.format {
            Format::Raw => self.verify_raw(acquisition, progress, cancel)?,
            _ => verify_copy(&*self.image, acquisition, progress, cancel)?,
        };
        self.is_proved = true;
        Ok(verified)
    }

    fn publish(&mut self, verified: &Verified) -> Result<(), Error> {
        let path = self.place();
        if verified.path() != path {
            return Err(Error::Exists { path: verified.path().to_path_buf() });
        }
        let failed = |error: bucket::Error| Error::io("copying to", &path)(error.into());
        let proof = self.proof().map_err(failed)?;
        let facts = self.image.parts_mut().carrier().map(|carrier| carrier.facts());
        let facts = facts.unwrap_or_default();
        let text = json!({
            "object": facts.get("key"),
            "format": self.format,
            "objects": facts.get("objects"),
            "size_bytes": verified.size_bytes(),
            "sha256": verified.digests().of(Algorithm::Sha256).map(hashing::Digest::to_hex),
            "read_back": true,
        });
        self.store.client().put(&proof, format!("{text:#}\n").as_bytes()).map_err(failed)
    }

    fn discard(&mut self) {
        if let Some(carrier) = self.image.parts_mut().carrier() {
            carrier.discard();
        }
    }

    fn facts(&self) -> Value {
        let mut facts = self.image.parts().facts();
        let proof = self.proof().ok().filter(|_| self.is_proved);
        if let Value::Object(facts) = &mut facts {
            facts.insert("format".to_owned(), json!(self.format));
            facts.insert("proof".to_owned(), json!(proof.map(|object| object.key)));
        }
        facts
    }
}
