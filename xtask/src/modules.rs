//! Chooses the kernel modules of the image by path patterns and closes the set over dependencies.
//!
//! `depmod` runs once over all modules of the kernel package; its text tables are then cut down to
//! the chosen set, which is what init reads. What must never be there is asserted afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use crate::config::ModuleRules;
use crate::debs::Debs;
use crate::{cache, files, glob};

/// The tables of depmod for every module of the kernel package.
pub(crate) struct Tables {
    /// Module path (`kernel/…/x.ko.xz`) and the paths it needs, all of them, nearest first.
    needs: BTreeMap<String, Vec<String>>,
    alias: String,
    softdep: String,
}

/// The chosen modules, and what was left out against the wish of an include pattern.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Selection {
    pub(crate) modules: BTreeSet<String>,
    /// Paths in loading order: dependencies first.
    pub(crate) early: Vec<String>,
    /// Dropped module and the excluded module it needs.
    pub(crate) dropped: Vec<(String, String)>,
}

/// Runs the pinned depmod over the kernel package, or takes what it gave last time.
pub(crate) fn tables(debs: &Debs) -> Result<Tables> {
    let (root, release) = debs.kernel()?;
    let source = root.join("usr/lib/modules").join(&release);
    let digest = |name: &str| {
        let mut packages = debs.lock().package.iter();
        packages.find(|package| package.name == name).map_or("", |package| package.sha256.as_str())
    };
    let kernel = format!("linux-image-{release}");
    let key = files::sha256(format!("{} {}", digest(&kernel), digest("kmod")).as_bytes());
    let kept = cache::folder("depmod")?.join(&key[..16]);
    let _alone = cache::lock("depmod")?;
    if !kept.is_dir() {
        let work = tempfile::tempdir_in(cache::folder("depmod")?)?;
        let modules = work.path().join("lib/modules").join(&release);
        files::make_folder(&modules)?;
        std::os::unix::fs::symlink(source.join("kernel"), modules.join("kernel"))?;
        for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
            files::write(&modules.join(name), &files::read(&source.join(name))?, 0o644)?;
        }
        let sh = Shell::new()?;
        debs.tool(&sh, "usr/sbin/depmod")?
            .arg("-b")
            .arg(work.path())
            .arg(&release)
            .run()
            .context("reading the dependencies of the kernel's modules")?;
        std::fs::rename(&modules, &kept).with_context(|| format!("keeping {}", kept.display()))?;
    }
    Tables::parse(
        &files::read_text(&kept.join("modules.dep"))?,
        files::read_text(&kept.join("modules.alias"))?,
        files::read_text(&kept.join("modules.softdep"))?,
    )
}

impl Tables {
    fn parse(dep: &str, alias: String, softdep: String) -> Result<Self> {
        let mut needs = BTreeMap::new();
        for line in dep.lines() {
            let (module, list) =
                line.split_once(':').with_context(|| format!("understanding {line:?}"))?;
            needs.insert(module.to_owned(), list.split_whitespace().map(str::to_owned).collect());
        }
        ensure!(!needs.is_empty(), "depmod found no module");
        Ok(Self { needs, alias, softdep })
    }

    /// Applies the rules.
    pub(crate) fn select(&self, rules: &ModuleRules) -> Result<Selection> {
        let excluded = |module: &str| glob::any(&rules.exclude, short(module));
        let mut selection = Selection::default();
        for (module, needs) in &self.needs {
            if !glob::any(&rules.include, short(module)) || excluded(module) {
                continue;
            }
            if let Some(unwanted) = needs.iter().find(|need| excluded(need)) {
                selection.dropped.push((module.clone(), unwanted.clone()));
                continue;
            }
            selection.modules.insert(module.clone());
            selection.modules.extend(needs.iter().cloned());
        }
        for pattern in &rules.include {
            // A pattern that matches nothing is a slip, or a module that went away.
            ensure!(
                self.needs.keys().any(|module| glob::matches(pattern, short(module))),
                "module pattern {pattern:?} matches nothing in this kernel"
            );
        }
        for module in &selection.modules {
            if glob::any(&rules.forbid, short(module)) {
                bail!("module {module} is forbidden in the image but was selected");
            }
        }
        for name in &rules.early {
            let module = self.by_name(name)?;
            for need in self.loading_order(module)? {
                if !selection.early.contains(&need) {
                    selection.early.push(need);
                }
            }
        }
        if let Some(missing) = selection.early.iter().find(|m| !selection.modules.contains(*m)) {
            bail!("early module {missing} is not selected");
        }
        Ok(selection)
    }

    fn by_name(&self, name: &str) -> Result<&String> {
        self.needs
            .keys()
            .find(|module| module_name(module) == name)
            .with_context(|| format!("looking for module {name}"))
    }

    /// A module's needs, then the module. depmod lists the nearest need first, so that the last must
    /// be loaded first.
    fn loading_order(&self, module: &str) -> Result<Vec<String>> {
        let needs = self.needs.get(module).with_context(|| format!("looking for {module}"))?;
        Ok(needs.iter().rev().cloned().chain([module.to_owned()]).collect())
    }

