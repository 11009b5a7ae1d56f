//! The report as one HTML file: no script, nothing fetched, everything from the case inert.
//!
//! The content security policy allows the one style sheet, by its digest, and nothing else; a browser that reads it
//! runs no script and opens no connection whatever the case may have smuggled in. Long parts fold with `<details>` and
//! unfold on paper.

mod examined;
mod exhibits;
mod findings;
mod page;
mod people;
mod picture;

pub(crate) use examined::clock_sentence;

use std::io::Write;

use crate::words::{self, Statement};
use crate::{Error, Report, Text};
use page::Page;

pub(crate) const STYLE: &str = include_str!("style.css");

/// The parts of the report: anchor, heading, writer.
type Part = (&'static str, &'static str, fn(&mut Page<'_>, &Report) -> std::io::Result<()>);

const PARTS: [Part; 13] = [
    ("coverage", "What was examined", examined::coverage),
    ("machines", "Machines and clocks", examined::machines),
    ("findings", "Findings", findings::findings),
    ("time", "What happened, in order of time", findings::timeline),
    ("exhibits", "Exhibits and digests", exhibits::exhibits),
    ("disks", "Proof that nothing was written", exhibits::disks),
    ("custody", "Chain of custody", people::custody),
    ("contacts", "Contacts", people::contacts),
    ("notes", "Notes and acts", people::notes_and_acts),
    ("lessons", "Lessons learned", people::lessons),
    ("cost", "Cost", people::costs),
    ("tools", "Programs used", examined::tools),
    ("limits", "Limits of this report, and how to check it", examined::limits),
];

/// Writes the report as HTML.
///
/// # Errors
/// When `out` fails.
pub fn html(report: &Report, out: &mut dyn Write) -> Result<(), Error> {
    let page = &mut Page::new(out);
    head(page, report)?;
    page.raw("<body>\n<a class=\"skip\" href=\"#report\">Skip to the report</a>\n<header><div class=\"frame\">\n")?;
    page.raw("<p class=\"label\">Report of an examination</p>\n<h1>")?;
    page.shown(&report.case.name)?;
    page.raw("</h1>\n")?;
    meta(page, report)?;
    statements(page, &words::statements(report))?;
    faults(page, report)?;
    page.raw("</div></header>\n<div class=\"frame columns\">\n<nav aria-labelledby=\"contents\"><h2 id=\"contents\">Contents</h2><ol>\n")?;
    for (anchor, heading, _) in PARTS {
        page.raw(&format!("<li><a href=\"#{anchor}\">{heading}</a></li>\n"))?;
    }
    page.raw("</ol></nav>\n<main id=\"report\">\n")?;
    for ((anchor, heading, write), number) in PARTS.into_iter().zip(1..) {
        page.raw(&format!(
            "<section aria-labelledby=\"{anchor}\"><h2 id=\"{anchor}\">{number}. {heading}</h2>\n"
        ))?;
        write(page, report)?;
        page.raw("</section>\n")?;
    }
    page.raw("</main>\n</div>\n<footer><div class=\"frame\"><p>Made by Glovebox from the case alone: the same case gives the same bytes. ")?;
    page.raw(
        "Names and texts from evidence are shown inert; characters that do not show are named, as ",
    )?;
    page.raw("<span class=\"odd\">\\u{202e}</span>.</p></div></footer>\n</body>\n</html>\n")?;
    Ok(())
}

fn head(page: &mut Page<'_>, report: &Report) -> std::io::Result<()> {
    let digest = hashing::digest_bytes(STYLE.as_bytes(), &hashing::Algorithms::sha256());
    let digest =
        base64(digest.of(hashing::Algorithm::Sha256).map_or(&[][..], hashing::Digest::as_bytes));
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")?;
    page.raw(&format!(
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'; \
         base-uri 'none'; form-action 'none'\">\n"
    ))?;
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
    page.raw("<meta name=\"referrer\" content=\"no-referrer\">\n<title>")?;
    // A title shows no markup, so what does not show is named in it without a mark.
    page.escaped(&format!(
        "Report: {}",
        report.case.name.plain().chars().take(200).collect::<String>()
    ))?;
    page.raw("</title>\n<style>")?;
    page.raw(STYLE)?;
    page.raw("</style>\n</head>\n")
}

fn meta(page: &mut Page<'_>, report: &Report) -> std::io::Result<()> {
    let case = &report.case;
    page.raw("<dl class=\"meta\">")?;
    for (name, value) in
        [("Case", &case.id), ("Examiner", &case.examiner), ("Created (UTC)", &case.created)]
    {
        page.raw(&format!("<div><dt>{name}</dt><dd>"))?;
        page.shown(value)?;
        page.raw("</dd></div>")?;
    }
    page.raw("<div class=\"wide\"><dt>Sealed</dt><dd>")?;
    page.shown(&Text::new(&words::sealing(&report.custody)))?;
    page.raw("</dd></div>")?;
    for (name, value) in [
        ("Public key of the case", &case.public_key),
        ("Head: SHA-256 of the last act", &case.head),
    ] {
        page.raw(&format!("<div class=\"wide\"><dt>{name}</dt><dd><code>"))?;
        page.escaped(value)?;
        page.raw("</code></dd></div>")?;
    }
    page.raw("</dl>\n")
}

fn statements(page: &mut Page<'_>, statements: &[Statement]) -> std::io::Result<()> {
    page.raw("<ul class=\"statements\" aria-label=\"The report in four sentences\">\n")?;
    for one in statements {
        let word = one.level.word();
        page.raw(&format!(
            "<li class=\"{word}\"><p class=\"label\">{} <span class=\"tag {word}\">",
            one.about
        ))?;
        page.raw(match one.level {
            words::Level::Good => "as it should be",
            words::Level::Doubtful => "needs a look",
            words::Level::Bad => "adverse",
        })?;
        page.raw("</span></p><strong>")?;
        page.escaped(&one.headline)?;
        page.raw("</strong><p>")?;
        page.escaped(&one.detail)?;
        page.raw("</p></li>\n")?;
    }
    page.raw("</ul>\n")
}

/// What does not hold stands before everything else.
fn faults(page: &mut Page<'_>, report: &Report) -> std::io::Result<()> {
    let verdict = &report.verdict;
    if verdict.problems.is_empty() {
        return Ok(());
    }
    page.raw("<h2 id=\"faults\">What does not hold</h2>\n<ol>")?;
    for problem in &verdict.problems {
        page.raw("<li>")?;
        page.shown(problem)?;
        page.raw("</li>\n")?;
    }
    page.raw("</ol>\n")?;
    let more = verdict.problems_in_all.saturating_sub(verdict.problems.len());
    if more > 0 {
        page.paragraph(&format!(
            "{} more; glovebox case verify names them all.",
            words::number(words::size_of(more))
        ))?;
    }
    page.paragraph("What follows is shown as it stands in the case. What an act or exhibit named above says is not proved.")
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter =
                usize::try_from((word >> shift) & 63).ok().and_then(|at| LETTERS.get(at)).copied();
            out.push(if index > group.len() { '=' } else { char::from(letter.unwrap_or(b'=')) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    /// RFC 4648, section 10.
    #[test]
    fn base64_of_the_standard() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
