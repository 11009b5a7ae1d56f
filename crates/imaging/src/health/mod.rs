//! What a drive says of itself before and after it is read: who it is, how it fares, and whether it hides a part of itself.
//!
//! The questions are those of `guard::question`, none of which alters anything; what comes back is taken apart here, as
//! hostile bytes. A drive that lies is believed in nothing that matters: what was imaged is what was read, and this is a
//! record beside it. A hidden area is never opened: that would change the drive (SET MAX ADDRESS), and is for the examiner
//! to decide and to do with the maker's tool.

mod ata;
mod bytes;
mod change;
mod nvme;
mod scsi;

pub use change::{Change, Weight, changes};

use guard::{Disk, Question, Reply};
use serde::{Deserialize, Serialize};

/// Who a drive says it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Vendor; SCSI alone has one.
    pub vendor: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Serial number: behind a bridge that of the drive, not of the bridge.
    pub serial: Option<String>,
    /// Firmware revision.
    pub firmware: Option<String>,
    /// World-wide name, as `naa.` or `eui.` and digits.
    pub wwn: Option<String>,
}

/// How large a drive is, by every account it gives. In its own sectors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Length of a sector in bytes.
    pub sector_bytes: Option<u32>,
    /// What can be addressed now, as the drive says.
    pub drive_sectors: Option<u64>,
    /// What can be addressed now, as the kernel says: what is imaged.
    pub kernel_sectors: Option<u64>,
    /// READ NATIVE MAX ADDRESS: without the host protected area.
    pub native_sectors: Option<u64>,
    /// DEVICE CONFIGURATION IDENTIFY: as it came from the factory.
    pub factory_sectors: Option<u64>,
    /// GET NATIVE MAX ADDRESS EXT: without an accessible maximum set.
    pub accessible_sectors: Option<u64>,
    /// NVMe: capacity that no namespace has.
    pub unallocated_bytes: Option<u64>,
}

/// What hides a part of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HiddenBy {
    /// Host protected area: SET MAX ADDRESS.
    HostProtectedArea,
    /// Device configuration overlay.
    ConfigurationOverlay,
    /// Accessible max address configuration.
    AccessibleMaximum,
    /// The kernel sees less than the drive offers: a bridge or the kernel keeps a part back.
    BridgeOrKernel,
}

impl HiddenBy {
    /// Its name, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::HostProtectedArea => "host protected area (HPA)",
            Self::ConfigurationOverlay => "device configuration overlay (DCO)",
            Self::AccessibleMaximum => "accessible max address (AMA)",
            Self::BridgeOrKernel => "the bridge or the kernel shows less than the drive has",
        }
    }
}

/// A part of a drive that cannot be read as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// By what.
    pub by: HiddenBy,
    /// Its first sector.
    pub first_sector: u64,
    /// How many.
    pub sectors: u64,
    /// The same in bytes.
    pub bytes: u64,
}

/// How worn solid state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wear {
    /// Percent of the life the maker gives it; over 100 is possible.
    pub percent_used: u64,
}

/// How a drive fares, by its own account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smart {
    /// Whether it watches itself at all.
    pub is_supported: Option<bool>,
    /// Whether that is switched on; it is never switched on here.
    pub is_enabled: Option<bool>,
    /// The drive's own verdict; `false` predicts a failure.
    pub is_passed: Option<bool>,
    /// NVMe: the bits of the critical warning, if any is set.
    pub critical_warning: Option<u64>,
    /// Attributes at or below the maker's threshold.
    pub below_threshold: Vec<u8>,
    /// Hours powered on.
    pub power_on_hours: Option<u64>,
    /// How often it was switched on.
    pub power_cycles: Option<u64>,
    /// Degrees Celsius.
    pub temperature_celsius: Option<i64>,
    /// Sectors replaced by spare ones.
    pub reallocated_sectors: Option<u64>,
    /// Sectors that could not be read and wait for a write.
    pub pending_sectors: Option<u64>,
    /// Sectors found unreadable by the drive's own scan.
    pub offline_uncorrectable: Option<u64>,
    /// Errors it could not put right and told the host of.
    pub reported_uncorrectable: Option<u64>,
    /// Wear of solid state.
    pub wear: Option<Wear>,
    /// Sectors written by hosts, ever: that this stands still is the drive's own word that nobody wrote.
    pub host_sectors_written: Option<u64>,
    /// Write commands of hosts, ever (NVMe).
    pub host_write_commands: Option<u64>,
}

