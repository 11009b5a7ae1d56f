//! Loads kernel modules from the sealed root, and only from there, by what a device says it wants.
//!
//! Reads the text files `depmod` writes (`modules.dep`, `modules.alias`, `modules.softdep`, see
//! depmod(8)) and hands the `.ko.xz` files to the kernel as they are (`finit_module(2)`,
//! `MODULE_INIT_COMPRESSED_FILE`), so the bytes loaded are the bytes the vendor signed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// `MODULE_INIT_COMPRESSED_FILE` of `linux/module.h`.
const COMPRESSED_FILE: i32 = 4;

/// The sealed list of modules and what is loaded of it.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    folder: PathBuf,
    /// Module name to path and the paths it depends on (nearest first), below the folder.
    files: BTreeMap<String, (String, Vec<String>)>,
    /// Alias patterns by the part before the first colon.
    aliases: BTreeMap<String, Vec<(String, String)>>,
    /// Modules to load before another one.
    before: BTreeMap<String, Vec<String>>,
    loaded: BTreeSet<String>,
    seen: BTreeSet<String>,
}

impl Modules {
    /// Reads the lists in `folder` (`/sealed/lib/modules/<release>`).
    pub(crate) fn read(folder: &Path) -> std::io::Result<Self> {
        let mut modules = Self { folder: folder.to_owned(), ..Self::default() };
        modules.add_dependencies(&fs::read_to_string(folder.join("modules.dep"))?);
        modules.add_aliases(&fs::read_to_string(folder.join("modules.alias"))?);
        let soft = fs::read_to_string(folder.join("modules.softdep")).unwrap_or_default();
        modules.add_soft_dependencies(&soft);
        Ok(modules)
    }

    /// How many modules the sealed list holds.
    pub(crate) fn count(&self) -> usize {
        self.files.len()
    }

    /// True if the sealed list holds a module of this name.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.files.contains_key(&normal(name))
    }

    fn add_dependencies(&mut self, text: &str) {
        for line in text.lines() {
            if let Some((path, needs)) = line.split_once(':') {
                let needs = needs.split_ascii_whitespace().map(str::to_owned).collect();
                self.files.insert(name_of(path), (path.to_owned(), needs));
            }
        }
    }

    fn add_aliases(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            if words.next() == Some("alias")
                && let (Some(pattern), Some(module)) = (words.next(), words.next())
            {
                self.aliases
                    .entry(bus_of(pattern).to_owned())
                    .or_default()
                    .push((pattern.to_owned(), normal(module)));
            }
        }
    }

    fn add_soft_dependencies(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            if words.next() != Some("softdep") {
                continue;
            }
            let Some(module) = words.next() else { continue };
            let before = words
                .skip_while(|word| *word != "pre:")
                .skip(1)
                .take_while(|word| *word != "post:")
                .map(normal)
                .collect();
            self.before.insert(normal(module), before);
        }
    }

    /// Names of the modules whose alias fits, sorted, each once.
    pub(crate) fn wanted(&self, modalias: &str) -> Vec<String> {
        let fitting: BTreeSet<&String> = [bus_of(modalias), "*"]
            .iter()
            .filter_map(|bus| self.aliases.get(*bus))
            .flatten()
            .filter(|(pattern, _)| fits(pattern.as_bytes(), modalias.as_bytes()))
            .map(|(_, module)| module)
            .collect();
        fitting.into_iter().cloned().collect()
    }

    /// Loads what a device wants. Returns the problems; a device nothing fits is none.
    pub(crate) fn load_for(&mut self, modalias: &str) -> Vec<String> {
        if !self.seen.insert(modalias.to_owned()) {
            return Vec::new();
        }
        self.wanted(modalias).iter().filter_map(|name| self.load(name).err()).collect()
    }

    /// Loads one module of the sealed list with what it needs, dependencies first.
    pub(crate) fn load(&mut self, name: &str) -> Result<(), String> {
        let name = normal(name);
        if self.loaded.contains(&name) {
            return Ok(());
        }
        let Some((path, needs)) = self.files.get(&name).cloned() else {
            return Err(format!("module {name} is not on the sealed list"));
        };
        // Marked first: a circle in soft dependencies must end.
        self.loaded.insert(name.clone());
        for soft in self.before.get(&name).cloned().unwrap_or_default() {
            if self.files.contains_key(&soft) {
                let _optional = self.load(&soft);
            }
        }
        for need in needs.iter().rev() {
            let inner = name_of(need);
            if self.loaded.insert(inner.clone()) {
                insert(&self.folder.join(need))
                    .map_err(|problem| format!("loading module {inner} for {name}: {problem}"))?;
            }
        }
        insert(&self.folder.join(&path))
            .map_err(|problem| format!("loading module {name}: {problem}"))
    }
}

