//! Seconds since 1970 as a date, for the formats that want one.

/// A moment in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment {
    pub(crate) year: u16,
    pub(crate) month: u16,
    pub(crate) day: u16,
    pub(crate) hour: u16,
    pub(crate) minute: u16,
    pub(crate) second: u16,
}

impl Moment {
    /// The moment `epoch_s` seconds after 1970-01-01T00:00:00Z.
    pub(crate) fn from_epoch(epoch_s: u32) -> Self {
        let (mut days, rest) = (epoch_s / 86_400, epoch_s % 86_400);
        let leap = |year: u16| {
            year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
        };
        let mut year = 1970;
        while days >= 365 + u32::from(leap(year)) {
            days -= 365 + u32::from(leap(year));
            year += 1;
        }
        let february = 28 + u32::from(leap(year));
        let mut month = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        let small = |value: u32| u16::try_from(value).unwrap_or_default();
        Self {
            year,
            month,
            day: small(days + 1),
            hour: small(rest / 3600),
            minute: small(rest / 60 % 60),
            second: small(rest % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

    /// Vouched for by `date -u -d @N`.
    #[test]
    fn known_moments() {
        let moment = |epoch_s| {
            let m = Moment::from_epoch(epoch_s);
            (m.year, m.month, m.day, m.hour, m.minute, m.second)
        };
        assert_eq!(moment(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(moment(951_782_399), (2000, 2, 28, 23, 59, 59));
        assert_eq!(moment(951_868_800), (2000, 3, 1, 0, 0, 0));
        assert_eq!(moment(1_764_547_200), (2025, 12, 1, 0, 0, 0));
        assert_eq!(moment(4_107_542_399), (2100, 2, 28, 23, 59, 59));
        assert_eq!(moment(4_107_542_400), (2100, 3, 1, 0, 0, 0));
    }
}
