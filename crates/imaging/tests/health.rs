//! What a drive says of itself: hidden areas of every kind, SMART, changes, and drives that lie, go silent or send noise.
//!
//! Only we vouch for the constructed answers here (after ACS-3, ATA8-ACS, SAT-3, NVMe 1.4): no emulator has a host protected
//! area. That real answers are understood is judged by the kernel's own view of the same drives: scenario
//! `health/drives-say-who-they-are`.

use guard::{Disk, Question, Reply};
use imaging::health::{HiddenBy, Weight, changes, examine};
use proptest::prelude::*;

const SECTORS: u64 = 0x0010_0000;

fn disk(name: &str, bus: &str) -> Disk {
    serde_json::from_value(serde_json::json!({
        "name": name, "number": "8:0", "bus": bus, "model": "M", "serial": "S", "wwn": null, "revision": null,
        "size_bytes": SECTORS * 512, "logical_block_bytes": 512, "physical_block_bytes": 512,
        "removable": false, "rotational": true, "kernel_read_only": true, "lock": "locked",
        "exhibit_source": false, "partitions": [], "mounts": [], "problems": [],
        "counters_at_lock": { "reads": 0, "sectors_read": 0, "writes": 0, "sectors_written": 0,
            "discards": 0, "sectors_discarded": 0, "flushes": 0 },
        "counters": { "reads": 0, "sectors_read": 0, "writes": 0, "sectors_written": 0,
            "discards": 0, "sectors_discarded": 0, "flushes": 0 },
    }))
    .expect("a disk")
}

/// A SATA drive of 2^20 sectors behind libata.
struct Drive {
    identify: Vec<u8>,
    native_max: u64,
    accessible_max: u64,
    factory_max: u64,
    smart_mid_high: [u8; 2],
    smart: Vec<u8>,
    thresholds: Vec<u8>,
    asked: Vec<Question>,
}

fn set(page: &mut [u8], word: usize, value: u16) {
    page[word * 2..word * 2 + 2].copy_from_slice(&value.to_le_bytes());
}

fn put_text(page: &mut [u8], word: usize, length: usize, text: &str) {
    let mut padded = text.as_bytes().to_vec();
    padded.resize(length, b' ');
    for (pair, to) in padded.chunks(2).zip(page[word * 2..].chunks_mut(2)) {
        (to[0], to[1]) = (pair[1], pair[0]);
    }
}

fn sum_up(page: &mut [u8]) {
    page[511] = 0;
    let sum = page.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    page[511] = 0_u8.wrapping_sub(sum);
}

impl Drive {
    fn new() -> Self {
        let mut identify = vec![0; 512];
        put_text(&mut identify, 10, 20, "WD-1234");
        put_text(&mut identify, 23, 8, "01.01A01");
        put_text(&mut identify, 27, 40, "MAKER Blue 500");
        set(&mut identify, 82, 1 | 1 << 10);
        set(&mut identify, 83, 1 << 14 | 1 << 11 | 1 << 10);
        set(&mut identify, 84, 1 << 14 | 1 << 5);
        set(&mut identify, 85, 1);
        set(&mut identify, 87, 1 << 14 | 1 << 8);
        identify[200..208].copy_from_slice(&SECTORS.to_le_bytes());
        for (word, value) in [(108, 0x5001), (109, 0x4ee0), (110, 0x1122), (111, 0x3344)] {
            set(&mut identify, word, value);
        }
        set(&mut identify, 119, 1 << 14 | 1 << 8);
        set(&mut identify, 128, 1);
        identify[510] = 0xa5;
        sum_up(&mut identify);
        let mut smart = vec![0; 512];
        for (place, (number, value, raw)) in
            [(5_u8, 100_u8, 3_u32), (9, 98, 1234), (194, 60, 41), (197, 100, 0), (198, 100, 2)]
                .into_iter()
                .enumerate()
        {
            let at = 2 + place * 12;
            (smart[at], smart[at + 3], smart[at + 4]) = (number, value, value);
            smart[at + 5..at + 9].copy_from_slice(&raw.to_le_bytes());
        }
        sum_up(&mut smart);
        let mut thresholds = vec![0; 512];
        (thresholds[2], thresholds[3]) = (5, 140);
        (thresholds[14], thresholds[15]) = (9, 0);
        sum_up(&mut thresholds);
        let max = SECTORS - 1;
        Self {
            identify,
            native_max: max,
            accessible_max: max,
            factory_max: max,
            smart_mid_high: [0x4f, 0xc2],
            smart,
            thresholds,
            asked: Vec::new(),
        }
    }

