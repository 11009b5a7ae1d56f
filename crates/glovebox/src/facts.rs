//! Facts of the machine and its firmware, read from the kernel's files and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use procfs::Current;
use serde::Serialize;

use crate::clock::{self, Offset};
use crate::identity;

/// The machine, its firmware and this session.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// SMBIOS strings by their kernel names (`product_name`, `board_serial`, …).
    pub(crate) smbios: BTreeMap<String, String>,
    /// `uefi` or `bios`.
    pub(crate) firmware: &'static str,
    /// What the firmware's variables say, if it has any.
    pub(crate) secure_boot: Option<SecureBoot>,
    /// `1.2`, `2`, or `None` if the kernel sees no TPM.
    pub(crate) tpm: Option<String>,
    /// First processor and number of processors.
    pub(crate) processor: String,
    /// Memory in bytes.
    pub(crate) memory_bytes: u64,
    /// The machine's own clock, in its own words.
    pub(crate) hardware_clock: Option<String>,
    /// The system's clock.
    pub(crate) system_clock: String,
    /// Its error, if the examiner gave the true time.
    pub(crate) clock_offset: Option<Offset>,
    /// The running kernel.
    pub(crate) kernel: String,
    /// The line it was started with.
    pub(crate) kernel_line: String,
    /// How that differs from what the stick was built with; empty on a desk.
    pub(crate) kernel_line_changes: Vec<String>,
    /// Id of the stick's contents.
    pub(crate) image_id: Option<String>,
}

/// The state of Secure Boot, from the firmware's variables (UEFI 2.10, section 3.3).
#[derive(Debug, Serialize)]
pub(crate) struct SecureBoot {
    /// The firmware checks signatures.
    pub(crate) enabled: Option<bool>,
    /// The firmware takes new keys without a signature.
    pub(crate) setup_mode: Option<bool>,
    /// The revocation level the boot loader shim keeps. Booting any shim, ours too, may raise it:
    /// the one thing in the machine that a boot of the stick can change.
    pub(crate) sbat_level: Option<String>,
}

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

/// Reads everything; what is not there stays empty.
pub(crate) fn machine() -> Machine {
    let kernel_line = text("/proc/cmdline").unwrap_or_default();
    let stick = identity::stick();
    let processors = procfs::CpuInfo::current().ok();
    Machine {
        smbios: smbios(),
        firmware: if Path::new("/sys/firmware/efi").exists() { "uefi" } else { "bios" },
        secure_boot: secure_boot(),
        tpm: text("/sys/class/tpm/tpm0/tpm_version_major")
            .map(|major| if major == "1" { "1.2".to_owned() } else { major }),
        processor: processors.as_ref().map_or_else(String::new, |cpus| {
            let model = cpus.model_name(0).unwrap_or("unknown");
            format!("{} x {model}", cpus.num_cores())
        }),
        memory_bytes: procfs::Meminfo::current().map_or(0, |memory| memory.mem_total),
        hardware_clock: hardware_clock(),
        system_clock: clock::now().to_string(),
        clock_offset: clock::offset(),
        kernel: text("/proc/sys/kernel/osrelease").unwrap_or_default(),
        kernel_line_changes: stick
            .as_ref()
            .map(|stick| identity::kernel_line_changes(stick, &kernel_line))
            .unwrap_or_default(),
        kernel_line,
        image_id: stick.as_ref().and_then(|stick| identity::field(stick, "image_id")),
    }
}

fn smbios() -> BTreeMap<String, String> {
    let names = [
        "sys_vendor",
        "product_name",
        "product_version",
        "product_serial",
        "product_uuid",
        "board_vendor",
        "board_name",
        "board_serial",
        "chassis_type",
        "chassis_serial",
        "bios_vendor",
        "bios_version",
        "bios_date",
    ];
    names
        .iter()
        .filter_map(|name| {
            let value = text(&format!("/sys/class/dmi/id/{name}"))?;
            (!value.is_empty()).then(|| ((*name).to_owned(), value))
        })
        .collect()
}

fn secure_boot() -> Option<SecureBoot> {
    let folder = Path::new("/sys/firmware/efi/efivars");
    let flag = |name: &str| Some(variable(folder, name, GLOBAL)?.first()? == &1);
    Path::new("/sys/firmware/efi").exists().then(|| SecureBoot {
        enabled: flag("SecureBoot"),
        setup_mode: flag("SetupMode"),
        sbat_level: variable(folder, "SbatLevelRT", SHIM)
            .map(|bytes| clean(&bytes).replace('\n', " ").trim().to_owned()),
    })
}

/// The content of a firmware variable: four bytes of attributes come first in the file.
fn variable(folder: &Path, name: &str, vendor: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(folder.join(format!("{name}-{vendor}"))).ok()?;
    bytes.get(4..).map(<[u8]>::to_vec)
}

/// The kernel's name for this start of the machine.
pub(crate) fn boot_id() -> Option<String> {
    text("/proc/sys/kernel/random/boot_id")
}

fn hardware_clock() -> Option<String> {
    let date = text("/sys/class/rtc/rtc0/date")?;
    let time = text("/sys/class/rtc/rtc0/time")?;
    Some(format!("{date}T{time}Z"))
}

fn text(path: &str) -> Option<String> {
    Some(clean(&fs::read(path).ok()?).trim().to_owned())
}

/// Firmware chooses these texts; nothing of them may steer a terminal.
fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|one| *one == '\n' || !one.is_control()).collect()
}
