//! A hostile case renders inert. HTML is judged by Python's own parser; the rest by what stands in the bytes.

use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{Bench, NASTY, WRITERS, hostile, written};

/// Characters that steer a terminal or the eye; only what our own writers use as white space may stay.
fn is_loaded(letter: char) -> bool {
    letter.is_control() && letter != '\n'
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
            | '\u{fffe}' | '\u{e0000}'..='\u{e0fff}')
}

/// What Python's parser finds in the page: names of elements and attributes, and addresses that would be fetched.
const PARSE: &str = r##"
import sys, json
from html.parser import HTMLParser
class P(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attrs, self.links, self.text, self.stack, self.bad, self.headings = set(), set(), [], [], [], [], []
    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit(): self.headings.append(int(tag[1]))
        for name, value in attrs:
            self.attrs.add(name)
            if name in ("href", "src", "action", "data", "xlink:href", "srcset", "poster"): self.links.append(value)
        if tag not in ("meta", "br", "line", "rect"): self.stack.append(tag)
    def handle_startendtag(self, tag, attrs): self.handle_starttag(tag, attrs)
    def handle_endtag(self, tag):
        if not self.stack or self.stack.pop() != tag: self.bad.append(tag)
    def handle_data(self, data): self.text.append(data)
    def handle_comment(self, data): self.bad.append("comment")
p = P(); p.feed(sys.stdin.buffer.read().decode("utf-8")); p.close()
print(json.dumps({"tags": sorted(p.tags), "attrs": sorted(p.attrs), "links": p.links, "left": p.stack, "bad": p.bad, "headings": p.headings,
    "text": "".join(p.text)}))
"##;

pub(crate) fn parsed(html: &str) -> Option<Value> {
    let Ok(mut child) = Command::new("python3")
        .args(["-c", PARSE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        eprintln!("skipped: no python3");
        return None;
    };
    child.stdin.take().unwrap().write_all(html.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    Some(serde_json::from_slice(&out.stdout).unwrap())
}

#[test]
fn nothing_hostile_is_left_in_any_format() {
    let bench = hostile();
    let report = bench.read();
    assert!(report.verdict.holds, "{:?}", report.verdict.problems);
    for (name, write) in WRITERS {
        let text = written(&report, write);
        if let Some(loaded) = text.chars().find(|letter| is_loaded(*letter)) {
            panic!("{name} holds {loaded:?}");
        }
        match name {
            "text" => assert!(text.lines().all(|line| line.chars().count() <= 78)),
            "html" => {
                assert!(text.len() < 8 << 20, "{} bytes", text.len());
                assert!(
                    !text.contains("<script")
                        && !text.contains("<img")
                        && !text.contains("javascript:alert(3)'>")
                );
            }
            _ => drop(serde_json::from_str::<Value>(&text).unwrap()),
        }
    }
    // The odd entries are counted, not lost: two findings and one without text of each line are read.
    let lines = NASTY.len() as u64;
    assert_eq!(report.findings.total, lines * 3);
    assert_eq!(report.findings.unreadable, lines * 2);
    let half = report
        .coverage
        .not_reached
        .iter()
        .filter(|one| one.what.raw().contains("ends in the middle"))
        .count();
    assert_eq!(half as u64, lines);
}

#[test]
fn python_sees_only_our_own_markup() {
    for bench in [hostile(), crate::common::honest()] {
        let Some(page) = parsed(&written(&bench.read(), report::html)) else { return };
        assert_eq!((&page["left"], &page["bad"]), (&json!([]), &json!([])), "elements nest");
        let ours = [
            "a",
            "bdi",
            "body",
            "br",
            "caption",
            "code",
            "dd",
            "details",
            "div",
            "dl",
            "dt",
            "figcaption",
            "figure",
            "footer",
            "h1",
            "h2",
            "h3",
            "head",
            "header",
            "html",
            "li",
            "line",
            "main",
            "meta",
            "nav",
            "ol",
            "p",
            "rect",
            "section",
            "span",
            "strong",
            "style",
            "summary",
            "svg",
            "table",
            "tbody",
            "td",
            "text",
            "th",
            "thead",
            "time",
            "title",
            "tr",
            "ul",
        ];
        for tag in page["tags"].as_array().unwrap() {
            assert!(ours.contains(&tag.as_str().unwrap()), "{tag}");
        }
        let ours = [
            "aria-label",
            "aria-labelledby",
            "charset",
            "class",
            "content",
            "data-head",
            "height",
            "href",
            "http-equiv",
            "id",
            "lang",
            "name",
            "open",
            "role",
            "scope",
            "tabindex",
            "text-anchor",
            "viewbox",
            "width",
            "x",
            "x1",
            "x2",
            "y",
            "y1",
            "y2",
        ];
        for name in page["attrs"].as_array().unwrap() {
            assert!(ours.contains(&name.as_str().unwrap()), "{name}");
        }
        for link in page["links"].as_array().unwrap() {
            assert!(link.as_str().unwrap().starts_with('#'), "{link}");
        }
    }
    // And the reader still sees what stood there.
    let page = parsed(&written(&hostile().read(), report::html)).unwrap_or_default();
    let text = page["text"].as_str().unwrap_or_default();
    assert!(
        page.is_null()
            || text.contains("<script>alert(1)</script>") && text.contains("x\\u{202e}fdp.exe")
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = prop_oneof![
        Just("writes".to_owned()),
        Just("disk".to_owned()),
        Just("lesson".to_owned()),
        Just("facts".to_owned()),
        Just("serial".to_owned()),
        Just("name".to_owned()),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        Just(json!("locked")),
        Just(json!("2026-05-01T00:00:00Z")),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(words.clone(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any JSON where an act may hold any, any verb, and any bytes as findings: every writer ends, in form.
    #[test]
    fn any_act_is_shown(
        host in any_json(), arguments in any_json(), counters in any_json(), facts in any_json(),
        findings in proptest::collection::vec(any_json(), 0..5), tail: Vec<u8>, word in ".{0,30}", kind in 0_usize..6,
    ) {
        let mut bench = Bench::new(&word);
        let verb = ["case note", "case custody x", "case contact", "image", "triage", word.as_str()][kind];
        bench.set_host(host);
        bench.act_counting(verb, arguments, &counters);
        let mut line = format!("{}\n", json!({ "address": facts, "report": { "findings": findings, "coverage": facts, "system": facts } })).into_bytes();
        line.extend(tail);
        bench.exhibit(verb, &word, "triage.jsonl", &line, facts, vec![]);
        let report = bench.read();
        for (name, write) in WRITERS {
            let text = written(&report, write);
            prop_assert!(!text.chars().any(is_loaded), "{}", name);
            if matches!(name, "json" | "case-uco") {
                let read = serde_json::from_str::<Value>(&text);
                prop_assert!(read.is_ok(), "{}: {:?}", name, read.err());
            }
        }
    }
}
