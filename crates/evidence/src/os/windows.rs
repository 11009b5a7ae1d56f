//! An installed Windows, told from its registry: `SOFTWARE` for what it is, `SYSTEM` for the machine.

use super::InstalledSystem;
use crate::error::EvidenceError;
use crate::escape_bytes;
use crate::fs::{FileSystem, Node};
use crate::registry::{self, Hive, Key};
use crate::time::Time;
use crate::wide::filetime;
use serde::Serialize;

/// Longest text taken from the registry, in bytes as shown.
const MAX_TEXT_BYTES: usize = 512;
/// First build that is Windows 11, whose registry still says Windows 10.
const FIRST_BUILD_OF_11: u64 = 22_000;

/// What Windows keeps beyond what other systems do; every text is escaped and bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WindowsIdentity {
    /// `ProductName`, as stored: Windows 11 says Windows 10 here.
    pub product_name: Option<String>,
    /// `EditionID`.
    pub edition: Option<String>,
    /// `DisplayVersion` or `ReleaseId`, such as `22H2`.
    pub release: Option<String>,
    /// `CurrentBuildNumber` and the update build revision.
    pub build: Option<String>,
    /// When this version was installed.
    pub installed: Option<Time>,
    /// `RegisteredOwner`.
    pub registered_owner: Option<String>,
    /// `PROCESSOR_ARCHITECTURE`.
    pub architecture: Option<String>,
    /// The control set in use, such as `ControlSet001`.
    pub control_set: Option<String>,
    /// Minutes local time was behind UTC when it was last written (`ActiveTimeBias`).
    pub minutes_behind_utc: Option<i32>,
    /// What could not be read, and hives that were not written to their end.
    pub notes: Vec<String>,
}

