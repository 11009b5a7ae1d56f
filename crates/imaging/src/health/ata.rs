//! What ATA drives answer: ACS-3 (IDENTIFY DEVICE 7.12, device statistics A.5), ATA8-ACS (native maximum, DEVICE
//! CONFIGURATION IDENTIFY 7.10.3), SAT-3 12.2.2.6 and 12.2.2.7 (registers in sense data). The table of SMART attributes was
//! never in the standard; it is the one of SFF-8035i 2.0, as all drives keep it.

use super::bytes::{big, hex, little, sums_to_zero, text};
use super::{Health, Wear};

/// IDENTIFY DEVICE, as far as it decides what else is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    /// Addresses of 48 bits (word 83, bit 10).
    pub(super) is_long: bool,
    /// Host protected area (word 82, bit 10).
    pub(super) host_protected_area: bool,
    /// Device configuration overlay (word 83, bit 11).
    pub(super) configuration_overlay: bool,
    /// Accessible max address configuration (word 119, bit 8).
    pub(super) accessible_max: bool,
    /// SMART, switched on (word 85, bit 0).
    pub(super) smart: bool,
    /// General purpose logs (word 84, bit 5).
    pub(super) logs: bool,
}

/// Reads IDENTIFY DEVICE into what is known of the drive.
pub(super) fn identify(data: &[u8], health: &mut Health) -> Option<Features> {
    let data = data.get(..512)?;
    let word = |number: usize| little(data, number.checked_mul(2)?, 2);
    let bit = |number: usize, bit: u32| {
        word(number).and_then(|word| word.checked_shr(bit)).is_some_and(|word| word & 1 == 1)
    };
    // Words that say by their two highest bits whether they are valid.
    let valid = |number: usize| word(number).is_some_and(|word| word & 0xc000 == 0x4000);
    if data.iter().all(|byte| *byte == 0) {
        return None;
    }
    if data.get(510) == Some(&0xa5) && !sums_to_zero(data) {
        health.problem("the checksum of IDENTIFY DEVICE is wrong");
    }
    let identity = &mut health.identity;
    identity.serial = swapped(data.get(20..40)?).or(identity.serial.take());
    identity.firmware = swapped(data.get(46..54)?).or(identity.firmware.take());
    identity.model = swapped(data.get(54..94)?).or(identity.model.take());
    if valid(87) && bit(87, 8) {
        // Words 108 to 111, the most significant first.
        let words = (108..=111).filter_map(word).filter_map(|word| u16::try_from(word).ok());
        let name: Vec<u8> = words.flat_map(u16::to_be_bytes).collect();
        identity.wwn = hex(&name).map(|name| format!("naa.{name}")).or(identity.wwn.take());
    }
    let is_long = valid(83) && bit(83, 10);
    let sectors = if bit(69, 3) {
        little(data, 460, 8)
    } else if is_long {
        little(data, 200, 8)
    } else {
        little(data, 120, 4)
    };
    let is_large = valid(106) && bit(106, 12);
    let sector_bytes = if is_large {
        little(data, 234, 4).and_then(|words| words.checked_mul(2))
    } else {
        Some(512)
    };
    health.capacity.drive_sectors = sectors.filter(|sectors| *sectors > 0);
    health.capacity.sector_bytes = sector_bytes.and_then(|bytes| u32::try_from(bytes).ok());
    // Word 128: supported, enabled, locked, frozen.
    if bit(128, 0) {
        health.security_locked = Some(bit(128, 2));
    }
    health.smart.is_supported = Some(bit(82, 0));
    health.smart.is_enabled = Some(bit(82, 0) && bit(85, 0));
    Some(Features {
        is_long,
        host_protected_area: bit(82, 10),
        configuration_overlay: valid(83) && bit(83, 11),
        accessible_max: valid(119) && bit(119, 8),
        smart: bit(82, 0) && bit(85, 0),
        logs: valid(84) && bit(84, 5),
    })
}

/// Text of ATA: the two bytes of each word change places.
fn swapped(bytes: &[u8]) -> Option<String> {
    let (pairs, _) = bytes.as_chunks::<2>();
    text(&pairs.iter().flat_map(|[first, second]| [*second, *first]).collect::<Vec<_>>())
}

/// The registers a drive ended a command with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Registers {
    /// All 48 bits of the address, or the lower 24 where the sense data has no room for more.
    pub(super) lba: u64,
    device: u8,
    is_error: bool,
    is_whole: bool,
}

