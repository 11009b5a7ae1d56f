//! An object on its way, in parts of one size.
//!
//! A store keeps whole parts and nothing else, so what was taken and fills no part yet is in memory: whoever wants to go
//! on later keeps [`Upload::tail`] somewhere. Parts sent again under their number replace those that were there.

use crate::{Client, Error, Object};

/// Most parts of an object (S3: "Amazon S3 multipart upload limits").
const PARTS_AT_MOST: u64 = 10_000;
/// Smallest part we send; a store takes none below 5 MiB but the last.
const LEAST_BYTES: u64 = 16 << 20;
/// Largest part: one is held in memory.
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
pub struct Upload {
    client: Client,
    object: Object,
    id: String,
    part_bytes: u64,
    /// What the store calls each part it has.
    etags: Vec<String>,
    tail: Vec<u8>,
}

impl Upload {
    /// Begins the upload of an object that is not there.
    ///
    /// # Errors
    /// When there is such an object, the size is too large, or the store refuses.
    pub fn begin(client: Client, object: Object, size_bytes: u64) -> Result<Self, Error> {
        let part_bytes = part_bytes(size_bytes)?;
        if client.size_bytes(&object)?.is_some() {
            let reason = "there is an object of this name already";
            return Err(Error::BadPlace { word: object.name(), reason });
        }
        let id = client.begin(&object)?;
        Ok(Self { client, object, id, part_bytes, etags: Vec::new(), tail: Vec::new() })
    }

    /// Goes on with the upload of this name behind `at_bytes`; `tail` are the bytes behind the last whole part.
    ///
    /// # Errors
    /// When the store has no such upload or not those parts, or `tail` has another length.
    pub fn resume(
        client: Client,
        object: Object,
        id: &str,
        (size_bytes, at_bytes): (u64, u64),
        tail: Vec<u8>,
    ) -> Result<Self, Error> {
        let part_bytes = part_bytes(size_bytes)?;
        let whole = at_bytes.checked_div(part_bytes).unwrap_or(0);
        let rest = at_bytes.saturating_sub(whole.saturating_mul(part_bytes));
        let other = |reason: String| Err(Error::OtherUpload { reason });
        if u64::try_from(tail.len()).ok() != Some(rest) {
            return other(format!("{} bytes were kept beside it, expected {rest}", tail.len()));
        }
        let mut etags = Vec::new();
        // Parts behind that place are sent again.
        let parts = client.parts(&object, id)?.into_iter();
        for (part, number) in parts.zip(1_u64..).take_while(|(_, number)| *number <= whole) {
            if (part.number, part.size_bytes) != (number, part_bytes) {
                return other(format!(
                    "part {number} is number {} with {} bytes, expected {part_bytes}",
                    part.number, part.size_bytes
                ));
            }
            etags.push(part.etag);
        }
        let found = etags.len();
        if u64::try_from(found).ok() != Some(whole) {
            return other(format!("it has {found} whole parts, expected {whole}"));
        }
        Ok(Self { client, object, id: id.to_owned(), part_bytes, etags, tail })
    }

    /// Takes the next bytes of the object.
    ///
    /// # Errors
    /// When a part cannot be sent; the bytes of it are kept, and are sent with the next call.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let part_bytes = usize::try_from(self.part_bytes).unwrap_or(usize::MAX);
        while !bytes.is_empty() {
            let room = part_bytes.saturating_sub(self.tail.len()).min(bytes.len());
            let (head, rest) = bytes.split_at(room);
            self.tail.reserve_exact(part_bytes.saturating_sub(self.tail.len()));
            self.tail.extend_from_slice(head);
            bytes = rest;
            if self.tail.len() >= part_bytes {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Error> {
        let number = self.whole_parts().saturating_add(1);
        let etag = self.client.put_part(&self.object, &self.id, number, &self.tail)?;
        self.etags.push(etag);
        self.tail.clear();
        Ok(())
    }

    /// Sends what is left and makes the object: from here on others see it, whole.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn complete(&mut self) -> Result<(), Error> {
        if !self.tail.is_empty() || self.etags.is_empty() {
            self.send()?;
        }
        match self.client.complete(&self.object, &self.id, &self.etags) {
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

    /// Size of a part in bytes.
    #[must_use]
    pub fn part_bytes(&self) -> u64 {
        self.part_bytes
    }

    /// Parts the store has.
    #[must_use]
    pub fn whole_parts(&self) -> u64 {
        u64::try_from(self.etags.len()).unwrap_or(u64::MAX)
    }

    /// What was taken and fills no part yet.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The store.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
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
