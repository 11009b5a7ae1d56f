//! What the archive gives back: the lines that were changed in configuration files, single files, and itself. Vouched for by the
//! vendor's own files as `dpkg-deb` unpacks them, `patch`, `sha256sum` and the casebook.

mod team;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use team::{Team, done, lines, run, tool};

/// The finding on this path.
fn finding(all: &[Value], path: &str) -> Value {
    all.iter().find(|line| line["type"] == "finding" && line["path"] == path).unwrap().clone()
}

#[test]
fn changed_configuration_is_told_line_by_line() {
    let Some(team) = Team::new() else { return };
    let system = format!("{}:0:/", team.root.display());
    std::fs::write(team.root.join("etc/lib"), b"# by hand \x1b[31m\nsetting=2\nmore=1").unwrap();
    let all = lines(&team.verify(&system, &["--json"], 1));
    let told = finding(&all, "/etc/lib");
    assert_eq!(told["rule"], "GBV-0201");
    let difference = &told["difference"];
    assert_eq!(
        (difference["kind"].as_str(), difference["removed"].as_u64()),
        (Some("text"), Some(1))
    );
    let expected = [
        "@@ -1 +1,3 @@",
        "-setting=1",
        "+# by hand \\x1b[31m",
        "+setting=2",
        "+more=1",
        "\\ No newline at end of file",
    ];
    assert_eq!(difference["lines"], serde_json::json!(expected));
    let text = team.verify(&system, &[], 1);
    assert!(
        text.contains("    --- packaged\n    +++ found\n    @@ -1 +1,3 @@\n    -setting=1\n"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text}");

    // What is told makes the changed file from the packaged one.
    std::fs::write(team.root.join("etc/lib"), "# by hand\nsetting=2\n").unwrap();
    let all = lines(&team.verify(&system, &["--json"], 1));
    let mut diff = "--- a\n+++ b\n".to_owned();
    for line in finding(&all, "/etc/lib")["difference"]["lines"].as_array().unwrap() {
        diff.push_str(&format!("{}\n", line.as_str().unwrap()));
    }
    if let Some(patch) = tool("patch") {
        let file = team.path("lib");
        std::fs::write(&file, "setting=1\n").unwrap();
        run(&patch, &["--quiet", "--force", &file], diff.as_bytes());
        assert_eq!(std::fs::read(&file).unwrap(), b"# by hand\nsetting=2\n");
    }

    // No text: told as such. Too long: told as such, after bounded work.
    std::fs::write(team.root.join("etc/lib"), b"\0\x01").unwrap();
    std::fs::write(team.root.join("etc/tool"), vec![b'\n'; 2 << 20]).unwrap();
    let all = lines(&team.verify(&system, &["--json"], 1));
    let binary = serde_json::json!({ "kind": "binary", "packaged_bytes": 10, "found_bytes": 2 });
    assert_eq!(finding(&all, "/etc/lib")["difference"], binary);
    let why = finding(&all, "/etc/tool")["difference"]["why"].clone();
    assert!(why.as_str().unwrap().contains("longer than"), "{why}");

    // The packaged form is only believed from the package file that the signed catalogue names.
    std::fs::write(team.root.join("etc/lib"), "setting=2\n").unwrap();
    let deb = format!("{}/debian/test/pool/lib.deb", team.archive);
    let mut bytes = std::fs::read(&deb).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&deb, bytes).unwrap();
    let all = lines(&team.verify(&system, &["--json"], 1));
    let why = finding(&all, "/etc/lib")["difference"]["why"].clone();
    assert!(why.as_str().unwrap().contains("pool/lib.deb has"), "{why}");
    std::fs::remove_file(&deb).unwrap();
    let text = team.verify(&system, &[], 1);
    assert!(text.contains("what was changed is not known: "), "{text}");
}

