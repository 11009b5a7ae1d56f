//! hashdeep's list: a heading that names the columns, then size, digests and name with commas between.
//!
//! The form as hashdeep of md5deep 4.4 writes and reads it. The name is the last column and may hold commas; a line break
//! in a name has no place. hashdeep itself knows MD5, SHA-1, SHA-256, Tiger and Whirlpool.

use std::fmt::Write as _;

use super::{Written, lines};
use crate::manifest::keep_problem;
use crate::{Algorithm, Algorithms, Content, Digest, Digests, Entry, Error, Manifest};

pub(super) const MAGIC: &[u8] = b"%%%% HASHDEEP-";

/// Digests hashdeep can hold.
const KNOWN: [Algorithm; 3] = [Algorithm::Md5, Algorithm::Sha1, Algorithm::Sha256];

pub(super) fn write(manifest: &Manifest, algorithms: &Algorithms) -> Written {
    let mut written = Written::default();
    let columns: Vec<Algorithm> =
        algorithms.iter().filter(|algorithm| KNOWN.contains(algorithm)).collect();
    for algorithm in algorithms.iter().filter(|algorithm| !KNOWN.contains(algorithm)) {
        written.leave_out(b"", &format!("a hashdeep list has no column for {algorithm}"));
    }
    let names: Vec<&str> = columns.iter().map(|algorithm| algorithm.name()).collect();
    let mut head = String::from("%%%% HASHDEEP-1.0\n%%%% size,");
    // Writing to a String cannot fail.
    let _ = writeln!(head, "{},filename", names.join(","));
    written.text.extend_from_slice(head.as_bytes());
    for (path, content) in manifest.iter() {
        let Content::File { size_bytes, digests } = content else { continue };
        let found: Option<Vec<String>> =
            columns.iter().map(|algorithm| digests.of(*algorithm).map(Digest::to_hex)).collect();
        match (size_bytes, found) {
            _ if path.contains(&b'\n') || path.contains(&b'\r') => {
                written.leave_out(path, "a hashdeep list has no place for a line break in a name");
            }
            (Some(size_bytes), Some(found)) if !found.is_empty() => {
                let line = format!("{size_bytes},{},", found.join(","));
                written.text.extend_from_slice(line.as_bytes());
                // As `hashdeep -r -l .` names what it finds; its audit compares names as they stand.
                if !path.starts_with(b"/") {
                    written.text.extend_from_slice(b"./");
                }
                written.text.extend_from_slice(path);
                written.text.push(b'\n');
            }
            _ => written.leave_out(path, "size or digest for a hashdeep list is not known"),
        }
    }
    written
}

pub(super) fn read(text: &[u8]) -> (Manifest, Vec<Error>) {
    let mut manifest = Manifest::new();
    let mut problems = Vec::new();
    let mut columns = Columns::default();
    for (line, number) in lines(text).zip(1usize..) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let result = if let Some(head) = line.strip_prefix(b"%%%% ") {
            columns.heading(head);
            Ok(())
        } else if line.is_empty() || line.starts_with(b"##") {
            Ok(())
        } else {
            columns.entry(line).and_then(|entry| manifest.accept(entry))
        };
        keep_problem(&mut problems, number, result);
    }
    (manifest, problems)
}

/// What the columns of a list hold.
#[derive(Default)]
pub(crate) struct Columns(Vec<Column>);

enum Column {
    Size,
    Digest(Algorithm),
    Ignored,
}

impl Columns {
    /// Takes a heading: the columns, or the name and version of the form.
    pub(crate) fn heading(&mut self, head: &[u8]) {
        let Some(names) = head.strip_suffix(b",filename") else { return };
        self.0 = names
            .split(|byte| *byte == b',')
            .map(|name| match std::str::from_utf8(name) {
                Ok("size") => Column::Size,
                // What we cannot compute stands beside what we can.
                Ok(name) => name.parse().map_or(Column::Ignored, Column::Digest),
                Err(_) => Column::Ignored,
            })
            .collect();
    }

    /// One line below the heading.
    pub(crate) fn entry(&self, line: &[u8]) -> Result<Entry, String> {
        if self.0.is_empty() {
            return Err("no heading names the columns".to_owned());
        }
        let mut parts = line.splitn(self.0.len().saturating_add(1), |byte| *byte == b',');
        let mut size_bytes = None;
        let mut digests = Digests::default();
        for column in &self.0 {
            let part = parts.next().and_then(|part| std::str::from_utf8(part).ok());
            let part = part.ok_or("fewer columns than the heading names")?;
            match column {
                Column::Size => {
                    size_bytes = Some(part.parse().map_err(|_| "size is not a number")?);
                }
                Column::Digest(algorithm) => {
                    let digest = Digest::from_hex(*algorithm, part);
                    digests.insert(digest.map_err(|error| error.to_string())?);
                }
                Column::Ignored => {}
            }
        }
        let path = parts.next().filter(|name| !name.is_empty()).ok_or("no name")?.to_vec();
        if digests.iter().next().is_none() {
            return Err("no column has a digest this program computes".to_owned());
        }
        let path = path.strip_prefix(b"./").map(<[u8]>::to_vec).unwrap_or(path);
        Ok(Entry { path, content: Content::File { size_bytes, digests } })
    }
}
