//! Custody and contacts as the acts add up to them. Only we vouch for these.

use crate::common;

use casebook::contact::{self, Contact};
use casebook::custody::{self, HandOver};
use casebook::{Act, Completion, Outcome, read_acts};
use serde_json::json;

fn acts(dir: &std::path::Path) -> Vec<Act> {
    read_acts(dir).unwrap().iter().map(|signed| signed.act().unwrap()).collect()
}

fn hand_over(from: &str, to: &str, seconds: u64) -> serde_json::Value {
    serde_json::to_value(HandOver {
        exhibits: vec!["001-disk".into()],
        from: from.into(),
        to: to.into(),
        when: common::at(seconds),
        place: "room 1".into(),
        purpose: "storage".into(),
        condition: "sealed".into(),
        seals: vec!["S-1".into()],
        witness: None,
    })
    .unwrap()
}

#[test]
fn a_chain_names_its_gaps() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let (case, signer) = common::create(&dir);
    common::add_exhibit(&case, &signer, "disk", b"x");
    for (from, to, at) in [
        ("A. Examiner", "B. Keeper", 10),
        ("B. Keeper", "C. Court", 20),
        ("D. Other", "E. End", 15),
    ] {
        let draft = casebook::ActDraft {
            arguments: hand_over(from, to, at),
            ..common::draft(custody::HAND_OVER)
        };
        case.record(draft, Completion::new(common::at(30), Outcome::done()), &signer).unwrap();
    }
    let chains = custody::chains(&acts(&dir));
    let [chain] = chains.as_slice() else { panic!("{chains:?}") };
    assert_eq!((chain.made_by_act, chain.made_by.as_deref()), (Some(1), Some("A. Examiner")));
    assert_eq!((chain.links.len(), chain.holder()), (3, Some("E. End")));
    assert_eq!(
        chain.gaps,
        [
            "act 4: D. Other gave it, the record has it with C. Court",
            "act 4: it is dated before what was recorded earlier"
        ]
    );
}

#[test]
fn contacts_make_a_tree_and_a_template() {
    let text = "[[contact]]\nname = \"Lead\"\norder = 1\nphones = [\"1\"]\n\
        [[contact]]\nname = \"Net\"\norder = 3\ncalled_by = \"Lead\"\n\
        [[contact]]\nname = \"Law\"\norder = 2\ncalled_by = \"Lead\"\nkeys = [\"age1x\"]\n\
        [[contact]]\nname = \"Circle\"\ncalled_by = \"Round\"\n\
        [[contact]]\nname = \"Round\"\ncalled_by = \"Circle\"\n\
        [[contact]]\nname = \"Lost\"\ncalled_by = \"Nobody\"\n";
    let template = contact::parse_template(text).unwrap();
    assert_eq!(
        contact::parse_template(&contact::to_template(&template).unwrap()).unwrap(),
        template
    );
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("case");
    let (case, signer) = common::create(&dir);
    let add = |contacts: &[Contact]| {
        let arguments = json!({ "contacts": contacts });
        let draft = casebook::ActDraft { arguments, ..common::draft(contact::ADD) };
        case.record(draft, Completion::new(common::at(1), Outcome::done()), &signer).unwrap();
    };
    add(&template);
    add(&[Contact { name: "Lost".into(), role: Some("found".into()), ..Contact::default() }]);
    let book = contact::book(&acts(&dir));
    let tree: Vec<(usize, &str)> =
        contact::tree(&book).into_iter().map(|(depth, one)| (depth, one.name.as_str())).collect();
    assert_eq!(
        tree,
        [(0, "Lead"), (1, "Law"), (1, "Net"), (0, "Lost"), (0, "Circle"), (1, "Round")]
    );
    assert_eq!(book.iter().find(|one| one.name == "Lost").unwrap().role.as_deref(), Some("found"));
    for bad in ["[[contact]]\n", "[[contact]]\nname=\"\"", "[[contact]]\nname=\"a\"\nx=1"] {
        assert!(contact::parse_template(bad).is_err(), "{bad}");
    }
}
