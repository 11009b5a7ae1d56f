//! What an image says of itself: written into the initrd, the sealed root and the output folder.
//!
//! The image id is a digest over everything that goes into the image, before the id itself is put in.
//! Disk and partition GUIDs and volume ids derive from it, so that equal contents give equal bytes and
//! different images never share an id.

use anyhow::Result;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The identity of one image.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Lower-case hexadecimal SHA-256.
    pub(crate) image_id: String,
    pub(crate) epoch_s: u32,
    pub(crate) disk_guid: String,
    pub(crate) kernel_release: String,
    /// The default kernel command line; what really was used is in `/proc/cmdline`.
    pub(crate) kernel_line: String,
    pub(crate) kernel_sha256: String,
    /// Absent in the copy inside the sealed root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) root_sha256: Option<String>,
}

impl Identity {
    /// A GUID for one purpose, derived from the image id.
    pub(crate) fn guid(&self, purpose: &str) -> Uuid {
        guid(&self.image_id, purpose)
    }

    /// The identity as it is written to a file.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// A version-8 UUID (RFC 9562: content free to choose) from a digest.
pub(crate) fn guid(image_id: &str, purpose: &str) -> Uuid {
    let digest = Sha256::digest(format!("{purpose} {image_id}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}

/// Collects what the image id covers.
#[derive(Default)]
pub(crate) struct Contents(Sha256);

impl Contents {
    /// Adds one named thing.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        let digest = Sha256::digest(bytes);
        self.0.update((name.len() as u64).to_le_bytes());
        self.0.update(name);
        self.0.update(digest);
    }

    /// The image id.
    pub(crate) fn image_id(self) -> String {
        crate::files::hex(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_names_and_contents() {
        let id = |name: &str, bytes: &[u8]| {
            let mut contents = Contents::default();
            contents.add(name, bytes);
            contents.image_id()
        };
        assert_eq!(id("a", b"b"), id("a", b"b"));
        assert_ne!(id("a", b"b"), id("ab", b""));
        let guids = (guid("x", "disk"), guid("x", "esp"));
        assert_ne!(guids.0, guids.1);
        assert_eq!(guids.0.get_version_num(), 8);
    }
}
