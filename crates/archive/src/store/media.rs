//! Installation media and the like: files whose digests a vendor signed in a list (`SHA256SUMS` with `SHA256SUMS.gpg`, or
//! a list that carries its signature itself).
//!
//! Kept byte for byte beside their list and its signature, so that anybody checks them again with the ordinary programs. The
//! file's own digest is what counts: a list that has only MD5 or SHA-1 of it is refused.

use std::io::{self, Read, Write};
use std::path::Path;

use hashing::{Algorithm, Algorithms, Digest, MultiHasher};
use serde::{Deserialize, Serialize};

use super::mirror::is_word;
use super::{Archive, STATEMENT, Sealed, files, show};
use crate::openpgp::{Keyring, Signer};
use crate::{Error, Result};

/// Digests that a signed list may vouch with.
const STRONG: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// A medium in an archive (`media.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Medium {
    format: u32,
    /// Its name in the archive.
    pub name: String,
    /// The file, as the list names it.
    pub file: String,
    /// The signed list, beside it.
    pub list: String,
    /// The signature over the list, beside it; none where the list carries its own.
    pub signature: Option<String>,
    /// When it was fetched, the time its keys are judged at: seconds since 1970 UTC.
    pub captured_seconds: u64,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Fingerprints of the certificates that signed the list.
    pub signers: Vec<String>,
}

/// A medium to add.
#[derive(Debug, Clone)]
pub struct NewMedium<'a> {
    /// Its name in the archive.
    pub name: &'a str,
    /// The file; the list must name it as it is called here.
    pub file: &'a Path,
    /// The vendor's list of digests, and what it is called.
    pub list: (&'a str, &'a [u8]),
    /// The signature beside the list, and what it is called; `None` where the list carries its own.
    pub signature: Option<(&'a str, &'a [u8])>,
    /// The vendor's certificates, to be pinned.
    pub keyring: &'a [u8],
    /// When the files were fetched: seconds since 1970 UTC.
    pub captured_seconds: u64,
}

/// Whether a file of the archive describes a medium.
fn is_description(name: &str) -> bool {
    name.starts_with("media/") && name.ends_with("/media.json") && name.split('/').count() == 3
}

/// A plain file name.
pub(super) fn is_file_name(name: &str) -> bool {
    crate::debian::is_inside(name) && !name.contains('/') && name != "media.json"
}

impl Medium {
    fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let odd = |reason: String| Error::malformed(name, "its content", reason);
        let medium: Self = serde_json::from_slice(bytes).map_err(|error| odd(error.to_string()))?;
        let files = [Some(&medium.file), Some(&medium.list), medium.signature.as_ref()];
        let is_sound = medium.format == 1
            && is_word(&medium.name)
            && name == medium.place("media.json")
            && files.into_iter().flatten().all(|file| is_file_name(file));
        if is_sound { Ok(medium) } else { Err(odd("its fields do not fit".to_owned())) }
    }

    /// Where one of its files lies in the archive.
    #[must_use]
    pub fn place(&self, file: &str) -> String {
        format!("media/{}/{file}", self.name)
    }

    fn keyring(&self) -> String {
        format!("keyrings/media-{}.pgp", self.name)
    }
}

/// Checks the list; who signed it, and the digest it has of the file.
fn vouched(
    ring: &Keyring,
    list: (&str, &[u8]),
    signature: Option<(&str, &[u8])>,
    file: &str,
    at_seconds: u64,
) -> Result<(Vec<Signer>, Digest)> {
    let (name, bytes) = list;
    let (signers, text) = match signature {
        Some((_, signature)) => {
            (ring.verify_detached(name, bytes, signature, at_seconds)?, bytes.to_vec())
        }
        None => {
            let signed = ring.verify_cleartext(name, bytes, at_seconds)?;
            (signed.signers().to_vec(), signed.text().as_bytes().to_vec())
        }
    };
    Ok((signers, listed(name, &text, file)?))
}

/// The strongest digest that the signed list has of the file.
fn listed(list: &str, text: &[u8], file: &str) -> Result<Digest> {
    let mut strong: Vec<Digest> = Vec::new();
    let mut weak: Vec<String> = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Some((name, algorithm, hex)) = std::str::from_utf8(line).ok().and_then(entry) else {
            continue;
        };
        if name != file {
            continue;
        }
        let fits = STRONG.into_iter().find(|one| {
            algorithm.is_none_or(|word| word.eq_ignore_ascii_case(one.name()))
                && Digest::from_hex(*one, hex).is_ok()
        });
        match fits.map(|one| Digest::from_hex(one, hex)) {
            Some(Ok(digest)) => strong.push(digest),
            _ => weak.push(algorithm.unwrap_or("a short digest").to_owned()),
        }
    }
    strong.sort_by_key(|digest| digest.as_bytes().len());
    strong.dedup();
    let twice = strong
        .windows(2)
        .any(|pair| pair.first().map(Digest::algorithm) == pair.last().map(Digest::algorithm));
    if twice {
        return Err(Error::malformed(list, file, "it stands there with two digests"));
    }
    match strong.pop() {
        Some(digest) => Ok(digest),
        None if weak.is_empty() => {
            Err(Error::NotListed { name: file.to_owned(), index: list.to_owned() })
        }
        None => Err(Error::WeakDigest { what: list.to_owned(), found: weak.join(" and ") }),
    }
}