    fn answer(&mut self, question: Question) -> Reply {
        self.asked.push(question);
        let data = |data: Vec<u8>| Reply {
            question,
            status: 0,
            host_status: 0,
            failure: None,
            data,
            sense: Vec::new(),
        };
        let registers = |lba: u64| {
            let b = lba.to_le_bytes();
            let sense = vec![
                0x72, 1, 0, 0x1d, 0, 0, 0, 14, 9, 12, 1, 0, 0, 0, b[3], b[0], b[4], b[1], b[5],
                b[2], 0x40, 0x50,
            ];
            Reply { status: 2, sense, ..data(Vec::new()) }
        };
        match question {
            Question::ScsiInquiry => {
                let mut page = vec![0; 36];
                page[8..16].copy_from_slice(b"ATA     ");
                page[16..32].copy_from_slice(b"MAKER Blue 500  ");
                data(page)
            }
            Question::ScsiPages => data(vec![0, 0, 0, 4, 0, 0x80, 0x83, 0x89]),
            Question::ScsiSerial => data([&[0, 0x80, 0, 8][..], b" BRIDGE1"].concat()),
            Question::ScsiLongCapacity => {
                let mut page = vec![0; 32];
                page[..8].copy_from_slice(&(SECTORS - 1).to_be_bytes());
                page[10] = 2;
                data(page)
            }
            Question::ScsiAtaInformation => {
                let mut page = vec![0; 572];
                (page[1], page[2], page[3]) = (0x89, 0x02, 0x38);
                page[60..572].copy_from_slice(&self.identify);
                data(page)
            }
            Question::AtaIdentify => data(self.identify.clone()),
            Question::AtaLongNativeMax => registers(self.native_max),
            Question::AtaAccessibleNativeMax => registers(self.accessible_max),
            Question::AtaFactoryConfiguration => {
                let mut page = vec![0; 512];
                page[0] = 1;
                page[6..14].copy_from_slice(&self.factory_max.to_le_bytes());
                page[510] = 0xa5;
                sum_up(&mut page);
                data(page)
            }
            Question::AtaSmartStatus => {
                let [mid, high] = self.smart_mid_high.map(u64::from);
                registers(mid << 8 | high << 16)
            }
            Question::AtaSmartData => data(self.smart.clone()),
            Question::AtaSmartThresholds => data(self.thresholds.clone()),
            Question::AtaStatistics => {
                let mut page = vec![0; 512];
                page[8..11].copy_from_slice(&[2, 0, 1]);
                data(page)
            }
            Question::AtaGeneralStatistics => {
                let mut page = vec![0; 512];
                page[2] = 1;
                page[16..20].copy_from_slice(&4321_u32.to_le_bytes());
                page[23] = 0xc0;
                page[24..28].copy_from_slice(&77_u32.to_le_bytes());
                page[31] = 0xc0;
                // Supported, and not valid.
                page[8] = 9;
                page[15] = 0x80;
                data(page)
            }
            _ => Reply { status: 2, sense: vec![0x70, 0, 5, 0, 0, 0, 0, 10], ..data(Vec::new()) },
        }
    }
}