impl Registers {
    /// Finds them in sense data of either form.
    pub(super) fn of(sense: &[u8]) -> Option<Self> {
        match sense.first()? & 0x7f {
            0x72 | 0x73 => Self::of_descriptors(sense.get(8..)?),
            0x70 | 0x71 => {
                let flags = *sense.get(8)?;
                let lba = little(sense, 9, 3)?;
                let (device, status) = (*sense.get(5)?, *sense.get(4)?);
                Some(Self::new(lba, device, status, flags & 0x20 == 0))
            }
            _ => None,
        }
    }

    fn of_descriptors(mut left: &[u8]) -> Option<Self> {
        loop {
            let [kind, length, rest @ ..] = left else { return None };
            let body = rest.get(..usize::from(*length))?;
            if let (0x09, [_, _, _, _, b3, b0, b4, b1, b5, b2, device, status, ..]) = (kind, body) {
                let lba = little(&[*b0, *b1, *b2, *b3, *b4, *b5], 0, 6)?;
                return Some(Self::new(lba, *device, *status, true));
            }
            left = rest.get(usize::from(*length)..)?;
        }
    }

    /// ERR and DF are bits 0 and 5 of the status.
    fn new(lba: u64, device: u8, status: u8, is_whole: bool) -> Self {
        Self { lba, device, is_error: status & 0x21 != 0, is_whole }
    }

    /// The number of sectors a native maximum of 48 bits tells of.
    pub(super) fn sectors_of_48(self) -> Option<u64> {
        let is_told = !self.is_error && self.is_whole && self.lba > 0;
        self.lba.checked_add(1).filter(|_| is_told)
    }

    /// The same of 28 bits, of which four stand in the device register.
    pub(super) fn sectors_of_28(self) -> Option<u64> {
        let lba = (self.lba & 0xff_ffff) | (u64::from(self.device & 0x0f) << 24);
        lba.checked_add(1).filter(|_| !self.is_error && lba > 0)
    }

    /// SMART RETURN STATUS (ACS-3 7.48.8): C24Fh is well, 2CF4h is a threshold exceeded.
    pub(super) fn smart_passed(self) -> Option<bool> {
        match (self.is_error, (self.lba >> 8) & 0xffff) {
            (false, 0xc24f) => Some(true),
            (false, 0x2cf4) => Some(false),
            _ => None,
        }
    }
}

/// DEVICE CONFIGURATION IDENTIFY: sectors as they came from the factory (words 3 to 6 are the highest address).
pub(super) fn factory_sectors(data: &[u8], health: &mut Health) -> Option<u64> {
    let data = data.get(..512)?;
    if data.get(510) == Some(&0xa5) && !sums_to_zero(data) {
        health.problem("the checksum of DEVICE CONFIGURATION IDENTIFY is wrong");
        return None;
    }
    little(data, 6, 8)?.checked_add(1).filter(|sectors| *sectors > 1)
}

/// One attribute: number, normalised value, raw value.
type Attribute<'a> = (u8, u8, &'a [u8]);

/// The 30 places of the table, used ones only.
fn attributes(data: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    let (places, _) = data.get(2..362).unwrap_or_default().as_chunks::<12>();
    places.iter().filter_map(|[number, _, _, value, _, raw @ .., _]| {
        (*number != 0).then_some((*number, *value, raw.as_slice()))
    })
}

/// SMART READ DATA: the attributes whose meaning all makers share. What device statistics told already stays.
pub(super) fn smart_data(data: &[u8], health: &mut Health) {
    if data.len() < 512 || !sums_to_zero(data) {
        health.problem("the checksum of the SMART data is wrong");
        return;
    }
    let smart = &mut health.smart;
    for (number, _, raw) in attributes(data) {
        let raw_32 = little(raw, 0, 4);
        let place = match number {
            5 => &mut smart.reallocated_sectors,
            // The upper bytes are minutes or milliseconds with some makers.
            9 => &mut smart.power_on_hours,
            12 => &mut smart.power_cycles,
            187 => &mut smart.reported_uncorrectable,
            197 => &mut smart.pending_sectors,
            198 => &mut smart.offline_uncorrectable,
            194 => {
                let degrees = raw.first().map(|byte| i64::from(byte.cast_signed()));
                smart.temperature_celsius = smart.temperature_celsius.or(degrees);
                continue;
            }
            _ => continue,
        };
        *place = place.or(raw_32);
    }
}