/// A question without a useful answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unanswered {
    /// Which.
    pub question: Question,
    /// Why, in words.
    pub why: String,
}

/// All that a drive told, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Who it is.
    pub identity: Identity,
    /// How large it is.
    pub capacity: Capacity,
    /// What of it is hidden; empty also where nothing could be asked.
    pub hidden: Vec<Hidden>,
    /// ATA security: whether it is locked, and nothing of it can be read.
    pub security_locked: Option<bool>,
    /// How it fares.
    pub smart: Smart,
    /// What does not fit together in its answers.
    pub problems: Vec<String>,
    /// What it did not answer.
    pub unanswered: Vec<Unanswered>,
}

/// What a drive was asked and what it answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// Taken apart.
    pub health: Health,
    /// As it came, for those who know more than this program.
    pub replies: Vec<Reply>,
}

impl Health {
    /// Whether the drive answered anything.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.identity != Identity::default() || self.capacity.drive_sectors.is_some()
    }

    /// Noted once, however often it is seen.
    fn problem(&mut self, text: &str) {
        if !self.problems.iter().any(|known| known == text) {
            self.problems.push(text.to_owned());
        }
    }

    /// What an examiner must be told, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut all: Vec<String> = self.hidden.iter().map(hidden_words).collect();
        if let Some(bytes) = self.capacity.unallocated_bytes {
            all.push(format!(
                "{bytes} bytes of the drive belong to no namespace and cannot be read"
            ));
        }
        if self.security_locked == Some(true) {
            all.push(
                "the drive is locked by a password (ATA security): its sectors cannot be read"
                    .into(),
            );
        }
        if self.smart.is_passed == Some(false) {
            all.push(
                "the drive predicts its own failure (SMART): image it before anything else".into(),
            );
        }
        if !self.smart.below_threshold.is_empty() {
            let numbers: Vec<String> =
                self.smart.below_threshold.iter().map(ToString::to_string).collect();
            all.push(format!("SMART attributes at their threshold: {}", numbers.join(", ")));
        }
        all.extend(self.problems.iter().cloned());
        all
    }
}

fn hidden_words(hidden: &Hidden) -> String {
    format!(
        "{} sectors ({} bytes) from sector {} on are hidden: {}; they are NOT read here: making them visible \
         changes the drive, and is done with the maker's tool or hdparm on a permit",
        hidden.sectors,
        hidden.bytes,
        hidden.first_sector,
        hidden.by.words()
    )
}

/// Asks a drive everything it can be asked on its bus.
///
/// A disk of a bus without such questions (virtio, cards) is asked nothing; one that does not answer in time, or may not be
/// asked, is not asked any further.
pub fn examine(disk: &Disk, ask: &mut dyn FnMut(Question) -> Reply) -> Examination {
    let mut asker = Asker { ask, found: Examination::default(), is_over: false };
    let name = disk.name.as_str();
    match disk.bus.as_str() {
        "nvme" => asker.nvme(),
        "ata" | "usb" | "scsi" | "virtio-scsi" if name.starts_with("sd") => asker.scsi(disk),
        "ata" | "usb" | "scsi" | "virtio-scsi" if name.starts_with("sr") => {
            asker.put(Question::ScsiInquiry, scsi::inquiry);
        }
        _ => {}
    }
    let Examination { mut health, replies } = asker.found;
    find_hidden(disk, &mut health);
    Examination { health, replies }
}

struct Asker<'a> {
    ask: &'a mut dyn FnMut(Question) -> Reply,
    found: Examination,
    /// It did not answer in time, or may not be asked.
    is_over: bool,
}

