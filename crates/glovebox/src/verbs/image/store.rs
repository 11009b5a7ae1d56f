//! Copies in an object store and images read from one: `s3://BUCKET/PREFIX`, on the desk. The stick's program is built without: its tools have
//! no network, and the TLS library would be a third of a megabyte nobody there can use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "bucket")]
use evidence::container;
use evidence::container::Opened;
use imaging::{Destination, Medium, Request};
use serde_json::Value;

use crate::failure::Failure;

/// What a word of `--to` begins with that names a place in an object store.
pub(super) const STORE: &str = "s3://";

/// Where the keys of a store are
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Keys {
    /// Keys and endpoint of an object store (default: AWS_… variables)
    #[cfg(feature = "bucket")]
    #[arg(long, value_name = "FILE")]
    store_keys: Option<std::path::PathBuf>,
    /// Set when a store that is read from went away.
    #[arg(skip)]
    gone: Arc<AtomicBool>,
}

impl Keys {
    /// Whether what could not be read says something of the image, and not of the way to it.
    ///
    /// # Errors
    /// If the store went away while it was read from.
    pub(super) fn still_there(&self) -> Result<(), Failure> {
        if !self.gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text =
            "the object store went away while the image was read: nothing is said of the image";
        Err(Failure::new(text).hint("the same command again when the store answers"))
    }
}

/// Bucket, and what stands before the names of an exhibit's files there, as the journal keeps them: never a key.
///
/// # Errors
/// If the word names no place, or this program has no object stores.
#[cfg(feature = "bucket")]
pub(super) fn below(word: &str, exhibit: &str) -> Result<(String, String), Failure> {
    let object = bucket::Object::below(word, exhibit)?;
    Ok((object.bucket, object.key))
}

/// See above.
///
/// # Errors
/// Always.
#[cfg(not(feature = "bucket"))]
pub(super) fn below(_word: &str, _exhibit: &str) -> Result<(String, String), Failure> {
    Err(Failure::new("this program was built without object stores")
        .hint("on the stick: --to receiver:HOST:PORT, then from there"))
}

/// The store that these keys lead to.
#[cfg(feature = "bucket")]
fn client(keys: &Keys, stop: &Arc<AtomicBool>) -> Result<Arc<bucket::Client>, Failure> {
    use bucket::{Access, Client, Patience};
    use std::path::Path;
    let reading = |path: &Path| {
        std::fs::read(path).map_err(|problem| {
            Failure::from(problem).while_doing(format!("reading {}", path.display()))
        })
    };
    let access = match &keys.store_keys {
        Some(file) => Access::from_file_text(&String::from_utf8_lossy(&reading(file)?)),
        None => Access::from_environment(&|name| std::env::var(name).ok()),
    };
    let access = access.map_err(|problem| {
        Failure::from(problem).hint("keys and endpoint of the store: --store-keys FILE")
    })?;
    let roots = access.ca_bundle().map(|file| reading(Path::new(file))).transpose()?;
    let clock: bucket::Clock = Arc::new(crate::clock::unix_seconds_now);
    let patience = Patience::default();
    Ok(Arc::new(Client::new(access, roots.as_deref(), clock, patience, Arc::clone(stop))?))
}

/// Opens the copy, new or to go on with.
///
/// # Errors
/// If there are no keys, or the store does not take it.
#[cfg(feature = "bucket")]
pub(super) fn open(
    (bucket, prefix): (&str, &str),
    keys: &Keys,
    request: &Request,
    (medium, state): (&Medium, Option<&Value>),
    stop: &Arc<AtomicBool>,
) -> Result<Box<dyn Destination>, Failure> {
    let client = client(keys, stop)?;
    // Names of their own for each copy: several may be made at once.
    let copy = format!("{bucket}\0{prefix}\0{}", request.format.name());
    let digest = hashing::digest_bytes(copy.as_bytes(), &hashing::Algorithms::sha256());
    let short: String = digest.sha256_hex().chars().take(8).collect();
    let place = imaging::ObjectPlace {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        request: request.clone(),
        aside: request.folder.join(format!("store-{short}")),
    };
    Ok(Box::new(imaging::ObjectCopy::open(client, place, medium, state)?))
}

/// See above.
///
/// # Errors
/// Always.
#[cfg(not(feature = "bucket"))]
pub(super) fn open(
    _place: (&str, &str),
    _keys: &Keys,
    _request: &Request,
    _copy: (&Medium, Option<&Value>),
    _stop: &Arc<AtomicBool>,
) -> Result<Box<dyn Destination>, Failure> {
    below("", "").and_then(|_| Err(Failure::new("this program was built without object stores")))
}

/// The image that this word names in a store.
///
/// # Errors
/// If there are no keys, the object is not there, or it is no image.
#[cfg(feature = "bucket")]
pub(super) fn image(word: &str, keys: &Keys) -> Result<Opened, Failure> {
    let doing = |failure: Failure| failure.while_doing(format!("opening the image {word}"));
    let absent = || doing(Failure::new("there is no such object"));
    let (prefix, name) = word.rsplit_once('/').ok_or_else(absent)?;
    // Also checks the word: what stands before the last slash has to name a bucket.
    let object = bucket::Object::below(prefix, name).map_err(|problem| doing(problem.into()))?;
    let folder = object.key.strip_suffix(name).unwrap_or_default().trim_end_matches('/');
    let client = client(keys, &Arc::default())?;
    let objects =
        imaging::StoredObjects::new(client, &object.bucket, folder).telling(Arc::clone(&keys.gone));
    let first = objects.open(name).map_err(|problem| doing(problem.into()))?;
    let opened = container::open(first.ok_or_else(absent)?, name.as_bytes(), &objects);
    let mut opened = opened.map_err(|problem| doing(problem.into()))?;
    let proof = objects.proof(name).map_err(|problem| doing(problem.into()))?;
    // What was read back when the copy was made, beside what the image itself records.
    let counted = match &opened.as_digested {
        Some(_) => container::Counted::AsZeros,
        None => container::Counted::AsShown,
    };
    opened.digests.extend(proof.map(|hex| container::Recorded {
        algorithm: hashing::Algorithm::Sha256.name().to_owned(),
        hex,
        counted,
    }));
    Ok(opened)
}

/// See above.
///
/// # Errors
/// Always.
#[cfg(not(feature = "bucket"))]
pub(super) fn image(_word: &str, _keys: &Keys) -> Result<Opened, Failure> {
    below("", "").and_then(|_| Err(Failure::new("this program was built without object stores")))
}
