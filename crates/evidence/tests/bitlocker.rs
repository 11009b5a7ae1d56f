//! BitLocker. Vouched for by an independent tool: Windows made the images of dissect.fve's tests, and the digests are
//! those of dissect.fve's own decryption. `DISSECT_FVE_DATA` is the folder `tests/_data` of its source distribution.

mod support;

use evidence::volume::{Key, bitlocker};
use evidence::{MemSource, ProblemKind, Source};
use sha2::Digest;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::Random;

const PASSPHRASE: &str = "password12!@";

fn passphrase(text: &str) -> Key {
    Key::Passphrase(text.as_bytes().to_vec())
}

fn image(name: &str) -> Option<Arc<dyn Source>> {
    let bytes = support::dissect("FVE", "bde", name, 1)?.remove(0);
    Some(Arc::new(MemSource::new(bytes)))
}

fn key_file(name: &str) -> Key {
    let root = std::env::var_os("DISSECT_FVE_DATA").expect("set, since the image was there");
    let path = std::path::Path::new(&root).join("bde").join(name);
    Key::File(std::fs::read(path).expect("key file"))
}

/// Samples all over the volume, and where its start and its records lie.
fn digest(raw: &Arc<dyn Source>, clear: &Arc<dyn Source>) -> String {
    let mut state = sha2::Sha256::new();
    let size = clear.size_bytes();
    let mut add = |at: u64, length: usize| state.update(clear.bytes_at(at, length).unwrap());
    for index in 0..16 {
        add(index * (size / 16) / 4096 * 4096, 16384);
    }
    let boot = raw.bytes_at(0, 512).unwrap();
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let guid = [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a];
    let on_write = [0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d];
    let offsets_at = boot.windows(8).position(|window| window == guid || window == on_write);
    let first = match offsets_at {
        Some(at) => word(&boot, at + 16),
        None => word(&boot, 0x38) * u64::from(boot[13]) * 512,
    };
    let record = raw.bytes_at(first, 64).unwrap();
    for at in [word(&record, 32), word(&record, 40), word(&record, 48)] {
        add(at - 4096, 8192);
        add(at + 65536 - 4096, 8192);
    }
    state.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_method_and_protector() {
    let recovery = |text: &str| Key::Recovery(text.to_owned());
    for (name, expected) in DIGESTS {
        let Some(raw) = image(name) else { return };
        let keys = match name {
            "recovery_password" => {
                vec![recovery("284867-596541-514998-422114-660297-261613-215424-199408")]
            }
            "vista" => vec![recovery("517506-503998-044583-576191-587004-635965-501270-087802")],
            "win7_partial" => {
                vec![passphrase("131450-120197-153989-250338-511368-495572-680944-381546")]
            }
            "recovery_key" | "startup_key" => vec![key_file(&format!("{name}.bek"))],
            "suspended" | "decrypted" => Vec::new(),
            _ => vec![passphrase(PASSPHRASE)],
        };
        let clear = bitlocker::unlock(Arc::clone(&raw), &keys)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(clear.bytes_at(3, 8).unwrap(), b"NTFS    ", "{name}");
        assert_eq!(digest(&raw, &clear), expected, "{name}");
        let odd = clear.bytes_at(0x2003, 5000).unwrap();
        assert_eq!(odd, clear.bytes_at(0x2000, 8192).unwrap()[3..5003], "{name}");
    }
}

#[test]
fn what_the_metadata_tells_and_wrong_keys() {
    let Some(raw) = image("aes_128") else { return };
    let told = bitlocker::describe(&raw).unwrap();
    assert_eq!(told.text.as_deref(), Some("DESKTOP-QNI1MMF TestVolume 10/8/2021"));
    assert_eq!((told.version, told.encryption.as_str()), (2, "AES-CBC 128"));
    assert_eq!((told.state.as_str(), told.problems.len()), ("encrypted", 0));
    assert!(told.protectors.iter().any(|one| one.kind == "passphrase"), "{told:?}");
    for keys in [
        vec![],
        vec![passphrase("wrong")],
        vec![Key::Recovery("000000-000000-000000-000000-000000-000000-000000-000000".to_owned())],
        vec![Key::File(vec![0; 200]), Key::File(vec![0xff; 200])],
    ] {
        let error = bitlocker::unlock(Arc::clone(&raw), &keys).err().expect("stays locked");
        assert_eq!(error.kind(), ProblemKind::Refused);
        assert!(error.to_string().contains("it is protected by: passphrase"), "{error}");
    }
}

/// Only we vouch: whatever the metadata, no panic and no hang; a lost copy costs nothing.
#[test]
fn damaged_metadata() {
    support::bounded::bounded("BitLocker", || {
        let Some(bytes) = support::dissect("FVE", "bde", "suspended", 1) else { return };
        let bytes = &bytes[0];
        let at = bytes.windows(16).position(|window| window.starts_with(&[0x3b, 0xd6, 0x67, 0x49]));
        let first = match at {
            Some(at) => u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap()) as usize,
            None => panic!("no offsets in the boot sector"),
        };
        let small = &bytes[..(first + (1 << 20)).min(bytes.len())];
        let mut lost = bytes.clone();
        lost[first..first + 64].fill(0);
        let lost: Arc<dyn Source> = Arc::new(MemSource::new(lost));
        let clear = bitlocker::unlock(Arc::clone(&lost), &[]).unwrap();
        assert_eq!(clear.bytes_at(3, 8).unwrap(), b"NTFS    ");
        assert_eq!(bitlocker::describe(&lost).unwrap().problems.len(), 1);
        let mut random = Random(31);
        for round in 0..60 {
            let mut damaged = small.to_vec();
            for _ in 0..=random.below(4) {
                damaged[first + random.below(700)] = random.next() as u8;
            }
            let header = u16::from_le_bytes([damaged[first + 8], damaged[first + 9]]) as usize * 16;
            // With the checksum made good again the damage reaches the records.
            if round % 4 != 0 && first + header + 8 < damaged.len() {
                let sum = crc32(&damaged[first..first + header]);
                damaged[first + header + 4..first + header + 8].copy_from_slice(&sum.to_le_bytes());
            }
            let started = Instant::now();
            let source: Arc<dyn Source> = Arc::new(MemSource::new(damaged));
            let _ = bitlocker::describe(&source);
            if let Ok(clear) = bitlocker::unlock(source, &[]) {
                let _ = clear.read_at(0, &mut vec![0; 70_000]);
                let _ = clear.read_at(u64::MAX - 7, &mut [0; 64]);
            }
            assert!(started.elapsed() < Duration::from_secs(5), "round {round}");
        }
    });
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}