impl Asker<'_> {
    /// Asks, and gives the answer to `take` if it is one.
    fn put(&mut self, question: Question, take: impl FnOnce(&[u8], &mut Health)) -> bool {
        let Some(reply) = self.reply(question) else { return false };
        let why = match &reply.failure {
            Some(failure) => Some(failure.clone()),
            None if reply.host_status != 0 => Some("the drive did not answer".to_owned()),
            None if reply.status != 0 => Some(format!("declined with status {:#x}", reply.status)),
            None if reply.data.is_empty() => Some("an empty answer".to_owned()),
            None => None,
        };
        let is_answer = why.is_none();
        match why {
            Some(why) => self.unanswered(question, why),
            None => take(&reply.data, &mut self.found.health),
        }
        self.found.replies.push(reply);
        is_answer
    }

    /// Asks for registers, which come in sense data.
    fn registers<T>(
        &mut self,
        question: Question,
        take: impl FnOnce(ata::Registers) -> Option<T>,
    ) -> Option<T> {
        let reply = self.reply(question)?;
        let found = ata::Registers::of(&reply.sense).and_then(take);
        if found.is_none() {
            let why = reply.failure.clone();
            self.unanswered(question, why.unwrap_or_else(|| "declined".to_owned()));
        }
        self.found.replies.push(reply);
        found
    }

    fn reply(&mut self, question: Question) -> Option<Reply> {
        if self.is_over {
            return None;
        }
        let reply = (self.ask)(question);
        let is_first = self.found.replies.is_empty();
        // 1 and 3 are `DID_NO_CONNECT` and `DID_TIME_OUT`: asking on would only cost time.
        self.is_over = matches!(reply.host_status, 1 | 3) || is_first && reply.failure.is_some();
        Some(reply)
    }

    fn unanswered(&mut self, question: Question, why: String) {
        self.found.health.unanswered.push(Unanswered { question, why });
    }

    fn nvme(&mut self) {
        self.put(Question::NvmeController, nvme::controller);
        self.put(Question::NvmeNamespace, nvme::namespace);
        self.put(Question::NvmeHealth, nvme::health);
    }

    fn scsi(&mut self, disk: &Disk) {
        self.put(Question::ScsiInquiry, scsi::inquiry);
        // Sticks have been seen to hang on pages they do not know: the kernel does not ask them for any either.
        if disk.bus == "usb" && disk.removable {
            self.put(Question::ScsiCapacity, |data, health| scsi::capacity(data, 4, health));
            return;
        }
        let mut pages = Vec::new();
        self.put(Question::ScsiPages, |data, _| pages = scsi::pages(data).to_vec());
        let is_there = |page: u8| pages.contains(&page);
        if is_there(0x80) {
            self.put(Question::ScsiSerial, |data, health| {
                health.identity.serial = scsi::serial(data);
            });
        }
        if is_there(0x83) {
            self.put(Question::ScsiNames, |data, health| health.identity.wwn = scsi::name(data));
        }
        let is_long =
            self.put(Question::ScsiLongCapacity, |data, health| scsi::capacity(data, 8, health));
        if !is_long {
            self.put(Question::ScsiCapacity, |data, health| scsi::capacity(data, 4, health));
        }
        let is_translated = is_there(0x89)
            && self.put(Question::ScsiAtaInformation, |data, health| {
                // A first look only: the drive itself is asked next, and is believed before the translator.
                let _features =
                    scsi::ata_information(data).and_then(|data| ata::identify(data, health));
            });
        if disk.bus == "ata" || is_translated {
            self.ata(disk);
        } else if disk.bus == "scsi" {
            self.scsi_logs();
        }
    }

    fn scsi_logs(&mut self) {
        self.put(Question::ScsiExceptions, scsi::exceptions);
        self.put(Question::ScsiTemperature, |data, health| {
            let smart = &mut health.smart;
            smart.temperature_celsius = scsi::temperature(data).or(smart.temperature_celsius);
        });
        self.put(Question::ScsiBackgroundScan, |data, health| {
            health.smart.power_on_hours = scsi::hours(data);
        });
        self.put(Question::ScsiReadErrors, |data, health| {
            health.smart.reported_uncorrectable = scsi::uncorrected(data);
        });
    }

    fn ata(&mut self, disk: &Disk) {
        let mut features = None;
        self.put(Question::AtaIdentify, |data, health| features = ata::identify(data, health));
        let Some(features) = features else { return };
        // An overlay can take away the very bit that says there is a protected area: on its own bus a drive is asked anyway.
        if features.host_protected_area || disk.bus == "ata" {
            let native = if features.is_long {
                self.registers(Question::AtaLongNativeMax, ata::Registers::sectors_of_48)
            } else {
                self.registers(Question::AtaNativeMax, ata::Registers::sectors_of_28)
            };
            self.found.health.capacity.native_sectors = native;
        }
        if features.configuration_overlay {
            self.put(Question::AtaFactoryConfiguration, |data, health| {
                health.capacity.factory_sectors = ata::factory_sectors(data, health);
            });
        }
        if features.accessible_max {
            let question = Question::AtaAccessibleNativeMax;
            let sectors = self.registers(question, ata::Registers::sectors_of_48);
            self.found.health.capacity.accessible_sectors = sectors;
        }
        if features.logs {
            self.statistics();
        }
        if features.smart {
            self.smart();
        }
    }

    fn statistics(&mut self) {
        let mut pages = Vec::new();
        self.put(Question::AtaStatistics, |data, _| pages = ata::statistics_pages(data).to_vec());
        for (page, question) in [
            (0x01, Question::AtaGeneralStatistics),
            (0x03, Question::AtaRotatingStatistics),
            (0x04, Question::AtaErrorStatistics),
            (0x05, Question::AtaTemperatureStatistics),
            (0x07, Question::AtaSolidStateStatistics),
        ] {
            if pages.contains(&page) {
                self.put(question, |data, health| ata::statistics(page, data, health));
            }
        }
    }

    fn smart(&mut self) {
        let passed = self.registers(Question::AtaSmartStatus, ata::Registers::smart_passed);
        self.found.health.smart.is_passed = passed;
        let mut attributes = Vec::new();
        self.put(Question::AtaSmartData, |data, health| {
            ata::smart_data(data, health);
            attributes = data.to_vec();
        });
        self.put(Question::AtaSmartThresholds, |data, health| {
            health.smart.below_threshold = ata::below_threshold(&attributes, data);
        });
    }
}

