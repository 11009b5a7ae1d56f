//! An object on its way, in parts of one size.
//!
//! A part is a file: it is digested, signed and sent without being in memory as a whole, so that several can be on their
//! way at once. Parts sent again under their number replace those that were there.

use std::path::Path;
use std::sync::Arc;

use crate::{Client, Error, Object, StoredPart};

/// Most parts of an object (S3: "Amazon S3 multipart upload limits").
pub const PARTS_AT_MOST: u64 = 10_000;
/// Smallest part we send; a store takes none below 5 MiB but the last.
const LEAST_BYTES: u64 = 16 << 20;
/// Largest part: several lie beside the journal until they were sent.
const MOST_BYTES: u64 = 512 << 20;

/// The size of the parts in bytes for an object of so many: the smallest power of two that does, 16 MiB at least.
///
/// # Errors
/// When it would have to be over 512 MiB, which is for objects over 4.9 TiB.
pub fn part_bytes(size_bytes: u64) -> Result<u64, Error> {
    let mut part_bytes = LEAST_BYTES;
    while part_bytes.saturating_mul(PARTS_AT_MOST) < size_bytes {
        part_bytes = part_bytes.saturating_mul(2);
        if part_bytes > MOST_BYTES {
            let most_bytes = MOST_BYTES.saturating_mul(PARTS_AT_MOST);
            return Err(Error::TooLarge { size_bytes, most_bytes });
        }
    }
    Ok(part_bytes)
}

/// An upload that has begun and is not complete.
#[derive(Clone)]
pub struct Upload {
    client: Arc<Client>,
    object: Object,
    id: String,
}

impl Upload {
    /// Begins the upload of an object that is not there.
    ///
    /// # Errors
    /// When there is such an object, or the store refuses.
    pub fn begin(client: Arc<Client>, object: Object) -> Result<Self, Error> {
        if client.size_bytes(&object)?.is_some() {
            let reason = "there is an object of this name already";
            return Err(Error::BadPlace { word: object.name(), reason });
        }
        let id = client.begin(&object)?;
        Ok(Self { client, object, id })
    }

    /// An upload that was begun earlier under this name.
    #[must_use]
    pub fn known(client: Arc<Client>, object: Object, id: &str) -> Self {
        Self { client, object, id: id.to_owned() }
    }

    /// Sends a file as the part of this number, from 1 on; gives what the store calls its content. The store compares it
    /// with the SHA-256 in the signed request. Parts may be sent in any order, and several at once.
    ///
    /// # Errors
    /// When the file cannot be read or the part not be sent.
    pub fn send(&self, number: u64, file: &Path) -> Result<String, Error> {
        self.client.put_part(&self.object, &self.id, number, file)
    }

    /// The parts the store has, in order; there may be gaps.
    ///
    /// # Errors
    /// When the store has no such upload, or does not say.
    pub fn parts(&self) -> Result<Vec<StoredPart>, Error> {
        self.client.parts(&self.object, &self.id)
    }

    /// Makes the object of the parts with these names, from the first on: from here on others see it, whole.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn complete(&self, etags: &[String]) -> Result<(), Error> {
        match self.client.complete(&self.object, &self.id, etags) {
            // Asked a second time because the first answer was lost: the upload is gone, the object is there.
            Err(error) if error.is_absent() => match self.client.size_bytes(&self.object)? {
                Some(_) => Ok(()),
                None => Err(error),
            },
            result => result,
        }
    }

    /// Takes it back.
    ///
    /// # Errors
    /// When the store does not; its parts then stay there, unseen.
    pub fn abort(&self) -> Result<(), Error> {
        self.client.abort(&self.object, &self.id)
    }

    /// The store's name of the upload.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_many_as_a_store_takes() {
        assert_eq!(part_bytes(0).unwrap(), 16 << 20);
        assert_eq!(part_bytes(160_000 << 20).unwrap(), 16 << 20);
        assert_eq!(part_bytes((160_000 << 20) + 1).unwrap(), 32 << 20);
        assert_eq!(part_bytes(4 << 40).unwrap(), 512 << 20);
        assert!(part_bytes(5 << 40).is_err());
    }
}
