//! Counts the frames a guest sent, from QEMU's `filter-dump` file (libpcap's classic format).

use crate::error::{Doing, Result, machine};
use std::path::Path;

const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;

/// Number of frames whose Ethernet source address is `mac`.
///
/// # Errors
/// [`crate::Error::Machine`] when the file is not a little-endian capture file.
pub fn frames_from(path: &Path, mac: [u8; 6]) -> Result<usize> {
    let bytes = std::fs::read(path).doing("reading", path)?;
    if bytes.get(..4) != Some(&[0xd4, 0xc3, 0xb2, 0xa1]) {
        return machine(format!("{} is not a capture file", path.display()));
    }
    let mut count = 0;
    let mut at = FILE_HEADER;
    while let Some(header) = bytes.get(at..at + FRAME_HEADER) {
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some(frame) = bytes.get(at + FRAME_HEADER..at + FRAME_HEADER + length) else { break };
        count += usize::from(frame.get(6..12) == Some(&mac[..]));
        at += FRAME_HEADER + length;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_only_the_guests_own_frames() {
        let mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1];
        bytes.resize(FILE_HEADER, 0);
        for source in [mac, [1; 6], mac] {
            bytes.extend([0; 8]);
            bytes.extend(14u32.to_le_bytes());
            bytes.extend(14u32.to_le_bytes());
            bytes.extend([0xff; 6]);
            bytes.extend(source);
            bytes.extend([8, 0]);
        }
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("p");
        std::fs::write(&path, &bytes).expect("write");
        assert_eq!(frames_from(&path, mac).expect("capture"), 2);
        std::fs::write(&path, b"text").expect("write");
        assert!(frames_from(&path, mac).is_err());
    }
}
