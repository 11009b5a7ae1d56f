//! Signatures of vendors: who signed a text, with a key that was pinned beforehand.
//!
//! The arithmetic is the `pgp` crate's; what counts as a good signature is decided here (RFC 9580; the reference program is
//! `gpgv`): made over the whole text, with a hash of at least SHA-256, by a key of a pinned certificate that its own
//! signatures allow to sign, that is not revoked and was not past its end at the time given. One such signature is enough,
//! because releases are signed by the keys of several generations.

use pgp::composed::{
    CleartextSignedMessage, Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails, PublicParams, Tag, VerifyingKey};

use crate::{Error, Result};

/// Largest signed text or list of signatures, in bytes.
const MAX_TEXT_BYTES: usize = 64 << 20;
/// Signatures looked at in one file; each costs an operation with a public key.
const MAX_SIGNATURES: usize = 64;
/// RSA keys below this many bits can be broken by a rich opponent.
const MIN_RSA_BITS: u16 = 2048;

/// Certificates that are trusted for one purpose.
#[derive(Debug, Clone)]
pub struct Keyring {
    name: String,
    certificates: Vec<SignedPublicKey>,
}

/// A good signature.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signer {
    /// Fingerprint of the certificate in upper-case hexadecimal.
    pub certificate: String,
    /// Fingerprint of the key in it that signed.
    pub key: String,
    /// The first name the certificate gives itself; nobody but the certificate vouches for it.
    pub name: String,
    /// When it was signed, by the signer's clock: seconds since 1970 UTC.
    pub signed_seconds: u64,
}

/// A text that somebody trusted signed. Only [`Keyring::verify_cleartext`] makes one.
#[derive(Debug, Clone)]
pub struct Signed {
    text: String,
    signers: Vec<Signer>,
}

impl Signed {
    /// What was signed, and nothing around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Who signed it; at least one.
    #[must_use]
    pub fn signers(&self) -> &[Signer] {
        &self.signers
    }
}