/// Name, algorithm if it is named, and digest of a line of `sha256sum`, plain or tagged (GNU coreutils manual, "cksum common
/// options").
fn entry(line: &str) -> Option<(&str, Option<&str>, &str)> {
    let line = line.trim_end_matches('\r');
    if let Some((algorithm, rest)) = line.split_once(" (")
        && let Some((name, hex)) = rest.rsplit_once(") = ")
    {
        return Some((name, Some(algorithm), hex.trim()));
    }
    let (hex, rest) = line.split_once(' ')?;
    // A blank for text, a star for binary; some vendors name files from their folder.
    let name = rest.strip_prefix([' ', '*']).unwrap_or(rest).trim_start();
    Some((name.strip_prefix("./").unwrap_or(name), None, hex))
}

/// Passes bytes on and measures them.
struct Measuring<'a, W> {
    out: &'a mut W,
    hasher: MultiHasher,
    size_bytes: u64,
}

impl<W: Write> Write for Measuring<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.size_bytes = self.size_bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Copies; length and digest of what passed.
pub(super) fn copy_measured(
    input: &mut impl Read,
    out: &mut impl Write,
    algorithm: Algorithm,
    name: &str,
) -> Result<(u64, Digest)> {
    let algorithms = Algorithms::exactly([algorithm]).unwrap_or_else(Algorithms::sha256);
    let mut out = Measuring { out, hasher: MultiHasher::new(&algorithms), size_bytes: 0 };
    io::copy(input, &mut out).map_err(Error::io(name))?;
    let weak = || Error::WeakDigest { what: name.to_owned(), found: "no digest".to_owned() };
    let digest = out.hasher.finish().of(algorithm).cloned().ok_or_else(weak)?;
    Ok((out.size_bytes, digest))
}

/// Copies and compares with a digest; the length.
fn copy_checked(
    input: &mut impl Read,
    out: &mut impl Write,
    digest: &Digest,
    name: &str,
    list: &str,
) -> Result<u64> {
    let (size_bytes, found) = copy_measured(input, out, digest.algorithm(), name)?;
    if found == *digest {
        return Ok(size_bytes);
    }
    let (name, index, expected) = (name.to_owned(), list.to_owned(), digest.clone());
    Err(Error::Digest { name, index, found, expected })
}

impl Archive {
    /// Adds a file that a vendor's signed list vouches for.
    ///
    /// # Errors
    /// When the signature or the digest does not hold, the list does not name the file or only with a weak digest, there is a
    /// medium of this name already, or the medium does not take it. Nothing is kept of it then.
    pub fn add_medium(&self, new: &NewMedium<'_>) -> Result<Medium> {
        if !is_word(new.name) {
            return Err(Error::Refused(format!("{:?} cannot be the name of a medium", new.name)));
        }
        let file = new.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let names = [Some(file), Some(new.list.0), new.signature.map(|(name, _)| name)];
        let mut names: Vec<&str> = names.into_iter().flatten().collect();
        if let Some(odd) = names.iter().find(|name| !is_file_name(name)) {
            return Err(Error::Refused(format!(
                "{odd:?} cannot be the name of a file of a medium"
            )));
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Error::Refused("two files of the medium have one name".to_owned()));
        }
        let ring = Keyring::parse(new.name, new.keyring)?;
        let (signers, digest) =
            vouched(&ring, new.list, new.signature, file, new.captured_seconds)?;
        let mut medium = Medium {
            format: 1,
            name: new.name.to_owned(),
            file: file.to_owned(),
            list: new.list.0.to_owned(),
            signature: new.signature.map(|(name, _)| name.to_owned()),
            captured_seconds: new.captured_seconds,
            size_bytes: 0,
            signers: signers.into_iter().map(|signer| signer.certificate).collect(),
        };
        medium.signers.dedup();
        let description = medium.place("media.json");
        if self.path(&description).exists() {
            return Err(Error::Refused(format!("there is a medium {} already", new.name)));
        }
        let what = show(new.file);
        let mut input = std::fs::File::open(new.file).map_err(Error::io(&what))?;
        let mut copied = Err(Error::Refused(String::new()));
        let written = files::write_with(&self.path(&medium.place(file)), |out| {
            copied = copy_checked(&mut input, out, &digest, file, new.list.0);
            match &copied {
                Ok(_) => Ok(()),
                Err(error) => Err(io::Error::other(error.to_string())),
            }
        });
        // The reason itself, where there is one, not that nothing was written.
        medium.size_bytes = match (copied, written) {
            (Ok(length), Ok(())) => length,
            (Ok(_), Err(error)) | (Err(error), _) => return Err(error),
        };
        files::write(&self.path(&medium.place(new.list.0)), new.list.1)?;
        if let Some((name, bytes)) = new.signature {
            files::write(&self.path(&medium.place(name)), bytes)?;
        }
        files::write(&self.path(&medium.keyring()), new.keyring)?;
        let mut text = serde_json::to_vec_pretty(&medium)
            .map_err(|error| Error::malformed(&description, "writing", error.to_string()))?;
        text.push(b'\n');
        files::write(&self.path(&description), &text)?;
        Ok(medium)
    }
}

