//! Custody, contacts, sealing and unfinished files as a report tells them. Vouched for by the planted case, and by the
//! casebook, whose own tests judge the chains.

use std::num::NonZeroUsize;

use casebook::VerifyOptions;
use report::Report;
use serde_json::{Value, json};

use crate::common::{Bench, written};

fn hand_over(from: &str, to: &str) -> Value {
    json!({
        "exhibits": ["001-disk"], "from": from, "to": to, "when": "2026-05-03T12:00:00Z", "where": "store <3>",
        "purpose": "safe keeping", "condition": "sealed", "seals": ["S-1", "S-2"], "witness": "W. Itness",
    })
}

fn bench() -> Bench {
    let mut bench = Bench::new("custody");
    bench.exhibit("image", "disk", "image.raw", b"bytes", Value::Null, Vec::new());
    bench.act("case custody hand-over", hand_over("R. Brandt", "K. Osei"));
    bench.act("case custody hand-over", hand_over("N. Obody", "L. Ast"));
    bench.act("case custody hand-over", json!({ "odd": "of another version" }));
    let contacts = json!([
        { "name": "B. Elow", "called_by": "T. Op", "phones": ["+1 555 0100"] },
        { "name": "T. Op", "role": "lead", "keys": ["age1xyz"] },
    ]);
    bench.act("case contact add", json!({ "contacts": contacts }));
    bench
}

#[test]
fn chains_and_the_call_tree_are_the_casebooks() {
    let mut bench = bench();
    let report = bench.read();
    let [chain] = report.custody.chains.as_slice() else { panic!("{:?}", report.custody) };
    assert_eq!(
        (chain.made_by_act, chain.links.len(), chain.holder()),
        (Some(1), 2, Some("L. Ast"))
    );
    assert_eq!(chain.gaps, ["act 3: N. Obody gave it, the record has it with K. Osei"]);
    let calls: Vec<_> =
        report.custody.calls.iter().map(|call| (call.depth, call.contact.name.as_str())).collect();
    assert_eq!(calls, [(0, "T. Op"), (1, "B. Elow")]);
    let html = written(&report, report::html);
    let text = written(&report, report::text).split_whitespace().collect::<Vec<_>>().join(" ");
    for page in [&html, &text] {
        for word in [
            "N. Obody gave it",
            "L. Ast",
            "W. Itness",
            "S-1, S-2",
            "age1xyz",
            "+1 555 0100",
            "of another version",
            "not sealed",
        ] {
            assert!(page.contains(word), "{word} is not told: {page}");
        }
    }
    assert!(html.contains("store &lt;3&gt;") && !html.contains("store <3>"));
    // In the chain, in its gap and in the list of acts, and not among further records.
    assert_eq!(html.matches("N. Obody").count(), 3);
    bench.act("case seal", json!({}));
    let report = bench.read();
    assert_eq!(report.custody.sealing.as_ref().map(|one| one.act), Some(6));
    assert!(written(&report, report::text).contains("sealed: by act 6, 2026-05-03T"));
    bench.act("case open", json!({}));
    assert!(bench.read().custody.sealing.is_none());
}

#[test]
fn a_report_from_a_bag_names_the_bag() {
    let mut bench = bench();
    bench.act("case seal", json!({}));
    let bag = bench.directory.path().join("bag");
    let whole = casebook::bag::Bag::of(bench.path(), &mut |_| {}).unwrap();
    whole.write_to(&bag, &mut |_| {}).unwrap();
    let report = Report::read(&bag, &VerifyOptions::default()).unwrap();
    assert_eq!(report.custody.bag_sha256, Some(whole.identity()));
    assert!(written(&report, report::html).contains(&whole.identity()));
    assert_eq!(bench.read().custody.bag_sha256, None);
}

/// The same bytes, whether verifying and reading happen one after the other or together.
#[test]
fn threads_change_nothing() {
    let bench = crate::common::honest();
    let two = VerifyOptions { threads: NonZeroUsize::new(2).unwrap(), ..VerifyOptions::default() };
    let report = Report::read(bench.path(), &two).unwrap();
    for (name, write) in crate::common::WRITERS {
        assert!(written(&report, write) == written(&bench.read(), write), "{name} differs");
    }
}

/// Acts of one machine state another time since its start; it is one machine all the same.
#[test]
fn a_machine_stands_in_the_report_once() {
    let mut bench = Bench::new("machine");
    for since_boot_ms in [1, 2, 3] {
        bench.set_host(json!({ "kernel": "6.12", "since_boot_ms": since_boot_ms }));
        bench.act("case note", json!({ "text": "x" }));
    }
    let hosts = bench.read().hosts;
    assert_eq!((hosts.list.len(), hosts.list[0].acts), (1, 3), "{hosts:?}");
}