impl Keyring {
    /// Reads certificates, binary or in ASCII armour, one after the other; `name` is for messages.
    ///
    /// # Errors
    /// When a certificate cannot be read or there is none.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let no_key = |reason: String| Error::NoKey { what: name.to_owned(), reason };
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(too_large(name));
        }
        let (found, _) =
            SignedPublicKey::from_reader_many(bytes).map_err(|error| no_key(one_line(&error)))?;
        let certificates = found
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|error| no_key(one_line(&error)))?;
        if certificates.is_empty() {
            return Err(no_key("it is empty".to_owned()));
        }
        Ok(Self { name: name.to_owned(), certificates })
    }

    /// The name given when it was read.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fingerprints of the certificates, upper-case hexadecimal, in the order of the file.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.certificates.iter().map(fingerprint).collect()
    }

    /// Checks a text in the cleartext signature framework, as `InRelease` is one.
    ///
    /// `at_seconds` is the time, in seconds since 1970 UTC, at which keys must not be past their end: when the text was
    /// fetched, not the clock of a machine under examination.
    ///
    /// # Errors
    /// When it is not signed so, or by nobody who is trusted here. Text before or behind the signed part is refused too.
    pub fn verify_cleartext(&self, what: &str, bytes: &[u8], at_seconds: u64) -> Result<Signed> {
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(too_large(what));
        }
        let unsigned = |reason: String| Error::Unsigned { what: what.to_owned(), reason };
        let text = std::str::from_utf8(bytes).map_err(|error| unsigned(error.to_string()))?;
        let (message, _) = CleartextSignedMessage::from_string(text)
            .map_err(|error| unsigned(one_line(&error)))?;
        let signed = message.signed_text();
        let signers = self.judge(what, message.signatures(), signed.as_bytes(), at_seconds)?;
        // The framework signs lines that end in CR LF and leaves out the last one.
        let mut text = signed.replace("\r\n", "\n");
        text.push('\n');
        Ok(Signed { text, signers })
    }

    /// Checks signatures that stand beside what they sign, binary or in ASCII armour.
    ///
    /// `at_seconds` as for [`Keyring::verify_cleartext`].
    ///
    /// # Errors
    /// When there is no signature, or none by somebody who is trusted here.
    pub fn verify_detached(
        &self,
        what: &str,
        signed: &[u8],
        signatures: &[u8],
        at_seconds: u64,
    ) -> Result<Vec<Signer>> {
        if signed.len().max(signatures.len()) > MAX_TEXT_BYTES {
            return Err(too_large(what));
        }
        let unsigned = |error: pgp::errors::Error| Error::Unsigned {
            what: what.to_owned(),
            reason: one_line(&error),
        };
        let (found, _) = DetachedSignature::from_reader_many(signatures).map_err(unsigned)?;
        let found = found.map(|one| one.map(|one| one.signature));
        let found = found
            .take(MAX_SIGNATURES)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(unsigned)?;
        self.judge(what, &found, signed, at_seconds)
    }

    fn judge(
        &self,
        what: &str,
        signatures: &[Signature],
        signed: &[u8],
        at_seconds: u64,
    ) -> Result<Vec<Signer>> {
        if signatures.is_empty() {
            let reason = "there is no signature in it".to_owned();
            return Err(Error::Unsigned { what: what.to_owned(), reason });
        }
        let (mut signers, mut reasons) = (Vec::new(), Vec::new());
        for signature in signatures.iter().take(MAX_SIGNATURES) {
            match self.signer(signature, signed, at_seconds) {
                Ok(signer) => signers.push(signer),
                Err(reason) => reasons.push(reason),
            }
        }
        if signers.is_empty() {
            return Err(Error::NotTrusted { what: what.to_owned(), reasons });
        }
        signers.sort();
        Ok(signers)
    }

    /// Who made this signature, or why it does not count.
    fn signer(
        &self,
        signature: &Signature,
        signed: &[u8],
        at_seconds: u64,
    ) -> std::result::Result<Signer, String> {
        let of = named(signature);
        if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
            return Err(format!("{of}: not a signature of a text"));
        }
        if !matches!(signature.hash_alg(), Some(hash) if is_strong(hash)) {
            return Err(format!("{of}: its hash is weaker than SHA-256"));
        }
        let created = signature.created().ok_or_else(|| format!("{of}: it has no time"))?;
        let signed_seconds = u64::from(created.as_secs());
        let mut reason = format!("{of}: that key is not in {}", self.name);
        for certificate in &self.certificates {
            for key in keys(certificate) {
                if !names_key(signature, &key) {
                    continue;
                }
                let verified = match key {
                    Key::Primary(key) => signature.verify(&key.primary_key, signed),
                    Key::Sub(_, key) => signature.verify(&key.key, signed),
                };
                if verified.is_err() {
                    reason = format!("{of}: it does not match the text");
                    continue;
                }
                if let Err(fault) = key.may_sign(signed_seconds, at_seconds) {
                    reason = format!("{of}: {fault}");
                    continue;
                }
                if let Some(end) = signature.signature_expiration_time()
                    && end.as_secs() > 0
                    && signed_seconds.saturating_add(u64::from(end.as_secs())) < at_seconds
                {
                    reason = format!("{of}: the signature is past its end");
                    continue;
                }
                let users = &certificate.details.users;
                let name = users.first().map(|user| String::from_utf8_lossy(user.id.id()));
                return Ok(Signer {
                    certificate: fingerprint(certificate),
                    key: key.fingerprint(),
                    name: name.unwrap_or_default().into_owned(),
                    signed_seconds,
                });
            }
        }
        Err(reason)
    }
}

/// A key that could sign.
enum Key<'a> {
    Primary(&'a SignedPublicKey),
    Sub(&'a SignedPublicKey, &'a SignedPublicSubKey),
}

fn keys(certificate: &SignedPublicKey) -> impl Iterator<Item = Key<'_>> {
    let below = certificate.public_subkeys.iter().map(move |key| Key::Sub(certificate, key));
    std::iter::once(Key::Primary(certificate)).chain(below)
}

impl Key<'_> {
    fn fingerprint(&self) -> String {
        match self {
            Self::Primary(key) => fingerprint(*key),
            Self::Sub(_, key) => fingerprint(&key.key),
        }
    }

    /// Whether the certificate allows this key to sign at both times.
    fn may_sign(&self, signed_seconds: u64, at_seconds: u64) -> std::result::Result<(), String> {
        match self {
            Self::Primary(certificate) => {
                let newest = alive(certificate, signed_seconds, at_seconds)?;
                strong(certificate.primary_key.public_params())?;
                // Certificates from before key flags may sign with the primary key.
                let flags = newest.key_flags();
                let has_flags = flags.certify() || flags.sign() || flags.authentication();
                if has_flags && !flags.sign() {
                    return Err("that key is not for signing".to_owned());
                }
                Ok(())
            }
            Self::Sub(certificate, sub) => {
                alive(certificate, signed_seconds, at_seconds)?;
                strong(sub.key.public_params())?;
                let primary = &certificate.primary_key;
                let holds =
                    |binding: &&Signature| binding.verify_subkey_binding(primary, &sub.key).is_ok();
                let of = |kind| sub.signatures.iter().filter(move |one| one.typ() == Some(kind));
                if of(SignatureType::SubkeyRevocation).any(|one| holds(&one)) {
                    return Err("that key is revoked".to_owned());
                }
                let newest = of(SignatureType::SubkeyBinding)
                    .filter(holds)
                    .max_by_key(|binding| {
                        binding.created().map_or(0, pgp::types::Timestamp::as_secs)
                    })
                    .ok_or("that key is not bound to its certificate")?;
                if !newest.key_flags().sign() {
                    return Err("that key is not for signing".to_owned());
                }
                // The key must have agreed to be bound (RFC 9580, 5.2.1.9), else anybody's key could be claimed.
                let agreed = newest
                    .embedded_signature()
                    .is_some_and(|back| back.verify_primary_key_binding(&sub.key, primary).is_ok());
                if !agreed {
                    return Err("that key did not agree to its certificate".to_owned());
                }
                within(&sub.key, newest, signed_seconds, at_seconds)
            }
        }
    }
}

