//! Kernel modules: what they say of themselves (`.modinfo`) and whether a signature hangs at their end (Linux,
//! `include/linux/module_signature.h`). The signature is measured, not checked: the kernel's keys are not on the disk.

use super::elf::Elf;
use std::io::Read;

/// A module unpacked at most, in bytes.
const MAX_BYTES: u64 = 256 << 20;
const MARK: &[u8] = b"~Module signature appended~\n";
/// The record in front of the mark.
const RECORD_BYTES: usize = 12;

/// What a module says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its own name.
    pub name: Option<Vec<u8>>,
    /// The kernel it was built for, with options that must agree.
    pub vermagic: Option<Vec<u8>>,
    /// Who is named as author.
    pub author: Option<Vec<u8>>,
    /// Whether it is marked as part of the kernel's own tree.
    pub is_in_tree: bool,
    /// Length of the signature at its end, in bytes.
    pub signature_bytes: Option<u32>,
}

/// Whether a name is that of a module, packed or not.
#[must_use]
pub fn is_module_name(name: &[u8]) -> bool {
    [&b".ko"[..], b".ko.xz", b".ko.zst", b".ko.gz"].iter().any(|end| name.ends_with(end))
}

/// The module's name as the kernel uses it, out of the name of its file.
#[must_use]
pub fn name_of_file(name: &[u8]) -> Vec<u8> {
    let ends = [&b".ko"[..], b".ko.xz", b".ko.zst", b".ko.gz"];
    let stem = ends.iter().find_map(|end| name.strip_suffix(*end)).unwrap_or(name);
    stem.iter().map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect()
}

/// The bytes of a module, unpacked if need be; `None` where that fails.
#[must_use]
pub fn unpack(raw: Vec<u8>) -> Option<Vec<u8>> {
    let read = |stream: &mut dyn Read| {
        let mut out = Vec::new();
        stream.take(MAX_BYTES).read_to_end(&mut out).ok()?;
        Some(out)
    };
    match raw.get(..4)? {
        [0x1f, 0x8b, ..] => read(&mut flate2::read::GzDecoder::new(raw.as_slice())),
        [0xfd, b'7', b'z', b'X'] => read(&mut lzma_rust2::XzReader::new(raw.as_slice(), false)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            read(&mut ruzstd::decoding::StreamingDecoder::new(raw.as_slice()).ok()?)
        }
        _ => Some(raw),
    }
}

/// The length of the signature at the end of these last bytes of a module, `None` without one.
#[must_use]
pub fn signature_bytes(end: &[u8]) -> Option<u32> {
    let before = end.strip_suffix(MARK)?;
    let record = before.get(before.len().checked_sub(RECORD_BYTES)?..)?;
    // Two is the only kind the kernel takes: PKCS#7.
    (record.get(2) == Some(&2))
        .then(|| record.get(8..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)))
        .flatten()
}

/// What an unpacked module says of itself; nothing for what is none.
#[must_use]
pub fn parse(raw: &[u8]) -> Module {
    let mut module = Module { signature_bytes: signature_bytes(raw), ..Module::default() };
    let info = Elf::read(&raw).and_then(|elf| elf.section(b".modinfo")).unwrap_or_default();
    for field in info.split(|byte| *byte == 0) {
        let Some(at) = field.iter().position(|byte| *byte == b'=') else { continue };
        let (key, value) = (field.get(..at), field.get(at.saturating_add(1)..).unwrap_or(&[]));
        match key {
            Some(b"name") => module.name = Some(value.to_vec()),
            Some(b"vermagic") => module.vermagic = Some(value.to_vec()),
            Some(b"author") if module.author.is_none() => module.author = Some(value.to_vec()),
            Some(b"intree") => module.is_in_tree = value == b"Y",
            _ => {}
        }
    }
    module
}