/// Hands one module file to the kernel; one that is there already is fine.
pub(crate) fn insert(path: &Path) -> std::io::Result<()> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let packed = path.extension().is_some_and(|ending| ending == "xz" || ending == "zst");
    match rustix::system::finit_module(&file, c"", if packed { COMPRESSED_FILE } else { 0 }) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // The driver looked and found no device of its own: not a fault.
        Err(Errno::NODEV) => Ok(()),
        Err(problem) => Err(problem.into()),
    }
}

fn bus_of(alias: &str) -> &str {
    let bus = alias.split(':').next().unwrap_or(alias);
    if bus.contains(['*', '?', '[']) { "*" } else { bus }
}

fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// `kernel/drivers/ata/ahci.ko.xz` is the module `ahci`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split(".ko").next().unwrap_or(file))
}

/// Shell-pattern match as in fnmatch(3): `*`, `?` and `[…]` with ranges and `!`.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match pattern.split_first() {
            Some((b'*', rest)) => {
                retry = Some((rest, text));
                pattern = rest;
                continue;
            }
            Some((first, rest)) => text.split_first().and_then(|(byte, after)| match first {
                b'?' => Some((rest, after)),
                b'[' => class(rest, *byte).map(|rest| (rest, after)),
                _ => (first == byte).then_some((rest, after)),
            }),
            None if text.is_empty() => return true,
            None => None,
        };
        match (step, retry) {
            (Some((rest, after)), _) => (pattern, text) = (rest, after),
            (None, Some((rest, from))) => match from.split_first() {
                Some((_, shorter)) => {
                    retry = Some((rest, shorter));
                    (pattern, text) = (rest, shorter);
                }
                None => return false,
            },
            (None, None) => return false,
        }
    }
}

/// Matches one byte against a class; gives the pattern behind it if it fits.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let close = pattern.iter().position(|one| *one == b']')?;
    let (members, rest) = (pattern.get(..close)?, pattern.get(close..)?.get(1..)?);
    let (members, wanted) = match members.split_first() {
        Some((b'!' | b'^', others)) => (others, false),
        _ => (members, true),
    };
    let mut found = false;
    let mut left = members;
    while let Some((first, others)) = left.split_first() {
        if let [b'-', last, more @ ..] = others {
            found |= (*first..=*last).contains(&byte);
            left = more;
        } else {
            found |= *first == byte;
            left = others;
        }
    }
    (found == wanted).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Modules {
        let mut modules = Modules::default();
        modules.add_dependencies(
            "kernel/drivers/ata/ahci.ko.xz: kernel/drivers/ata/libahci.ko.xz \
             kernel/drivers/ata/libata.ko.xz\nkernel/drivers/ata/libahci.ko.xz:\n\
             kernel/drivers/usb/storage/usb-storage.ko.xz:\n",
        );
        modules.add_aliases(
            "# Aliases\nalias pci:v*d*sv*sd*bc01sc06i01* ahci\n\
             alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb-storage\n\
             alias scsi:t-0x00* sd_mod\nalias cpu:type:x86,ven*fam*mod*:feature:*0081* aesni\n",
        );
        modules.add_soft_dependencies("softdep libcrc32c pre: crc32c\nsoftdep uas post: x\n");
        modules
    }

    #[test]
    fn devices_find_their_drivers() {
        let modules = sample();
        let ahci = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
        assert_eq!(modules.wanted(ahci), ["ahci"]);
        let stick = "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00";
        assert_eq!(modules.wanted(stick), ["usb_storage"]);
        assert_eq!(modules.wanted("scsi:t-0x00"), ["sd_mod"]);
        assert!(modules.wanted("pci:v00008086d00002922sv0sd0bc02sc06i01").is_empty());
        assert_eq!(modules.before["libcrc32c"], ["crc32c"]);
        assert!(modules.before["uas"].is_empty());
        assert!(modules.holds("usb-storage"));
    }

    #[test]
    fn what_is_not_on_the_list_is_refused() {
        let problem = sample().load("dm-mod").unwrap_err();
        assert!(problem.contains("not on the sealed list"), "{problem}");
    }

    /// The C library's fnmatch vouches for ours: same verdicts on the same pairs.
    #[test]
    fn patterns_match_as_in_fnmatch() {
        let pairs: [(&str, &str, bool); 14] = [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("v[0-9A-F]x", "vBx", true),
            ("v[0-9A-F]x", "vGx", false),
            ("v[!0-9]x", "vGx", true),
            ("v[!0-9]x", "v3x", false),
            ("*a*b*c*", "xxaxxbxxc", true),
            ("*a*b*c*", "xxaxxcxxb", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("d[0", "d0", false),
        ];
        for (pattern, text, expected) in pairs {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_name_does_not_take_forever() {
        let pattern = "*a".repeat(40);
        let text = "a".repeat(4000) + "b";
        assert!(!fits(pattern.as_bytes(), text.as_bytes()));
    }
}
