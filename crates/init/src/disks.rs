//! The broker's table of disks: locked at first sight, opened for reading, unlocked by name.
//!
//! The order matters: a flag set after something opened the disk is worthless, so the lock is the
//! first thing that happens to a disk, from its device event, before any tool can ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use guard::{Counters, Disk, DiskName, Layer, LayerState, LockState, Mount, Unlock, inventory};
use rustix::fs::{Mode, OFlags, chmod, open};
use sandbox::Opener;
use sys::block::{self, Access};

use crate::hardening;
use crate::knockout;
use crate::log::{self, Problems};
use crate::media;
use crate::modules::Modules;

const SYS: &str = "/sys";

#[derive(Debug)]
struct Entry {
    lock: LockState,
    at_lock: Counters,
    identity: String,
    exhibit_source: bool,
    mounts: Vec<Mount>,
    problems: Vec<String>,
}

/// All disks seen and still attached.
#[derive(Debug, Default)]
pub(crate) struct Disks {
    entries: BTreeMap<DiskName, Entry>,
    /// Sources of exhibits by model, serial and size: a disk pulled and put back stays one.
    sources: BTreeSet<String>,
    /// Opens what leaves the broker; `None` where it could not start or is left out by a test.
    opener: Option<Opener>,
}

impl Disks {
    /// No disks yet; the opener is started. Its layer is told with it.
    pub(crate) fn start(problems: &mut Problems) -> (Self, Layer) {
        let mut layer = hardening::layer("sealed-descriptor", true, String::new());
        let mut opener = None;
        if knockout::Layer::Descriptor.knocked_out() {
            layer.state = LayerState::KnockedOut;
            layer.detail = "left out by the test image".to_owned();
        } else {
            match Opener::start() {
                Ok(started) => {
                    opener = Some(started);
                    layer.detail = "a disk's descriptor refuses every device request".to_owned();
                }
                Err(problem) => {
                    problems.add(&problem);
                    layer.state = LayerState::Failed;
                    layer.detail = problem;
                }
            }
        }
        (Self { opener, ..Self::default() }, layer)
    }

