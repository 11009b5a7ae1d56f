//! What changed since a system was believed. The changes are planted; `sha256sum` vouches for the digests of a baseline, the
//! test's own socket for the ports; a baseline bent in any byte is refused.

mod team;

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::Value;
use team::{Team, done, lines, run, tool};

fn told(all: &[Value]) -> BTreeSet<String> {
    let findings = all.iter().filter(|line| line["type"] == "finding");
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    findings
        .map(|one| format!("{} {} {}", text(one, "rule"), text(one, "severity"), text(one, "path")))
        .collect()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A system with a little of what systems have.
fn furnish(root: &Path) {
    for folder in
        ["etc/systemd/system/multi-user.target.wants", "var/log", "usr/lib/systemd/system"]
    {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (name, text) in [
        ("etc/group", "root:x:0:\nsudo:x:27:\n"),
        ("etc/shadow", "root:$6$verysecret:1::::::\n"),
        ("etc/app.conf", "one\ntwo\n"),
        ("var/log/syslog", "one\n"),
        ("usr/lib/systemd/system/a.service", "[Service]\n"),
        ("usr/bin/old", "#!/bin/sh\n"),
        ("usr/bin/gone", "#!/bin/sh\n"),
    ] {
        std::fs::write(root.join(name), text).unwrap();
    }
    set_mode(&root.join("usr/bin/old"), 0o755);
    let link = root.join("etc/systemd/system/multi-user.target.wants/a.service");
    symlink("/usr/lib/systemd/system/a.service", link).unwrap();
}

#[test]
fn every_change_since_a_baseline_is_told() {
    let Some(team) = Team::new() else { return };
    let root = &team.root;
    furnish(root);
    let system = root.to_str().unwrap();
    let (folder, case) = (team.path("host-1"), team.case("IR-1"));
    let create = ["baseline", "create", system, "--name", "host-1", "--to", &folder];
    let signed = [&create[..], &["--sign-with", &team.key, "--case", &case]].concat();
    assert!(done(&signed, 0).contains("2 packages"));
    done(&signed, 2);
    let facts = std::fs::read_to_string(format!("{folder}/facts.json")).unwrap();
    assert!(!facts.contains("verysecret") && facts.contains("multi-user.target.wants"));
    let compare = |options: &[&str], code| {
        let fixed = ["baseline", "compare", system, &folder, "--trust", &team.public, "--json"];
        lines(&done(&[&fixed[..], options].concat(), code))
    };
    let clean = compare(&[], 0);
    assert_eq!(clean[0]["baseline"], "host-1");
    assert!(clean[0]["coverage"]["packaged"].as_u64().unwrap() > 20, "{clean:#?}");

    // Its digests are those of `sha256sum`.
    let packed = std::fs::read(format!("{folder}/files.jsonl.gz")).unwrap();
    if let Some(gzip) = tool("gzip") {
        let listing = run(&gzip, &["-dc", &format!("{folder}/files.jsonl.gz")], b"");
        let item =
            lines(&listing).into_iter().find(|line| line["path"] == "/usr/bin/tool").unwrap();
        let sums =
            run(&tool("sha256sum").unwrap(), &[root.join("usr/bin/tool").to_str().unwrap()], b"");
        assert!(sums.starts_with(item["sha256"].as_str().unwrap()));
    }

    // As lists of other programs, checked by them on the system itself.
    let export = |form: &str, name: &str| {
        let fixed = ["baseline", "export", &folder, "--trust", &team.public, "--list", form];
        let file = team.path(name);
        std::fs::write(&file, done(&fixed, 0)).unwrap();
        file
    };
    let judge = |program: &str, arguments: &[&str]| {
        let Some(program) = tool(program) else { return };
        let out = std::process::Command::new(program).args(arguments).current_dir(root).output();
        let out = out.unwrap();
        assert!(out.status.success(), "{out:?}");
        assert!(out.stdout.len() > 100, "{out:?}");
    };
    judge("sha256sum", &["--check", "--strict", &export("sum", "sums")]);
    judge("sha256sum", &["--check", "--strict", &export("bsd", "tags")]);
    let mtree = export("mtree", "tree");
    assert!(std::fs::read_to_string(mtree).unwrap().contains("usr/bin/tool"));

    // Into the archive, and from there.
    done(&["archive", "add-baseline", &team.archive, &folder, "--trust", &team.public], 0);
    done(&["archive", "add-baseline", &team.archive, &folder, "--trust", &team.public], 2);
    team.sign();
    team.verify(system, &["--baseline", "host-1"], 0);
    assert!(team.verify(system, &["--baseline", "other"], 2).contains("in it there are: host-1"));

    // Log lines come and go.
    std::fs::write(root.join("var/log/syslog"), "one\ntwo\n").unwrap();
    std::fs::write(root.join("var/log/new"), "x").unwrap();
    let quiet = compare(&[], 0);
    assert!(quiet[0]["coverage"]["explained"]["log"].as_u64().unwrap() >= 2, "{quiet:#?}");

    // What an intruder does.
    std::fs::write(root.join("usr/bin/tool"), "#!/bin/sh\necho evil\n").unwrap();
    std::fs::write(root.join("usr/bin/new"), "#!/bin/sh\n").unwrap();
    std::fs::remove_file(root.join("usr/bin/gone")).unwrap();
    set_mode(&root.join("usr/bin/old"), 0o4755);
    std::fs::write(root.join("var/log/rotated"), "#!/bin/sh\n").unwrap();
    std::fs::write(root.join("etc/app.conf"), "one\nthree\n").unwrap();
    let more = |name: &str, text: &str| {
        let mut all = std::fs::read_to_string(root.join(name)).unwrap();
        all.push_str(text);
        std::fs::write(root.join(name), all).unwrap();
    };
    more("etc/passwd", "toor:x:0:0::/root:/bin/sh\nroot:x:0:0::/tmp:/bin/sh\n");
    more(
        "var/lib/dpkg/status",
        "\nPackage: rogue\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n",
    );
    std::fs::write(root.join("etc/group"), "root:x:0:\nsudo:x:27:eve\n").unwrap();
    let wants = root.join("etc/systemd/system/multi-user.target.wants");
    symlink("/tmp/evil.service", wants.join("b.service")).unwrap();
    std::fs::remove_file(wants.join("a.service")).unwrap();
    std::fs::remove_file(root.join("etc/lib")).unwrap();
    symlink("/tmp/lib", root.join("etc/lib")).unwrap();
    set_mode(&root.join("etc/tool"), 0o666);
    let all = compare(&["--case", &case], 1);
    let expected = [
        "GBV-0901 high /usr/bin/new",
        "GBV-0901 high /var/log/rotated",
        "GBV-0902 medium /usr/bin/gone",
        "GBV-0903 critical /usr/bin/tool",
        "GBV-0903 medium /etc/app.conf",
        "GBV-0903 medium /etc/group",
        "GBV-0903 medium /etc/passwd",
        "GBV-0904 high /etc/lib",
        "GBV-0905 medium /etc/tool",
        "GBV-0906 critical /usr/bin/old",
        "GBV-0911 medium /var/lib/dpkg/status",
        "GBV-0912 critical /etc/passwd",
        "GBV-0913 medium /etc/group",
        "GBV-0914 high /etc/systemd/system/multi-user.target.wants/b.service",
        "GBV-0914 medium /etc/systemd/system/multi-user.target.wants/a.service",
    ];
    assert_eq!(told(&all), expected.map(str::to_owned).into(), "{all:#?}");
    let accounts = all.iter().filter(|line| line["rule"] == "GBV-0912").count();
    assert_eq!(accounts, 2, "a second root is another account");
    let conf = all.iter().find(|line| line["path"] == "/etc/app.conf").unwrap();
    let lines = serde_json::json!(["@@ -1,2 +1,2 @@", " one", "-two", "+three"]);
    assert_eq!(conf["difference"]["lines"], lines);
    let from_archive = team::lines(&team.verify(system, &["--baseline", "host-1", "--json"], 1));
    assert_eq!(told(&from_archive), told(&all));
    done(&["case", "verify", "--case", &case], 0);
    let acts = std::fs::read_to_string(format!("{case}/acts.jsonl")).unwrap();
    assert!(acts.contains("16 changes") && acts.contains("\"baseline create\""), "{acts}");

    // Nothing bent is believed, and nobody else's.
    done(&["keys", "new", &team.path("other.key"), "--dangerously-no-passphrase"], 0);
    let other = team.path("other.key.pub");
    let text = done(&["baseline", "compare", system, &folder, "--trust", &other], 2);
    assert!(text.contains("another key"), "{text}");
    let refused = |name: &str, said: &str| {
        let path = format!("{folder}/{name}");
        let kept = std::fs::read(&path).unwrap();
        let mut bytes = kept.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let text = done(&["baseline", "compare", system, &folder, "--trust", &team.public], 2);
        assert!(text.contains(said), "{text}");
        std::fs::write(&path, kept).unwrap();
    };
    refused("facts.json", "does not match its bytes");
    refused("files.jsonl.gz", "is not the file that facts.json names");
    assert_eq!(packed, std::fs::read(format!("{folder}/files.jsonl.gz")).unwrap());
}

/// Vouched for by the socket the test holds itself.
#[test]
fn ports_of_this_machine() {
    let Some(team) = Team::new() else { return };
    let (system, folder) = (team.root.to_str().unwrap(), team.path("host-2"));
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp {}", socket.local_addr().unwrap());
    let create = ["baseline", "create", system, "--name", "host-2", "--to", &folder, "--ports"];
    done(&[&create[..], &["--sign-with", &team.key]].concat(), 0);
    let facts: Value =
        serde_json::from_slice(&std::fs::read(format!("{folder}/facts.json")).unwrap()).unwrap();
    assert!(facts["sections"]["ports"].get(&address).is_some(), "{facts:#?}");
    drop(socket);
    let compare = ["baseline", "compare", system, &folder, "--trust", &team.public, "--json"];
    // Ports of a machine that is not running here are not judged.
    let all = lines(&done(&compare, 0));
    assert_eq!(all[0]["coverage"]["not_judged"]["ports: not looked for now"], 1, "{all:#?}");
    let all = lines(&done(&[&compare[..], &["--ports"]].concat(), 1));
    let gone = all.iter().find(|line| line["expected"] == address.as_str()).unwrap();
    assert_eq!(
        (gone["rule"].as_str(), gone["found"].as_str()),
        (Some("GBV-0915"), Some("nothing"))
    );
}

/// What lies on a volume without a key is not gone, it is not judged. The disk is made by `sfdisk`, `mke2fs`, `cryptsetup`.
#[test]
fn what_is_behind_a_locked_volume_is_not_gone() {
    let Some(team) = Team::new() else { return };
    let uuid = "UUID=11111111-2222-4333-8444-000000000002";
    std::fs::write(team.root.join("etc/fstab"), format!("{uuid} /var ext4 defaults 0 2\n"))
        .unwrap();
    let (system, folder) = (team.root.to_str().unwrap(), team.path("host-3"));
    let create = ["baseline", "create", system, "--name", "host-3", "--to", &folder];
    done(&[&create[..], &["--sign-with", &team.key]].concat(), 0);
    let Some(locked) = team.luks("var.img", "secret", 8) else { return };
    std::fs::remove_dir_all(team.root.join("var")).unwrap();
    let Some(root) = team.ext4("root.img", &team.root, 32) else { return };
    let Some(disk) = team.disk("disk.img", &[&root, &locked]) else { return };
    let compare = ["baseline", "compare", &disk, &folder, "--trust", &team.public, "--json"];
    let all = lines(&done(&compare, 1));
    // The mount point itself is gone from the root, because the test took it away; nothing below it is told.
    let expected = ["GBV-0902 medium /var", "GBV-0901 medium /lost+found"];
    let told = told(&all);
    assert!(told.iter().all(|one| expected.contains(&one.as_str())), "{told:#?}");
    let not_judged = &all[0]["coverage"]["not_judged"];
    assert_eq!(not_judged["packages: on a volume that could not be reached"], 1, "{not_judged}");
    assert!(all[0]["not_examined"][0].as_str().unwrap().contains("locked"));
}