/// The newest signature of a certificate on itself, if the certificate is neither revoked nor past its end.
fn alive(
    certificate: &SignedPublicKey,
    signed_seconds: u64,
    at_seconds: u64,
) -> std::result::Result<&Signature, String> {
    let (primary, details) = (&certificate.primary_key, &certificate.details);
    if details.revocation_signatures.iter().any(|one| one.verify_key(primary).is_ok()) {
        return Err("its certificate is revoked".to_owned());
    }
    let direct = details.direct_signatures.iter().filter(|one| one.verify_key(primary).is_ok());
    let of_users = details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|one| {
            one.is_certification()
                && one.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    let newest = direct
        .chain(of_users)
        .filter(|one| one.hash_alg().is_some_and(is_strong))
        .max_by_key(|one| one.created().map_or(0, pgp::types::Timestamp::as_secs))
        .ok_or("its certificate has no valid signature of its own")?;
    within(primary, newest, signed_seconds, at_seconds)?;
    Ok(newest)
}

/// Whether a key lived when it signed and at the time of judging.
fn within(
    key: &impl KeyDetails,
    terms: &Signature,
    signed_seconds: u64,
    at_seconds: u64,
) -> std::result::Result<(), String> {
    let born = u64::from(key.created_at().as_secs());
    if signed_seconds < born {
        return Err("it was signed before that key was made".to_owned());
    }
    let life = terms.key_expiration_time().map_or(0, |life| u64::from(life.as_secs()));
    let end = born.saturating_add(life);
    if life > 0 && (end <= signed_seconds || end <= at_seconds) {
        return Err("that key is past its end".to_owned());
    }
    Ok(())
}

fn strong(parameters: &PublicParams) -> std::result::Result<(), String> {
    match parameters {
        PublicParams::RSA(rsa) => {
            // As written, the modulus comes first, behind its length in bits (RFC 9580, 3.2 and 5.5.5.1).
            let written = rsa.to_bytes().map_err(|error| one_line(&error))?;
            let bits = written.first_chunk().map_or(0, |bits| u16::from_be_bytes(*bits));
            if bits < MIN_RSA_BITS {
                return Err(format!("that key has only {bits} bits"));
            }
            Ok(())
        }
        PublicParams::ECDSA(_)
        | PublicParams::EdDSALegacy(_)
        | PublicParams::Ed25519(_)
        | PublicParams::Ed448(_) => Ok(()),
        _ => Err("that kind of key is not accepted".to_owned()),
    }
}

fn is_strong(hash: HashAlgorithm) -> bool {
    matches!(
        hash,
        HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512
    )
}

/// Whether the signature says it is by this key; saves the arithmetic for all others.
fn names_key(signature: &Signature, key: &Key<'_>) -> bool {
    fn matches(signature: &Signature, key: &impl VerifyingKey) -> bool {
        let (fingerprints, ids) = (signature.issuer_fingerprint(), signature.issuer_key_id());
        if fingerprints.is_empty() {
            ids.iter().any(|id| **id == key.legacy_key_id())
        } else {
            fingerprints.iter().any(|one| **one == key.fingerprint())
        }
    }
    match key {
        Key::Primary(key) => matches(signature, &key.primary_key),
        Key::Sub(_, key) => matches(signature, &key.key),
    }
}

fn named(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|one| format!("{one:X}"));
    let id = || signature.issuer_key_id().first().map(|one| one.to_string().to_ascii_uppercase());
    fingerprint.or_else(id).unwrap_or_else(|| "a signature without a key".to_owned())
}

fn fingerprint(key: &impl KeyDetails) -> String {
    format!("{:X}", key.fingerprint())
}

fn one_line(error: &pgp::errors::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn too_large(what: &str) -> Error {
    let limit_bytes = u64::try_from(MAX_TEXT_BYTES).unwrap_or(u64::MAX);
    Error::TooLarge { what: what.to_owned(), limit_bytes }
}