/// Takes from a hive what it tells.
type Reader =
    fn(&Hive<'_>, &mut InstalledSystem, &mut WindowsIdentity) -> Result<(), EvidenceError>;

/// The Windows installed on `fs`, if it has the two hives or one of them.
pub(super) fn find(fs: &dyn FileSystem) -> Option<InstalledSystem> {
    let folder = ["Windows", "WINNT"].iter().find_map(|top| {
        let folder = below(fs, below(fs, below(fs, fs.root(), top)?, "System32")?, "config")?;
        (below(fs, folder, "SOFTWARE").is_some() || below(fs, folder, "SYSTEM").is_some())
            .then_some(folder)
    })?;
    let mut system = InstalledSystem { id: Some("windows".to_owned()), ..Default::default() };
    let mut windows = WindowsIdentity::default();
    let hives: [(&str, Reader); 2] = [("SOFTWARE", software), ("SYSTEM", machine)];
    for (name, read) in hives {
        let result = registry::open_in(fs, folder, name).and_then(|hive| match hive {
            Some(hive) => {
                windows.notes.extend(hive.problems().iter().map(|p| format!("{name}: {}", p.text)));
                read(&hive, &mut system, &mut windows)
            }
            None => Err(EvidenceError::corrupt("there is no such hive")),
        });
        if let Err(error) = result {
            windows.notes.push(format!("{name}: {error}"));
        }
    }
    if system.name.is_empty() {
        "Windows".clone_into(&mut system.name);
    }
    system.windows = Some(windows);
    Some(system)
}

/// The entry of a directory with this name, compared as Windows does.
fn below(fs: &dyn FileSystem, directory: Node, name: &str) -> Option<Node> {
    let entries = fs.read_dir(directory).ok()?.entries;
    let found = entries.iter().find(|e| e.name.0.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(found.node)
}

fn software(
    hive: &Hive<'_>,
    system: &mut InstalledSystem,
    windows: &mut WindowsIdentity,
) -> Result<(), EvidenceError> {
    system.machine_id =
        hive.key("Microsoft\\Cryptography")?.and_then(|key| text(&key, "MachineGuid"));
    let Some(key) = hive.key("Microsoft\\Windows NT\\CurrentVersion")? else {
        return Err(EvidenceError::corrupt("there is no key Windows NT\\CurrentVersion"));
    };
    windows.product_name = text(&key, "ProductName");
    windows.edition = text(&key, "EditionID");
    windows.release = text(&key, "DisplayVersion").or_else(|| text(&key, "ReleaseId"));
    windows.registered_owner = text(&key, "RegisteredOwner");
    let build = text(&key, "CurrentBuildNumber").or_else(|| text(&key, "CurrentBuild"));
    windows.build = match (&build, number(&key, "UBR")) {
        (Some(build), Some(revision)) => Some(format!("{build}.{revision}")),
        _ => build.clone(),
    };
    // The newer value counts as all other times of Windows do, the older one seconds since 1970.
    let seconds = number(&key, "InstallDate").and_then(|seconds| i64::try_from(seconds).ok());
    windows.installed = number(&key, "InstallTime")
        .and_then(filetime)
        .or_else(|| seconds.map(|seconds| Time { seconds, nanoseconds: 0 }));
    let version = match (
        number(&key, "CurrentMajorVersionNumber"),
        number(&key, "CurrentMinorVersionNumber"),
    ) {
        (Some(major), Some(minor)) => Some(format!("{major}.{minor}")),
        _ => text(&key, "CurrentVersion"),
    };
    system.version = match (version, &windows.build) {
        (Some(version), Some(build)) => Some(format!("{version}.{build}")),
        (version, _) => version,
    };
    let build = build.and_then(|build| build.parse::<u64>().ok()).unwrap_or(0);
    if let Some(product) = &windows.product_name {
        system.name = match product.strip_prefix("Windows 10") {
            Some(rest) if build >= FIRST_BUILD_OF_11 => format!("Windows 11{rest}"),
            _ => product.clone(),
        };
    }
    Ok(())
}

fn machine(
    hive: &Hive<'_>,
    system: &mut InstalledSystem,
    windows: &mut WindowsIdentity,
) -> Result<(), EvidenceError> {
    let current = hive.key("Select")?.and_then(|key| number(&key, "Current"));
    let Some(current) = current.filter(|number| (1..=999).contains(number)) else {
        return Err(EvidenceError::corrupt("no control set is marked as the current one"));
    };
    let set = format!("ControlSet{current:03}");
    windows.control_set = Some(set.clone());
    if hive.key(&format!("{set}\\Control"))?.is_none() {
        return Err(EvidenceError::corrupt(format!("there is no key {set}\\Control")));
    }
    let under = |path: &str| hive.key(&format!("{set}\\Control\\{path}")).ok().flatten();
    if let Some(key) = under("ComputerName\\ComputerName") {
        system.hostname = text(&key, "ComputerName");
    }
    if let Some(key) = under("TimeZoneInformation") {
        system.timezone = text(&key, "TimeZoneKeyName").or_else(|| text(&key, "StandardName"));
        // A signed number in a field that counts as unsigned.
        let bias = number(&key, "ActiveTimeBias").and_then(|bias| u32::try_from(bias).ok());
        windows.minutes_behind_utc = bias.map(|bias| i32::from_le_bytes(bias.to_le_bytes()));
    }
    if let Some(key) = under("Session Manager\\Environment") {
        windows.architecture = text(&key, "PROCESSOR_ARCHITECTURE");
    }
    Ok(())
}

fn text(key: &Key<'_>, name: &str) -> Option<String> {
    let found = key.value(name).ok()??.text().ok()??;
    let mut shown = escape_bytes(&found.0);
    if shown.len() > MAX_TEXT_BYTES {
        let end = (0..=MAX_TEXT_BYTES).rev().find(|end| shown.is_char_boundary(*end));
        shown.truncate(end.unwrap_or(0));
    }
    (!shown.is_empty()).then_some(shown)
}

fn number(key: &Key<'_>, name: &str) -> Option<u64> {
    key.value(name).ok()??.number().ok()?
}
