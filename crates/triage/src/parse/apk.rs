//! The package database of Alpine (`/lib/apk/db/installed`): paragraphs of lines that begin with a letter and a colon.

use super::lines;

/// One package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Name.
    pub name: Vec<u8>,
    /// Version.
    pub version: Vec<u8>,
    /// Its files, without directories.
    pub files: Vec<File>,
}

/// One file of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Absolute path.
    pub path: Vec<u8>,
    /// Permissions where they are not 0755 for programs and 0644 else, which the database leaves out.
    pub mode: Option<u32>,
    /// SHA-1 in hexadecimal, if recorded.
    pub sha1: Option<Vec<u8>>,
}

/// The packages of a database.
#[must_use]
pub fn parse(raw: &[u8]) -> Vec<Package> {
    let mut out = Vec::new();
    let mut package = Package::default();
    let mut folder = Vec::new();
    for (_, _, line) in lines(raw).chain(std::iter::once((0, 0, &b""[..]))) {
        let Some((key, value)) = line.split_first_chunk::<2>() else {
            if !package.name.is_empty() {
                out.push(std::mem::take(&mut package));
            }
            package = Package::default();
            folder.clear();
            continue;
        };
        match key {
            b"P:" => package.name = value.to_vec(),
            b"V:" => package.version = value.to_vec(),
            b"F:" => folder = value.to_vec(),
            b"R:" => {
                let path = if folder.is_empty() {
                    [b"/", value].concat()
                } else {
                    [b"/", folder.as_slice(), b"/", value].concat()
                };
                package.files.push(File { path, ..File::default() });
            }
            b"a:" => {
                if let Some(file) = package.files.last_mut() {
                    let mode = value.split(|byte| *byte == b':').nth(2);
                    let mode = mode.and_then(|text| std::str::from_utf8(text).ok());
                    file.mode = mode.and_then(|text| u32::from_str_radix(text, 8).ok());
                }
            }
            b"Z:" => {
                if let (Some(file), Some(text)) =
                    (package.files.last_mut(), value.strip_prefix(b"Q1"))
                {
                    file.sha1 = base64_as_hex(text).filter(|hex| hex.len() == 40);
                }
            }
            _ => {}
        }
    }
    out
}

/// Base64 as hexadecimal digits.
fn base64_as_hex(text: &[u8]) -> Option<Vec<u8>> {
    let bytes = hashing::base64::decode(std::str::from_utf8(text).ok()?)?;
    Some(bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_in_the_form_of_the_tool() {
        let text = "C:Q1abc=\nP:busybox\nV:1.36.1-r5\nF:bin\nM:0:0:755\nR:busybox\na:0:0:4755\n\
                    Z:Q12jmj7l5rSw0yVb/vlWAYkK/YBwk=\nF:\nR:top\n\nP:x\nV:1\n";
        let all = parse(text.as_bytes());
        assert_eq!(all.len(), 2);
        let file = &all[0].files[0];
        assert_eq!((file.path.as_slice(), file.mode), (&b"/bin/busybox"[..], Some(0o4755)));
        // SHA-1 of nothing.
        assert_eq!(file.sha1.as_deref(), Some(&b"da39a3ee5e6b4b0d3255bfef95601890afd80709"[..]));
        assert_eq!(all[0].files[1].path, b"/top");
    }
}
