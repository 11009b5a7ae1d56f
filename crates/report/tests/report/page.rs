//! The page as a browser and a reader of accessibility rules see it: order, contrast, width, nothing fetched.
//!
//! Vouched for by Chromium (layout, content security policy), by Python's HTML parser (structure), and by the formula of
//! WCAG 2.2 for contrast.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use report::Report;

use crate::common::{WRITERS, honest, hostile, written};
use crate::inert::parsed;

fn page(report: &Report) -> String {
    written(report, report::html)
}

/// Left for a person to look at: `GLOVEBOX_KEEP_REPORT` names a folder.
#[test]
fn kept() {
    let Some(folder) = std::env::var_os("GLOVEBOX_KEEP_REPORT") else { return };
    for (name, bench) in [("honest", honest()), ("hostile", hostile())] {
        let report = bench.read();
        for (ending, write) in WRITERS {
            std::fs::write(
                Path::new(&folder).join(format!("{name}.{ending}")),
                written(&report, write),
            )
            .unwrap();
        }
    }
}

#[test]
fn headings_landmarks_and_tables() {
    for bench in [honest(), hostile()] {
        let html = page(&bench.read());
        let Some(found) = parsed(&html) else { return };
        let headings: Vec<u64> =
            found["headings"].as_array().unwrap().iter().map(|one| one.as_u64().unwrap()).collect();
        assert_eq!(headings.iter().filter(|level| **level == 1).count(), 1);
        assert_eq!(headings.first(), Some(&1));
        for pair in headings.windows(2) {
            assert!(pair[1] <= pair[0] + 1, "a level is left out: {headings:?}");
        }
        for (mark, count) in [
            ("<header", 1),
            ("<main", 1),
            ("<nav", 1),
            ("<footer", 1),
            ("<html lang=\"en\"", 1),
            ("<title>", 1),
        ] {
            assert_eq!(html.matches(mark).count(), count, "{mark}");
        }
        assert_eq!(html.matches("<th>").count(), 0, "every head has a scope");
        assert_eq!(html.matches("<table").count(), html.matches("<caption").count());
        let ids: Vec<&str> =
            html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        for link in found["links"].as_array().unwrap() {
            assert!(
                ids.contains(&link.as_str().unwrap().trim_start_matches('#')),
                "{link} leads nowhere"
            );
        }
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "an id stands twice");
        assert!(!html.contains(" style=\"") && !html.contains("@import") && !html.contains("url("));
    }
}

/// Relative luminance and contrast after WCAG 2.2, "relative luminance" and "contrast ratio".
fn contrast(one: &str, two: &str) -> f64 {
    let luminance = |colour: &str| {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    };
    let (one, two) = (luminance(one), luminance(two));
    (one.max(two) + 0.05) / (one.min(two) + 0.05)
}

#[test]
fn every_pair_of_colours_can_be_read() {
    assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 0.01);
    assert!((contrast("#ffffff", "#767676") - 4.54).abs() < 0.01, "a known pair");
    let style = include_str!("../../src/html/style.css");
    let palettes: Vec<BTreeMap<&str, &str>> = style
        .split(":root {")
        .skip(1)
        .map(|part| {
            let body = part.split('}').next().unwrap();
            body.split(';')
                .filter_map(|line| line.trim().strip_prefix("--")?.split_once(": "))
                .collect()
        })
        .collect();
    assert_eq!(palettes.len(), 2, "light and dark");
    for palette in palettes {
        assert_eq!(palette.len(), 16);
        for ground in ["paper", "panel"] {
            for ink in [
                "ink", "quiet", "link", "critical", "high", "medium", "low", "info", "good",
                "look", "bad",
            ] {
                let ratio = contrast(palette[ink], palette[ground]);
                assert!(ratio >= 4.5, "{ink} on {ground}: {ratio:.2}");
            }
        }
        assert!(contrast(palette["odd-ink"], palette["odd-paper"]) >= 4.5);
    }
}

/// Runs Chromium on a file and gives what it wrote; `None` where there is none.
pub(crate) fn chromium(arguments: &[&str], file: &Path) -> Option<String> {
    let program = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(program) = program else {
        eprintln!("skipped: no chromium");
        return None;
    };
    let profile = tempfile::tempdir().unwrap();
    let out = Command::new("timeout")
        .args([
            "120",
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// A frame of each width holds the page, and its measure is written where the parent's text can be read. The page's own
/// policy allows no script, so the measuring is done from outside, on a copy without the policy.
#[test]
fn no_width_overflows() {
    let folder = tempfile::tempdir().unwrap();
    let mut html = String::from("<!DOCTYPE html><meta charset=utf-8><body>");
    for (name, bench) in [("honest", honest()), ("hostile", hostile())] {
        let page = page(&bench.read());
        let start = page.find("<meta http-equiv").unwrap();
        let end = start + page[start..].find('\n').unwrap();
        std::fs::write(
            folder.path().join(format!("{name}.html")),
            format!("{}{}", &page[..start], &page[end..]),
        )
        .unwrap();
        for width in [360, 794, 1280] {
            html.push_str(&format!("<iframe id=\"{name}-{width}\" src=\"{name}.html\" style=\"width:{width}px;height:900px\"></iframe>"));
        }
    }
    html.push_str(
        "<script>onload = () => { const out = []; for (const frame of document.querySelectorAll('iframe')) {\
         const page = frame.contentDocument.documentElement;\
         out.push(`${frame.id}=${page.scrollWidth}/${page.clientWidth}`); }\
         document.title = 'MEASURED ' + out.join(' ') + ' END'; }</script>",
    );
    let file = folder.path().join("measure.html");
    std::fs::write(&file, html).unwrap();
    let Some(dom) = chromium(
        &["--allow-file-access-from-files", "--virtual-time-budget=10000", "--dump-dom"],
        &file,
    ) else {
        return;
    };
    let said =
        dom.split("MEASURED ").nth(1).and_then(|rest| rest.split(" END").next()).expect("measured");
    let measures: Vec<&str> = said.split(' ').collect();
    assert_eq!(measures.len(), 6);
    for measure in measures {
        let (_, sizes) = measure.split_once('=').unwrap();
        let (content, window) = sizes.split_once('/').unwrap();
        let (content, window): (u32, u32) = (content.parse().unwrap(), window.parse().unwrap());
        assert!(window > 300 && content <= window, "{measure}");
    }
}

/// What a page smuggles in would show in the tree the browser built: a script that ran, or an element that is not ours.
#[test]
fn the_browser_runs_nothing_of_a_hostile_case() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hostile.html");
    let html = page(&hostile().read());
    std::fs::write(&file, &html).unwrap();
    let Some(dom) = chromium(&["--dump-dom"], &file) else { return };
    assert!(
        !dom.contains("<script") && !dom.contains("<img") && !dom.contains("<iframe"),
        "an element is not ours"
    );
    assert_eq!(dom.matches("<style>").count(), 1);
    // Negative control: the policy lets in no other style, and the one it names is the one there is.
    let changed = html.replacen("margin: 0;", "margin: 1px;", 1);
    assert_ne!(changed, html);
    let digest = html.split("'sha256-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(digest.len() == 44 && changed.contains(digest));
}