/// Attributes at or below their threshold.
pub(super) fn below_threshold(data: &[u8], thresholds: &[u8]) -> Vec<u8> {
    let (places, _) = thresholds.get(2..362).unwrap_or_default().as_chunks::<12>();
    let threshold = |number: u8| {
        places.iter().find(|place| place[0] == number).map(|place| place[1]).filter(|one| *one > 0)
    };
    attributes(data)
        .filter(|(number, value, _)| threshold(*number).is_some_and(|least| *value <= least))
        .map(|(number, ..)| number)
        .collect()
}

/// The pages that the page 00h of the device statistics lists.
pub(super) fn statistics_pages(data: &[u8]) -> &[u8] {
    let count = data.get(8).copied().map_or(0, usize::from);
    let listed = data.get(9..).unwrap_or_default();
    listed.get(..count).unwrap_or(listed)
}

/// One page of the device statistics.
pub(super) fn statistics(page: u8, data: &[u8], health: &mut Health) {
    // Bytes 2 of the page repeats its number: one that does not is no answer to what was asked.
    if big(data, 2, 1) != Some(u64::from(page)) {
        return;
    }
    // Each is eight bytes; the last says whether it is supported (bit 7) and valid (bit 6).
    let number = |at: usize, bytes: usize| {
        let flags = little(data, at.checked_add(7)?, 1)?;
        (flags & 0xc0 == 0xc0).then(|| little(data, at, bytes)).flatten()
    };
    let smart = &mut health.smart;
    match page {
        0x01 => {
            smart.power_cycles = number(8, 4);
            smart.power_on_hours = number(16, 4);
            smart.host_sectors_written = number(24, 6);
        }
        0x03 => smart.reallocated_sectors = number(32, 4),
        0x04 => smart.reported_uncorrectable = number(8, 4),
        0x05 => {
            let degrees = number(8, 1).and_then(|byte| u8::try_from(byte).ok());
            smart.temperature_celsius = degrees.map(|byte| i64::from(byte.cast_signed()));
        }
        0x07 => smart.wear = number(8, 1).map(|percent| Wear { percent_used: percent }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of SAT-3 and what the kernel's libata gives for READ NATIVE MAX ADDRESS EXT: descriptor 09h.
    #[test]
    fn registers_in_both_forms_of_sense_data() {
        let descriptor = [
            0x72, 0x01, 0, 0x1d, 0, 0, 0,
            14, // header: recovered error, ATA pass-through information
            0x09, 0x0c, 1, 0, 0, 0, 0x74, 0xaf, 0, 0x6d, 0, 0x70, 0x40, 0x50,
        ];
        let found = Registers::of(&descriptor).unwrap();
        assert_eq!(found.sectors_of_48(), Some(0x7470_6daf + 1), "a disk of 1 TB");
        // A descriptor before it, and one that claims more than is there.
        let mut other = descriptor[..8].to_vec();
        other.extend([0x00, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        other.extend(&descriptor[8..]);
        assert_eq!(Registers::of(&other), Some(found));
        for length in 0..descriptor.len() {
            assert_eq!(Registers::of(&descriptor[..length]), None);
        }
        let mut fixed =
            vec![0x70, 0, 1, 0, 0x50, 0x40, 0, 10, 0, 0, 0x4f, 0xc2, 0, 0x1d, 0, 0, 0, 0];
        assert_eq!(Registers::of(&fixed).unwrap().smart_passed(), Some(true));
        (fixed[10], fixed[11]) = (0xf4, 0x2c);
        assert_eq!(Registers::of(&fixed).unwrap().smart_passed(), Some(false));
        fixed[4] = 0x51;
        assert_eq!(Registers::of(&fixed).unwrap().smart_passed(), None);
        // More address bits were set than fixed sense data holds: no native maximum of 48 bits comes from it.
        (fixed[4], fixed[8]) = (0x50, 0x20);
        assert_eq!(Registers::of(&fixed).unwrap().sectors_of_48(), None);
    }

    #[test]
    fn twenty_eight_bits_stand_in_four_registers() {
        let sense = [
            0x72, 0x01, 0, 0x1d, 0, 0, 0, 14, 0x09, 0x0c, 0, 0, 0, 0, 0, 0xfe, 0, 0xff, 0, 0xff,
            0x4f, 0x50,
        ];
        assert_eq!(Registers::of(&sense).unwrap().sectors_of_28(), Some(0x0fff_ffff));
    }
}
