//! The parts of a package file one after the other, unpacked as they are read (`deb(5)`).

use std::io::{self, Read};
use std::ops::ControlFlow;

use super::Origin;
use super::ar::Ar;
use super::contents::place;
use crate::{Error, Result, unpack};

/// Takes a part, unpacked; whether more of the package is wanted.
pub(super) type TakePart<'a> =
    dyn FnMut(Origin, Box<dyn Read + '_>) -> Result<ControlFlow<()>> + 'a;

/// Takes the content of a regular file at its place; whether more of the package is wanted.
pub(crate) type TakeFile<'a> = dyn FnMut(&[u8], &mut dyn Read) -> Result<ControlFlow<()>> + 'a;

/// Gives the control and the data part to `take`; that the file is whole is checked only if `take` wants all of it.
pub(super) fn each_part(file: &mut impl Read, name: &str, take: &mut TakePart<'_>) -> Result<()> {
    let mut parts: Vec<String> = Vec::new();
    let mut ar = Ar::new(file).map_err(Error::io(name))?;
    while let Some((part, mut input)) = ar.next_member().map_err(Error::io(name))? {
        let origin = match part.as_str() {
            "debian-binary" => {
                let mut version = String::new();
                input.by_ref().take(16).read_to_string(&mut version).map_err(Error::io(name))?;
                if !version.starts_with("2.") {
                    let reason = format!("version {:?} is not known", version.trim());
                    return Err(Error::malformed(name, "debian-binary", reason));
                }
                None
            }
            part if part.starts_with("control.tar") => Some(Origin::Control),
            part if part.starts_with("data.tar") => Some(Origin::Data),
            // deb(5): members with an underscore in front are to be passed over, all others are an error.
            part if part.starts_with('_') => None,
            part => return Err(Error::malformed(name, part, "no package has such a part")),
        };
        if let Some(origin) = origin {
            let plain = unpack::by_name(&part, &mut input)?;
            if take(origin, plain)?.is_break() {
                return Ok(());
            }
        }
        // Bytes behind the end of the inner archive.
        io::copy(&mut input, &mut io::sink()).map_err(Error::io(name))?;
        parts.push(part);
    }
    let is_whole = parts.first().is_some_and(|part| part == "debian-binary")
        && parts.get(1).is_some_and(|part| part.starts_with("control.tar"))
        && parts.iter().any(|part| part.starts_with("data.tar"));
    if !is_whole {
        let reason = format!("its parts are {}", parts.join(", "));
        return Err(Error::malformed(name, "its parts", reason));
    }
    Ok(())
}

/// Gives every regular file of a package to `take`, under the name it has on a system; `stem` is the beginning of the
/// names of its files in the package database.
///
/// Nothing is compared here: the caller knows what the file and each content must be.
pub(crate) fn each_file(
    stem: &str,
    file: &mut impl Read,
    name: &str,
    take: &mut TakeFile<'_>,
) -> Result<()> {
    each_part(file, name, &mut |origin, plain| {
        let mut archive = tar::Archive::new(plain);
        for entry in archive.entries().map_err(Error::io(name))? {
            let mut entry = entry.map_err(Error::io(name))?;
            // As the listing counts them: what is none of these is a regular file.
            if matches!(
                entry.header().entry_type(),
                tar::EntryType::Directory
                    | tar::EntryType::Symlink
                    | tar::EntryType::Link
                    | tar::EntryType::Block
                    | tar::EntryType::Char
                    | tar::EntryType::Fifo
            ) {
                continue;
            }
            let Some(Some(path)) = place(stem, origin, &entry.path_bytes()) else { continue };
            if take(&path, &mut entry)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}
