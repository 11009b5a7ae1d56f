//! What a drive may be asked about itself: a closed list, each entry one command that reads and alters nothing.
//!
//! The asking side names a question, never a command. The command for it is made here, and [`permits`] judges each command
//! once more, by the standards' tables and not by how it was made, before it is sent. Nothing a drive answers is understood
//! here: the broker passes bytes on, and whoever asked takes them apart.
//!
//! After SPC-5, SBC-4 (SCSI), SAT-3 12.2.2.3 (ATA PASS-THROUGH), ACS-3 and, for what ACS-3 dropped (READ NATIVE MAX
//! ADDRESS, DEVICE CONFIGURATION IDENTIFY, SMART READ THRESHOLDS), ATA8-ACS and ATA/ATAPI-5; NVMe 1.4 section 5.

use serde::{Deserialize, Serialize};

/// One thing a drive can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// SCSI INQUIRY: vendor, product, revision.
    ScsiInquiry,
    /// Vital product data page 00h: which pages there are.
    ScsiPages,
    /// Page 80h: serial number.
    ScsiSerial,
    /// Page 83h: names that stay the same everywhere.
    ScsiNames,
    /// Page 89h: the ATA drive behind a translator (SAT-3 12.4.2).
    ScsiAtaInformation,
    /// READ CAPACITY (10).
    ScsiCapacity,
    /// READ CAPACITY (16).
    ScsiLongCapacity,
    /// LOG SENSE page 2Fh: informational exceptions, the drive's own verdict.
    ScsiExceptions,
    /// LOG SENSE page 0Dh: temperature.
    ScsiTemperature,
    /// LOG SENSE page 15h: background scan, with the time powered on.
    ScsiBackgroundScan,
    /// LOG SENSE page 03h: errors while reading.
    ScsiReadErrors,
    /// IDENTIFY DEVICE.
    AtaIdentify,
    /// READ NATIVE MAX ADDRESS, 28 bits.
    AtaNativeMax,
    /// READ NATIVE MAX ADDRESS EXT, 48 bits.
    AtaLongNativeMax,
    /// DEVICE CONFIGURATION IDENTIFY: what the factory gave.
    AtaFactoryConfiguration,
    /// GET NATIVE MAX ADDRESS EXT of Accessible Max Address Configuration.
    AtaAccessibleNativeMax,
    /// SMART READ DATA.
    AtaSmartData,
    /// SMART READ THRESHOLDS (obsolete, and still what attributes are judged by).
    AtaSmartThresholds,
    /// SMART RETURN STATUS.
    AtaSmartStatus,
    /// READ LOG EXT, device statistics: which pages there are.
    AtaStatistics,
    /// The same, page 01h: time powered on, sectors written.
    AtaGeneralStatistics,
    /// The same, page 03h: sectors reallocated.
    AtaRotatingStatistics,
    /// The same, page 04h: errors reported.
    AtaErrorStatistics,
    /// The same, page 05h: temperature.
    AtaTemperatureStatistics,
    /// The same, page 07h: how worn solid state is.
    AtaSolidStateStatistics,
    /// NVMe Identify of the controller.
    NvmeController,
    /// NVMe Identify of the namespace behind the disk.
    NvmeNamespace,
    /// NVMe log page 02h: SMART and health.
    NvmeHealth,
}

impl Question {
    /// Every question there is.
    pub const ALL: [Self; 28] = [
        Self::ScsiInquiry,
        Self::ScsiPages,
        Self::ScsiSerial,
        Self::ScsiNames,
        Self::ScsiAtaInformation,
        Self::ScsiCapacity,
        Self::ScsiLongCapacity,
        Self::ScsiExceptions,
        Self::ScsiTemperature,
        Self::ScsiBackgroundScan,
        Self::ScsiReadErrors,
        Self::AtaIdentify,
        Self::AtaNativeMax,
        Self::AtaLongNativeMax,
        Self::AtaFactoryConfiguration,
        Self::AtaAccessibleNativeMax,
        Self::AtaSmartData,
        Self::AtaSmartThresholds,
        Self::AtaSmartStatus,
        Self::AtaStatistics,
        Self::AtaGeneralStatistics,
        Self::AtaRotatingStatistics,
        Self::AtaErrorStatistics,
        Self::AtaTemperatureStatistics,
        Self::AtaSolidStateStatistics,
        Self::NvmeController,
        Self::NvmeNamespace,
        Self::NvmeHealth,
    ];

