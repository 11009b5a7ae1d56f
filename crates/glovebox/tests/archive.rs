//! From a vendor's files to a verified system, by the program as a person runs it. Vouched for by `dpkg`, which installs the
//! system from the packages, and `minisign`, which reads the keys; refusals are those of the library, with their exit codes.

#[path = "../../../tests/support/debian_vendor.rs"]
mod debian_vendor;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use debian_vendor::Vendor;
use serde_json::Value;

fn glovebox(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glovebox"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn done(arguments: &[&str], code: i32) -> String {
    let out = glovebox(arguments);
    let (text, talk) =
        (String::from_utf8(out.stdout).unwrap(), String::from_utf8(out.stderr).unwrap());
    assert_eq!(out.status.code(), Some(code), "{arguments:?}\n{text}\n{talk}");
    text + &talk
}

/// Installs the vendor's packages with dpkg.
fn install(vendor: &Vendor, root: &Path) -> bool {
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "etc"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for file in ["status", "available"] {
        std::fs::write(root.join("var/lib/dpkg").join(file), "").unwrap();
    }
    let debs = ["tool", "lib"].map(|name| vendor.path("mirror/pool").join(format!("{name}.deb")));
    let out = Command::new("dpkg")
        .arg(format!("--root={}", root.display()))
        .args([
            "--force-script-chrootless",
            "--force-depends",
            "--force-not-root",
            "--log=/dev/null",
            "-i",
        ])
        .args(debs)
        .output();
    match out {
        Ok(out) if out.status.success() => true,
        Ok(out) => panic!("{}", String::from_utf8_lossy(&out.stderr)),
        Err(_) => false,
    }
}

#[test]
fn from_the_vendor_to_a_verified_system() {
    let Some(vendor) = Vendor::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (archive, key, public) = (path("archive"), path("team.key"), path("team.key.pub"));
    done(&["keys", "new", &key, "--dangerously-no-passphrase"], 0);
    let exported = done(&["keys", "export", &key], 0);
    assert_eq!(exported.trim(), std::fs::read_to_string(&public).unwrap().trim());
    done(&["keys", "new", &key, "--dangerously-no-passphrase"], 2);
    done(&["keys", "new", &path("other.key"), "--dangerously-no-passphrase"], 0);

    done(&["archive", "init", &archive, "--name", "team"], 0);
    let (mirror, ring) = (vendor.path("mirror"), vendor.path("ring"));
    let root = folder.path().join("root");
    if !install(&vendor, &root) {
        eprintln!("skipped: no dpkg");
        return;
    }
    let status = root.join("var/lib/dpkg/status");
    let add = |captured: &str, code| {
        let arguments = [
            "archive",
            "add-mirror",
            &archive,
            "--name",
            "test",
            "--suite",
            "stable",
            "--captured",
            captured,
            "--mirror",
            mirror.to_str().unwrap(),
            "--keyring",
            ring.to_str().unwrap(),
            "--packages-of",
            status.to_str().unwrap(),
        ];
        done(&arguments, code)
    };
    assert!(add("2024-09-01T00:00:00Z", 2).contains("past its end"));
    add("2024-01-02T00:00:00Z", 0);
    done(&["archive", "catalogue", &archive], 0);
    assert!(done(&["archive", "verify", &archive, "--trust", &public], 2).contains("not signed"));
    done(&["archive", "sign", &archive, "--key", &key], 0);
    if let Ok(out) = Command::new("minisign")
        .args(["-V", "-p", &public, "-m"])
        .arg(format!("{archive}/archive.json"))
        .output()
    {
        assert!(out.status.success());
    }
    done(&["archive", "verify", &archive, "--trust", &public, "--unpack"], 0);
    let other = path("other.key.pub");
    assert!(done(&["archive", "verify", &archive, "--trust", &other], 2).contains("another key"));
    assert!(
        done(&["archive", "list", &archive, "--trust", &public], 0).contains("tool 1.0-1 amd64")
    );
    assert!(done(&["archive", "age", &archive, "--trust", &public], 0).contains("stable"));

    // Back to the state before, with its own sound signature.
    let seen = path("seen.json");
    let kept = ["archive.json", "archive.json.minisig"].map(|name| format!("{archive}/{name}"));
    let before = kept.clone().map(|name| std::fs::read(name).unwrap());
    done(&["archive", "sign", &archive, "--key", &key], 0);
    let last =
        |code| done(&["archive", "verify", &archive, "--trust", &public, "--seen", &seen], code);
    last(0);
    let after = kept.clone().map(|name| std::fs::read(name).unwrap());
    (0..2).for_each(|at| std::fs::write(&kept[at], &before[at]).unwrap());
    assert!(last(2).contains("version 1, but version 2 was seen"));
    (0..2).for_each(|at| std::fs::write(&kept[at], &after[at]).unwrap());

    let system = format!("{}:0:/", root.display());
    let check = |code| {
        let arguments = ["verify", &system, "--archive", &archive, "--trust", &public, "--json"];
        let text = done(&arguments, code);
        text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>()
    };
    let clean = check(0);
    assert_eq!(clean[0]["type"], "verify");
    assert_eq!(clean[0]["packages_listed"], 2);
    std::fs::write(root.join("usr/bin/tool"), "#!/bin/sh\necho evil\n").unwrap();
    std::fs::write(root.join("etc/lib"), "setting=2\n").unwrap();
    let found: Vec<String> = check(1)
        .iter()
        .filter(|line| line["type"] == "finding")
        .map(|line| {
            format!("{} {}", line["rule"].as_str().unwrap(), line["path"].as_str().unwrap())
        })
        .collect();
    assert_eq!(found, ["GBV-0101 /usr/bin/tool", "GBV-0201 /etc/lib"]);

    // With a case in use it is an act, with the report as its exhibit.
    let case = path("IR-1");
    done(
        &[
            "case",
            "create",
            "IR-1",
            "--on",
            folder.path().to_str().unwrap(),
            "--examiner",
            "E",
            "--dangerously-no-passphrase",
        ],
        0,
    );
    done(&["verify", &system, "--archive", &archive, "--trust", &public, "--case", &case], 1);
    let acts = std::fs::read_to_string(format!("{case}/acts.jsonl")).unwrap();
    assert!(acts.contains("\"verb\":\"verify\"") && acts.contains("2 deviations"), "{acts}");
    done(&["case", "verify", "--case", &case], 0);

    // A changed package file is told with its name.
    let deb = format!("{archive}/debian/test/pool/tool.deb");
    let mut bytes = std::fs::read(&deb).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&deb, bytes).unwrap();
    assert!(
        done(&["archive", "verify", &archive, "--trust", &public], 1).contains("pool/tool.deb")
    );
}
