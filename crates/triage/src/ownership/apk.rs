//! Alpine: one text file. It records modes only where they are unusual; files in `/etc` are configuration by custom.

use super::{Claim, Ownership, Rights, text};
use crate::parse::apk;
use crate::root::Root;
use hashing::Algorithm;

pub(super) fn read(root: &Root<'_>) -> Option<Ownership> {
    let raw = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"]
        .iter()
        .find_map(|path| text(root, path.as_bytes()))?;
    let mut out = Ownership::new("apk", Algorithm::Sha1);
    for package in apk::parse(&raw) {
        let claims = package.files.into_iter().map(|file| {
            let is_config = file.path.starts_with(b"/etc/");
            let rights = Rights { mode: file.mode.unwrap_or(0o755), has_capabilities: false };
            // The digest of a link is that of its target's name; links are never compared.
            Claim { path: file.path, digest: file.sha1, is_config, rights: Some(rights) }
        });
        out.add(root, package.name, package.version, claims);
    }
    Some(out)
}
