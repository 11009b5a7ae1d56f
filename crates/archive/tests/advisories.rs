//! Advisories: what is open in what is installed. The order of versions is vouched for by `dpkg`; the two forms only by us, after
//! their descriptions.

use std::collections::BTreeSet;

use archive::advisories::{Form, Installed, Release, State, open};

fn debian() -> Release {
    let [id, codename, number] = ["debian", "bookworm", "12"].map(str::to_owned);
    Release { id, codename, number }
}

fn installed() -> Installed {
    let of = |name: &str, version: &str| (name.to_owned(), BTreeSet::from([version.to_owned()]));
    [of("openssl", "3.0.15-1~deb12u1"), of("bash", "5.2.15-2"), of("zlib", "1:1.2.13-1")].into()
}

fn told(form: Form, text: &str) -> Vec<(String, State, Option<String>)> {
    let known = open(form, "x", text.as_bytes(), &debian(), &installed()).unwrap();
    known.open.into_iter().map(|one| (one.id, one.state, one.fixed)).collect()
}

/// In the form the tracker publishes; the fields were read there, the entries are made up. Only we vouch.
#[test]
fn the_tracker_says_what_is_open() {
    let text = r#"{
      "openssl": {
        "CVE-1": {"description": "a", "scope": "remote", "releases": {
          "bookworm": {"status": "resolved", "fixed_version": "3.0.15-1~deb12u2", "urgency": "high"},
          "sid": {"status": "open", "urgency": "not yet assigned"}}},
        "CVE-2": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "3.0.15-1~deb12u1", "urgency": "x"}}},
        "CVE-3": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "0", "urgency": "x"}}},
        "CVE-4": {"releases": {"bookworm": {"status": "open", "urgency": "low", "nodsa": "x"}}},
        "CVE-5": {"releases": {"bookworm": {"status": "undetermined"}}},
        "CVE-6": {"releases": {"sid": {"status": "open"}}}},
      "zlib": {"CVE-7": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "2.0"}}}},
      "other": {"CVE-8": {"releases": {"bookworm": {"status": "open"}}}}}"#;
    let fixed = |text: &str| Some(text.to_owned());
    let expected = vec![
        ("CVE-1".to_owned(), State::Fixed, fixed("3.0.15-1~deb12u2")),
        ("CVE-4".to_owned(), State::Unfixed, None),
        ("CVE-5".to_owned(), State::Undetermined, None),
    ];
    // An epoch is above every version without one.
    assert_eq!(told(Form::DebianTracker, text), expected);
    let other = Release { codename: "buster".to_owned(), ..debian() };
    let known = open(Form::DebianTracker, "x", text.as_bytes(), &other, &installed()).unwrap();
    assert_eq!(known.of_release, 0);
    for odd in ["", "[]", "{\"a\": 1}", "{\"a\": {\"b\": {}}", "{}x"] {
        assert!(open(Form::DebianTracker, "x", odd.as_bytes(), &debian(), &installed()).is_err());
    }
}

/// In the form of the schema's own examples. Only we vouch.
#[test]
fn osv_says_what_is_open() {
    let one = |id: &str, ecosystem: &str, events: &str, more: &str| {
        format!(
            r#"{{"id": "{id}", "modified": "x", "summary": "s", {more} "affected": [{{"package":
            {{"ecosystem": "{ecosystem}", "name": "bash"}}, "ranges": [{{"type": "ECOSYSTEM", "events": {events}}}]}}]}}"#
        )
    };
    let all = [
        one("A", "Debian:12", r#"[{"introduced": "0"}, {"fixed": "5.2.15-3"}]"#, ""),
        one("B", "Debian:12", r#"[{"introduced": "0"}, {"fixed": "5.2.15-2"}]"#, ""),
        one("C", "Debian:12", r#"[{"introduced": "5.2.15-2"}]"#, ""),
        one("D", "Debian:12", r#"[{"introduced": "5.3"}]"#, ""),
        one("E", "Debian:11", r#"[{"introduced": "0"}]"#, ""),
        one("F", "Debian:12", r#"[{"introduced": "0"}]"#, "\"withdrawn\": \"x\","),
        one("G", "Debian", r#"[{"introduced": "0"}, {"last_affected": "5.2.15-2"}]"#, ""),
        one("H", "Debian:12", r#"[{"introduced": "0"}, {"last_affected": "5.2.15-1"}]"#, ""),
        one(
            "I",
            "Debian:12",
            r#"[{"introduced": "0"}, {"fixed": "4"}, {"introduced": "5"}, {"fixed": "6"}]"#,
            "",
        ),
        one("J", "npm", r#"[{"introduced": "0"}]"#, ""),
    ];
    let expected = vec![
        ("A".to_owned(), State::Fixed, Some("5.2.15-3".to_owned())),
        ("C".to_owned(), State::Unfixed, None),
        ("G".to_owned(), State::Unfixed, None),
        ("I".to_owned(), State::Fixed, Some("6".to_owned())),
    ];
    assert_eq!(told(Form::Osv, &format!("[{}]", all.join(","))), expected);
    assert_eq!(told(Form::Osv, &all[0]).len(), 1);
    for odd in ["", "1", "[{]", "[1]", "{\"id\": 1}"] {
        assert!(open(Form::Osv, "x", odd.as_bytes(), &debian(), &installed()).is_err(), "{odd}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}\":,a-z0-9 ]{0,80}") {
        for form in [Form::DebianTracker, Form::Osv] {
            let _ = open(form, "x", text.as_bytes(), &debian(), &installed());
        }
    }
}

/// The first version without a weakness decides by the order of `dpkg --compare-versions`.
#[test]
fn versions_are_compared_as_dpkg_compares_them() {
    let versions = ["1.0", "1.0-1", "1.0-1+b1", "1.0-1~deb12u1", "1:0.9", "1.0~rc1-1", "1.10-1"];
    for own in versions {
        let installed = Installed::from([("a".to_owned(), BTreeSet::from([own.to_owned()]))]);
        for fixed in versions {
            let older = std::process::Command::new("dpkg")
                .args(["--compare-versions", own, "lt", fixed])
                .status();
            let Ok(older) = older else {
                eprintln!("skipped: no dpkg");
                return;
            };
            let tracker = format!(
                r#"{{"a": {{"CVE-1": {{"releases": {{"bookworm": {{"status": "resolved", "fixed_version": "{fixed}"}}}}}}}}}}"#
            );
            let osv = format!(
                r#"{{"id": "A", "affected": [{{"package": {{"ecosystem": "Debian:12", "name": "a"}},
                "ranges": [{{"type": "ECOSYSTEM", "events": [{{"introduced": "0"}}, {{"fixed": "{fixed}"}}]}}]}}]}}"#
            );
            for (form, text) in [(Form::DebianTracker, tracker), (Form::Osv, osv)] {
                let known = open(form, "x", text.as_bytes(), &debian(), &installed).unwrap();
                assert_eq!(known.open.len() == 1, older.success(), "{own} {fixed} {form:?}");
                assert_eq!(known.of_release, 1);
            }
        }
    }
}
