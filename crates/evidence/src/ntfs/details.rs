//! Facts only NTFS keeps: all names with their own times, streams, extended attributes, reparse data, who owns it.

use super::Ntfs;
use super::info::Standard;
use super::object::Object;
use super::record::{
    Attribute, Body, FLAG_COMPRESSED, FLAG_ENCRYPTED, FLAG_SPARSE, kind, kind_name, number_of,
};
use super::{reparse, secure};
use crate::bytes::{Fields, to_usize};
use crate::error::EvidenceError;
use crate::fs::{Detail, RawPath, Stream, Xattr};
use crate::time::Time;
use crate::wide::wtf8;

/// Extended attributes of one file, as Windows bounds them.
const MAX_EA_BYTES: u64 = 64 * 1024;
/// A security descriptor kept in the record's own attribute.
const MAX_DESCRIPTOR_BYTES: u64 = 64 * 1024;
/// Attributes listed of one object.
const MAX_ATTRIBUTES: usize = 4096;

/// Named streams of content, sorted.
pub(super) fn streams(object: &Object) -> Vec<Stream> {
    let mut out: Vec<Stream> = object
        .attributes()
        .filter(|a| a.kind == kind::DATA && !a.name.is_empty() && a.is_first())
        .map(|a| Stream { name: RawPath(wtf8(a.name)), size_bytes: a.size_bytes() })
        .collect();
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// Extended attributes (`$EA`): a list of names and values, sorted.
pub(super) fn xattrs(ntfs: &Ntfs, object: &Object) -> Result<Vec<Xattr>, EvidenceError> {
    if object.first(kind::EA, b"").is_none() {
        return Ok(Vec::new());
    }
    let raw = object.value(ntfs, kind::EA, b"", MAX_EA_BYTES)?.unwrap_or_default();
    let mut out = Vec::new();
    let mut rest = Fields(&raw);
    while rest.0.len() > 9 {
        let name_bytes = usize::from(rest.u8(5));
        let value_bytes = usize::from(rest.le16(6));
        let name = rest.slice(8, name_bytes);
        let value_at = name_bytes.saturating_add(9);
        if name.is_empty() || value_at.saturating_add(value_bytes) > rest.0.len() {
            let number = object.base.number;
            return Err(EvidenceError::corrupt(format!(
                "extended attribute of MFT record {number}: {name_bytes} bytes of name, {value_bytes} of value"
            )));
        }
        out.push(Xattr {
            name: RawPath(name.to_vec()),
            value: rest.slice(value_at, value_bytes).to_vec(),
        });
        let next = to_usize(u64::from(rest.le32(0)));
        if next == 0 {
            break;
        }
        rest = Fields(rest.0.get(next..).unwrap_or(&[]));
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

/// Everything else, in the order of the record.
pub(super) fn read(ntfs: &Ntfs, object: &Object) -> Result<Vec<Detail>, EvidenceError> {
    let mut out = Vec::new();
    let mut push = |name: &'static str, value: String| out.push(Detail { name, value });
    let standard = Standard::read(object);
    push("MFT record", object.base.number.to_string());
    push("sequence number", object.base.sequence().to_string());
    push("in use", if object.base.is_in_use() { "yes" } else { "no" }.to_owned());
    push("$LogFile sequence number", object.base.log_sequence().to_string());
    push("file attributes", format!("{:#010x}", standard.flags));
    if standard.journal != 0 {
        push("change journal offset", standard.journal.to_string());
    }
    for name in object.names() {
        let [born, modified, changed, accessed] = name.times.map(shown);
        push(
            "$FILE_NAME",
            format!(
                "{} ({}) in MFT record {}-{}: created {born}, modified {modified}, changed {changed}, accessed {accessed}",
                crate::escape_bytes(&name.name),
                name.space,
                number_of(name.parent),
                name.parent >> 48,
            ),
        );
    }
    for attribute in object.attributes().filter(Attribute::is_first).take(MAX_ATTRIBUTES) {
        push("attribute", described(&attribute));
    }
    if let Some(reparse) = reparse::read(ntfs, object)? {
        push("reparse tag", format!("{:#010x} ({})", reparse.tag, reparse.tag_name()));
        if let Some(target) = reparse.shown_target() {
            push("shown target", crate::escape_bytes(&target));
        }
        if let Some(format) = reparse.overlay_format() {
            let name = ["XPRESS4K", "LZX", "XPRESS8K", "XPRESS16K"];
            let name = name.get(to_usize(u64::from(format))).unwrap_or(&"unknown");
            push("overlay compression", (*name).to_owned());
        }
    }
    if standard.security != 0 {
        push("security number", standard.security.to_string());
    }
    for (name, value) in secure::describe(&descriptor(ntfs, object, standard.security)?) {
        if let Some(value) = value {
            push(name, value);
        }
    }
    for damage in &object.damage {
        push("damage", damage.clone());
    }
    Ok(out)
}

/// The security descriptor, shared or the object's own.
fn descriptor(ntfs: &Ntfs, object: &Object, number: u32) -> Result<Vec<u8>, EvidenceError> {
    if object.first(kind::SECURITY_DESCRIPTOR, b"").is_some() {
        let own = object.value(ntfs, kind::SECURITY_DESCRIPTOR, b"", MAX_DESCRIPTOR_BYTES)?;
        return Ok(own.unwrap_or_default());
    }
    Ok(ntfs.descriptors().read(ntfs, number)?.unwrap_or_default())
}

fn shown(time: Option<Time>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}

/// One attribute as istat of The Sleuth Kit numbers it.
fn described(attribute: &Attribute<'_>) -> String {
    let place = match attribute.body {
        Body::Resident(_) => "in the record",
        Body::Clusters(_) => "in clusters",
    };
    let mut text = format!("{}-{} {}", attribute.kind, attribute.id, kind_name(attribute.kind));
    if !attribute.name.is_empty() {
        text.push_str(&format!(" {}", crate::escape_bytes(&wtf8(attribute.name))));
    }
    text.push_str(&format!(": {} bytes {place}", attribute.size_bytes()));
    if let Body::Clusters(piece) = attribute.body {
        text.push_str(&format!(
            ", {} allocated, {} written",
            piece.allocated_bytes, piece.initialized_bytes
        ));
    }
    for (flag, name) in
        [(FLAG_COMPRESSED, "compressed"), (FLAG_ENCRYPTED, "encrypted"), (FLAG_SPARSE, "sparse")]
    {
        if attribute.flags & flag != 0 {
            text.push_str(&format!(", {name}"));
        }
    }
    text
}