#[test]
fn single_files_come_back_from_the_archive() {
    let Some(team) = Team::new() else { return };
    let case = team.case("IR-1");
    let own = |paths: &[&str], options: &[&str], code| {
        let fixed = ["--archive", &team.archive, "--trust", &team.public];
        done(&[&["restore", "file"], paths, &fixed[..], options].concat(), code)
    };
    let packaged = |name: &str| std::fs::read(team.root.join(name)).unwrap();
    let (tool_bytes, lib_bytes) = (packaged("usr/bin/tool"), packaged("etc/lib"));
    std::fs::write(team.root.join("usr/bin/tool"), "evil").unwrap();

    // Into the case, by either spelling of a merged directory.
    let text = own(&["/bin/tool", "/etc/lib"], &["--case", &case, "--json"], 0);
    let told = lines(&text);
    assert_eq!(
        (told[0]["path"].as_str(), told[0]["mode"].as_str()),
        (Some("/bin/tool"), Some("0755"))
    );
    let exhibit = Path::new(&case).join("exhibits/001-restored");
    assert_eq!(std::fs::read(exhibit.join("files/bin/tool")).unwrap(), tool_bytes);
    assert_eq!(std::fs::read(exhibit.join("files/etc/lib")).unwrap(), lib_bytes);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(exhibit.join("files/bin/tool")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0);
    let checked = Command::new("sha256sum")
        .args(["--check", "--strict", "manifest.sha256"])
        .current_dir(&exhibit)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{checked:?}");
    done(&["case", "verify", "--case", &case], 0);
    let acts = std::fs::read_to_string(format!("{case}/acts.jsonl")).unwrap();
    assert!(acts.contains("\"restore file\"") && acts.contains("2 files restored"), "{acts}");

    // Into a folder, in the version the system claims to have; a folder that is there is refused.
    let (folder, system) = (team.path("back"), team.root.display().to_string());
    own(&["/usr/bin/lib"], &["--to", &folder, "--for", &system], 0);
    assert_eq!(
        std::fs::read(format!("{folder}/files/usr/bin/lib")).unwrap(),
        packaged("usr/bin/lib")
    );
    own(&["/usr/bin/lib"], &["--to", &folder], 2);

    // What nobody signed is not there, and detours lead nowhere.
    let to = team.path("none");
    assert!(own(&["/etc/passwd"], &["--to", &to], 2).contains("no package of the archive"));
    assert!(
        own(&["/usr/bin/tool"], &["--to", &to, "--package", "lib"], 2).contains("bring no such")
    );
    assert!(own(&["/usr/../etc/lib"], &["--to", &to], 2).contains("without detours"));
    assert!(!Path::new(&to).exists());

    // A package file that was changed gives nothing; the other one still does, and the exit code says so.
    let deb = format!("{}/debian/test/pool/tool.deb", team.archive);
    let mut bytes = std::fs::read(&deb).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&deb, bytes).unwrap();
    let text = own(&["/usr/bin/tool", "/etc/lib"], &["--to", &to], 3);
    assert!(text.contains("pool/tool.deb has"), "{text}");
    assert!(Path::new(&to).join("files/etc/lib").exists());
    assert!(!Path::new(&to).join("files/usr/bin/tool").exists());
    own(&["/usr/bin/tool"], &["--case", &case], 2);
    done(&["case", "verify", "--case", &case], 0);
}

