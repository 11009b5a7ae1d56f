//! A package file: its header believed for the vendor's signature, its payload for the digest in that header.
//!
//! In front of both stands a list of signatures, which nobody vouches for: only what it has over the header is used. A package
//! signed over header and payload together alone is refused, as rpm does by default since 4.14.

use std::io::Read;

use hashing::{Algorithm, Algorithms, Digest, MultiHasher};

use super::header::{Header, MAX_ENTRIES, Package, be32, parse_header, size};
use crate::openpgp::{Keyring, Signer};
use crate::{Error, Result};

/// First bytes of a package file.
const LEAD: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const LEAD_BYTES: usize = 96;
/// First bytes of each of the two headers in it.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];
/// Largest header; the largest real ones have some megabytes.
const MAX_HEADER_BYTES: u64 = 64 << 20;
/// Packet over the header: RSA or EdDSA, DSA.
const SIGNATURES: [u32; 2] = [268, 267];
/// Packets over the header in base 64, since rpm 4.20.
const SIGNATURE_TEXTS: u32 = 278;
/// Packets over header and payload together.
const OLD_SIGNATURES: [u32; 2] = [1002, 1005];
const PAYLOAD_DIGEST: u32 = 5092;
const PAYLOAD_DIGEST_ALGORITHM: u32 = 5093;
/// SHA-256 in numbers of RFC 9580, 9.5.
const SHA256: u32 = 8;

/// A package file whose header somebody trusted signed. Only [`PackageFile::read`] makes one.
#[derive(Clone, Debug)]
pub struct PackageFile {
    package: Package,
    signers: Vec<Signer>,
    size_bytes: u64,
    sha256: Digest,
}

/// Reads and measures.
struct Measured<R> {
    input: R,
    whole: MultiHasher,
    size_bytes: u64,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.whole.update(buffer.get(..count).unwrap_or_default());
        self.size_bytes = self.size_bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

impl<R: Read> Measured<R> {
    fn exactly(&mut self, length: usize, name: &str) -> Result<Vec<u8>> {
        let wanted = u64::try_from(length).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        self.by_ref().take(wanted).read_to_end(&mut bytes).map_err(Error::io(name))?;
        if bytes.len() == length {
            return Ok(bytes);
        }
        Err(Error::malformed(name, "its length", "it ends inside its headers"))
    }

    /// A header with its magic, whole.
    fn header(&mut self, name: &str, place: &str) -> Result<Vec<u8>> {
        let odd = |reason: &str| Error::malformed(name, place, reason);
        let mut raw = self.exactly(16, name)?;
        if !raw.starts_with(&MAGIC) {
            return Err(odd("it does not begin as a header"));
        }
        let (entries, data) = (be32(&raw, 8).unwrap_or(0), be32(&raw, 12).unwrap_or(0));
        let length = u64::from(entries).saturating_mul(16).saturating_add(data.into());
        if size(entries) > MAX_ENTRIES || length > MAX_HEADER_BYTES {
            let what = format!("{place} of {name}");
            return Err(Error::TooLarge { what, limit_bytes: MAX_HEADER_BYTES });
        }
        raw.extend(self.exactly(usize::try_from(length).unwrap_or(usize::MAX), name)?);
        Ok(raw)
    }
}

fn digest_of(hasher: MultiHasher, name: &str) -> Result<Digest> {
    let weak = || Error::WeakDigest { what: name.to_owned(), found: "no digest".to_owned() };
    hasher.finish().of(Algorithm::Sha256).cloned().ok_or_else(weak)
}

impl PackageFile {
    /// Reads a package file to its end. `name` is for messages, `at_seconds` the time at which keys must not be past their
    /// end.
    ///
    /// # Errors
    /// When its header is not signed by a key of the keyring, it has no SHA-256 of the payload or of a file, or the payload is
    /// not the one it has the digest of.
    pub fn read(keyring: &Keyring, name: &str, input: impl Read, at_seconds: u64) -> Result<Self> {
        let whole = MultiHasher::new(&Algorithms::sha256());
        let mut input = Measured { input, whole, size_bytes: 0 };
        if !input.exactly(LEAD_BYTES, name)?.starts_with(&LEAD) {
            return Err(Error::malformed(name, "its first bytes", "it is no package of rpm"));
        }
        let signatures = input.header(name, "the list of signatures")?;
        let padding = signatures.len().wrapping_neg() & 7;
        input.exactly(padding, name)?;
        let raw = input.header(name, "the header")?;
        let signers = signers(keyring, name, &signatures, &raw, at_seconds)?;
        // From here on the header is the vendor's word.
        let inner = raw.get(8..).unwrap_or_default();
        let odd = |reason: &str| Error::malformed(name, "the header", reason);
        let package = parse_header(inner).ok_or_else(|| odd("it names no package"))?;
        let header = Header::new(inner).ok_or_else(|| odd("its index makes no sense"))?;
        let expected = payload_digest(&header, name)?;
        let mut payload = MultiHasher::new(&Algorithms::sha256());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => payload.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(name)(error)),
            }
        }
        let found = digest_of(payload, name)?;
        if found != expected {
            let (name, index) = (format!("the payload of {name}"), "its signed header".to_owned());
            return Err(Error::Digest { name, index, found, expected });
        }
        let (size_bytes, sha256) = (input.size_bytes, digest_of(input.whole, name)?);
        Ok(Self { package, signers, size_bytes, sha256 })
    }

    /// What its header says.
    #[must_use]
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// Who signed the header; at least one.
    #[must_use]
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Length of the file in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }
}