/// Compares what the drive has with what can be read of it.
fn find_hidden(disk: &Disk, health: &mut Health) {
    let sector_bytes = u64::from(health.capacity.sector_bytes.unwrap_or(disk.logical_block_bytes));
    let capacity = &mut health.capacity;
    capacity.kernel_sectors =
        disk.size_bytes.checked_div(sector_bytes).filter(|sectors| *sectors > 0);
    let mut hidden = Vec::new();
    let mut note = |by: HiddenBy, seen: Option<u64>, all: Option<u64>| {
        if let (Some(seen), Some(all)) = (seen, all)
            && let Some(sectors) = all.checked_sub(seen).filter(|sectors| *sectors > 0)
        {
            let bytes = sectors.saturating_mul(sector_bytes);
            hidden.push(Hidden { by, first_sector: seen, sectors, bytes });
        }
    };
    let drive = capacity.drive_sectors;
    note(HiddenBy::BridgeOrKernel, capacity.kernel_sectors, drive);
    note(HiddenBy::HostProtectedArea, drive, capacity.native_sectors);
    note(HiddenBy::AccessibleMaximum, drive, capacity.accessible_sectors);
    // What the overlay took away lies behind even the protected area.
    let native = capacity.native_sectors.or(drive);
    note(HiddenBy::ConfigurationOverlay, native, capacity.factory_sectors);
    health.hidden = hidden;
    if let (Some(seen), Some(drive)) = (health.capacity.kernel_sectors, drive)
        && seen > drive
    {
        let text = format!("the kernel sees {seen} sectors, the drive says it has {drive}");
        health.problem(&text);
    }
}
