//! Decompression as packages and indices need it, with a bound on memory.

use std::io::{self, Read};

use crate::{Error, Result};

/// Memory for a decoder: `dpkg` packs with dictionaries of at most 64 MiB, in kibibytes.
const MAX_DECODER_KIB: u32 = 128 << 10;

/// A reader of what `packed` holds, chosen by the end of its name: `.xz`, `.gz`, `.zst` or plain.
///
/// # Errors
/// When the kind is not known, or the stream does not begin as its name says.
pub(crate) fn by_name<'a>(name: &str, packed: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let last = name.rsplit('/').next().unwrap_or(name);
    let ending = last.rsplit_once('.').map_or("", |(_, ending)| ending);
    Ok(match ending {
        "xz" => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, MAX_DECODER_KIB)),
        "lzma" => Box::new(
            lzma_rust2::LzmaReader::new_mem_limit(packed, MAX_DECODER_KIB, None)
                .map_err(|error| Error::io(name)(io::Error::other(error)))?,
        ),
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        "zst" => Box::new(
            ruzstd::decoding::StreamingDecoder::new(packed)
                .map_err(|error| Error::malformed(name, "its beginning", error.to_string()))?,
        ),
        "" | "tar" => Box::new(packed),
        // An index without an ending is plain; anything else is a packing this program cannot undo.
        _ => {
            let reason = format!("packed as .{ending}, which this program cannot unpack");
            return Err(Error::malformed(name, "its name", reason));
        }
    })
}