    /// The command that asks it, and how many bytes may come back.
    #[must_use]
    pub fn command(self) -> Command {
        match self {
            Self::ScsiInquiry => inquiry(None, 36),
            Self::ScsiPages => inquiry(Some(0x00), 252),
            Self::ScsiSerial => inquiry(Some(0x80), 252),
            Self::ScsiNames => inquiry(Some(0x83), 252),
            Self::ScsiAtaInformation => inquiry(Some(0x89), 572),
            Self::ScsiCapacity => Command::scsi(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8),
            Self::ScsiLongCapacity => {
                Command::scsi(&[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0], 32)
            }
            Self::ScsiExceptions => log_sense(0x2f),
            Self::ScsiTemperature => log_sense(0x0d),
            Self::ScsiBackgroundScan => log_sense(0x15),
            Self::ScsiReadErrors => log_sense(0x03),
            Self::AtaIdentify => Ata { command: 0xec, ..Ata::IN }.through(),
            Self::AtaNativeMax => Ata { command: 0xf8, ..Ata::REGISTERS }.through(),
            Self::AtaLongNativeMax => {
                Ata { command: 0x27, width: Width::Long, ..Ata::REGISTERS }.through()
            }
            Self::AtaFactoryConfiguration => {
                Ata { command: 0xb1, feature: 0xc2, ..Ata::IN }.through()
            }
            Self::AtaAccessibleNativeMax => {
                Ata { command: 0x78, width: Width::Long, ..Ata::REGISTERS }.through()
            }
            Self::AtaSmartData => smart(0xd0, Ata::IN),
            Self::AtaSmartThresholds => smart(0xd1, Ata::IN),
            Self::AtaSmartStatus => smart(0xda, Ata::REGISTERS),
            Self::AtaStatistics => statistics(0x00),
            Self::AtaGeneralStatistics => statistics(0x01),
            Self::AtaRotatingStatistics => statistics(0x03),
            Self::AtaErrorStatistics => statistics(0x04),
            Self::AtaTemperatureStatistics => statistics(0x05),
            Self::AtaSolidStateStatistics => statistics(0x07),
            Self::NvmeController => Command::Nvme {
                opcode: IDENTIFY,
                namespace: Namespace::None,
                word_10: 0x01,
                answer_bytes: 4096,
            },
            Self::NvmeNamespace => Command::Nvme {
                opcode: IDENTIFY,
                namespace: Namespace::OfTheDisk,
                word_10: 0x00,
                answer_bytes: 4096,
            },
            Self::NvmeHealth => Command::Nvme {
                opcode: GET_LOG_PAGE,
                namespace: Namespace::All,
                word_10: (127 << 16) | 0x02,
                answer_bytes: 512,
            },
        }
    }
}

/// NVMe 1.4 figure 139.
const IDENTIFY: u8 = 0x06;
const GET_LOG_PAGE: u8 = 0x02;

/// Which namespace an NVMe command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// None.
    None,
    /// That of the disk it is sent through.
    OfTheDisk,
    /// All of them.
    All,
}

/// A command as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A SCSI command block.
    Scsi {
        /// Its bytes.
        block: Vec<u8>,
        /// How many bytes may come back.
        answer_bytes: usize,
    },
    /// An NVMe administration command.
    Nvme {
        /// Operation code.
        opcode: u8,
        /// Namespace.
        namespace: Namespace,
        /// Command double word 10.
        word_10: u32,
        /// How many bytes may come back.
        answer_bytes: usize,
    },
}

impl Command {
    fn scsi(block: &[u8], answer_bytes: usize) -> Self {
        Self::Scsi { block: block.to_vec(), answer_bytes }
    }
}

/// SPC-5 6.6.
fn inquiry(page: Option<u8>, answer_bytes: u16) -> Command {
    let [high, low] = answer_bytes.to_be_bytes();
    let block = [0x12, u8::from(page.is_some()), page.unwrap_or(0), high, low, 0];
    Command::scsi(&block, usize::from(answer_bytes))
}

/// SPC-5 6.8: cumulative values, nothing saved (bit SP is 0).
fn log_sense(page: u8) -> Command {
    Command::scsi(&[0x4d, 0, 0x40 | page, 0, 0, 0, 0, 2, 0, 0], 512)
}

fn smart(feature: u8, base: Ata) -> Command {
    // The signature without which no SMART command is taken (ACS-3 7.48).
    Ata { command: 0xb0, feature, lba_mid: 0x4f, lba_high: 0xc2, ..base }.through()
}