/// By dissect.fve.
const DIGESTS: [(&str, &str); 12] = [
    ("aes_128", "06c612407335b161f0ade99d965d7a28afb25a070a67e4868c12d5f59ba0812c"),
    ("aes_256", "33320427d412ac0c117b046d0b6b7466f0a34f0c6942015d86e27e5163f76173"),
    ("aes_128_diffuser", "9126e911e18a5d440304986625eee8ac529810ca12545663c56db2b8c46c4122"),
    ("aes_256_diffuser", "973ef969b3ae175a7f7c55b735001f4be2953d0f319f6fde76cd52dde5604345"),
    ("aes-xts_128", "b9a42c2070a33812b5f7535d86a9e833ba964344d92ff1756798f96d61b57029"),
    ("aes-xts_256", "17dff358a3a4cc710465bab84a9fa0925ffbef83b80cff7e8c56b8fc64c69672"),
    ("recovery_password", "8595335f3569c0abcf60e38670c1737d2c710cd75b5b28a862e85d843e5614fd"),
    ("recovery_key", "bbdd77b1b6a6ab6506a5b49a7e6ec99e1d7099d5b81019c8c6b19e972b570709"),
    ("startup_key", "bcafb27b51f992ac6b6076dcc0513f9098ee77bc52597ad2f95f818f91bf4bef"),
    ("suspended", "652a8c801363899e304a9f7eecc941815da4a1d70c4dc0e48dedfc1e2083bfd0"),
    ("decrypted", "c0a671fc9b92fdec9eb426f2761cd3ffc3fbfe83de33cf201dd63485430eb478"),
    ("vista", "5c4d9034c38dd5a87fb472dd04d55ed71e93849773516d590a741807fe57ea8e"),
];
