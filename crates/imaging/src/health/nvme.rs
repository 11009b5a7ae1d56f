//! What NVMe drives answer: NVM Express 1.4, Identify (figures 245 and 247) and the SMART / health log page (figure 194).

use super::bytes::{hex, little, text};
use super::{Health, Wear};

/// Absolute zero, in the drive's whole kelvins.
const ZERO_CELSIUS: i64 = 273;

/// Identify of the controller.
pub(super) fn controller(data: &[u8], health: &mut Health) {
    let field = |from: usize, to: usize| data.get(from..to).and_then(text);
    health.identity.serial = field(4, 24);
    health.identity.model = field(24, 64);
    health.identity.firmware = field(64, 72);
    // Capacity that belongs to no namespace: nobody can read it, and nobody sees it.
    health.capacity.unallocated_bytes = little(data, 296, 16).filter(|bytes| *bytes > 0);
}

/// Identify of the namespace.
pub(super) fn namespace(data: &[u8], health: &mut Health) {
    health.capacity.drive_sectors = little(data, 0, 8).filter(|sectors| *sectors > 0);
    // Four bits of the format in use, and two more for controllers with over 16 formats.
    let formatted = little(data, 26, 1).unwrap_or(0);
    let index = (formatted & 0x0f) | ((formatted & 0x60) >> 1);
    let place =
        usize::try_from(index).ok().and_then(|index| index.checked_mul(4)?.checked_add(130));
    let shift = place.and_then(|place| little(data, place, 1));
    let bytes = shift.and_then(|shift| 1_u32.checked_shl(u32::try_from(shift).ok()?));
    health.capacity.sector_bytes = bytes.filter(|bytes| *bytes >= 512);
    let guid = data.get(104..120).and_then(hex);
    let eui = data.get(120..128).and_then(hex);
    health.identity.wwn = guid.or(eui).map(|name| format!("eui.{name}"));
}

/// The health log.
pub(super) fn health(data: &[u8], health: &mut Health) {
    if data.len() < 512 {
        return;
    }
    let smart = &mut health.smart;
    smart.is_supported = Some(true);
    smart.is_enabled = Some(true);
    let warning = little(data, 0, 1);
    smart.is_passed = warning.map(|bits| bits == 0);
    smart.critical_warning = warning.filter(|bits| *bits != 0);
    let kelvins = little(data, 1, 2).filter(|kelvins| *kelvins > 0);
    smart.temperature_celsius = kelvins
        .and_then(|kelvins| i64::try_from(kelvins).ok())
        .and_then(|kelvins| kelvins.checked_sub(ZERO_CELSIUS));
    smart.wear = little(data, 5, 1).map(|percent| Wear { percent_used: percent });
    // In thousands of 512 bytes, rounded up; commands are exact.
    smart.host_write_commands = little(data, 80, 16);
    smart.power_cycles = little(data, 112, 16);
    smart.power_on_hours = little(data, 128, 16);
    smart.reported_uncorrectable = little(data, 160, 16);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_where_the_figures_put_them() {
        let mut told = Health::default();
        let mut log = vec![0; 512];
        log[0] = 0x04;
        log[1..3].copy_from_slice(&310_u16.to_le_bytes());
        log[5] = 7;
        log[80] = 9;
        log[112] = 3;
        log[128..130].copy_from_slice(&1000_u16.to_le_bytes());
        log[160..176].fill(0xff);
        health(&log, &mut told);
        assert_eq!(told.smart.is_passed, Some(false));
        assert_eq!(told.smart.critical_warning, Some(4));
        assert_eq!(told.smart.temperature_celsius, Some(37));
        assert_eq!(told.smart.host_write_commands, Some(9));
        assert_eq!(told.smart.power_on_hours, Some(1000));
        assert_eq!(
            told.smart.reported_uncorrectable,
            Some(u64::MAX),
            "does not fit, is not wrapped"
        );
        let mut one = vec![0; 4096];
        one[0] = 8;
        one[26] = 2;
        one[128 + 2 * 4 + 2] = 12;
        one[120..128].copy_from_slice(&[0, 1, 2, 3, 4, 5, 6, 7]);
        namespace(&one, &mut told);
        assert_eq!(told.capacity.drive_sectors, Some(8));
        assert_eq!(told.capacity.sector_bytes, Some(4096));
        assert_eq!(told.identity.wwn, Some("eui.0001020304050607".into()));
        one[128 + 2 * 4 + 2] = 200;
        namespace(&one, &mut told);
        assert_eq!(told.capacity.sector_bytes, None);
    }
}
