//! Copies in an object store: `--to s3://BUCKET/PREFIX`, on the desk. The stick's program is built without: its tools have
//! no network, and the TLS library would be a third of a megabyte nobody there can use.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use imaging::{Destination, Medium};
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
}

/// The object an exhibit's copy becomes, as the journal keeps it: never a key.
///
/// # Errors
/// If the word names no place, or this program has no object stores.
#[cfg(feature = "bucket")]
pub(super) fn object(word: &str, exhibit: &str) -> Result<(String, String), Failure> {
    let object = bucket::Object::below(word, &format!("{exhibit}/image.raw"))?;
    Ok((object.bucket, object.key))
}

/// See above.
///
/// # Errors
/// Always.
#[cfg(not(feature = "bucket"))]
pub(super) fn object(_word: &str, _exhibit: &str) -> Result<(String, String), Failure> {
    Err(Failure::new("this program was built without object stores")
        .hint("on the stick: --to receiver:HOST:PORT, then from there"))
}

/// Opens the copy, new or to go on with.
///
/// # Errors
/// If there are no keys, or the store does not take it.
#[cfg(feature = "bucket")]
pub(super) fn open(
    (bucket, key): (&str, &str),
    keys: &Keys,
    folder: &Path,
    (medium, state): (&Medium, Option<&Value>),
    stop: &Arc<AtomicBool>,
) -> Result<Box<dyn Destination>, Failure> {
    use bucket::{Access, Client, Object, Patience};
    let object = Object::new(bucket, key)?;
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
    let client = Client::new(access, roots.as_deref(), clock, patience, Arc::clone(stop))?;
    // One file name for each object: two may be copied to at once.
    let digest = hashing::digest_bytes(object.name().as_bytes(), &hashing::Algorithms::sha256());
    let short: String = digest.sha256_hex().chars().take(8).collect();
    let place = imaging::ObjectPlace { object, aside: folder.join(format!("store-{short}")) };
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
    _folder: &Path,
    _copy: (&Medium, Option<&Value>),
    _stop: &Arc<AtomicBool>,
) -> Result<Box<dyn Destination>, Failure> {
    object("", "").and_then(|_| Err(Failure::new("this program was built without object stores")))
}