/// READ LOG EXT of log 04h (ACS-3 7.24 and A.5): the log in bits 7:0 of the address, its page in bits 15:8.
fn statistics(page: u8) -> Command {
    let ask = Ata { command: 0x2f, lba_low: 0x04, lba_mid: page, ..Ata::IN };
    Ata { width: Width::Long, ..ask }.through()
}

/// Whether the 48-bit form of the registers is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Short,
    Long,
}

/// What comes back of an ATA command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// 512 bytes.
    Sector,
    /// The registers alone, in sense data.
    Registers,
}

#[derive(Debug, Clone, Copy)]
struct Ata {
    command: u8,
    feature: u8,
    lba_low: u8,
    lba_mid: u8,
    lba_high: u8,
    width: Width,
    comes: Comes,
}

impl Ata {
    const IN: Self = Self {
        command: 0,
        feature: 0,
        lba_low: 0,
        lba_mid: 0,
        lba_high: 0,
        width: Width::Short,
        comes: Comes::Sector,
    };
    const REGISTERS: Self = Self { comes: Comes::Registers, ..Self::IN };

    /// ATA PASS-THROUGH (16), SAT-3 12.2.2.3.
    fn through(self) -> Command {
        // Protocol 4 is PIO in, 3 non-data. Flags: data comes to us (08h), counted in blocks (04h) by the count register
        // (02h); or the registers are wanted back (CK_COND, 20h).
        let (protocol, flags, count, answer_bytes) = match self.comes {
            Comes::Sector => (PIO_IN, 0x0e, 1, 512),
            Comes::Registers => (NON_DATA, 0x20, 0, 0),
        };
        let extend = u8::from(self.width == Width::Long);
        let block = [
            ATA_PASS_THROUGH_16,
            (protocol << 1) | extend,
            flags,
            0,
            self.feature,
            0,
            count,
            0,
            self.lba_low,
            0,
            self.lba_mid,
            0,
            self.lba_high,
            // Addresses are of sectors, not of cylinders and heads.
            0x40,
            self.command,
            0,
        ];
        Command::scsi(&block, answer_bytes)
    }
}

const ATA_PASS_THROUGH_16: u8 = 0x85;
const NON_DATA: u8 = 3;
const PIO_IN: u8 = 4;

/// Whether a command only reads: judged by its bytes, whoever made them. Everything not named is refused.
#[must_use]
pub fn permits(command: &Command) -> bool {
    match command {
        Command::Scsi { block, .. } => match *block.as_slice() {
            // INQUIRY; standard data or a page.
            [0x12, 0 | 1, _, _, _, 0] => true,
            // READ CAPACITY (10), SERVICE ACTION IN (16) with READ CAPACITY (16).
            [0x25, 0, .., 0] => block.len() == 10,
            [0x9e, 0x10, .., 0] => block.len() == 16,
            // LOG SENSE without saving.
            [0x4d, 0, page, 0, .., 0] => block.len() == 10 && page & 0xc0 == 0x40,
            [
                ATA_PASS_THROUGH_16,
                way,
                flags,
                0,
                feature,
                0,
                count,
                0,
                _,
                0,
                _,
                0,
                _,
                0x40,
                command,
                0,
            ] => {
                let is_read = match (way >> 1, flags) {
                    (PIO_IN, 0x0e) => count == 1,
                    (NON_DATA, 0x20) => count == 0,
                    _ => false,
                };
                is_read && reads(command, feature, way)
            }
            _ => false,
        },
        Command::Nvme { opcode: IDENTIFY, word_10, .. } => *word_10 <= 1,
        Command::Nvme { opcode: GET_LOG_PAGE, word_10, .. } => *word_10 & 0xffff == 0x02,
        Command::Nvme { .. } => false,
    }
}