    /// A disk appeared (or changed): locks it before anything else happens to it.
    pub(crate) fn appeared(&mut self, name: &DiskName, problems: &mut Problems) {
        if !inventory::is_disk(name.as_str()) {
            return;
        }
        if let Some(entry) = self.entries.get(name)
            && entry.lock == LockState::Unlocked
        {
            return;
        }
        let result = lock(name);
        let Some(disk) = inventory::disk(Path::new(SYS), name.clone()) else { return };
        let identity = identity(&disk);
        let known = self.entries.contains_key(name);
        let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry {
            lock: LockState::Locked,
            at_lock: disk.counters,
            exhibit_source: false,
            identity: identity.clone(),
            mounts: Vec::new(),
            problems: Vec::new(),
        });
        entry.exhibit_source |= self.sources.contains(&identity);
        match result {
            Ok(()) => entry.lock = LockState::Locked,
            Err(problem) => {
                entry.lock = LockState::Failed;
                entry.problems.push(problem.clone());
                problems.add(format_args!("{name}: {problem}; it is handed to nobody"));
            }
        }
        if !known {
            log::line(&format!(
                "{name} {} [{} {}] {} bytes on {}",
                entry.lock, disk.model, disk.serial, disk.size_bytes, disk.bus
            ));
        }
    }

    /// A disk went away; what was mounted from it is let go.
    pub(crate) fn disappeared(&mut self, name: &DiskName, problems: &mut Problems) {
        let Some(entry) = self.entries.remove(name) else { return };
        for mount in &entry.mounts {
            media::let_go(mount);
        }
        if entry.mounts.is_empty() {
            log::line(&format!("{name} was removed"));
        } else {
            problems.add(format_args!("{name} was removed while it was unlocked and mounted"));
        }
    }

    /// The disk as it is now, with the broker's own knowledge.
    pub(crate) fn view(&self, name: &DiskName) -> Option<Disk> {
        let entry = self.entries.get(name)?;
        let mut disk = inventory::disk(Path::new(SYS), name.clone())?;
        disk.lock = entry.lock;
        if entry.lock == LockState::Locked && !disk.kernel_read_only && !flag_left_out() {
            // Somebody or something took the flag away behind our back.
            disk.lock = LockState::Failed;
            disk.problems.push("the kernel's read-only flag is off although it was set".into());
        }
        disk.exhibit_source = entry.exhibit_source;
        disk.counters_at_lock = entry.at_lock;
        disk.mounts.clone_from(&entry.mounts);
        disk.problems.extend(entry.problems.iter().cloned());
        Some(disk)
    }

    /// All disks, in human order.
    pub(crate) fn all(&self) -> Vec<Disk> {
        let names = inventory::disks(Path::new(SYS)).unwrap_or_default();
        names.into_iter().filter_map(|disk| self.view(&disk.name)).collect()
    }

    /// A fresh descriptor for reading.
    pub(crate) fn open(&self, name: &DiskName) -> Result<(Disk, OwnedFd), String> {
        let disk = self.view(name).ok_or_else(|| format!("no disk {name} is attached"))?;
        if !disk.readable() {
            return Err(format!("{name} could not be locked and is handed to nobody"));
        }
        let opened = match &self.opener {
            Some(opener) => opener.open(&node(name)),
            None => open_for_reading(name),
        };
        let descriptor =
            opened.map_err(|problem| format!("opening {name} for reading: {problem}"))?;
        Ok((disk, descriptor))
    }

    /// A descriptor that takes device requests, for the broker alone: to ask the drive about itself.
    pub(crate) fn open_to_ask(&self, name: &DiskName) -> Result<OwnedFd, String> {
        let disk = self.view(name).ok_or_else(|| format!("no disk {name} is attached"))?;
        if !disk.readable() {
            return Err(format!("{name} could not be locked and is asked nothing"));
        }
        open_for_reading(name).map_err(|problem| format!("opening {name} to ask it: {problem}"))
    }

    /// Notes that the disk is the source of an exhibit.
    pub(crate) fn mark_source(&mut self, name: &DiskName) -> Result<Disk, String> {
        let entry =
            self.entries.get_mut(name).ok_or_else(|| format!("no disk {name} is attached"))?;
        if entry.lock == LockState::Unlocked {
            return Err(format!("{name} is unlocked; lock it before it becomes evidence"));
        }
        entry.exhibit_source = true;
        self.sources.insert(entry.identity.clone());
        self.view(name).ok_or_else(|| format!("{name} went away"))
    }

    /// Makes exactly this disk writable and mounts what is on it.
    pub(crate) fn unlock(
        &mut self,
        asked: &Unlock,
        modules: &mut Modules,
    ) -> Result<(Disk, Vec<Mount>), String> {
        let name = &asked.disk;
        let disk = self.view(name).ok_or_else(|| format!("no disk {name} is attached"))?;
        may_unlock(&disk, asked)?;
        let descriptor =
            open_for_reading(name).map_err(|problem| format!("opening {name}: {problem}"))?;
        block::set_access(&descriptor, Access::ReadWrite)
            .map_err(|problem| format!("unlocking {name}: {problem}"))?;
        let mounts = match media::mount_all(&disk, modules) {
            Ok(mounts) => mounts,
            Err(reason) => {
                let back = block::set_access(&descriptor, Access::ReadOnly);
                let back = back.map_or_else(|problem| format!(" ({problem})"), |()| String::new());
                return Err(format!("{reason}; {name} is locked again{back}"));
            }
        };
        if let Some(entry) = self.entries.get_mut(name) {
            entry.lock = LockState::Unlocked;
            entry.mounts.clone_from(&mounts);
        }
        log::line(&format!("{name} UNLOCKED [{} {}]", disk.model, disk.serial));
        let disk = self.view(name).ok_or_else(|| format!("{name} went away"))?;
        Ok((disk, mounts))
    }

    /// Unlocks a disk under the same conditions and opens it for writing, to clone onto; nothing of it is mounted. One that
    /// an interrupted clone left unlocked is opened again.
    pub(crate) fn target(&mut self, asked: &Unlock) -> Result<(Disk, OwnedFd), String> {
        let name = &asked.disk;
        let disk = self.view(name).ok_or_else(|| format!("no disk {name} is attached"))?;
        match disk.lock {
            LockState::Unlocked if disk.mounts.is_empty() => asked.names(&disk)?,
            _ => may_unlock(&disk, asked)?,
        }
        let to_unlock =
            open_for_reading(name).map_err(|problem| format!("opening {name}: {problem}"))?;
        block::set_access(&to_unlock, Access::ReadWrite)
            .map_err(|problem| format!("unlocking {name}: {problem}"))?;
        let path = node(name);
        let opened = match &self.opener {
            Some(opener) => opener.open_target(&path),
            None => open(&path, sandbox::TARGET, Mode::empty()),
        };
        let descriptor = match opened {
            Ok(descriptor) => descriptor,
            Err(problem) => {
                lock(name)?;
                return Err(format!("opening {name} for writing: {problem}; it is locked again"));
            }
        };
        if let Some(entry) = self.entries.get_mut(name) {
            entry.lock = LockState::Unlocked;
        }
        log::line(&format!("{name} UNLOCKED for a clone [{} {}]", disk.model, disk.serial));
        let disk = self.view(name).ok_or_else(|| format!("{name} went away"))?;
        Ok((disk, descriptor))
    }

    /// Unmounts and locks a disk again.
    pub(crate) fn lock(&mut self, name: &DiskName) -> Result<Disk, String> {
        let entry =
            self.entries.get_mut(name).ok_or_else(|| format!("no disk {name} is attached"))?;
        while let Some(mount) = entry.mounts.last() {
            media::unmount(mount)?;
            entry.mounts.pop();
        }
        lock(name)?;
        if entry.lock != LockState::Locked {
            log::line(&format!("{name} locked"));
            // What was written while the disk was unlocked was written by permit; what comes now
            // is not.
            if let Some(counters) = inventory::counters(Path::new(SYS), name) {
                entry.at_lock = counters;
            }
        }
        entry.lock = LockState::Locked;
        self.view(name).ok_or_else(|| format!("{name} went away"))
    }

    /// Locks everything for power-off; what cannot be unmounted is flushed and left.
    pub(crate) fn close(&mut self) {
        let names: Vec<DiskName> = self.entries.keys().cloned().collect();
        for name in names {
            let mounted = self.entries.get(&name).is_some_and(|entry| !entry.mounts.is_empty());
            if mounted && let Err(problem) = self.lock(&name) {
                log::line(&format!("locking {name} before power-off: {problem}"));
            }
        }
    }

    /// One line per disk on what the kernel counted, for the end of the session.
    pub(crate) fn account(&self) -> Vec<String> {
        self.all()
            .iter()
            .map(|disk| {
                format!(
                    "{} [{} {}] {}: {} writes, {} discards",
                    disk.name,
                    disk.model,
                    disk.serial,
                    disk.lock,
                    disk.counters.writes,
                    disk.counters.discards
                )
            })
            .collect()
    }

    /// How many disks are locked, and how many there are.
    pub(crate) fn locked_of(&self) -> (usize, usize) {
        let locked = self.entries.values().filter(|entry| entry.lock == LockState::Locked).count();
        (locked, self.entries.len())
    }

    /// How many locks failed.
    pub(crate) fn failed(&self) -> usize {
        self.entries.values().filter(|entry| entry.lock == LockState::Failed).count()
    }
}

