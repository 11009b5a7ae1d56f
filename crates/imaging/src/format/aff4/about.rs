//! What a volume says about itself: its name, and the metadata in `information.turtle`.

use hashing::{Algorithm, Algorithms, Digest};

use super::{BEVY_CHUNKS, CHUNK_BYTES};
use crate::{About, Acquisition};

/// The name of a volume: from the random number of the request, or without one from what the volume holds and is called.
pub(super) fn urn(acquisition: &Acquisition, about: &About, stem: &str) -> String {
    let mut raw = about.set_identifier;
    if raw == [0; 16] {
        let mut text = format!("{}\0{stem}", acquisition.size_bytes);
        for digest in acquisition.digests.iter() {
            text.push_str(&digest.to_hex());
        }
        let digests = hashing::digest_bytes(text.as_bytes(), &Algorithms::sha256());
        let digest = digests.of(Algorithm::Sha256).map_or(&[][..], Digest::as_bytes);
        raw = digest.first_chunk().copied().unwrap_or(raw);
    }
    // RFC 9562, version 8: the content is ours to define.
    let bits = u128::from_be_bytes(raw) & !(0xf << 76) & !(0x3 << 62) | 0x8 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or("0");
    let (first, second, third) = (part(0, 8), part(8, 12), part(12, 16));
    format!("aff4://{first}-{second}-{third}-{}-{}", part(16, 20), part(20, 32))
}

/// The length of every such name, known before the name is.
pub(super) const URN_BYTES: usize = 43;

/// `version.txt` of the Standard v1.0.
pub(super) fn version(about: &About) -> String {
    let tool = if about.software.is_empty() { "Glovebox" } else { &about.software };
    format!("major=1\nminor=0\ntool={}\n", tool.replace(['\r', '\n', '='], " "))
}

/// The digests whose algorithms the Standard names (6.1).
fn schema_name(algorithm: Algorithm) -> Option<&'static str> {
    Some(match algorithm {
        Algorithm::Md5 => "MD5",
        Algorithm::Sha1 => "SHA1",
        Algorithm::Sha256 => "SHA256",
        Algorithm::Sha512 => "SHA512",
        _ => return None,
    })
}

/// The metadata.
///
/// The Standard counts a text in place of what could not be read into `aff4:hash`; ours are taken while reading, over zeros
/// there. So with unreadable sectors the digests get a name of their own that says so.
pub(super) fn turtle(urn: &str, acquisition: &Acquisition, about: &About) -> String {
    let predicate = if acquisition.bad.is_empty() {
        "aff4:hash"
    } else {
        "<urn:glovebox:hashUnreadableAsZeros>"
    };
    let mut hashes = String::new();
    for digest in acquisition.digests.iter() {
        if let Some(name) = schema_name(digest.algorithm()) {
            let hex = digest.to_hex();
            hashes.push_str(&format!("    {predicate} \"{hex}\"^^aff4:{name} ;\n"));
        }
    }
    let (disk, case) = (disk(about), case(about, urn));
    let size = acquisition.size_bytes;
    let sector = acquisition.sector_bytes;
    let sectors = size.checked_div(u64::from(sector)).unwrap_or(0);
    let state =
        if acquisition.bad.is_empty() { "Completed Normally" } else { "Completed With Errors" };
    format!(
        "@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .\n\
         @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .\n\
         @prefix aff4: <http://aff4.org/Schema#> .\n\n\
         <{urn}> a aff4:ZipVolume ;\n    \
             aff4:contains <{urn}/image> , <{urn}/map> , <{urn}/stream> .\n\n\
         <{urn}/image> a aff4:DiskImage , aff4:ContiguousImage , aff4:Image ;\n    \
             aff4:dataStream <{urn}/map> ;\n    \
             aff4:size \"{size}\"^^xsd:long ;\n    \
             aff4:blockSize \"{sector}\"^^xsd:int ;\n    \
             aff4:sectorCount \"{sectors}\"^^xsd:long ;\n    \
             aff4:acquisitionCompletionState \"{state}\" ;\n\
         {hashes}{disk}    \
             aff4:stored <{urn}> .\n\n\
         {case}\
         <{urn}/map> a aff4:Map ;\n    \
             aff4:size \"{size}\"^^xsd:long ;\n    \
             aff4:dependentStream <{urn}/stream> ;\n    \
             aff4:mapGapDefaultStream aff4:Zero ;\n    \
             aff4:target <{urn}/image> ;\n    \
             aff4:stored <{urn}> .\n\n\
         <{urn}/stream> a aff4:ImageStream ;\n    \
             aff4:size \"{size}\"^^xsd:long ;\n    \
             aff4:chunkSize \"{CHUNK_BYTES}\"^^xsd:int ;\n    \
             aff4:chunksInSegment \"{BEVY_CHUNKS}\"^^xsd:int ;\n    \
             aff4:compressionMethod <https://code.google.com/p/lz4/> ;\n    \
             aff4:target <{urn}/map> ;\n    \
             aff4:stored <{urn}> .\n"
    )
}

/// A property with a text, as a line of its own; nothing when the text is empty.
fn line(name: &str, text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut quoted = String::new();
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    format!("    aff4:{name} \"{quoted}\" ;\n")
}

/// The disk.
fn disk(about: &About) -> String {
    line("diskModel", &about.model) + &line("diskSerial", &about.serial)
}

/// The case and what was noted, as resources that point at the image.
fn case(about: &About, urn: &str) -> String {
    let lines = [
        line("caseNumber", &about.case),
        line("evidenceNumber", &about.exhibit),
        line("caseDescription", &about.description),
        line("examiner", &about.examiner),
        line("notes", &about.notes),
    ]
    .concat();
    let mut out = String::new();
    if !lines.is_empty() {
        out.push_str(&format!(
            "<{urn}/notes> a aff4:CaseNotes ;\n{lines}    aff4:target <{urn}/image> ;\n    aff4:stored <{urn}> .\n\n"
        ));
    }
    if about.begun_unix_seconds != 0 {
        let begun = timestamp(about.begun_unix_seconds);
        out.push_str(&format!(
            "<{urn}/times> a aff4:TimeStamps ;\n    aff4:startTime \"{begun}\"^^xsd:dateTime ;\n    aff4:operation \"CAPTURE\" ;\n    aff4:target <{urn}/image> ;\n    aff4:stored <{urn}> .\n\n"
        ));
    }
    out
}

/// A time of UTC as XML Schema writes it.
fn timestamp(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (mut year, mut left) = (1970_u64, days);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    // A hostile clock would otherwise have us count for long.
    while year < 9999 {
        let length = if is_leap(year) { 366 } else { 365 };
        if left < length {
            break;
        }
        left = left.saturating_sub(length);
        year = year.saturating_add(1);
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1_u64;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left = left.saturating_sub(length);
        month = month.saturating_add(1);
    }
    let day = left.saturating_add(1);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // By `date -u -d @… +%FT%TZ`.
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(timestamp(1_798_761_599), "2026-12-31T23:59:59Z");
    }
}
