//! Arch: a directory for each package; the mtree list has digests and modes, `files` names what is configuration.

use super::{Claim, Ownership, Rights, text};
use crate::parse::pacman;
use crate::root::Root;
use hashing::Algorithm;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn read(root: &Root<'_>) -> Option<Ownership> {
    let descriptions = root.matching("/var/lib/pacman/local/*/desc");
    if descriptions.is_empty() {
        return None;
    }
    let mut out = Ownership::new("pacman", Algorithm::Sha256);
    for item in descriptions {
        let folder = item.path.strip_suffix(b"desc").unwrap_or(item.path);
        let beside =
            |name: &str| text(root, &[folder, name.as_bytes()].concat()).unwrap_or_default();
        let desc = beside("desc");
        let one = |name: &str| pacman::section(&desc, name).into_iter().next().unwrap_or_default();
        let files = beside("files");
        let backup: BTreeSet<Vec<u8>> = pacman::section(&files, "BACKUP")
            .iter()
            .filter_map(|line| line.split(|byte| *byte == b'\t').next())
            .map(|path| [b"/", path].concat())
            .collect();
        let mut claims: BTreeMap<Vec<u8>, Claim> = BTreeMap::new();
        for path in pacman::section(&files, "FILES") {
            let path = [b"/", path.strip_suffix(b"/").unwrap_or(&path)].concat();
            let claim = Claim { path: path.clone(), digest: None, is_config: false, rights: None };
            claims.insert(path, claim);
        }
        for object in pacman::parse_mtree(&pacman::unpack(&beside("mtree"))) {
            let is_config = backup.contains(&object.path);
            let rights = Rights { mode: object.mode, has_capabilities: false };
            let rights = object.is_file.then_some(rights);
            let claim =
                Claim { path: object.path.clone(), digest: object.sha256, is_config, rights };
            claims.insert(object.path, claim);
        }
        let own = ["desc", "files", "mtree", "install"].map(|name| Claim {
            path: [folder, name.as_bytes()].concat(),
            digest: None,
            is_config: false,
            rights: None,
        });
        out.add(root, one("NAME"), one("VERSION"), claims.into_values().chain(own));
    }
    Some(out)
}
