//! Reads the variable store of an OVMF `VARS` file, to see what a boot wrote into the firmware.
//!
//! Layout: EFI firmware volume header, variable store header, then authenticated variable records
//! (EDK II `VariableFormat.h`). Firmware state is evidence too.

use crate::error::{Doing, Result, machine};
use std::collections::BTreeMap;
use std::path::Path;

/// Record state: header, name and data are valid and the variable is live.
const ADDED: u8 = 0x3f;
/// Size of an authenticated record header in bytes.
const RECORD: usize = 60;
/// Size of the variable store header in bytes.
const STORE: usize = 28;

/// Live variables: "GUID-first-part name" to attributes and data.
pub type Variables = BTreeMap<String, (u32, Vec<u8>)>;

/// Reads all live variables.
///
/// # Errors
/// [`crate::Error::Machine`] when the file holds no variable store.
pub fn read(path: &Path) -> Result<Variables> {
    let bytes = std::fs::read(path).doing("reading", path)?;
    let header = u16_at(&bytes, 48).unwrap_or(0) as usize;
    if bytes.get(40..44) != Some(b"_FVH") || bytes.get(header + 20) != Some(&0x5a) {
        return machine(format!("{} holds no variable store", path.display()));
    }
    let end = header + u32_at(&bytes, header + 16).unwrap_or(0) as usize;
    let mut found = Variables::new();
    let mut at = header + STORE;
    while at + RECORD < end && u16_at(&bytes, at) == Some(0x55aa) {
        let name_bytes = u32_at(&bytes, at + 36).unwrap_or(0) as usize;
        let data_bytes = u32_at(&bytes, at + 40).unwrap_or(0) as usize;
        let name_at = at + RECORD;
        let data_at = name_at.saturating_add(name_bytes);
        let next = data_at.saturating_add(data_bytes);
        let (Some(name), Some(data)) = (bytes.get(name_at..data_at), bytes.get(data_at..next))
        else {
            return machine(format!("{}: record at {at} runs past the end", path.display()));
        };
        if bytes[at + 2] == ADDED {
            let vendor = u32_at(&bytes, at + 44).unwrap_or(0);
            let attributes = u32_at(&bytes, at + 4).unwrap_or(0);
            found.insert(format!("{vendor:08x} {}", utf16(name)), (attributes, data.to_vec()));
        }
        at = next.next_multiple_of(4);
    }
    Ok(found)
}

/// Names of variables that were added, removed or changed, with how.
#[must_use]
pub fn changes(before: &Variables, after: &Variables) -> Vec<String> {
    let mut all = Vec::new();
    for (name, value) in after {
        match before.get(name) {
            None => all.push(format!("added {name}")),
            Some(old) if old != value => all.push(format!("changed {name}")),
            Some(_) => {}
        }
    }
    all.extend(before.keys().filter(|n| !after.contains_key(*n)).map(|n| format!("removed {n}")));
    all
}

fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').escape_debug().to_string()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firmware::Firmware;

    /// Vouched for by an independent path: the keys Debian says it enrols in this file.
    #[test]
    fn the_microsoft_store_holds_the_secure_boot_keys() {
        let Ok((_, vars)) = Firmware::UefiSecureBoot.files() else {
            eprintln!("skipped: no OVMF on this host");
            return;
        };
        let found = read(&vars).expect("variable store");
        for name in ["PK", "KEK", "db", "dbx"] {
            assert!(found.keys().any(|k| k.ends_with(&format!(" {name}"))), "no {name}");
        }
        assert!(changes(&found, &found).is_empty());
        let mut more = found.clone();
        more.insert("605dab50 SbatLevel".into(), (3, vec![1]));
        assert_eq!(changes(&found, &more), ["added 605dab50 SbatLevel"]);
    }
}
