//! What is named: `s3://BUCKET/KEY`, and how it is written in a request.

use hashing::escape_name;

use crate::Error;

/// What a place in an object store begins with.
const SCHEME: &str = "s3://";
/// Most bytes of a key (S3: "Creating object key names").
const KEY_BYTES: usize = 1024;

/// An object, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The bucket.
    pub bucket: String,
    /// The key, without a leading slash.
    pub key: String,
}

impl Object {
    /// Takes `s3://BUCKET/PREFIX` apart and puts `name` below the prefix.
    ///
    /// # Errors
    /// When the word has another form, the bucket's name is none, or the key would be too long or ambiguous.
    pub fn below(word: &str, name: &str) -> Result<Self, Error> {
        let bad = |reason| Err(Error::BadPlace { word: escape_name(word.as_bytes()), reason });
        let Some(rest) = word.strip_prefix(SCHEME) else {
            return bad("it does not begin with s3://");
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_bucket(bucket) {
            return bad("a bucket has 3 to 63 lower-case letters, digits, dots and hyphens");
        }
        let prefix = prefix.trim_end_matches('/');
        let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        Self { bucket: bucket.to_owned(), key }.checked(word)
    }

    /// The object of this bucket and key.
    ///
    /// # Errors
    /// As [`Object::below`].
    pub fn new(bucket: &str, key: &str) -> Result<Self, Error> {
        Self::below(&format!("{SCHEME}{bucket}"), key)
    }

    fn checked(self, word: &str) -> Result<Self, Error> {
        let bad = |reason| Err(Error::BadPlace { word: escape_name(word.as_bytes()), reason });
        if self.key.is_empty() || self.key.len() > KEY_BYTES {
            return bad("a key has 1 to 1024 bytes");
        }
        // Proxies and stores disagree on what these mean in an address.
        if self.key.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return bad("a part of the key is empty, . or ..");
        }
        if self.key.chars().any(char::is_control) {
            return bad("there is a control character in the key");
        }
        Ok(self)
    }

    /// How people name it, safe to print.
    #[must_use]
    pub fn name(&self) -> String {
        escape_name(format!("{SCHEME}{}/{}", self.bucket, self.key).as_bytes())
    }

    /// Its path in a request: the bucket comes first, as every store understands it.
    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", encoded(&self.bucket, false), encoded(&self.key, true))
    }
}

fn is_bucket(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    (3..=63).contains(&name.len())
        && is_end(name.as_bytes().first())
        && is_end(name.as_bytes().last())
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.'
        })
        && !name.contains("..")
}

/// Percent-encoded as Signature Version 4 wants it: all but letters, digits and `-._~`.
pub(crate) fn encoded(text: &str, keeps_slash: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain || (keeps_slash && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_apart() {
        let key = |word: &str| Object::below(word, "001-disk/image.raw").map(|one| one.key);
        assert_eq!(key("s3://cases").unwrap(), "001-disk/image.raw");
        assert_eq!(key("s3://cases/2026/7/").unwrap(), "2026/7/001-disk/image.raw");
        let object = Object::new("cases", "a b/ü+1~").unwrap();
        assert_eq!(object.path(), "/cases/a%20b/%C3%BC%2B1~");
        for wrong in [
            "cases/x",
            "s3://",
            "s3://ab",
            "s3://Cases",
            "s3://cases//x",
            "s3://cases/../x",
            "s3://-cases",
            "s3://cases/\nx",
            "s3://ca..ses",
        ] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        assert!(Object::new("cases", &"x".repeat(1025)).is_err());
    }
}
