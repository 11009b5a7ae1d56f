//! The time line as a picture: one row for each severity, so that colour is not needed to read it.

use std::io;

use super::page::Page;
use crate::timeline::{COLUMNS, Picture};
use crate::words::{count, number};
use crate::{Moment, Severity};

const LEFT: u64 = 90;
const COLUMN: u64 = 13;
const ROW: u64 = 46;
const BAR_AT_MOST: u64 = 34;
const TOP: u64 = 8;

pub(super) fn draw(page: &mut Page<'_>, picture: &Picture) -> io::Result<()> {
    let columns = u64::try_from(COLUMNS).unwrap_or(0);
    let right = LEFT.saturating_add(columns.saturating_mul(COLUMN));
    let (width, bottom) = (right.saturating_add(8), TOP.saturating_add(ROW.saturating_mul(5)));
    let height = bottom.saturating_add(26);
    let step = step_text(picture.column_seconds);
    page.raw(&format!(
        "<figure><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Picture of the time line\">\n\
         <svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"picture-title\">\
         <title id=\"picture-title\">Findings by time and severity, and the acts of this case</title>\n"
    ))?;
    for (severity, (row, index)) in
        Severity::ALL.iter().take(4).zip(picture.rows.iter().zip(0_u64..))
    {
        lane(page, (severity.word(), severity.word()), row, index, right)?;
    }
    lane(page, ("acts of the case", "acts"), &picture.acts, 4, right)?;
    for (mark, ending) in
        [(0_usize, "start"), (15, "middle"), (30, "middle"), (45, "middle"), (COLUMNS, "end")]
    {
        let column = u64::try_from(mark).unwrap_or(0);
        let x = LEFT.saturating_add(column.saturating_mul(COLUMN));
        let seconds = picture.column_seconds.saturating_mul(i64::try_from(mark).unwrap_or(0));
        let at = Moment::from_seconds(picture.from.seconds().saturating_add(seconds));
        let text = at.to_string();
        let text = if picture.column_seconds >= 43_200 {
            at.date()
        } else {
            text.get(..16).unwrap_or(&text).replace('T', " ")
        };
        page.raw(&format!(
            "<line class=\"rule\" x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{}\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"{ending}\">{text}</text>\n",
            bottom.saturating_add(4),
            bottom.saturating_add(18)
        ))?;
    }
    page.raw("</svg></div>\n<figcaption class=\"small\">")?;
    page.escaped(&format!("Each column is {step}, in UTC; the tallest column of a row is its full height, its number stands at the right."))?;
    if picture.earlier > 0 {
        page.escaped(&format!(
            " {} lie before the picture begins.",
            count(picture.earlier, "finding")
        ))?;
    }
    page.raw("</figcaption></figure>\n")
}

fn lane(
    page: &mut Page<'_>,
    (label, class): (&str, &str),
    row: &[u64],
    index: u64,
    right: u64,
) -> io::Result<()> {
    let base = TOP.saturating_add(ROW.saturating_mul(index.saturating_add(1)));
    let most = row.iter().copied().max().unwrap_or(0);
    page.raw(&format!(
        "<line class=\"rule\" x1=\"{LEFT}\" y1=\"{base}\" x2=\"{right}\" y2=\"{base}\"/>\
         <text x=\"0\" y=\"{}\">{label}</text>",
        base.saturating_sub(18)
    ))?;
    let all = row.iter().fold(0_u64, |sum, one| sum.saturating_add(*one));
    let tallest = if most > 0 { format!("; tallest {}", number(most)) } else { String::new() };
    page.raw(&format!(
        "<text class=\"quiet\" x=\"0\" y=\"{}\">{}{tallest}</text>",
        base.saturating_sub(4),
        number(all)
    ))?;
    for (value, column) in row.iter().zip(0_u64..).filter(|(value, _)| **value > 0) {
        let tall = value.saturating_mul(BAR_AT_MOST).checked_div(most).unwrap_or(0).max(3);
        page.raw(&format!(
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{tall}\"/>",
            LEFT.saturating_add(column.saturating_mul(COLUMN)).saturating_add(1),
            base.saturating_sub(tall),
            COLUMN.saturating_sub(2)
        ))?;
    }
    page.raw("\n")
}

fn step_text(seconds: i64) -> String {
    let of = |unit: i64, word: &str| {
        let value =
            seconds.checked_div(unit).and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        count(value, word)
    };
    match seconds {
        86_400.. if seconds.checked_rem(86_400) == Some(0) => of(86_400, "day"),
        3600.. if seconds.checked_rem(3600) == Some(0) => of(3600, "hour"),
        60.. if seconds.checked_rem(60) == Some(0) => of(60, "minute"),
        _ => of(1, "second"),
    }
}
