//! BitLocker, opened in memory with a key the examiner gives.
//!
//! There is no kept crate for it; the structures are known from libbde, dislocker and dissect.fve, whose documents were
//! read for facts. A volume whose protection is suspended opens without any key.

mod datum;
mod information;
mod key;
mod map;
mod progress;

use super::Key;
use super::crypt::SectorCipher;
use crate::bytes::guid_text;
use crate::error::EvidenceError;
use crate::problem::Problem;
use crate::source::Source;
use datum::Datum;
use information::{Information, State};
use serde::Serialize;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the metadata tells without a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// 1 for Windows Vista, 2 since Windows 7.
    pub version: u16,
    /// The volume's GUID.
    pub identifier: String,
    /// Host, volume and date as Windows wrote them, escaped.
    pub text: Option<String>,
    /// Encryption method, such as `AES-XTS 128`.
    pub encryption: String,
    /// `encrypted`, `decrypted`, or on the way.
    pub state: String,
    /// What the volume key is protected with.
    pub protectors: Vec<Protector>,
    /// What contradicts the format.
    pub problems: Vec<Problem>,
}

/// A protector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Protector {
    /// Its GUID, by which a recovery password is looked up.
    pub identifier: String,
    /// `recovery password`, `passphrase`, `TPM` …
    pub kind: String,
}

const CLEAR: u16 = 0;
const EXTERNAL: u16 = 0x0200;
const RECOVERY: u16 = 0x0800;
const PASSPHRASE: u16 = 0x2000;

fn protector_name(priority: u16) -> String {
    match priority & 0xff00 {
        CLEAR => "clear key: protection is suspended".to_owned(),
        0x0100 => "TPM".to_owned(),
        EXTERNAL => "startup key or recovery key file".to_owned(),
        0x0400 | 0x0500 => "TPM and PIN".to_owned(),
        0x0300 => "TPM and startup key".to_owned(),
        RECOVERY => "recovery password".to_owned(),
        PASSPHRASE => "passphrase".to_owned(),
        other => format!("kind {other:#06x}"),
    }
}

/// What the volume's metadata tells without a key: protectors, encryption, state.
///
/// # Errors
/// `Corrupt` when no copy of the metadata agrees with its checksum, else as reading.
pub fn describe(source: &Arc<dyn Source>) -> Result<Description, EvidenceError> {
    let information = information::read(source)?;
    let protectors = information.protectors().map(|one| Protector {
        identifier: guid_text(one.identifier()),
        kind: protector_name(one.priority()),
    });
    Ok(Description {
        version: information.version,
        identifier: guid_text(information.identifier),
        text: information.description(),
        encryption: key::method_name(information.method),
        state: information.state.name().to_owned(),
        protectors: protectors.collect(),
        problems: information.problems.clone(),
    })
}

/// The clear content of the volume `source`, opened by the first of `keys` that fits.
///
/// # Errors
/// `Refused` when no key fits, `Unsupported` naming a cipher or kind of key this version lacks, else as reading.
pub fn unlock(source: Arc<dyn Source>, keys: &[Key]) -> Result<Arc<dyn Source>, EvidenceError> {
    let information = information::read(&source)?;
    if information.state == State::Decrypted {
        return map::open(source, None, &information);
    }
    let master = clear_key(&information)
        .or_else(|| keys.iter().find_map(|key| master_key(&information, key)));
    let Some(master) = master else {
        let kinds: Vec<String> =
            information.protectors().map(|one| protector_name(one.priority())).collect();
        return Err(EvidenceError::refused(format!(
            "none of the {} keys given opens the volume; it is protected by: {}",
            keys.len(),
            kinds.join(", ")
        )));
    };
    let volume_key = information
        .volume_key()
        .ok_or_else(|| EvidenceError::corrupt("the metadata has no volume key"))?;
    let opened = key::unbox(&master, volume_key.body())
        .ok_or_else(|| EvidenceError::corrupt("the master key does not open the volume key"))?;
    let cipher = cipher(&opened, information.sector_bytes)?;
    map::open(source, Some(cipher), &information)
}

fn cipher(opened: &[u8], sector_bytes: u32) -> Result<SectorCipher, EvidenceError> {
    let wrong = || EvidenceError::corrupt("the volume key is too short");
    let datum = Datum::first(opened).ok_or_else(wrong)?;
    let (method, key) = (datum.key_type(), datum.key());
    let part = |from: usize, to: usize| key.get(from..to).ok_or_else(wrong);
    match method {
        key::AES_128_DIFFUSER => {
            SectorCipher::bitlocker_cbc(part(0, 16)?, Some(part(32, 48)?), sector_bytes)
        }
        key::AES_256_DIFFUSER => {
            SectorCipher::bitlocker_cbc(part(0, 32)?, Some(part(32, 64)?), sector_bytes)
        }
        key::AES_128 => SectorCipher::bitlocker_cbc(part(0, 16)?, None, sector_bytes),
        key::AES_256 => SectorCipher::bitlocker_cbc(part(0, 32)?, None, sector_bytes),
        key::AES_XTS_128 => SectorCipher::bitlocker_xts(part(0, 32)?, sector_bytes),
        key::AES_XTS_256 => SectorCipher::bitlocker_xts(part(0, 64)?, sector_bytes),
        other => Err(EvidenceError::unsupported(key::method_name(other))),
    }
}

/// The master key of a volume whose protection is suspended: its key lies open beside it.
fn clear_key(information: &Information) -> Option<Zeroizing<Vec<u8>>> {
    information.protectors().filter(|one| one.priority() & 0xff00 == CLEAR).find_map(|one| {
        let clear = one.nested().find(|inner| inner.kind == datum::KEY)?;
        open_master(one, clear.key())
    })
}

/// The master key by one key of the examiner, tried on every protector of its kind.
fn master_key(information: &Information, key: &Key) -> Option<Zeroizing<Vec<u8>>> {
    match key {
        Key::Recovery(text) => stretched(information, RECOVERY, &*key::recovery(text)?),
        Key::Passphrase(bytes) => {
            let text = Zeroizing::new(String::from_utf8(bytes.clone()).ok()?);
            stretched(information, PASSPHRASE, &*key::passphrase(&text))
                .or_else(|| stretched(information, RECOVERY, &*key::recovery(&text)?))
        }
        Key::File(bytes) => {
            let (identifier, external) = key::external(bytes)?;
            information
                .protectors()
                .filter(|one| one.identifier() == identifier)
                .find_map(|one| open_master(one, &external))
        }
    }
}

fn stretched(information: &Information, kind: u16, secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    information.protectors().filter(|one| one.priority() & 0xff00 == kind).find_map(|one| {
        let stretch = one.nested().find(|inner| inner.kind == datum::STRETCH_KEY)?;
        open_master(one, &*key::stretch(secret, stretch.salt()))
    })
}

/// The master key in a protector, by the protector's key.
fn open_master(protector: Datum<'_>, key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let boxed = protector.nested().find(|inner| inner.kind == datum::ENCRYPTED_KEY)?;
    let opened = key::unbox(key, boxed.body())?;
    let key = Datum::first(&opened)?.key().to_vec();
    Some(Zeroizing::new(key))
}
