//! A copy in an object store: the bytes of the disk as one object, which nobody sees before its last byte has come.
//!
//! A store keeps whole parts. What fills no part yet when the work stands still is kept beside the journal, one file for
//! each part it belongs to: the file that an older line of the journal needs is never written again. Why the object has its
//! final name before it was read back, and what tells that it was: `docs/decisions/0016-object-stores.md`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bucket::{Client, Object, Upload, part_bytes};
use hashing::{Algorithm, Algorithms, MultiHasher, digest_bytes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Acquisition, Checkpoint, Destination, Error, Flush, ImageWriter, Medium, Part, Tick, Verified,
};

/// Behind the key of an object that was read back and found whole stands one of this name that says so.
const PROOF: &str = "verified.json";

/// Where the copy goes, and where the rest of a part is kept.
#[derive(Debug, Clone)]
pub struct ObjectPlace {
    /// The object.
    pub object: Object,
    /// Beginning of the names of the files for what fills no part yet.
    pub aside: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct State {
    upload: String,
    at_bytes: u64,
    /// Of the bytes behind the last whole part.
    tail_sha256: String,
}

/// A copy being sent.
pub struct ObjectCopy {
    upload: Sending,
    aside: PathBuf,
    name: String,
    endpoint: String,
    size_bytes: u64,
    at_bytes: u64,
    /// Parts of which files were kept, the newest last.
    kept: Vec<u64>,
    is_proved: bool,
}

/// How far it is.
enum Sending {
    /// Parts are being sent.
    Parts(Box<Upload>),
    /// The object is there.
    Whole { client: Box<Client>, object: Object, upload: String },
}

impl ObjectCopy {
    /// Begins the copy; with the state of a checkpoint it goes on from there.
    ///
    /// # Errors
    /// When the store refuses, has such an object already, or has not what was sent; or what was kept here is gone.
    pub fn open(
        client: Client,
        place: ObjectPlace,
        medium: &Medium,
        state: Option<&Value>,
    ) -> Result<Self, Error> {
        let ObjectPlace { object, aside } = place;
        let (name, endpoint) = (object.name(), client.endpoint().to_owned());
        let failed = |error: bucket::Error| failed(&name, error);
        let size_bytes = medium.size_bytes;
        let (upload, at_bytes, kept) = match state {
            None => {
                let upload = Upload::begin(client, object, size_bytes).map_err(failed)?;
                (Sending::Parts(Box::new(upload)), 0, Vec::new())
            }
            Some(state) => {
                let broken = || Error::Journal {
                    path: PathBuf::from(&name),
                    reason: "the state of a copy in an object store is not whole",
                };
                let state = State::deserialize(state).map_err(|_error| broken())?;
                // Without the answer to the last request the object may be there though the journal does not say so.
                let found = client.size_bytes(&object).map_err(failed)?;
                match found {
                    Some(found) if found == size_bytes => {
                        let client = Box::new(client);
                        let upload = state.upload;
                        (Sending::Whole { client, object, upload }, state.at_bytes, Vec::new())
                    }
                    Some(_) => return Err(Error::Exists { path: PathBuf::from(&name) }),
                    None => {
                        let part_bytes = part_bytes(size_bytes).map_err(failed)?;
                        let number = state.at_bytes.checked_div(part_bytes).unwrap_or(0);
                        let tail = tail(&aside, number, &state, part_bytes).ok_or_else(broken)?;
                        // The journal's last line needs this one; the others are of older or of lost lines.
                        let kept = if tail.is_empty() { Vec::new() } else { vec![number] };
                        remove_all_but(&aside, kept.first().copied());
                        let place = (size_bytes, state.at_bytes);
                        let upload = Upload::resume(client, object, &state.upload, place, tail)
                            .map_err(failed)?;
                        (Sending::Parts(Box::new(upload)), state.at_bytes, kept)
                    }
                }
            }
        };
        Ok(Self { upload, aside, name, endpoint, size_bytes, at_bytes, kept, is_proved: false })
    }

    /// Keeps what fills no part yet, and lets go of what no line of the journal can need any more.
    fn keep(&mut self) -> io::Result<Flush> {
        let Sending::Parts(upload) = &self.upload else { return Ok(Flush::default()) };
        let number = upload.whole_parts();
        while self.kept.len() > 1 {
            let old = self.kept.remove(0);
            let _ = fs::remove_file(file(&self.aside, old));
        }
        if upload.tail().is_empty() {
            return Ok(Flush::default());
        }
        let path = file(&self.aside, number);
        // The same part again: what was kept is the beginning of what is kept now.
        let has = match fs::metadata(&path) {
            Ok(found) if self.kept.last() == Some(&number) => found.len(),
            _ => 0,
        };
        let has = usize::try_from(has).unwrap_or(usize::MAX).min(upload.tail().len());
        let mut out = File::options()
            .create(true)
            .append(has > 0)
            .write(true)
            .truncate(has == 0)
            .open(&path)?;
        out.write_all(upload.tail().get(has..).unwrap_or(&[]))?;
        if self.kept.last() != Some(&number) {
            self.kept.push(number);
        }
        let folders = path.parent().map(PathBuf::from).into_iter().collect();
        Ok(Flush { files: vec![out], folders })
    }

    fn forget(&mut self) {
        self.kept.clear();
        remove_all_but(&self.aside, None);
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(&self.name)
    }