    /// `modules.dep`, `modules.alias` and `modules.softdep` of the chosen modules alone.
    pub(crate) fn cut(&self, selection: &Selection) -> [(&'static str, String); 3] {
        let names: BTreeSet<String> = selection.modules.iter().map(|m| module_name(m)).collect();
        let chosen =
            |name: Option<&str>| name.is_some_and(|name| names.contains(&underscored(name)));
        let keep = |text: &str, column: fn(&str) -> Option<&str>| -> String {
            text.lines()
                .filter(|line| chosen(column(line)))
                .map(|line| format!("{line}\n"))
                .collect()
        };
        let dep = self
            .needs
            .iter()
            .filter(|(module, _)| selection.modules.contains(*module))
            .map(|(module, needs)| {
                let list: String = needs.iter().map(|need| format!(" {need}")).collect();
                format!("{module}:{list}\n")
            })
            .collect();
        [
            ("modules.alias", keep(&self.alias, |line| line.split_whitespace().last())),
            ("modules.dep", dep),
            ("modules.softdep", keep(&self.softdep, |line| line.split_whitespace().nth(1))),
        ]
    }
}

/// Files of the module tree in the sealed root: name below it and where its bytes are, or the bytes.
pub(crate) fn source_folder(debs: &Debs) -> Result<PathBuf> {
    let (root, release) = debs.kernel()?;
    Ok(root.join("usr/lib/modules").join(release))
}

/// The path patterns are written against: no `kernel/`, no suffix.
fn short(module: &str) -> &str {
    let path = module.strip_prefix("kernel/").unwrap_or(module);
    path.split_once(".ko").map_or(path, |(path, _)| path)
}

/// The name the kernel knows a module by.
fn module_name(module: &str) -> String {
    let file = Path::new(short(module)).file_name().and_then(|name| name.to_str());
    underscored(file.unwrap_or_default())
}

fn underscored(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/fs/erofs/erofs.ko.xz: kernel/fs/netfs/netfs.ko.xz kernel/lib/crc.ko.xz
kernel/fs/netfs/netfs.ko.xz: kernel/lib/crc.ko.xz
kernel/lib/crc.ko.xz:
kernel/lib/crc-generic.ko.xz:
kernel/drivers/md/dm-mod.ko.xz:
kernel/drivers/ata/ahci.ko.xz:
kernel/drivers/ata/odd.ko.xz: kernel/drivers/md/dm-mod.ko.xz
";

    fn tables() -> Tables {
        let alias = "alias pci:v1* ahci\nalias x dm_mod\nalias crc crc_generic\n".to_owned();
        Tables::parse(DEP, alias, "softdep crc pre: crc-generic post: x\n".to_owned()).unwrap()
    }

    fn rules(include: &[&str], exclude: &[&str], forbid: &[&str]) -> ModuleRules {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        ModuleRules {
            early: vec!["erofs".into()],
            include: own(include),
            exclude: own(exclude),
            forbid: own(forbid),
        }
    }

    #[test]
    fn needs_come_along_and_excluded_needs_drop_their_user() {
        let rules =
            rules(&["fs/erofs/**", "drivers/ata/**", "lib/crc-generic"], &["drivers/md/**"], &[]);
        let selection = tables().select(&rules).unwrap();
        assert!(selection.modules.contains("kernel/lib/crc.ko.xz"));
        assert!(selection.modules.contains("kernel/drivers/ata/ahci.ko.xz"));
        assert!(!selection.modules.contains("kernel/drivers/ata/odd.ko.xz"));
        assert_eq!(selection.dropped[0].1, "kernel/drivers/md/dm-mod.ko.xz");
    }

    #[test]
    fn early_modules_are_in_loading_order() {
        let mut rules = rules(&["fs/erofs/**", "lib/**"], &[], &[]);
        rules.early.insert(0, "crc_generic".into());
        let names: Vec<String> =
            tables().select(&rules).unwrap().early.iter().map(|m| module_name(m)).collect();
        assert_eq!(names, ["crc_generic", "crc", "netfs", "erofs"]);
    }

    #[test]
    fn a_forbidden_module_that_slipped_in_stops_the_build() {
        let rules = rules(&["fs/erofs/**", "lib/**", "drivers/ata/odd"], &[], &["**/dm-*"]);
        assert!(tables().select(&rules).unwrap_err().to_string().contains("dm-mod"));
    }

    #[test]
    fn a_pattern_without_a_match_is_refused() {
        let rules = rules(&["fs/erofs/**", "lib/**", "drivers/gone/**"], &[], &[]);
        assert!(tables().select(&rules).is_err());
    }

    #[test]
    fn tables_are_cut_to_the_selection() {
        let tables = tables();
        let rules = rules(&["fs/erofs/**", "lib/**", "drivers/ata/ahci"], &[], &[]);
        let selection = tables.select(&rules).unwrap();
        let [(_, alias), (_, dep), (_, softdep)] = tables.cut(&selection);
        assert_eq!(alias, "alias pci:v1* ahci\nalias crc crc_generic\n");
        assert!(dep.contains("erofs.ko.xz: kernel/fs/netfs/netfs.ko.xz kernel/lib/crc.ko.xz\n"));
        assert!(!dep.contains("dm-mod"));
        assert_eq!(softdep.lines().count(), 1);
    }
}
