//! What a disk starts outside every file system: the boot sector and the sectors between the table and the first partition.
//!
//! Judged against the loaders that the systems on the disk keep as files (`/boot/grub/i386-pc`, the loaders' packages).
//! Those are the suspect's own, so agreement proves little; bytes that none of them explains are told.

use crate::catalogue::Catalogue;
use crate::finding::{Activation, Confidence, Coverage, Finding, Report, Severity};
use evidence::fs::tree;
use evidence::partition::{Scheme, Table};
use evidence::{FileSystem, Place, Problem, ProblemKind, RawPath, Source, escape_bytes};
use hashing::Algorithms;

/// Code of a boot sector of an MBR: what lies before the disk's signature and the table.
const CODE_BYTES: usize = 440;
/// Bytes looked at between the table and the first partition; the usual gap has a mebibyte.
const GAP_BYTES: u64 = 64 << 20;
/// Largest second stage of GRUB, in bytes; it must fit below 512 KiB.
const CORE_BYTES: usize = 1 << 20;
/// Runs of bytes told.
const RUNS_TOLD: usize = 8;
const SECTOR: usize = 512;
/// Where GRUB keeps copies of what it wrote, and where packages of loaders deliver theirs.
const GRUB: &[&str] =
    &["/boot/grub/i386-pc", "/boot/grub2/i386-pc", "/grub/i386-pc", "/grub2/i386-pc"];
const LOADERS: &[&str] = &[
    "/usr/lib/grub/i386-pc/boot.img",
    "/usr/lib/syslinux/mbr/mbr.bin",
    "/usr/lib/syslinux/mbr/gptmbr.bin",
    "/usr/share/syslinux/mbr.bin",
    "/usr/share/syslinux/gptmbr.bin",
    "/usr/lib/EXTLINUX/mbr.bin",
    "/usr/lib/mbr/mbr.bin",
];

/// What the systems of a disk keep of their loaders.
#[derive(Clone, Debug, Default)]
pub struct Loaders {
    /// First stages: a path, and the sector.
    first: Vec<(String, Vec<u8>)>,
    /// Second stages of GRUB.
    second: Vec<(String, Vec<u8>)>,
}

impl Loaders {
    /// Adds what the system on `fs` keeps.
    pub fn add(&mut self, fs: &dyn FileSystem) {
        let read = |path: &str, most: usize| {
            let node = tree::resolve(fs, path.as_bytes(), tree::LastLink::Follow).ok()?;
            let (raw, _) = fs.read_head(node, most).ok()?;
            (!raw.is_empty()).then_some((path.to_owned(), raw))
        };
        for folder in GRUB {
            self.first.extend(read(&format!("{folder}/boot.img"), SECTOR));
            self.second.extend(read(&format!("{folder}/core.img"), CORE_BYTES));
        }
        self.first.extend(LOADERS.iter().filter_map(|path| read(path, SECTOR)));
    }
}

/// Judges the boot code of a disk. Never fails: what could not be read is in [`Report::problems`]. A source without a
/// partition table has no such code, and nothing is told of it.
#[must_use]
pub fn examine(source: &dyn Source, table: &Table, loaders: &Loaders) -> Report {
    let mut look = Look {
        source,
        loaders,
        catalogue: Catalogue::embedded(),
        report: Report {
            coverage: Coverage {
                file_system: "boot sector, and what lies in front of the first partition"
                    .to_owned(),
                package_database: "none".to_owned(),
                rules: 2,
                ..Coverage::default()
            },
            ..Report::default()
        },
    };
    if table.scheme != Scheme::None
        && let Some(sector) = look.read(0, SECTOR)
    {
        look.first(&sector);
        look.gap(table, &sector);
        look.boot_partition(table);
    }
    let mut report = look.report;
    report.findings.sort_by(|a, b| {
        (a.severity, &a.rule, a.offset_bytes).cmp(&(b.severity, &b.rule, b.offset_bytes))
    });
    report
}

struct Look<'a> {
    source: &'a dyn Source,
    loaders: &'a Loaders,
    catalogue: Catalogue,
    report: Report,
}

