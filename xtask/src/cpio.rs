//! Writes cpio archives in the "newc" form the kernel unpacks as its first file system.
//!
//! Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. Numbers are
//! eight hexadecimal digits; owner is always 0; the time is the same for every member.

use anyhow::{Result, ensure};

const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive being written, members in the order they are added.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    epoch_s: u32,
    inode: u32,
}

impl Archive {
    pub(crate) fn new(epoch_s: u32) -> Self {
        Self { bytes: Vec::new(), epoch_s, inode: 0 }
    }

    /// Adds a folder.
    pub(crate) fn folder(&mut self, name: &str) -> Result<()> {
        self.member(name, FOLDER | 0o755, (0, 0), &[])
    }

    /// Adds a regular file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.member(name, REGULAR | mode, (0, 0), content)
    }

    /// Adds a regular file whose content begins at a multiple of `align_bytes` of the archive. The
    /// gap is zero bytes, which the kernel skips between members.
    pub(crate) fn aligned_file(
        &mut self,
        name: &str,
        mode: u32,
        content: &[u8],
        align_bytes: usize,
    ) -> Result<()> {
        let header = (110 + name.len() + 1).next_multiple_of(4);
        while !(self.bytes.len() + header).is_multiple_of(align_bytes) {
            self.bytes.extend_from_slice(&[0; 4]);
        }
        self.file(name, mode, content)
    }

    /// Adds a character device node.
    pub(crate) fn device(&mut self, name: &str, mode: u32, number: (u32, u32)) -> Result<()> {
        self.member(name, CHARACTER_DEVICE | mode, number, &[])
    }

    /// Ends the archive, filled up to a multiple of 512 bytes.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>> {
        self.epoch_s = 0;
        self.inode = u32::MAX;
        self.member("TRAILER!!!", 0, (0, 0), &[])?;
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        Ok(self.bytes)
    }

    fn member(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        ensure!(!name.starts_with('/'), "archive member {name:?} begins with a slash");
        self.inode = self.inode.wrapping_add(1);
        let links = if mode & FOLDER == FOLDER { 2 } else { 1 };
        let fields = [
            self.inode,
            mode,
            0,
            0,
            links,
            self.epoch_s,
            u32::try_from(content.len())?,
            0,
            0,
            device.0,
            device.1,
            u32::try_from(name.len() + 1)?,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by us alone here; by the kernel in every boot of the image.
    #[test]
    fn members_are_laid_out_as_the_format_says() {
        let mut archive = Archive::new(0x1234_5678);
        archive.folder("dev").unwrap();
        archive.device("dev/console", 0o600, (5, 1)).unwrap();
        archive.file("init", 0o755, b"abcde").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 512, 0);
        assert_eq!(&bytes[..14], b"07070100000001");
        assert_eq!(&bytes[14..22], b"000041ed");
        assert_eq!(&bytes[46..54], b"12345678");
        assert_eq!(&bytes[110..114], b"dev\0");
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.contains("init\0\0abcde\x00\x00\x00070701"),
            "name and content are padded to four"
        );
        assert!(text.contains("TRAILER!!!"));
    }

    #[test]
    fn aligned_content_is_aligned_and_the_same_twice() {
        let make = || {
            let mut archive = Archive::new(1);
            archive.file("x", 0o644, b"1").unwrap();
            archive.aligned_file("root", 0o444, &[7; 4096], 4096).unwrap();
            archive.finish().unwrap()
        };
        let bytes = make();
        assert!(bytes[4096..8192].iter().all(|byte| *byte == 7));
        assert_eq!(bytes, make());
    }

    #[test]
    fn absolute_names_are_refused() {
        assert!(Archive::new(0).file("/init", 0o755, b"").is_err());
    }
}