/// ATA commands that read and alter nothing, with their subcommand and how they are to be sent.
fn reads(command: u8, feature: u8, way: u8) -> bool {
    let (data, registers) = (PIO_IN << 1, NON_DATA << 1);
    [
        (0xec, 0x00, data),          // IDENTIFY DEVICE
        (0xf8, 0x00, registers),     // READ NATIVE MAX ADDRESS
        (0x27, 0x00, registers | 1), // READ NATIVE MAX ADDRESS EXT
        (0xb1, 0xc2, data), // DEVICE CONFIGURATION IDENTIFY; C0h and C3h alter, C1h freezes
        (0x78, 0x00, registers | 1), // GET NATIVE MAX ADDRESS EXT; 01h sets, 02h freezes
        (0xb0, 0xd0, data), // SMART READ DATA
        (0xb0, 0xd1, data), // SMART READ THRESHOLDS
        (0xb0, 0xda, registers), // SMART RETURN STATUS
        (0x2f, 0x00, data | 1), // READ LOG EXT
    ]
    .contains(&(command, feature, way))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_permitted_and_named_apart() {
        let mut names: Vec<String> = Vec::new();
        for question in Question::ALL {
            assert!(permits(&question.command()), "{question:?}");
            let name = serde_json::to_string(&question).unwrap();
            assert_eq!(serde_json::from_str::<Question>(&name).unwrap(), question);
            names.push(name);
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), Question::ALL.len());
        assert!(serde_json::from_str::<Question>("\"ata-set-max\"").is_err());
    }

    /// Only we vouch: the table of ACS-3 and ATA8-ACS, each command with each subcommand and each way to send it.
    #[test]
    fn of_all_ata_commands_exactly_nine_pass() {
        let mut passed = std::collections::BTreeSet::new();
        let mut attempt = |way: u8, flags: u8, count: u8, command: u8, feature: u8| {
            let block = vec![
                0x85, way, flags, 0, feature, 0, count, 0, 1, 0, 0x4f, 0, 0xc2, 0x40, command, 0,
            ];
            if permits(&Command::Scsi { block, answer_bytes: 512 }) {
                passed.insert((command, feature, way, flags, count));
            }
        };
        // Every command with every subcommand, by each way that passes at all.
        for (way, flags, count) in [(6, 0x20, 0), (7, 0x20, 0), (8, 0x0e, 1), (9, 0x0e, 1)] {
            for command in 0..=255 {
                (0..=255).for_each(|feature| attempt(way, flags, count, command, feature));
            }
        }
        // Every way, for a command that reads and one that writes.
        for way in 0..=255 {
            for flags in 0..=255 {
                for count in [0, 1, 2, 0xff] {
                    attempt(way, flags, count, 0xec, 0);
                    attempt(way, flags, count, 0x35, 0);
                }
            }
        }
        assert_eq!(passed.len(), 9, "{passed:x?}");
        for dangerous in [
            0xf9, // SET MAX ADDRESS
            0x37, // SET MAX ADDRESS EXT
            0xef, // SET FEATURES
            0x06, // DATA SET MANAGEMENT
            0x92, // DOWNLOAD MICROCODE
            0xf4, // SECURITY ERASE UNIT
            0xb4, // SANITIZE DEVICE
            0x35, 0x30, 0xca, 0x3f, // writes
        ] {
            assert!(passed.iter().all(|(command, ..)| *command != dangerous), "{dangerous:x}");
        }
        // SMART: nothing that switches it, starts a test or writes a log.
        let smart = passed.iter().filter(|one| one.0 == 0xb0).map(|one| one.1);
        assert_eq!(smart.collect::<Vec<_>>(), [0xd0, 0xd1, 0xda]);
    }

    #[test]
    fn of_all_scsi_commands_five_pass() {
        let mut passed = Vec::new();
        for opcode in 0..=255_u8 {
            for length in [6, 10, 12, 16, 32] {
                for second in 0..=255_u8 {
                    for third in [0x00, 0x01, 0x40, 0x42, 0x80, 0xc0, 0xff] {
                        let mut block = vec![0; length];
                        (block[0], block[1], block[2]) = (opcode, second, third);
                        if permits(&Command::Scsi { block, answer_bytes: 0 }) {
                            passed.push((opcode, length, second));
                        }
                    }
                }
            }
        }
        passed.sort_unstable();
        passed.dedup();
        let expected = [(0x12, 6, 0), (0x12, 6, 1), (0x25, 10, 0), (0x4d, 10, 0), (0x9e, 16, 0x10)];
        assert_eq!(passed, expected, "{passed:x?}");
        for block in [vec![], vec![0x12], vec![0x85; 16], vec![0xa1; 12]] {
            assert!(!permits(&Command::Scsi { block, answer_bytes: 0 }));
        }
    }

    #[test]
    fn of_all_nvme_commands_identify_and_one_log_pass() {
        let mut passed = Vec::new();
        for opcode in 0..=255_u8 {
            for word_10 in 0..=255_u32 {
                let namespace = Namespace::All;
                let command = Command::Nvme { opcode, namespace, word_10, answer_bytes: 512 };
                if permits(&command) {
                    passed.push((opcode, word_10));
                }
            }
        }
        assert_eq!(passed, [(0x02, 0x02), (0x06, 0), (0x06, 1)]);
    }
}