impl Look<'_> {
    fn read(&mut self, offset_bytes: u64, length: usize) -> Option<Vec<u8>> {
        match self.source.bytes_at(offset_bytes, length) {
            Ok(raw) => Some(raw),
            Err(error) => {
                let problem = Problem::new(ProblemKind::Io, Place::Source, error.to_string());
                self.report.problems.push(problem);
                None
            }
        }
    }

    /// The code in the first sector.
    fn first(&mut self, sector: &[u8]) {
        let Some(code) = sector.get(..CODE_BYTES) else { return };
        if is_empty(code) || self.loaders.first.iter().any(|(_, known)| is_first(code, known)) {
            return;
        }
        let claims = claim(code);
        let (severity, detail) = match (claims, self.loaders.first.is_empty()) {
            (Some(name), false) if name == "GRUB" && self.has_grub() => {
                let text = "it speaks as GRUB does, but is not the one the system keeps as a file";
                (Severity::High, text.to_owned())
            }
            (Some(name), _) => {
                (Severity::Info, format!("it speaks as {name} does; nothing to compare it with"))
            }
            (None, true) => (Severity::Info, "no system here keeps a loader to compare".to_owned()),
            (None, false) => {
                (Severity::Medium, "none of the loaders that the systems here keep".to_owned())
            }
        };
        let digest = hashing::digest_bytes(code, &Algorithms::sha256()).sha256_hex();
        let detail = format!("{detail}; SHA-256 of its first {CODE_BYTES} bytes: {digest}");
        self.tell("GBX-1208", severity, 0, code, detail);
    }

    fn has_grub(&self) -> bool {
        self.loaders.first.iter().any(|(_, known)| claim(known) == Some("GRUB"))
    }

    /// The sectors between the table and the first partition.
    fn gap(&mut self, table: &Table, sector: &[u8]) {
        let first = table.partitions.iter().filter(|one| one.length_bytes > 0);
        let Some(end) = first.map(|one| one.start_bytes).min() else { return };
        let inside = |gap: &&evidence::partition::Structure| gap.start_bytes < end;
        let begin = table
            .structures
            .iter()
            .filter(inside)
            .map(|one| one.start_bytes.saturating_add(one.length_bytes))
            .filter(|one| *one <= end)
            .max()
            .unwrap_or(512)
            .max(512);
        let length = end.saturating_sub(begin).min(GAP_BYTES);
        let Some(gap) = usize::try_from(length).ok().and_then(|length| self.read(begin, length))
        else {
            return;
        };
        // GRUB's first stage names the sector of the second.
        let named = sector.get(0x5c..0x64).and_then(<[u8]>::first_chunk::<8>);
        let named =
            named.map(|raw| u64::from_le_bytes(*raw)).filter(|_| claim(sector) == Some("GRUB"));
        let core =
            named.and_then(|sector| sector.checked_mul(512)).and_then(|at| at.checked_sub(begin));
        let core = core.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < gap.len());
        self.judge(&gap, begin, core);
    }

    /// The partition in which GRUB keeps its second stage on disks with a GPT.
    fn boot_partition(&mut self, table: &Table) {
        let found = table.partitions.iter().find(|one| one.kind_name == Some("BIOS boot")).cloned();
        let Some(partition) = found else { return };
        let length = partition.length_bytes.min(GAP_BYTES);
        let Some(raw) = usize::try_from(length)
            .ok()
            .and_then(|length| self.read(partition.start_bytes, length))
        else {
            return;
        };
        self.judge(&raw, partition.start_bytes, Some(0));
    }

    /// Judges bytes outside every file system; `core` is where GRUB's second stage should begin in them.
    fn judge(&mut self, raw: &[u8], begin: u64, core: Option<usize>) {
        let mut explained = 0..0;
        if let Some(at) = core {
            let there = raw.get(at..).unwrap_or(&[]);
            let same = self.loaders.second.iter().find(|(_, known)| is_second(there, known));
            if let Some((_, known)) = same {
                // Behind it GRUB writes at most as many sectors again, to mend itself with.
                let sectors = known.len().div_ceil(SECTOR);
                let length = sectors.saturating_mul(SECTOR).saturating_mul(2);
                explained = at..at.saturating_add(length);
            } else if !self.loaders.second.is_empty() && !is_empty(there) {
                let head = there.get(..SECTOR.min(there.len())).unwrap_or(&[]);
                let digest = hashing::digest_bytes(there, &Algorithms::sha256()).sha256_hex();
                let text = format!(
                    "GRUB's second stage is not the one the system keeps as {}; SHA-256 from there to the end of the gap: {digest}",
                    self.loaders.second.first().map_or("", |(path, _)| path)
                );
                let offset = begin.saturating_add(u64::try_from(at).unwrap_or(0));
                self.tell("GBX-1209", Severity::High, offset, head, text);
                return;
            } else {
                // Nothing to compare with: only what lies in front of it can be judged.
                explained = at..raw.len();
            }
        }
        for (from, to) in runs(raw, &explained).into_iter().take(RUNS_TOLD) {
            let bytes = raw.get(from..to).unwrap_or(&[]);
            let digest = hashing::digest_bytes(bytes, &Algorithms::sha256()).sha256_hex();
            let offset = begin.saturating_add(u64::try_from(from).unwrap_or(0));
            let text = format!("{} bytes; SHA-256 {digest}", bytes.len());
            let severity = if core.is_some() { Severity::Medium } else { Severity::Low };
            self.tell("GBX-1209", severity, offset, bytes, text);
        }
    }

    fn tell(
        &mut self,
        id: &str,
        severity: Severity,
        offset_bytes: u64,
        raw: &[u8],
        detail: String,
    ) {
        let Some(rule) = self.catalogue.rule(id) else { return };
        let excerpt = escape_bytes(raw.get(..32.min(raw.len())).unwrap_or(&[]));
        let digest = hashing::digest_bytes(raw, &Algorithms::sha256()).sha256_hex();
        let key = format!("{id}\0{offset_bytes}\0{digest}");
        let mut finding_id =
            hashing::digest_bytes(key.as_bytes(), &Algorithms::sha256()).sha256_hex();
        finding_id.truncate(16);
        self.report.findings.push(Finding {
            finding_id,
            rule: rule.id.clone(),
            rule_version: rule.version,
            title: rule.title.clone(),
            severity,
            confidence: if severity == Severity::High { Confidence::High } else { rule.confidence },
            mitre: rule.mitre.clone(),
            path: RawPath::from("(the disk)"),
            path_hex: None,
            inode: None,
            line: None,
            offset_bytes: usize::try_from(offset_bytes).ok(),
            rights: None,
            excerpt,
            detail,
            times: None,
            sha256: None,
            package: None,
            activation: Activation::Unknown,
            who_runs: Some("the firmware".to_owned()),
            when_runs: Some("at each start from this disk in BIOS mode".to_owned()),
            what_runs: None,
            why: rule.why.clone(),
            innocent_explanations: rule.innocent.clone(),
            verify_by_hand: rule.verify.clone(),
        });
    }
}