    fn store(&self) -> (&Client, &Object) {
        match &self.upload {
            Sending::Parts(upload) => (upload.client(), upload.object()),
            Sending::Whole { client, object, .. } => (client, object),
        }
    }
}

fn failed(name: &str, error: bucket::Error) -> Error {
    Error::io("copying to", &PathBuf::from(name))(error.into())
}

/// The file for what fills no part yet.
fn file(aside: &Path, number: u64) -> PathBuf {
    let mut name = aside.as_os_str().to_owned();
    name.push(format!(".part-{number}"));
    PathBuf::from(name)
}

/// Removes the files of all parts but one, also those that an interrupted run left.
fn remove_all_but(aside: &Path, number: Option<u64>) {
    let spared = number.map(|number| file(aside, number));
    let (Some(folder), Some(name)) = (aside.parent(), aside.file_name()) else { return };
    let beginning = [name.as_encoded_bytes(), b".part-"].concat();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(&beginning);
        if is_ours && Some(entry.path()) != spared {
            // One that stays is listed by the case as left unfinished.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What was kept, if it is what the journal says.
fn tail(aside: &Path, number: u64, state: &State, part_bytes: u64) -> Option<Vec<u8>> {
    let length = usize::try_from(state.at_bytes.checked_rem(part_bytes)?).ok()?;
    if length == 0 {
        return Some(Vec::new());
    }
    let path = file(aside, number);
    let mut bytes = fs::read(&path).ok()?;
    bytes.get(..length)?;
    bytes.truncate(length);
    if sha256(&bytes) != state.tail_sha256 {
        return None;
    }
    // What was added behind it belongs to a line the journal does not have.
    let kept = File::options().write(true).open(&path).ok()?;
    kept.set_len(u64::try_from(length).ok()?).ok()?;
    Some(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    digest_bytes(bytes, &Algorithms::sha256()).sha256_hex()
}

impl ImageWriter for ObjectCopy {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn write(&mut self, part: Part<'_>) -> io::Result<()> {
        // An object that is whole is not written again; reading it back says whether it holds the same.
        if let Sending::Parts(upload) = &mut self.upload {
            upload.write(part.bytes)?;
        }
        let length = u64::try_from(part.bytes.len()).unwrap_or(u64::MAX);
        self.at_bytes = part.offset_bytes.saturating_add(length);
        Ok(())
    }

    fn checkpoint(&mut self) -> io::Result<Checkpoint> {
        let flush = self.keep()?;
        let (upload, tail_sha256) = match &self.upload {
            Sending::Parts(upload) => (upload.id().to_owned(), sha256(upload.tail())),
            Sending::Whole { upload, .. } => (upload.clone(), sha256(&[])),
        };
        let at_bytes = self.at_bytes;
        Ok(Checkpoint { flush, state: json!(State { upload, at_bytes, tail_sha256 }) })
    }

    fn complete(&mut self, _acquisition: &Acquisition) -> io::Result<()> {
        if let Sending::Parts(upload) = &mut self.upload {
            upload.complete()?;
        }
        Ok(())
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
        let path = self.place();
        acquisition.ensure_complete(&path)?;
        let total_bytes = acquisition.size_bytes;
        let (client, object) = self.store();
        let failed = |error| failed(&self.name, error);
        let found = client.size_bytes(object).map_err(failed)?;
        if found != Some(total_bytes) {
            let size_bytes = found.unwrap_or(0);
            return Err(Error::Incomplete {
                path,
                copied_bytes: size_bytes,
                size_bytes: total_bytes,
            });
        }
        let mut hasher = MultiHasher::new(&Algorithms::sha256());
        let mut done_bytes = 0_u64;
        let read = client.read(object, total_bytes, &mut |bytes| {
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
        let found = hasher.finish();
        if !acquisition.digests.agrees_with(&found) {
            let expected = acquisition.digests.clone();
            return Err(Error::Mismatch { path, expected, found });
        }
        self.is_proved = true;
        self.forget();
        Ok(Verified::new(path, found, total_bytes))
    }

    fn publish(&mut self, verified: &Verified) -> Result<(), Error> {
        if verified.path() != self.place() {
            return Err(Error::Exists { path: verified.path().to_path_buf() });
        }
        let (client, object) = self.store();
        let failed = |error| failed(&self.name, error);
        let proof =
            Object::new(&object.bucket, &format!("{}.{PROOF}", object.key)).map_err(failed)?;
        let text = json!({
            "object": object.key,
            "size_bytes": self.size_bytes,
            "sha256": verified.digests().of(Algorithm::Sha256).map(hashing::Digest::to_hex),
            "read_back": true,
        });
        client.put(&proof, format!("{text:#}\n").as_bytes()).map_err(failed)
    }

    fn discard(&mut self) {
        if let Sending::Parts(upload) = &self.upload {
            // Parts that stay are not seen, but paid for: the store's own rules for unfinished uploads take them away.
            let _ = upload.abort();
        }
        self.forget();
    }

    fn facts(&self) -> Value {
        let (_, object) = self.store();
        let (upload, part_bytes) = match &self.upload {
            Sending::Parts(upload) => (upload.id(), Some(upload.part_bytes())),
            Sending::Whole { upload, .. } => (upload.as_str(), None),
        };
        json!({
            "object_store": self.endpoint,
            "bucket": object.bucket,
            "key": object.key,
            "upload": upload,
            "part_bytes": part_bytes,
            "proof": self.is_proved.then(|| format!("{}.{PROOF}", object.key)),
        })
    }
}
