//! Boot images, member by member: what runs before the disk is mounted.
//!
//! An image is made on the system from packaged files. A program or module in it must be, byte for byte, a file that some
//! installed package brings; the few scripts that are written while it is made are named here. Data that cannot run is
//! counted, not compared.

use evidence::fs::glob;
use evidence::initramfs::{self, Bytes, Member};
use evidence::{FileSystem, Place, Problem, ProblemKind, escape_bytes};
use hashing::{Algorithm, Algorithms};

use crate::examination::{Deviation, Examination, Rule};
use crate::report::Severity;

const STRANGER: Rule = Rule {
    id: "GBV-0701",
    title: "A boot image holds a program that no package brings",
    severity: Severity::Critical,
};

/// Written by `mkinitramfs` and its hooks while the image is made (initramfs-tools, `mkinitramfs` and `hook-functions`).
const MADE: [&str; 6] = [
    "scripts/*/ORDER",
    "conf/**",
    "etc/**",
    "run/**",
    "usr/lib/modules/*/modules.*",
    "lib/modules/*/modules.*",
];

struct File<'a> {
    fs: &'a dyn FileSystem,
    node: u64,
    size_bytes: u64,
}

impl Bytes for File<'_> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&self, offset_bytes: u64, buf: &mut [u8]) -> usize {
        self.fs.read_at(self.node, offset_bytes, buf).unwrap_or(0)
    }
}

pub(crate) fn apply(examination: &mut Examination<'_>) {
    let images: Vec<(Vec<u8>, u64, u64)> = examination
        .inventory
        .entries
        .iter()
        .filter(|(path, metadata)| {
            metadata.kind == evidence::fs::FileKind::File
                && metadata.size_bytes > 0
                && ["/boot/initrd*", "/boot/initramfs*", "/boot/*/initrd*"]
                    .iter()
                    .any(|pattern| glob::matches(pattern.as_bytes(), path))
        })
        .map(|(path, metadata)| (path.clone(), metadata.node, metadata.size_bytes))
        .collect();
    for (path, node, size_bytes) in images {
        let file = File { fs: examination.inventory.fs, node, size_bytes };
        let (mut members, mut data) = (0_usize, 0_usize);
        let mut strangers = Vec::new();
        let result = initramfs::for_each(&file, &mut |member| {
            members = members.saturating_add(1);
            if !acts(&member) {
                data = data.saturating_add(1);
            } else if !is_brought(examination, &member) {
                strangers.push((member.name.clone(), member.content.len()));
            }
        });
        if let Err(text) = result {
            let text = format!("the boot image cannot be read whole: {text}");
            let place = Place::Path(path.as_slice().into());
            examination.inventory.problem(Problem::new(ProblemKind::Corrupt, place, text));
        }
        for (name, length) in strangers {
            let found = format!("{}, {length} bytes", escape_bytes(&name));
            examination.tell(&STRANGER, Deviation::at(&path).instead("a packaged file", found));
        }
        examination.coverage.boot_members =
            examination.coverage.boot_members.saturating_add(members);
        for _ in 0..data {
            examination.not_judged("data and links in boot images");
        }
    }
}

/// Regular files that are run or loaded.
fn acts(member: &Member) -> bool {
    let is_file = member.mode & 0o170_000 == 0o100_000;
    let is_code = member.mode & 0o111 != 0
        || member.content.starts_with(b"\x7fELF")
        || member.content.starts_with(b"#!")
        || member.name.windows(3).any(|part| part == b".ko");
    is_file && is_code && !member.content.is_empty()
}

fn is_brought(examination: &Examination<'_>, member: &Member) -> bool {
    let digests = hashing::digest_bytes(&member.content, &Algorithms::sha256());
    let is_packaged = digests
        .of(Algorithm::Sha256)
        .is_some_and(|digest| examination.claims.digests.contains(digest.as_bytes()));
    let is_made = !member.content.starts_with(b"\x7fELF")
        && MADE.iter().any(|pattern| glob::matches(pattern.as_bytes(), &member.name))
        && member.mode & 0o111 == 0;
    // The lists of scripts hold lines that run scripts of the image; only such lines.
    let is_order = glob::matches(b"scripts/*/ORDER", &member.name) && is_order(&member.content);
    is_packaged || is_made || is_order
}

/// Lines of an `ORDER` file: run a script of the image, then read the settings it left (`mkinitramfs`, `run_scripts`).
fn is_order(content: &[u8]) -> bool {
    content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).all(|line| {
        let script = line.strip_suffix(b" \"$@\"").unwrap_or(line);
        line.is_empty()
            || line == b"[ -e /conf/param.conf ] && . /conf/param.conf"
            || (script.starts_with(b"/scripts/")
                && script.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(byte)))
    })
}