fn is_empty(raw: &[u8]) -> bool {
    raw.iter().all(|byte| *byte == 0) || raw.iter().all(|byte| *byte == 0xff)
}

/// What a boot sector says it is, by the words it would show on the screen.
fn claim(code: &[u8]) -> Option<&'static str> {
    let has = |word: &[u8]| crate::parse::contains(code, word);
    if has(b"GRUB ") && has(b"Geom") {
        Some("GRUB")
    } else if has(b"Missing operating system") || has(b"Invalid partition table") {
        Some("DOS or Windows")
    } else if has(b"SYSLINUX") || has(b"isolinux.bin missing") {
        Some("SYSLINUX")
    } else if has(b"LILO") {
        Some("LILO")
    } else {
        None
    }
}

/// Whether a boot sector is this first stage, apart from what its installation writes into it: the BIOS parameter block, the
/// sector of the second stage, the drive, and a test of the drive made idle (GRUB, `include/grub/i386/pc/boot.h`).
fn is_first(code: &[u8], known: &[u8]) -> bool {
    let is_grub = claim(known) == Some("GRUB");
    let is_free = |at: usize| is_grub && matches!(at, 0x03..=0x67);
    let length = known.len().min(CODE_BYTES);
    length >= 64
        && code
            .iter()
            .zip(known)
            .take(length)
            .enumerate()
            .all(|(at, (one, other))| one == other || is_free(at))
        && code.get(length..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0))
}

/// Whether a second stage of GRUB is this one, apart from what its installation writes into it: the list of its sectors at
/// the end of the first one, and the fields of the unpacker behind its beginning (`include/grub/offsets.h`).
fn is_second(there: &[u8], known: &[u8]) -> bool {
    let is_free = |at: usize| (0x1a0..0x200).contains(&at) || (0x210..0x220).contains(&at);
    known.len() > SECTOR
        && there.len() >= known.len()
        && there.iter().zip(known).enumerate().all(|(at, (one, other))| one == other || is_free(at))
}

/// Runs of sectors that are not empty, outside what is explained.
fn runs(raw: &[u8], explained: &std::ops::Range<usize>) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = Vec::new();
    for (index, sector) in raw.chunks(SECTOR).enumerate() {
        let from = index.saturating_mul(SECTOR);
        if is_empty(sector) || explained.contains(&from) {
            continue;
        }
        let to = from.saturating_add(sector.len());
        match out.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => out.push((from, to)),
        }
    }
    out
}
