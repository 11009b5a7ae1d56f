//! Dates as mail and Debian write them: `Sat, 06 Sep 2025 10:02:11 UTC` (RFC 5322, 3.3; Debian repository format).

/// Seconds since 1970 UTC, or `None` when the text is no such date. Only `UTC`, `GMT` and `+0000` are zones of a release.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let text = text.split_once(", ").map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = u64::try_from(months.iter().position(|name| *name == month)?).ok()?;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute) = (clock.next()?.ok()?, clock.next()?.ok()?);
    let second = clock.next().unwrap_or(Ok(0)).ok()?;
    if !matches!(words.next(), Some("UTC" | "GMT" | "+0000")) || words.next().is_some() {
        return None;
    }
    let is_in_range = (1..=31).contains(&day)
        && (1970..=9999).contains(&year)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_in_range {
        return None;
    }
    // Days from the civil calendar, with years that begin in March so that the leap day is the last.
    let (year, month) = if month < 2 {
        (year.checked_sub(1)?, month.checked_add(10)?)
    } else {
        (year, month.checked_sub(2)?)
    };
    let in_year = month.checked_mul(153)?.checked_add(2)?.checked_div(5)?;
    let leaps = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    let days = year.checked_mul(365)?.checked_add(leaps)?.checked_add(in_year)?.checked_add(day)?;
    // 719,469 days lie between the first of March of year 0 (as day 1) and 1970.
    let days = days.checked_sub(719_469)?;
    let clock =
        hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?;
    days.checked_mul(86_400)?.checked_add(clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_releases() {
        // Vouched for by `date -u -d '…' +%s` of coreutils.
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 UTC"), Some(0));
        assert_eq!(parse("Sat, 06 Sep 2025 10:02:11 UTC"), Some(1_757_152_931));
        assert_eq!(parse("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(parse("1 Mar 2100 00:00 +0000"), Some(4_107_542_400));
        for odd in [
            "",
            "Sat",
            "Sat, 99 Sep 2025 10:02:11 UTC",
            "06 Sep 2025 10:02:11 CET",
            "06 Sep 2025 10:02:11 UTC x",
        ] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
