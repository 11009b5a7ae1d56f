//! Systems verified on disk images, through our own readers; volumes nobody has a key for are named and counted, never
//! passed over. Vouched for by `dpkg`, which installs the systems, `mke2fs`, `sfdisk` and `cryptsetup`, which make the disks.

mod team;

use team::{Team, lines};

const HOME: &str = "UUID=11111111-2222-4333-8444-000000000002";

/// A system in a disk image is judged as the same system in a folder is.
#[test]
fn verify_from_a_disk_image() {
    let Some(team) = Team::new() else { return };
    let Some(root) = team.ext4("root.img", &team.root, 32) else { return };
    let Some(disk) = team.disk("disk.img", &[&root]) else { return };
    let all = lines(&team.verify(&disk, &["--json"], 0));
    assert_eq!(all[0]["packages_listed"], 2, "{all:#?}");
    assert_eq!(all[0]["not_examined"].as_array().unwrap().len(), 0);
    assert!(all[0]["coverage"]["files_hashed"].as_u64().unwrap() >= 6);

    // The same disk with changes made in it.
    std::fs::write(team.root.join("usr/bin/tool"), "#!/bin/sh\necho evil\n").unwrap();
    std::fs::copy(team.root.join("usr/bin/lib"), team.root.join("usr/bin/.x")).unwrap();
    std::fs::remove_file(team.root.join("usr/bin/lib")).unwrap();
    let root = team.ext4("root.img", &team.root, 32).unwrap();
    let disk = team.disk("changed.img", &[&root]).unwrap();
    let told = |address: &str| -> Vec<String> {
        let all = lines(&team.verify(address, &["--json"], 1));
        let findings = all.iter().filter(|line| line["type"] == "finding");
        findings.map(|one| format!("{} {}", one["rule"], one["path"])).collect()
    };
    let expected = [
        "\"GBV-0101\" \"/usr/bin/tool\"",
        "\"GBV-0302\" \"/usr/bin/.x\"",
        "\"GBV-0108\" \"/usr/bin/lib\"",
    ];
    assert_eq!(told(&disk), expected);
    // By its volume, and by the folder it was made from: the same.
    assert_eq!(told(&format!("{disk}:1")), expected);
    assert_eq!(told(&format!("{}:0:/", team.root.display())), expected);
}

/// `/home` behind LUKS: everything else is judged; what is missing is named in the answer, the exit code and the case.
#[test]
fn verify_beside_a_locked_volume() {
    let Some(team) = Team::new() else { return };
    let Some(locked) = team.luks("home.img", "secret", 8) else { return };
    std::fs::create_dir(team.root.join("home")).unwrap();
    std::fs::write(team.root.join("etc/fstab"), "/dev/mapper/home /home ext4 defaults 0 2\n")
        .unwrap();
    std::fs::write(team.root.join("etc/crypttab"), format!("home {HOME} none luks\n")).unwrap();
    let Some(root) = team.ext4("root.img", &team.root, 32) else { return };
    let Some(disk) = team.disk("disk.img", &[&root, &locked]) else { return };
    let text = team.verify(&disk, &[], 3);
    assert!(text.contains(&format!("not examined: {disk}:2 (Luks1, locked)")), "{text}");
    assert!(text.contains("problem: /home: not examined: "), "{text}");

    let case = team.case("IR-1");
    let json = team.verify(&disk, &["--json", "--case", &case], 3);
    let summary = &lines(&json)[0];
    assert_eq!(summary["findings"], 0, "{json}");
    let named = summary["not_examined"][0].as_str().unwrap();
    assert!(named.contains(":2 (Luks1, locked)"), "{json}");
    let missing = summary["coverage"]["not_examined"][0].as_str().unwrap();
    assert!(missing.starts_with("/home (") && missing.contains("no key opened it"), "{json}");
    let acts = std::fs::read_to_string(format!("{case}/acts.jsonl")).unwrap();
    assert!(acts.contains("0 deviations") && acts.contains("not examined: "), "{acts}");
    assert!(acts.contains("\"partial\""), "{acts}");

    // A deviation weighs more than a gap.
    std::fs::write(team.root.join("usr/bin/tool"), "changed").unwrap();
    let root = team.ext4("root.img", &team.root, 32).unwrap();
    let disk = team.disk("changed.img", &[&root, &locked]).unwrap();
    team.verify(&disk, &[], 1);
    // With the volume asked for by itself nothing else is missing.
    team.verify(&format!("{disk}:1"), &[], 1);
}

/// `/var` behind LUKS: there is no package database to believe, and the message says where it went.
#[test]
fn verify_with_the_package_database_on_a_locked_volume() {
    let Some(team) = Team::new() else { return };
    let Some(locked) = team.luks("var.img", "secret", 8) else { return };
    std::fs::remove_dir_all(team.root.join("var")).unwrap();
    std::fs::write(team.root.join("etc/fstab"), format!("{HOME} /var ext4 defaults 0 2\n"))
        .unwrap();
    let Some(root) = team.ext4("root.img", &team.root, 32) else { return };
    let Some(disk) = team.disk("disk.img", &[&root, &locked]) else { return };
    let text = team.verify(&disk, &[], 2);
    assert!(text.contains("no package database"), "{text}");
    assert!(text.contains("not reached: /var ("), "{text}");
}
