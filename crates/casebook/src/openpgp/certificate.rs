//! Whom to encrypt to: the one key of a certificate that its owner says is for encryption.
//!
//! Everything used is checked against the primary key's signatures: who the certificate is of, that
//! it is neither revoked nor expired, and the same of the key (RFC 9580, sections 5.2.1 and 10.1).
//! A revocation that does not verify is no revocation: anyone can append one.

use std::fmt;

use pgp::composed::{Deserializable as _, MessageBuilder, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails as _, KeyVersion, PublicParams, Tag};
use rand::rngs::OsRng;

use super::error;
use crate::Error;

const ACTION: &str = "reading an OpenPGP certificate";
/// Shorter RSA keys can be broken by a rich opponent.
const MIN_RSA_BITS: u16 = 2048;
/// Signatures checked in one certificate; each costs an operation with a public key.
const MAX_SIGNATURES: usize = 4096;

/// Whom to encrypt to.
#[derive(Debug, Clone)]
pub struct Certificate {
    fingerprint: String,
    user: String,
    key: SignedPublicSubKey,
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "openpgp:{} {}", self.fingerprint, self.user)
    }
}

impl Certificate {
    /// The only certificate in the bytes of a file, binary or armoured; `now` is in seconds since
    /// 1970.
    ///
    /// # Errors
    /// When there is none or more than one, or it has no key fit for encryption; the reason says
    /// which.
    pub fn parse(bytes: &[u8], now: u64) -> Result<Self, Error> {
        let unread = |problem: pgp::errors::Error| error(ACTION, problem);
        if bytes.windows(17).any(|part| part == b"PGP PRIVATE KEY B") {
            return Err(error(ACTION, "this is a secret key; give its public half instead"));
        }
        let (mut found, _) = SignedPublicKey::from_reader_many_buf(bytes).map_err(unread)?;
        let first = found.next().ok_or_else(|| error(ACTION, "there is none in the file"))?;
        let whole = first.map_err(unread)?;
        if found.next().is_some() {
            return Err(error(ACTION, "the file holds more than one: give each its own file"));
        }
        Self::of(&whole, now)
    }

    /// SHA-1 fingerprint of the primary key in upper-case hexadecimal, as people compare it.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn key(&self) -> &SignedPublicSubKey {
        &self.key
    }

    fn of(whole: &SignedPublicKey, now: u64) -> Result<Self, Error> {
        let primary = &whole.primary_key;
        let fingerprint = format!("{:X}", primary.fingerprint());
        let refused = |reason: &str| error(ACTION, format!("{fingerprint} {reason}"));
        if primary.version() != KeyVersion::V4 {
            return Err(refused("is not of version 4, which every program reads"));
        }
        let details = &whole.details;
        let of_users = details.users.iter().map(|user| user.signatures.len());
        let of_keys = whole.public_subkeys.iter().map(|subkey| subkey.signatures.len());
        if of_users.chain(of_keys).fold(0_usize, usize::saturating_add) > MAX_SIGNATURES
            || details.direct_signatures.len() > MAX_SIGNATURES
            || details.revocation_signatures.len() > MAX_SIGNATURES
        {
            return Err(refused("has too many signatures: export it with export-clean"));
        }
        if details.revocation_signatures.iter().any(|one| one.verify_key(primary).is_ok()) {
            return Err(refused("was revoked by its owner"));
        }
        let own = own_signatures(whole, now);
        let Some((newest, _)) = own.last() else {
            return Err(refused(
                "has no signature of its owner in force that is made with SHA-256 or \
                                better (is the clock right?)",
            ));
        };
        if has_expired(newest, primary.created_at().as_secs(), now) {
            return Err(refused("has expired"));
        }
        let is_primary = |one: &&Own<'_>| one.0.is_primary() && one.1.is_some();
        let mut latest = own.iter().rev();
        let user = latest.clone().find(is_primary).or_else(|| latest.find(|one| one.1.is_some()));
        let user = user.and_then(|(_, name)| name.clone()).unwrap_or_default();

        let (mut reasons, mut fit) = (Vec::new(), Vec::new());
        for subkey in &whole.public_subkeys {
            match unfit(whole, subkey, now) {
                None => fit.push(subkey),
                Some(reason) => {
                    let id = subkey.key.legacy_key_id().to_string().to_ascii_uppercase();
                    reasons.push(format!("{id} {reason}"));
                }
            }
        }
        fit.sort_by_key(|subkey| subkey.key.created_at().as_secs());
        let Some(key) = fit.pop() else {
            if reasons.is_empty() {
                reasons.push("it has no further key".to_owned());
            }
            let reasons = reasons.join(", ");
            return Err(refused(&format!("has no key fit for encryption: {reasons}")));
        };
        Ok(Self { fingerprint, user, key: key.clone() })
    }
}

