//! Pictures of the page at the width of a screen and of A4 paper, kept, and what a browser shows today beside them.
//!
//! Vouched for by Chromium. A person looked at the kept pictures. Compared are the outline (landmarks, headings, captions and folds,
//! with their places) exactly, and the pictures coarsely: where ink lies, not how letters are drawn, so that another version of
//! a font does not matter. After an intended change: `GLOVEBOX_WRITE_FIXTURES=1 cargo test -p report pictures`, and look at them.

use std::path::{Path, PathBuf};
use std::process::Command;

use report::Report;

use crate::common::{honest, hostile, written};
use crate::page::chromium;

/// Widths in CSS pixels: a screen, and 210 mm at 96 to the inch.
const WIDTHS: [u32; 2] = [1280, 794];
const HEIGHT: u32 = 1600;
/// Side of the squares whose mean brightness is compared, in pixels.
const SQUARE: u32 = 40;
/// Squares that may differ, in thousandths: letters drawn a little wider move the end of a line.
const DIFFERENT_AT_MOST: u32 = 60;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn writes_fixtures() -> bool {
    std::env::var_os("GLOVEBOX_WRITE_FIXTURES").is_some()
}

/// The page without its policy, which allows no frame to be looked into.
fn page(report: &Report) -> String {
    let page = written(report, report::html);
    let start = page.find("<meta http-equiv").unwrap();
    let end = start + page[start..].find('\n').unwrap();
    format!("{}{}", &page[..start], &page[end..])
}

/// Runs a script in a page beside the report and gives what it says.
fn asked(folder: &Path, body: &str, script: &str) -> Option<String> {
    let html = format!(
        "<!DOCTYPE html><meta charset=utf-8><body>{body}<script>onload = async () => {{ let said = ''; {script};\
         document.title = 'SAID' + btoa(unescape(encodeURIComponent(said))) + 'END'; }}</script>"
    );
    let file = folder.join("ask.html");
    std::fs::write(&file, html).unwrap();
    let dom = chromium(
        &["--allow-file-access-from-files", "--virtual-time-budget=20000", "--dump-dom"],
        &file,
    )?;
    let coded =
        dom.split("SAID").nth(1).and_then(|rest| rest.split("END").next()).expect("an answer");
    std::fs::write(folder.join("coded"), coded).unwrap();
    let out = Command::new("base64").arg("-d").arg(folder.join("coded")).output().unwrap();
    Some(String::from_utf8(out.stdout).unwrap())
}

#[test]
fn the_outline_is_the_kept_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), page(&honest().read())).unwrap();
    for width in WIDTHS {
        let frame = format!(
            "<iframe src=page.html style='border:0;width:{width}px;height:{HEIGHT}px'></iframe>"
        );
        // What folds and tables are inside of depends on fonts; landmarks and headings span their column.
        let script = "const page = document.querySelector('iframe').contentDocument;\
             for (const one of page.querySelectorAll('header,nav,main,footer,h1,h2,h3,caption,summary')) {\
               const box = one.getBoundingClientRect();\
               const place = /^(HEADER|NAV|MAIN|FOOTER|H[123])$/.test(one.tagName)\
                 ? ` at ${Math.round(box.left)} wide ${Math.round(box.width)}` : '';\
               const text = /^(HEADER|NAV|MAIN|FOOTER)$/.test(one.tagName) ? ''\
                 : ' ' + one.textContent.trim().replace(/\\s+/g, ' ').slice(0, 70);\
               said += one.tagName.toLowerCase() + place + text + '\\n'; }";
        let Some(outline) = asked(folder.path(), &frame, script) else { return };
        assert!(outline.lines().count() > 20, "{outline}");
        let kept = fixture(&format!("outline-{width}.txt"));
        if writes_fixtures() {
            std::fs::write(&kept, &outline).unwrap();
        }
        assert_eq!(outline, std::fs::read_to_string(&kept).unwrap(), "at {width}");
    }
}

/// A picture as an address that a page may draw and read back.
fn as_data(file: &Path) -> String {
    let out = Command::new("base64").arg("-w0").arg(file).output().unwrap();
    format!("data:image/png;base64,{}", String::from_utf8(out.stdout).unwrap())
}

/// The share of squares that differ, in thousandths.
fn difference(folder: &Path, one: &Path, two: &Path) -> Option<u32> {
    let body = format!("<img src='{}'><img src='{}'>", as_data(one), as_data(two));
    let script = format!(
        "const squares = [...document.images].map(image => {{\
           const canvas = document.createElement('canvas');\
           canvas.width = image.naturalWidth / {SQUARE} | 0; canvas.height = image.naturalHeight / {SQUARE} | 0;\
           const context = canvas.getContext('2d'); context.imageSmoothingQuality = 'high';\
           context.drawImage(image, 0, 0, canvas.width, canvas.height);\
           return context.getImageData(0, 0, canvas.width, canvas.height).data; }});\
         let differ = squares[0].length == squares[1].length ? 0 : 1e9;\
         for (let at = 0; at < squares[0].length; at += 4) {{\
           const ink = data => data[at] + data[at + 1] + data[at + 2];\
           if (Math.abs(ink(squares[0]) - ink(squares[1])) > 30) differ++; }}\
         said = Math.min(1000, Math.round(differ * 4000 / squares[0].length)).toString()"
    );
    asked(folder, &body, &script).map(|said| said.parse().unwrap())
}

/// What a browser shows of the report; `None` where there is none.
fn taken(folder: &Path, report: &Report, width: u32) -> Option<PathBuf> {
    let (file, picture) = (folder.join("page.html"), folder.join("taken.png"));
    std::fs::write(&file, page(report)).unwrap();
    let screenshot = format!("--screenshot={}", picture.display());
    let size = format!("--window-size={width},{HEIGHT}");
    chromium(&["--hide-scrollbars", &screenshot, &size], &file).map(|_| picture)
}

#[test]
fn the_pictures_are_like_the_kept_ones() {
    let folder = tempfile::tempdir().unwrap();
    for width in WIDTHS {
        let Some(picture) = taken(folder.path(), &honest().read(), width) else { return };
        let kept = fixture(&format!("report-{width}.png"));
        if writes_fixtures() {
            std::fs::copy(&picture, &kept).unwrap();
        }
        let differ = difference(folder.path(), &kept, &picture).unwrap();
        assert!(differ <= DIFFERENT_AT_MOST, "{differ} of 1000 squares differ at {width}");
        // Negative control: another case is seen to be another.
        let other = taken(folder.path(), &hostile().read(), width).unwrap();
        let differ = difference(folder.path(), &kept, &other).unwrap();
        assert!(differ > DIFFERENT_AT_MOST, "only {differ} of 1000 squares differ at {width}");
    }
}
