//! What SCSI drives answer: SPC-5 (INQUIRY 6.6, vital product data 7.7, log pages 7.3) and SBC-4 (READ CAPACITY 5.19, 5.20).

use super::Health;
use super::bytes::{big, hex, text};

/// Vendor, product and revision.
pub(super) fn inquiry(data: &[u8], health: &mut Health) {
    let field = |from: usize, to: usize| data.get(from..to).and_then(text);
    let identity = &mut health.identity;
    identity.vendor = field(8, 16);
    identity.model = field(16, 32);
    identity.firmware = field(32, 36);
}

/// What stands in a vital product data page behind its header, if it is the page asked for.
fn page(data: &[u8], number: u8) -> Option<&[u8]> {
    let [_, found, high, low, body @ ..] = data else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    (*found == number).then(|| body.get(..length).unwrap_or(body))
}

/// The numbers of the pages there are.
pub(super) fn pages(data: &[u8]) -> &[u8] {
    page(data, 0x00).unwrap_or_default()
}

/// The serial number.
pub(super) fn serial(data: &[u8]) -> Option<String> {
    page(data, 0x80).and_then(text)
}

/// The name of the logical unit that stays the same everywhere: NAA before EUI-64 (SPC-5 7.7.6).
pub(super) fn name(data: &[u8]) -> Option<String> {
    let mut left = page(data, 0x83)?;
    let mut best = None;
    while let [_, kind, _, length, rest @ ..] = left {
        let Some(body) = rest.get(..usize::from(*length)) else { break };
        // Association 0 is the logical unit itself.
        match kind & 0x3f {
            3 => return hex(body).map(|name| format!("naa.{name}")),
            2 => best = hex(body).map(|name| format!("eui.{name}")),
            _ => {}
        }
        left = rest.get(usize::from(*length)..).unwrap_or_default();
    }
    best
}

/// The IDENTIFY DEVICE data of a drive behind a translator (SAT-3 12.4.2).
pub(super) fn ata_information(data: &[u8]) -> Option<&[u8]> {
    page(data, 0x89)?.get(56..568)
}

/// READ CAPACITY of either length: the last address, then the length of a sector.
pub(super) fn capacity(data: &[u8], address_bytes: usize, health: &mut Health) {
    let last = big(data, 0, address_bytes);
    // All ones say that ten bytes of command are too few to tell.
    let last = last.filter(|last| *last != u64::from(u32::MAX) || address_bytes > 4);
    health.capacity.drive_sectors = last.and_then(|last| last.checked_add(1));
    health.capacity.sector_bytes =
        big(data, address_bytes, 4).and_then(|bytes| u32::try_from(bytes).ok());
}

/// The parameters of a log page, by code.
fn parameters(data: &[u8], number: u8) -> impl Iterator<Item = (u64, &[u8])> {
    let [found, _, high, low, body @ ..] = data else { return Parameters(&[]) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let is_it = found & 0x3f == number;
    Parameters(if is_it { body.get(..length).unwrap_or(body) } else { &[] })
}

struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = big(self.0, 0, 2)?;
        let length = self.0.get(3).copied().map(usize::from)?;
        let body = self.0.get(4..)?;
        let value = body.get(..length)?;
        self.0 = body.get(length..)?;
        Some((code, value))
    }
}

/// Informational exceptions: additional sense code 5Dh is a failure predicted, 0Bh a warning (SPC-5 table D.1).
pub(super) fn exceptions(data: &[u8], health: &mut Health) {
    let Some((_, value)) = parameters(data, 0x2f).find(|(code, _)| *code == 0) else { return };
    let smart = &mut health.smart;
    smart.is_passed = value.first().map(|code| *code == 0);
    // FFh: not known.
    let degrees = value.get(2).filter(|degrees| **degrees != 0xff && **degrees != 0);
    smart.temperature_celsius = degrees.map(|degrees| i64::from(*degrees));
}

/// The temperature page.
pub(super) fn temperature(data: &[u8]) -> Option<i64> {
    let (_, value) = parameters(data, 0x0d).find(|(code, _)| *code == 0)?;
    value.get(1).filter(|degrees| **degrees != 0xff).map(|degrees| i64::from(*degrees))
}

/// Hours powered on, of which the background scan keeps the minutes.
pub(super) fn hours(data: &[u8]) -> Option<u64> {
    let (_, value) = parameters(data, 0x15).find(|(code, _)| *code == 0)?;
    big(value, 0, 4)?.checked_div(60)
}

/// Errors while reading that could not be put right.
pub(super) fn uncorrected(data: &[u8]) -> Option<u64> {
    let (_, value) = parameters(data, 0x03).find(|(code, _)| *code == 6)?;
    big(value, 0, value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_logical_unit() {
        // A vendor's own name first, then a port's, then ours.
        let page = [
            0, 0x83, 0, 32, 2, 0, 0, 4, b'Q', b'E', b'M', b'U', 1, 0x13, 0, 8, 1, 2, 3, 4, 5, 6, 7,
            8, 1, 3, 0, 8, 0x50, 0, 0xc5, 0, 0x11, 0x22, 0x33, 0x44,
        ];
        assert_eq!(name(&page), Some("naa.5000c50011223344".into()));
        for length in 0..page.len() {
            // Cut anywhere: none, or what is whole.
            assert_ne!(name(&page[..length]), Some("naa.5000c500112233".into()));
        }
        assert_eq!(name(&[0, 0x80, 0, 0]), None);
    }

    #[test]
    fn capacities() {
        let mut health = Health::default();
        capacity(&[0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0], 4, &mut health);
        assert_eq!(health.capacity.drive_sectors, None, "too large for this command");
        capacity(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x10, 0], 8, &mut health);
        assert_eq!(health.capacity.drive_sectors, Some((1 << 32) + 1));
        assert_eq!(health.capacity.sector_bytes, Some(4096));
        capacity(&[0xff; 12], 8, &mut health);
        assert_eq!(health.capacity.drive_sectors, None);
    }

    #[test]
    fn log_pages() {
        let mut health = Health::default();
        exceptions(&[0x2f, 0, 0, 8, 0, 0, 3, 4, 0x5d, 0x10, 31, 0], &mut health);
        assert_eq!(health.smart.is_passed, Some(false), "a failure is predicted");
        assert_eq!(health.smart.temperature_celsius, Some(31));
        assert_eq!(temperature(&[0x0d, 0, 0, 6, 0, 0, 3, 2, 0, 29]), Some(29));
        let scan = [0x15, 0, 0, 8, 0, 0, 3, 4, 0, 0, 0x0e, 0x10];
        assert_eq!(hours(&scan), Some(60));
        let errors = [0x03, 0, 0, 14, 0, 5, 0, 2, 9, 9, 0, 6, 0, 4, 0, 0, 0, 7];
        assert_eq!(uncorrected(&errors), Some(7));
        assert_eq!(uncorrected(&errors[..16]), None);
        assert_eq!(hours(&errors), None, "another page");
    }
}
