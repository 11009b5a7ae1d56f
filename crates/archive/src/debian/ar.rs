//! The outer form of a package file: an `ar` archive of a few members, one after the other (`deb(5)`, `ar(5)`).

use std::io::{self, Read, Take};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER_BYTES: usize = 60;

/// Reads members in order.
pub(super) struct Ar<R> {
    input: R,
    /// Whether the member before had an odd length, so that a byte stands behind it.
    is_padded: bool,
}

impl<R: Read> Ar<R> {
    /// Reads the first bytes.
    pub(super) fn new(mut input: R) -> io::Result<Self> {
        let mut magic = [0; 8];
        input.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(odd("it does not begin as an ar archive"));
        }
        Ok(Self { input, is_padded: false })
    }

    /// Name and content of the next member; the one before must have been read to its end.
    pub(super) fn next_member(&mut self) -> io::Result<Option<(String, Take<&mut R>)>> {
        if std::mem::take(&mut self.is_padded) {
            self.input.read_exact(&mut [0])?;
        }
        let mut header = [0; HEADER_BYTES];
        let mut done = 0;
        while done < HEADER_BYTES {
            let rest = header.get_mut(done..).unwrap_or_default();
            match self.input.read(rest) {
                Ok(0) if done == 0 => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done = done.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let text = |range: std::ops::Range<usize>| {
            let raw = header.get(range).unwrap_or_default();
            String::from_utf8_lossy(raw).trim_end().to_owned()
        };
        if text(58..60) != "`\n".trim_end() || header.last() != Some(&b'\n') {
            return Err(odd("a member's header does not end as it must"));
        }
        let name = text(0..16).trim_end_matches('/').to_owned();
        let size: u64 =
            text(48..58).parse().map_err(|_| odd("the size of a member is no number"))?;
        self.is_padded = size % 2 == 1;
        Ok(Some((name, self.input.by_ref().take(size))))
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