#[test]
fn a_sound_drive_hides_nothing() {
    let mut drive = Drive::new();
    let found = examine(&disk("sda", "ata"), &mut |question| drive.answer(question));
    let health = &found.health;
    assert_eq!(health.identity.model.as_deref(), Some("MAKER Blue 500"));
    assert_eq!(health.identity.serial.as_deref(), Some("WD-1234"), "the drive's, not the bridge's");
    assert_eq!(health.identity.firmware.as_deref(), Some("01.01A01"));
    assert_eq!(health.identity.wwn.as_deref(), Some("naa.50014ee011223344"));
    assert_eq!(health.capacity.drive_sectors, Some(SECTORS));
    assert_eq!(health.capacity.native_sectors, Some(SECTORS));
    assert_eq!(health.capacity.factory_sectors, Some(SECTORS));
    assert!(health.hidden.is_empty(), "{:?}", health.hidden);
    assert_eq!(health.security_locked, Some(false));
    let smart = &health.smart;
    assert_eq!(smart.is_passed, Some(true));
    // The standard's statistics are believed before the attributes.
    assert_eq!(smart.power_on_hours, Some(4321));
    assert_eq!(smart.power_cycles, None, "supported is not valid");
    assert_eq!(smart.host_sectors_written, Some(77));
    assert_eq!(smart.reallocated_sectors, Some(3));
    assert_eq!(smart.pending_sectors, Some(0));
    assert_eq!(smart.offline_uncorrectable, Some(2));
    assert_eq!(smart.temperature_celsius, Some(41));
    assert_eq!(smart.below_threshold, [5]);
    assert_eq!(health.warnings().len(), 1, "the attribute: {:?}", health.warnings());
    assert_eq!(found.replies.len(), drive.asked.len(), "everything that came is kept");
}

#[test]
fn hidden_areas_of_each_kind_are_told_with_their_place() {
    for (native, factory, accessible, kernel, expected) in [
        (
            SECTORS + 9,
            SECTORS + 9,
            SECTORS,
            SECTORS,
            vec![(HiddenBy::HostProtectedArea, SECTORS, 9)],
        ),
        (
            SECTORS,
            SECTORS + 5,
            SECTORS,
            SECTORS,
            vec![(HiddenBy::ConfigurationOverlay, SECTORS, 5)],
        ),
        (SECTORS, SECTORS, SECTORS + 2, SECTORS, vec![(HiddenBy::AccessibleMaximum, SECTORS, 2)]),
        (SECTORS, SECTORS, SECTORS, SECTORS - 8, vec![(HiddenBy::BridgeOrKernel, SECTORS - 8, 8)]),
        (
            SECTORS + 9,
            SECTORS + 14,
            SECTORS,
            SECTORS,
            vec![
                (HiddenBy::HostProtectedArea, SECTORS, 9),
                (HiddenBy::ConfigurationOverlay, SECTORS + 9, 5),
            ],
        ),
    ] {
        let mut drive = Drive::new();
        (drive.native_max, drive.factory_max) = (native - 1, factory - 1);
        drive.accessible_max = accessible - 1;
        let mut disk = disk("sda", "ata");
        disk.size_bytes = kernel * 512;
        let health = examine(&disk, &mut |question| drive.answer(question)).health;
        let found: Vec<_> =
            health.hidden.iter().map(|one| (one.by, one.first_sector, one.sectors)).collect();
        assert_eq!(found, expected);
        assert!(health.hidden.iter().all(|one| one.bytes == one.sectors * 512));
        assert!(health.warnings().iter().any(|text| text.contains("NOT read here")));
    }
}

#[test]
fn a_drive_that_predicts_its_failure_is_told() {
    let mut drive = Drive::new();
    drive.smart_mid_high = [0xf4, 0x2c];
    set(&mut drive.identify, 128, 0b111);
    sum_up(&mut drive.identify);
    let health = examine(&disk("sda", "ata"), &mut |question| drive.answer(question)).health;
    assert_eq!(health.smart.is_passed, Some(false));
    assert_eq!(health.security_locked, Some(true));
    assert!(health.warnings().iter().any(|text| text.contains("predicts its own failure")));
    assert!(health.warnings().iter().any(|text| text.contains("locked by a password")));
}

#[test]
fn wrong_checksums_are_said() {
    let mut drive = Drive::new();
    drive.identify[60] ^= 1;
    drive.smart[5] ^= 1;
    let health = examine(&disk("sda", "ata"), &mut |question| drive.answer(question)).health;
    assert!(health.problems.iter().any(|text| text.contains("IDENTIFY DEVICE is wrong")));
    assert!(health.problems.iter().any(|text| text.contains("SMART data is wrong")));
    assert_eq!(health.smart.reallocated_sectors, None, "not believed");
}