fn flag_left_out() -> bool {
    knockout::Layer::DiskLock.knocked_out()
}

fn identity(disk: &Disk) -> String {
    format!("{}\n{}\n{}", disk.model, disk.serial, disk.size_bytes)
}

/// The rules of unlocking, apart from the doing.
fn may_unlock(disk: &Disk, asked: &Unlock) -> Result<(), String> {
    let name = &disk.name;
    if disk.exhibit_source {
        return Err(format!("{name} is the source of an exhibit and stays locked"));
    }
    match disk.lock {
        LockState::Locked => {}
        LockState::Unlocked => return Err(format!("{name} is unlocked already")),
        LockState::Failed | LockState::Unguarded => {
            return Err(format!("{name} is not under the broker's lock"));
        }
    }
    asked.names(disk)
}

fn open_for_reading(name: &DiskName) -> rustix::io::Result<OwnedFd> {
    // NONBLOCK lets an optical drive without a disc be opened and locked too.
    open(node(name), OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

fn node(name: &DiskName) -> PathBuf {
    Path::new("/dev").join(name.as_str().replace('!', "/"))
}

/// Sets the lock and reads it back.
fn lock(name: &DiskName) -> Result<(), String> {
    let _mode = chmod(node(name), Mode::from_raw_mode(0o400));
    if flag_left_out() {
        return Ok(());
    }
    let descriptor = open_for_reading(name).map_err(|problem| format!("opening: {problem}"))?;
    block::set_access(&descriptor, Access::ReadOnly)
        .map_err(|problem| format!("setting the lock: {problem}"))?;
    match block::access(&descriptor) {
        Ok(Access::ReadOnly) => Ok(()),
        Ok(Access::ReadWrite) => Err("the lock did not read back as set".to_owned()),
        Err(problem) => Err(format!("reading the lock back: {problem}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Disk {
        serde_json::from_str(
            r#"{"name":"sdb","number":"8:16","bus":"usb","model":"Stick","serial":"",
            "wwn":null,"revision":null,"size_bytes":512,"logical_block_bytes":512,
            "physical_block_bytes":512,"removable":true,"rotational":false,
            "kernel_read_only":true,"lock":"locked","exhibit_source":false,
            "counters_at_lock":{"reads":0,"sectors_read":0,"writes":0,"sectors_written":0,
            "discards":0,"sectors_discarded":0,"flushes":0},
            "counters":{"reads":0,"sectors_read":0,"writes":0,"sectors_written":0,"discards":0,
            "sectors_discarded":0,"flushes":0},"partitions":[],"mounts":[],"problems":[]}"#,
        )
        .unwrap()
    }

    fn asked(model: &str, serial: &str) -> Unlock {
        Unlock { disk: "sdb".parse().unwrap(), model: model.into(), serial: serial.into() }
    }

    #[test]
    fn only_the_disk_that_was_named_is_unlocked() {
        assert!(may_unlock(&disk(), &asked("Stick", "none")).is_ok());
        assert!(may_unlock(&disk(), &asked("stick", "none")).is_err());
        assert!(may_unlock(&disk(), &asked("Stick", "")).is_err());
        let named = Disk { serial: "A1".into(), ..disk() };
        assert!(may_unlock(&named, &asked("Stick", "A1")).is_ok());
        assert!(may_unlock(&named, &asked("Stick", "A")).is_err());
    }

    #[test]
    fn evidence_and_broken_locks_are_never_unlocked() {
        let source = Disk { exhibit_source: true, ..disk() };
        assert!(may_unlock(&source, &asked("Stick", "none")).unwrap_err().contains("exhibit"));
        for lock in [LockState::Failed, LockState::Unguarded, LockState::Unlocked] {
            assert!(may_unlock(&Disk { lock, ..disk() }, &asked("Stick", "none")).is_err());
        }
    }
}