/// A signature of the owner on the whole certificate, with the name it is about.
type Own<'a> = (&'a Signature, Option<String>);

/// What the owner says of the whole certificate, with a name or directly, the newest last.
fn own_signatures(whole: &SignedPublicKey, now: u64) -> Vec<Own<'_>> {
    let (primary, details) = (&whole.primary_key, &whole.details);
    let mut own: Vec<Own<'_>> = Vec::new();
    for user in &details.users {
        let valid = user.signatures.iter().filter(|one| {
            is_by(one, whole) && one.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        });
        let valid: Vec<&Signature> = valid.collect();
        if valid.iter().any(|one| one.typ() == Some(SignatureType::CertRevocation)) {
            continue;
        }
        let name = hashing::escape_name(user.id.id());
        own.extend(valid.into_iter().map(|one| (one, Some(name.clone()))));
    }
    let direct = details.direct_signatures.iter();
    own.extend(direct.filter(|one| one.verify_key(primary).is_ok()).map(|one| (one, None)));
    own.retain(|(one, _)| is_in_force(one, now));
    own.sort_by_key(|(one, _)| created(one));
    own
}

/// Whether a signature says it is by the owner; saves the arithmetic for those of others.
fn is_by(signature: &Signature, whole: &SignedPublicKey) -> bool {
    let (fingerprints, ids) = (signature.issuer_fingerprint(), signature.issuer_key_id());
    let primary = &whole.primary_key;
    fingerprints.iter().any(|one| **one == primary.fingerprint())
        || ids.iter().any(|one| **one == primary.legacy_key_id())
}

/// Why nothing can be encrypted to this key; `None` when it can.
fn unfit(whole: &SignedPublicKey, subkey: &SignedPublicSubKey, now: u64) -> Option<String> {
    let told = |reason: &str| Some(reason.to_owned());
    let valid = || {
        let verified =
            |one: &&Signature| one.verify_subkey_binding(&whole.primary_key, &subkey.key).is_ok();
        subkey.signatures.iter().filter(verified)
    };
    if valid().any(|one| one.typ() == Some(SignatureType::SubkeyRevocation)) {
        return told("was revoked");
    }
    let bindings = valid().filter(|one| is_in_force(one, now));
    let Some(newest) = bindings.max_by_key(|one| created(one)) else {
        return told("is not bound to its owner by a signature in force");
    };
    if !newest.key_flags().encrypt_storage() && !newest.key_flags().encrypt_comms() {
        return told("is not meant for encryption");
    }
    if has_expired(newest, subkey.key.created_at().as_secs(), now) {
        return told("has expired");
    }
    if let PublicParams::RSA(rsa) = subkey.key.public_params() {
        // As written, the modulus comes first, behind its length in bits (RFC 9580, 3.2 and 5.5.5.1).
        let written = rsa.to_bytes().unwrap_or_default();
        let bits = written.first_chunk().map_or(0, |bits| u16::from_be_bytes(*bits));
        if bits < MIN_RSA_BITS {
            return Some(format!("has only {bits} bits"));
        }
    }
    // Curves that are not supported show only now; better before the case is sealed than after.
    let mut trial = MessageBuilder::from_bytes("", Vec::<u8>::new())
        .seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    let tried = trial.encrypt_to_key(OsRng, &subkey.key).map(drop);
    tried.err().map(|problem| format!("cannot be used: {problem}"))
}

fn created(signature: &Signature) -> u64 {
    signature.created().map_or(0, |time| u64::from(time.as_secs()))
}

/// Whether a signature counts now: made with a hash that still holds, made already, and not ended.
fn is_in_force(signature: &Signature, now: u64) -> bool {
    let strong = matches!(
        signature.hash_alg(),
        Some(
            HashAlgorithm::Sha256
                | HashAlgorithm::Sha384
                | HashAlgorithm::Sha512
                | HashAlgorithm::Sha3_256
                | HashAlgorithm::Sha3_512
        )
    );
    let Some(made) = signature.created() else { return false };
    let made = u64::from(made.as_secs());
    let seconds = signature.signature_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
    strong && made <= now && (seconds == 0 || made.saturating_add(seconds) > now)
}

/// Whether the key this signature speaks of has ended; zero seconds mean never.
fn has_expired(signature: &Signature, key_made: u32, now: u64) -> bool {
    let seconds = signature.key_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
    seconds != 0 && u64::from(key_made).saturating_add(seconds) <= now
}