#[test]
fn behind_a_bridge_only_what_is_announced_is_asked() {
    let mut drive = Drive::new();
    examine(&disk("sdb", "usb"), &mut |question| drive.answer(question));
    assert!(drive.asked.contains(&Question::AtaIdentify), "page 89h is there");
    let mut stick = disk("sdb", "usb");
    stick.removable = true;
    let mut drive = Drive::new();
    examine(&stick, &mut |question| drive.answer(question));
    assert_eq!(drive.asked, [Question::ScsiInquiry, Question::ScsiCapacity]);
    for (name, bus) in [("vda", "virtio"), ("mmcblk0", "mmc"), ("loop0", "unknown")] {
        let found = examine(&disk(name, bus), &mut |_| panic!("nothing is asked of {name}"));
        assert!(found.replies.is_empty() && found.health.hidden.is_empty());
    }
}

#[test]
fn a_silent_drive_is_not_asked_for_ever() {
    let mut count = 0;
    let found = examine(&disk("sda", "ata"), &mut |question| {
        count += 1;
        Reply { host_status: 3, ..Reply::none(question, "x") }
    });
    assert_eq!((count, found.health.unanswered.len()), (1, 1));
    // Nor one that may not be asked, as on a desk without rights.
    let found = examine(&disk("nvme0n1", "nvme"), &mut |question| {
        Reply::none(question, "Permission denied (os error 13)")
    });
    assert_eq!(found.replies.len(), 1);
    assert!(found.health.unanswered[0].why.contains("Permission denied"));
    assert!(!found.health.is_known());
}

#[test]
fn between_two_readings_only_time_may_pass() {
    let mut drive = Drive::new();
    let before = examine(&disk("sda", "ata"), &mut |question| drive.answer(question)).health;
    drive.smart[2 + 5] = 4;
    sum_up(&mut drive.smart);
    let after = examine(&disk("sda", "ata"), &mut |question| drive.answer(question)).health;
    let found = changes(&before, &after);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].what.as_str(), found[0].weight),
        ("smart.reallocated_sectors", Weight::Alarming)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever comes back, of whatever length: it ends, is bounded, and nothing steers a terminal.
    #[test]
    fn noise_is_survived(
        name in prop::sample::select(vec![("sda", "ata"), ("sda", "scsi"), ("nvme0n1", "nvme"), ("sr0", "ata")]),
        noise in prop::collection::vec(any::<u8>(), 0..700),
        cut in any::<u16>(),
        status in 0..4_u32,
    ) {
        let mut asked = 0_usize;
        let mut drive = Drive::new();
        let found = examine(&disk(name.0, name.1), &mut |question| {
            asked += 1;
            let mut reply = drive.answer(question);
            // Half noise, half a true answer that was altered and cut.
            if asked.is_multiple_of(2) && !noise.is_empty() {
                reply.data = noise.clone();
                reply.sense = noise.iter().rev().copied().collect();
            } else {
                for (at, byte) in noise.iter().enumerate().skip(3).step_by(97) {
                    if let Some(place) = reply.data.get_mut(at) { *place ^= byte; }
                    if let Some(place) = reply.sense.get_mut(at % 22) { *place ^= byte; }
                }
                reply.data.truncate(usize::from(cut) % 600 + 1);
            }
            reply.status = status;
            reply
        });
        prop_assert!(asked <= Question::ALL.len());
        let text = serde_json::to_string(&found).expect("a record");
        prop_assert!(text.len() < 100_000);
        for told in found.health.warnings() {
            prop_assert!(!told.chars().any(char::is_control));
        }
        // As text, not as JSON: there a backslash and an `u` of a drive look like an escaped control character.
        let identity = serde_json::to_value(&found.health.identity).expect("a record");
        for told in identity.as_object().expect("fields").values().filter_map(|value| value.as_str()) {
            prop_assert!(told.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{told:?}");
        }
    }
}