/// Who of the keyring signed the header.
fn signers(
    keyring: &Keyring,
    name: &str,
    signatures: &[u8],
    header: &[u8],
    at_seconds: u64,
) -> Result<Vec<Signer>> {
    let list = Header::new(signatures.get(8..).unwrap_or_default())
        .ok_or_else(|| Error::malformed(name, "the list of signatures", "it makes no sense"))?;
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for tag in SIGNATURES {
        if let Some((7, data, count)) = list.entry(tag) {
            packets.extend(data.get(..count).map(<[u8]>::to_vec));
        }
    }
    // The armour's own checksum is optional (RFC 9580, 6.1), so that base 64 between its lines is all it takes.
    packets.extend(list.strings(SIGNATURE_TEXTS).iter().map(|text| {
        let ends = [&b"-----BEGIN PGP SIGNATURE-----\n\n"[..], b"\n-----END PGP SIGNATURE-----\n"];
        let lines: Vec<&[u8]> = text.chunks(64).collect();
        [ends[0], &lines.join(&b'\n'), ends[1]].concat()
    }));
    let what = format!("the header of {name}");
    let mut fault = None;
    for packet in &packets {
        match keyring.verify_detached(&what, header, packet, at_seconds) {
            Ok(signers) => return Ok(signers),
            Err(error) => fault = Some(error),
        }
    }
    let has_old = OLD_SIGNATURES.iter().any(|tag| list.entry(*tag).is_some());
    Err(fault.unwrap_or_else(|| {
        let reason = match has_old {
            true => "it has only signatures over header and payload together",
            false => "there is no signature in it",
        };
        Error::Unsigned { what, reason: reason.to_owned() }
    }))
}

fn payload_digest(header: &Header<'_>, name: &str) -> Result<Digest> {
    let weak = |found: &str| Error::WeakDigest {
        what: format!("the header of {name}"),
        found: found.to_owned(),
    };
    let algorithm = header.numbers(PAYLOAD_DIGEST_ALGORITHM).first().copied();
    let text = header.strings(PAYLOAD_DIGEST).first().copied();
    let text = text.ok_or_else(|| weak("no digest of the payload"))?;
    if algorithm != Some(SHA256) {
        return Err(weak("a digest of another kind"));
    }
    let text = std::str::from_utf8(text).unwrap_or_default();
    Digest::from_hex(Algorithm::Sha256, text)
        .map_err(|_| Error::malformed(name, "the digest of the payload", "it is none"))
}
