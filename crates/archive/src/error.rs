//! The errors of this crate: each names the link of the chain that does not hold.

use std::io;

use hashing::Digest;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading failed.
    #[error("reading {what}: {source}")]
    Io {
        /// What was read.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The bytes do not follow their format.
    #[error("{what}, {place}: {reason}")]
    Malformed {
        /// The file.
        what: String,
        /// Where in it.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no signature where one must be.
    #[error("{what} is not signed: {reason}")]
    Unsigned {
        /// The file.
        what: String,
        /// What was found instead.
        reason: String,
    },
    /// No signature is by a pinned key that may sign.
    #[error("no signature of {what} is by a key that is trusted here: {}", .reasons.join("; "))]
    NotTrusted {
        /// The file.
        what: String,
        /// For each signature why it does not count.
        reasons: Vec<String>,
    },
    /// The keyring holds nothing to check with.
    #[error("keyring {what} holds no usable certificate: {reason}")]
    NoKey {
        /// The keyring.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not listed by what ought to vouch for it.
    #[error("{name} is not listed in {index}")]
    NotListed {
        /// The file.
        name: String,
        /// The signed list.
        index: String,
    },
    /// A list has only digests that are forgeable today.
    #[error("{what} lists no SHA-256: {found} alone is not accepted")]
    WeakDigest {
        /// The list.
        what: String,
        /// The digests it has.
        found: String,
    },
    /// A file differs from the length its list gives.
    #[error("{name} has {found} bytes, {index} lists {expected}")]
    Size {
        /// The file.
        name: String,
        /// The signed list.
        index: String,
        /// Bytes found.
        found: u64,
        /// Bytes listed.
        expected: u64,
    },
    /// A file differs from the digest its list gives.
    #[error("{name} has {found}, {index} lists {expected}")]
    Digest {
        /// The file.
        name: String,
        /// The signed list.
        index: String,
        /// What was computed.
        found: Digest,
        /// What is listed.
        expected: Digest,
    },
    /// Something is larger than any honest one.
    #[error("{what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The file or part.
        what: String,
        /// The bound.
        limit_bytes: u64,
    },
    /// Our own list is not signed by the key that is trusted.
    #[error("{what} is not signed by the trusted key {key}: {reason}")]
    NotSealed {
        /// The signed list.
        what: String,
        /// The key that was to have signed.
        key: String,
        /// What was found instead.
        reason: String,
    },
    /// Something is older than what was seen before: a signature cannot show that, only memory can.
    #[error("{what} is {found}, but {seen} was seen before: an older state is refused")]
    Rollback {
        /// The archive or release.
        what: String,
        /// Its version or date.
        found: String,
        /// The newest known.
        seen: String,
    },
    /// A file that a list names is not there.
    #[error("{name}, which {index} lists, is not there: the mirror or archive is cut short")]
    Missing {
        /// The file.
        name: String,
        /// The list.
        index: String,
    },
    /// A file stands in the archive that no list names.
    #[error("{name} stands in the archive, but nothing signed lists it")]
    Unlisted {
        /// The file.
        name: String,
    },
    /// What was asked for cannot be done with this archive.
    #[error("{0}")]
    Refused(String),
    /// The digest code of this program fails its own test.
    #[error(transparent)]
    Hashing(#[from] hashing::Error),
}

impl Error {
    pub(crate) fn io(what: &str) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn malformed(
        what: &str,
        place: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Malformed { what: what.to_owned(), place: place.into(), reason: reason.into() }
    }
}