/// Only we vouch for the form of what is published; every object is what its name says, by `sha256sum`.
#[test]
fn an_archive_is_published_and_collected() {
    let Some(team) = Team::new() else { return };
    let (place, copy) = (team.path("www"), team.path("copy"));
    let publish =
        |code| done(&["archive", "publish", &team.archive, &place, "--trust", &team.public], code);
    let collect = |into: &str, more: &[&str], code| {
        let fixed = ["archive", "collect", &place, into, "--name", "team", "--trust", &team.public];
        done(&[&fixed[..], more].concat(), code)
    };
    assert!(publish(0).contains("team version 1"));
    let again = publish(0);
    assert!(again.contains(" 0 files copied"), "{again}");
    let mut objects = Vec::new();
    for folder in std::fs::read_dir(format!("{place}/objects")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            objects.push(file.unwrap().path());
        }
    }
    assert!(objects.len() >= 7, "{objects:?}");
    let sums = Command::new("sha256sum").args(&objects).output().unwrap();
    for line in String::from_utf8(sums.stdout).unwrap().lines() {
        assert!(line.ends_with(&line[..64]), "{line}");
    }

    // A missing and a bent object: nothing that opens, and gone on with when they are there again.
    let pool = format!("{}/debian/test/pool/tool.deb", team.archive);
    let sum = run(&tool("sha256sum").unwrap(), &[&pool], b"");
    let object = format!("{place}/objects/{}/{}", &sum[..2], &sum[..64]);
    let bytes = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    assert!(collect(&copy, &[], 2).contains("pool/tool.deb"));
    let mut bent = bytes.clone();
    bent[100] ^= 1;
    std::fs::write(&object, bent).unwrap();
    assert!(collect(&copy, &[], 2).contains("pool/tool.deb has"));
    done(&["archive", "verify", &copy, "--trust", &team.public], 2);
    std::fs::write(&object, bytes).unwrap();
    let text = collect(&copy, &[], 0);
    assert!(text.contains(" kept") && !text.contains(" 0 kept"), "{text}");
    done(&["archive", "verify", &copy, "--trust", &team.public, "--unpack"], 0);
    assert!(collect(&copy, &[], 2).contains("holds an archive already"));

    // A newer version; an older one in its place is refused by who has seen it, and never published over it.
    let kept =
        ["archive.json", "archive.json.minisig"].map(|name| format!("{}/{name}", team.archive));
    let before = kept.clone().map(|name| std::fs::read(name).unwrap());
    team.sign();
    assert!(publish(0).contains("team version 2"));
    let seen = team.path("seen.json");
    collect(&team.path("second"), &["--seen", &seen], 0);
    let text = collect(&team.path("third"), &["--seen", &seen, "--at-version", "1"], 2);
    assert!(text.contains("version 1, but version 2 was seen"), "{text}");
    collect(&team.path("fourth"), &["--at-version", "1"], 0);
    (0..2).for_each(|at| std::fs::write(&kept[at], &before[at]).unwrap());
    assert!(publish(2).contains("version 1, but version 2 was seen"));
    // Another list under a newer number.
    for name in ["archive.json", "archive.json.minisig"] {
        let from = format!("{place}/archives/team/1/{name}");
        std::fs::copy(from, format!("{place}/archives/team/2/{name}")).unwrap();
    }
    assert!(collect(&team.path("fifth"), &[], 2).contains("version 1, but version 2"));
    // Another key.
    done(&["keys", "new", &team.path("other.key"), "--dangerously-no-passphrase"], 0);
    let other = ["--trust", &team.path("other.key.pub")];
    let fixed = ["archive", "collect", &place, &team.path("sixth"), "--name", "team"];
    assert!(done(&[&fixed[..], &other].concat(), 2).contains("another key"));
    assert!(!Path::new(&team.path("sixth")).exists());
}

/// Vouched for by `gpg`, which signs, and `sha256sum`, which lists; what is refused is the library's.
#[test]
fn media_and_masters_are_kept_in_an_archive() {
    let Some(team) = Team::new() else { return };
    let (iso, list) = (team.path("disk.iso"), team.path("SHA256SUMS"));
    std::fs::write(&iso, vec![5; 100_000]).unwrap();
    let sum = run(&tool("sha256sum").unwrap(), &[&iso], b"");
    std::fs::write(&list, format!("{}  disk.iso\n", &sum[..64])).unwrap();
    let ring = team.vendor_signs(Path::new(&list));
    let signature = format!("{list}.sig");
    let add = |name: &str, code| {
        let fixed = ["archive", "add-media", &team.archive, "--name", name, "--file", &iso];
        let vouching = ["--list", &list, "--signature", &signature, "--keyring", &ring];
        done(&[&fixed[..], &vouching, &["--captured", "2024-01-02T00:00:00Z"]].concat(), code)
    };
    assert!(add("installer", 0).contains("disk.iso, 97.7 KiB, in a list signed by "));
    std::fs::write(&iso, vec![6; 100_000]).unwrap();
    assert!(add("other", 2).contains("SHA256SUMS lists"));

    let Some(image) = team.ext4("made.img", &team.root, 32) else { return };
    let master = team.path("golden.raw");
    std::fs::write(&master, image).unwrap();
    let add = |made: &str, code| {
        let fixed = ["archive", "add-master", &team.archive, "--name", "web", "--file", &master];
        let word = ["--maker", "E", "--origin", "by dpkg", "--made", made, "--json"];
        done(&[&fixed[..], &word].concat(), code)
    };
    assert!(add("yesterday", 2).contains("yesterday"));
    assert_eq!(lines(&add("2024-01-03T00:00:00Z", 0))[0]["kind"], "raw");
    team.sign();
    done(&["archive", "verify", &team.archive, "--trust", &team.public], 0);
    let age = done(&["archive", "age", &team.archive, "--trust", &team.public], 0);
    assert!(age.contains("installer") && age.contains("2024-01-03T00:00:00Z"), "{age}");
    // A system put back from the master is told apart from it by nothing.
    let kept = format!("{}/masters/web/golden.raw", team.archive);
    done(&["archive", "add-golden", &team.archive, &kept, "--name", "web"], 0);
    team.sign();
    team.verify(&format!("{}:0:/", team.root.display()), &["--golden", "web"], 0);
}
