//! Firmware RAID whose metadata md can take over but this version does not read: named, so that nobody overlooks it.

use super::super::{Assembled, Member};
use crate::problem::{Place, Problem, ProblemKind};
use std::collections::BTreeMap;

/// Signatures by their distance from the end in bytes: DDF's anchor header, Intel's anchor block.
const SIGNATURES: [(u64, &[u8], &str); 4] = [
    (512, &[0xde, 0x11, 0xde, 0x11], "DDF"),
    (1024, b"Intel Raid ISM Cfg Sig. ", "Intel Matrix (IMSM)"),
    (8192, b"Intel Raid ISM Cfg Sig. ", "Intel Matrix (IMSM)"),
    (4096, &[0xde, 0x11, 0xde, 0x11], "DDF"),
];

/// One unreadable volume for each kind of firmware RAID found.
pub(super) fn name(members: &[Member]) -> Vec<Assembled> {
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for member in members {
        let kind = SIGNATURES.iter().find_map(|(away, signature, kind)| {
            let at = member.source.size_bytes().checked_sub(*away)?;
            let raw = member.source.bytes_at(at, signature.len()).ok()?;
            (raw == *signature).then_some(*kind)
        });
        if let Some(kind) = kind {
            found.entry(kind).or_default().push(member.name.clone());
        }
    }
    found
        .into_iter()
        .map(|(kind, members)| Assembled {
            name: kind.to_owned(),
            uuid: None,
            description: format!("firmware RAID {kind}, {} members", members.len()),
            source: None,
            members,
            problems: vec![Problem::new(
                ProblemKind::Unsupported,
                Place::Source,
                format!("firmware RAID {kind} is not supported"),
            )],
        })
        .collect()
}