impl Sealed {
    /// The media, sorted by name.
    ///
    /// # Errors
    /// When a description of one is not the one listed.
    pub fn media(&self) -> Result<Vec<Medium>> {
        let names = self.statement.files.keys().filter(|name| is_description(name));
        names.map(|name| Medium::parse(name, &self.read(name)?)).collect()
    }

    /// The vendor's own chain of a medium down to its file, whatever our list says of it.
    pub(super) fn check_medium(&self, medium: &Medium) -> Result<()> {
        let ring = Keyring::parse(&medium.keyring(), &self.read(&medium.keyring())?)?;
        let list = self.read(&medium.place(&medium.list))?;
        let signature = match &medium.signature {
            Some(name) => Some((name.as_str(), self.read(&medium.place(name))?)),
            None => None,
        };
        let signature = signature.as_ref().map(|(name, bytes)| (*name, bytes.as_slice()));
        let at_seconds = medium.captured_seconds;
        let (_, digest) =
            vouched(&ring, (&medium.list, &list), signature, &medium.file, at_seconds)?;
        let place = medium.place(&medium.file);
        let Some(record) = self.statement.files.get(&place) else {
            return Err(Error::NotListed { name: place, index: STATEMENT.to_owned() });
        };
        if digest.algorithm() == Algorithm::Sha256 {
            // Our list holds against the file itself; that it says the same as the vendor's is all that is left.
            let expected = Digest::from_hex(Algorithm::Sha256, &record.sha256)
                .map_err(|_| Error::malformed(STATEMENT, &*place, "its SHA-256 is none"))?;
            if expected == digest {
                return Ok(());
            }
            let index = medium.list.clone();
            return Err(Error::Digest { name: place, index, found: expected, expected: digest });
        }
        let mut input = files::open(&self.archive.path(&place), &place, &medium.list)?;
        copy_checked(&mut input, &mut io::sink(), &digest, &place, &medium.list).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_lists() {
        let hex = "0".repeat(64);
        for (line, name, algorithm) in [
            (format!("{hex}  a b.iso"), "a b.iso", None),
            (format!("{hex} *./a.iso\r"), "a.iso", None),
            (format!("SHA256 (a (1).iso) = {hex}"), "a (1).iso", Some("SHA256")),
        ] {
            let found = entry(&line).unwrap();
            assert_eq!((found.0, found.1, found.2), (name, algorithm, hex.as_str()), "{line}");
        }
        assert!(entry("").is_none() && entry("# a").is_some());
    }

    #[test]
    fn only_strong_digests_count_and_only_one() {
        let (long, other, short) = ("1".repeat(64), "2".repeat(64), "3".repeat(32));
        let of =
            |text: &str| listed("SUMS", text.as_bytes(), "a").map_err(|error| error.to_string());
        assert_eq!(of(&format!("{long}  a\n{other}  b\n")).unwrap().to_hex(), long);
        assert!(of(&format!("{short}  a\n")).unwrap_err().contains("no SHA-256"));
        assert!(of(&format!("MD5 (a) = {short}\nSHA256 (a) = {long}\n")).is_ok());
        assert!(of(&format!("MD5 (a) = {long}\n")).is_err());
        assert!(of(&format!("{long}  a\n{other}  a\n")).unwrap_err().contains("two digests"));
        assert!(of(&format!("{long}  a\n{long}  a\n")).is_ok());
        assert!(of(&format!("{long}  b\n")).unwrap_err().contains("not listed"));
        let both = format!("{long}  a\nSHA512 (a) = {}\n", "4".repeat(128));
        assert_eq!(of(&both).unwrap().algorithm(), Algorithm::Sha512);
    }

    proptest::proptest! {
        #[test]
        fn any_list_is_read_or_refused(text: Vec<u8>) {
            let _ = listed("SUMS", &text, "a");
        }
    }
}
