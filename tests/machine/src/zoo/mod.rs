//! The zoo: disks that ordinary systems alter just by looking at them.
//!
//! Each recipe says why it is in the zoo and how an independent tool of the host sees that the
//! disk really is in the dangerous state. All are made in one run of the workshop guest, which
//! ends by a power cut while everything is mounted.

pub mod bad;
mod file_systems;
mod volumes;

use crate::disk::{Bus, Disk};
use crate::error::{Doing, Result, machine};
use crate::workshop::Workshop;
use crate::{cache, digest, process};
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// How to make one or more disks of the zoo.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Name of the first disk; a second one has `-2` at its end.
    pub name: &'static str,
    /// Why it is in the zoo.
    pub reason: &'static str,
    /// Size in bytes of each disk.
    pub sizes: &'static [u64],
    /// Lines for the workshop's shell; `$D` and `$E` are the disks, `$M` an empty folder.
    pub script: &'static str,
    /// Host tool with arguments; the path of each disk is appended in turn.
    pub check: &'static [&'static str],
    /// What the tool must say about each disk.
    pub says: &'static str,
}

/// All recipes, in the order they are made (Btrfs last: a later `sync` would empty its log).
#[must_use]
pub fn recipes() -> Vec<Recipe> {
    [volumes::RECIPES, file_systems::RECIPES].concat()
}

/// Names of the disks of one recipe.
fn names(recipe: &Recipe) -> Vec<String> {
    (1..=recipe.sizes.len())
        .map(|n| if n == 1 { recipe.name.to_owned() } else { format!("{}-{n}", recipe.name) })
        .collect()
}

/// Names of all disks of the zoo, in order.
#[must_use]
pub fn disk_names() -> Vec<String> {
    recipes().iter().flat_map(names).collect()
}

/// The folder with all disks of the zoo (`NAME.img`), made when it is not there.
///
/// # Errors
/// [`crate::Error::Machine`] when the workshop fails, or a disk did not become as dirty as it must.
pub fn folder() -> Result<PathBuf> {
    let key = format!("{:?}", recipes());
    cache::folder("zoo", &key, |folder| {
        let mut disks = Vec::new();
        for recipe in recipes() {
            for (name, size) in names(&recipe).iter().zip(recipe.sizes) {
                let file = folder.join(format!("{name}.img"));
                digest::sparse(&file, *size)?;
                disks.push(Disk::new(name, &file, Bus::VirtioBlk));
            }
        }
        let log = folder.join("log");
        let mut workshop = Workshop::start(&log, &disks)?;
        for recipe in recipes() {
            let names = names(&recipe);
            let second = names.get(1).map_or("none", String::as_str);
            let set = format!(
                "D=$(disk {}); E=$(disk {}); M=/mnt/{}; mkdir -p $M; echo $D $E",
                recipe.name.to_uppercase(),
                second.to_uppercase(),
                recipe.name
            );
            workshop.run(&set)?;
            workshop.run(recipe.script)?;
        }
        workshop.cut()?;
        file_systems::plant_hibernation(&folder.join("swap-hibernated.img"))?;
        recipes().iter().try_for_each(|recipe| check(recipe, folder))
    })
}

/// Asks the host's tool whether each disk is as it should be.
fn check(recipe: &Recipe, folder: &Path) -> Result<()> {
    let Some((tool, arguments)) = recipe.check.split_first() else { return Ok(()) };
    for name in names(recipe) {
        let file = folder.join(format!("{name}.img"));
        let path = file.to_string_lossy().into_owned();
        let arguments: Vec<&str> = arguments.iter().copied().chain([path.as_str()]).collect();
        let said = process::run(tool, &arguments)?;
        if !said.contains(recipe.says) {
            return machine(format!(
                "zoo disk {name} is not as it must be: {tool} does not say {:?} but {said}",
                recipe.says
            ));
        }
    }
    Ok(())
}

/// Copies every disk of the zoo into `folder` and attaches the copies to `bus`.
///
/// # Errors
/// As [`folder`], and when a copy fails.
pub fn attach(into: &Path, bus: Bus) -> Result<Vec<Disk>> {
    let from = folder()?;
    std::fs::create_dir_all(into).doing("creating", into)?;
    disk_names()
        .iter()
        .map(|name| {
            let file = into.join(format!("{name}.img"));
            digest::copy(&from.join(format!("{name}.img")), &file)?;
            Ok(Disk::new(name, file, bus))
        })
        .collect()
}
