//! The facts of the case in an E01: `header2` for programs that know Unicode, `header` for those that do not.
//!
//! Sections 3.5 and 3.6 of the specification. Values are separated by tabs, so tabs and ends of lines in them become spaces.

use crate::About;

/// EnCase shows errors when these are longer.
const MAX_SOFTWARE: usize = 11;
const MAX_PLATFORM: usize = 23;

/// `header2` before compression: three categories in UTF-16, with model and serial number.
pub(super) fn header2(about: &About) -> Vec<u8> {
    let time = about.begun_unix_seconds.to_string();
    let values = [
        ("a", clean(&about.description)),
        ("c", clean(&about.case)),
        ("n", clean(&about.exhibit)),
        ("e", clean(&about.examiner)),
        ("t", clean(&about.notes)),
        ("md", clean(&about.model)),
        ("sn", clean(&about.serial)),
        ("l", String::new()),
        ("av", cut(&about.software, MAX_SOFTWARE)),
        ("ov", cut(&about.platform, MAX_PLATFORM)),
        ("m", time.clone()),
        ("u", time),
        ("p", String::new()),
        ("pid", String::new()),
        ("dc", String::new()),
        ("ext", String::new()),
    ];
    let (names, values): (Vec<&str>, Vec<String>) = values.into_iter().unzip();
    let text = format!(
        "3\nmain\n{}\n{}\n\n\
         srce\n0\t1\np\tn\tid\tev\ttb\tlo\tpo\tah\tgu\taq\n0\t0\n\t\t\t\t\t-1\t-1\t\t\t\n\n\
         sub\n0\t1\np\tn\tid\tnu\tco\tgu\n0\t0\n\t\t\t\t1\t\n\n",
        names.join("\t"),
        values.join("\t")
    );
    std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

/// `header` before compression: one category in ASCII.
pub(super) fn header(about: &About) -> Vec<u8> {
    let time = civil(about.begun_unix_seconds);
    let values = [
        ("c", clean(&about.case)),
        ("n", clean(&about.exhibit)),
        ("a", clean(&about.description)),
        ("e", clean(&about.examiner)),
        ("t", clean(&about.notes)),
        ("av", cut(&about.software, MAX_SOFTWARE)),
        ("ov", cut(&about.platform, MAX_PLATFORM)),
        ("m", time.clone()),
        ("u", time),
        ("p", "0".to_owned()),
    ];
    let (names, values): (Vec<&str>, Vec<String>) = values.into_iter().unzip();
    let text = format!("1\r\nmain\r\n{}\r\n{}\r\n\r\n", names.join("\t"), values.join("\t"));
    text.chars().map(|one| u8::try_from(one).ok().filter(u8::is_ascii).unwrap_or(b'?')).collect()
}

fn clean(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

fn cut(text: &str, most: usize) -> String {
    clean(text).chars().take(most).collect()
}

/// `year month day hour minute second`, in UTC.
fn civil(unix_seconds: u64) -> String {
    let (days, rest) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Years are counted from 1 March of year 0, so that the leap day is a year's last: 400 years have 146,097 days.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let leap = (day / 1460).saturating_add(day / 146_096);
    let year = day.saturating_add(day / 36_524).saturating_sub(leap) / 365;
    let before = (year.saturating_mul(365)).saturating_add(year / 4).saturating_sub(year / 100);
    let day = day.saturating_sub(before);
    let month = day.saturating_mul(5).saturating_add(2) / 153;
    let day_of_month =
        day.saturating_sub(month.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let (month, later) =
        if month < 10 { (month.saturating_add(3), 0) } else { (month.saturating_sub(9), 1) };
    let year = era.saturating_mul(400).saturating_add(year).saturating_add(later);
    format!("{year} {month} {day_of_month} {} {} {}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by `date -u -d @SECONDS`.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970 1 1 0 0 0"),
            (951_782_399, "2000 2 28 23 59 59"),
            (951_782_400, "2000 2 29 0 0 0"),
            (1_798_761_599, "2026 12 31 23 59 59"),
            (4_107_542_400, "2100 3 1 0 0 0"),
        ] {
            assert_eq!(civil(seconds), expected);
        }
    }

    #[test]
    fn nothing_typed_can_add_a_value() {
        let about = About { case: "a\tb\nc".to_owned(), ..About::default() };
        let text = String::from_utf8(header(&about)).unwrap();
        assert!(text.contains("\r\na b c\t"), "{text:?}");
    }
}
