//! Stacks of volumes and the tree of a system put together from them.
//!
//! Vouched for by independent tools where there is one: sfdisk lays out the disks, mke2fs and the kernel's Btrfs fill them;
//! that the tree is the one the fstab describes is judged by the files planted on each volume.

mod support;

use evidence::fs::tree::{self, LastLink};
use evidence::fs::{FileSystem, RawPath};
use evidence::map::{self, Detail, Use};
use evidence::stack::{Disk, Origin, Stack};
use evidence::{MemSource, View, system};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{blank, open, run, text, tool};

const MIB: u64 = 1 << 20;

/// An ext4 volume with these files, and a UUID.
fn volume(directory: &Path, name: &str, uuid: &str, files: &[(&str, &str)]) -> Option<PathBuf> {
    let mke2fs = tool("mke2fs")?;
    let tree = directory.join(format!("{name}-tree"));
    for (path, content) in files {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if content.is_empty() {
            std::fs::create_dir(&path).unwrap();
        } else {
            std::fs::write(&path, content).unwrap();
        }
    }
    let image = blank(directory, name, 16 * MIB);
    let options = ["-q", "-F", "-t", "ext4", "-U", uuid, "-L", name, "-d", text(&tree)];
    run(&mke2fs, &[&options[..], &[text(&image)]].concat(), "");
    Some(image)
}

/// A disk with a table made by sfdisk from `script` and volumes at byte offsets.
fn disk(directory: &Path, name: &str, script: &str, volumes: &[(u64, &Path)]) -> Option<PathBuf> {
    let sfdisk = tool("sfdisk")?;
    let image = blank(directory, name, 96 * MIB);
    run(&sfdisk, &["-q", text(&image)], script);
    let file = std::fs::OpenOptions::new().write(true).open(&image).unwrap();
    for (offset, volume) in volumes {
        file.write_all_at(&std::fs::read(volume).unwrap(), *offset).unwrap();
    }
    Some(image)
}

fn named(name: &str, image: &Path) -> Disk {
    Disk { name: name.to_owned(), source: open(image) }
}

fn content(fs: &dyn FileSystem, path: &str) -> Option<String> {
    let (raw, _) = tree::read_file(fs, path.as_bytes(), 1 << 16).ok()?;
    String::from_utf8(raw).ok()
}

const ROOT: &str = "11111111-2222-4333-8444-000000000001";
const HOME: &str = "11111111-2222-4333-8444-000000000002";
const VAR: &str = "11111111-2222-4333-8444-000000000003";
const GPT: &str = "label: gpt\nstart=2048,size=32768,name=root\nstart=34816,size=32768,name=home\n\
                   start=67584,size=32768,name=var\n";

fn two_disks(directory: &Path) -> Option<Stack> {
    let fstab = format!(
        "UUID={ROOT} / ext4 defaults 0 1\nLABEL=home /home ext4 defaults 0 2\n/dev/sda3 /var ext4 defaults 0 2\n\
         /home/data /srv none bind\nPARTLABEL=lost /opt ext4 defaults\nserver:/x /mnt nfs defaults\n\
         UUID={ROOT} /home/data/again ext4 defaults\ntmpfs /tmp tmpfs x\n"
    );
    let root = volume(
        directory,
        "root",
        ROOT,
        &[
            ("etc/os-release", "PRETTY_NAME=\"Two disks\"\nID=two\n"),
            ("etc/fstab", &fstab),
            ("home/hidden", "below the mount point"),
            ("var", ""),
            ("srv", ""),
            ("opt", ""),
            ("mnt", ""),
        ],
    )?;
    let home = volume(
        directory,
        "home",
        HOME,
        &[("data/file", "on the second disk"), ("data/again", "")],
    )?;
    let var = volume(directory, "var", VAR, &[("log/syslog", "on the third partition")])?;
    let first = disk(directory, "first.img", GPT, &[(MIB, &root), (33 * MIB, &var)])?;
    let second =
        disk(directory, "second.img", "label: gpt\nstart=2048,size=32768\n", &[(MIB, &home)])?;
    Some(Stack::examine(&[named("sda", &first), named("sdb", &second)], &[]))
}

#[test]
fn a_system_over_two_disks_is_one_tree() {
    let directory = tempfile::tempdir().unwrap();
    let Some(stack) = two_disks(directory.path()) else { return };
    let systems = system::find(&stack, View::Recovered);
    assert_eq!(systems.len(), 1);
    let found = &systems[0];
    assert_eq!((found.name.as_str(), found.root.as_str()), ("os1", "sda:1"));
    assert_eq!(found.identity.name, "Two disks");
    let tree = &*found.tree;
    assert_eq!(content(tree, "/home/data/file").as_deref(), Some("on the second disk"));
    assert_eq!(content(tree, "/srv/file").as_deref(), Some("on the second disk"));
    assert_eq!(content(tree, "/var/log/syslog").as_deref(), Some("on the third partition"));
    assert!(content(tree, "/home/data/again/etc/os-release").unwrap().contains("Two disks"));
    // What lies below a mount point is hidden in the tree and seen on its volume.
    assert_eq!(content(tree, "/home/hidden"), None);
    let id = stack.find("sda", "1").unwrap();
    let fs = stack.open(id, View::Recovered).unwrap();
    assert_eq!(content(&*fs, "/home/hidden").as_deref(), Some("below the mount point"));
    let from: Vec<String> =
        found.mounts.iter().map(|mount| format!("{} {}", mount.path, mount.from)).collect();
    assert_eq!(
        from,
        ["/home sdb:1", "/var sda:3", "/srv /home/data", "/home/data/again sda:1"],
        "parents first"
    );
    assert!(found.mounts[1].assumption.as_ref().unwrap().contains("/dev/sda3"));
    let missing: Vec<String> =
        found.unreached.iter().map(|missing| missing.path.to_string()).collect();
    assert_eq!(missing, ["/opt", "/mnt"]);
}

#[test]
fn nodes_of_a_tree_lead_back_to_their_volume() {
    let directory = tempfile::tempdir().unwrap();
    let Some(stack) = two_disks(directory.path()) else { return };
    let systems = system::find(&stack, View::Recovered);
    let tree = &*systems[0].tree;
    let node = tree::resolve(tree, b"/home/data/file", LastLink::Keep).unwrap();
    let (owner, inner) = tree.owner(node).unwrap();
    assert_eq!(owner.uuid().as_deref(), Some(HOME));
    assert_eq!(tree.node_name(node), inner.to_string());
    assert_eq!(tree.metadata(node).unwrap().node, node);
    assert!(tree.metadata(u64::MAX).is_err());
}

#[test]
fn without_its_second_disk_a_system_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let Some(_) = two_disks(directory.path()) else { return };
    let first = directory.path().join("first.img");
    let stack = Stack::examine(&[named("sda", &first)], &[]);
    let systems = system::find(&stack, View::Recovered);
    let home = systems[0].unreached.iter().find(|one| one.path == RawPath::from("/home")).unwrap();
    assert!(home.why.contains("label home"), "{}", home.why);
}

#[test]
fn a_table_inside_a_partition_is_a_layer_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let Some(inner) = volume(directory.path(), "inner", HOME, &[("file", "two tables deep")])
    else {
        return;
    };
    let mbr = "label: dos\nstart=2048,size=32768,type=83\n";
    let Some(nested) = disk(directory.path(), "nested.img", mbr, &[(MIB, &inner)]) else { return };
    std::fs::OpenOptions::new().write(true).open(&nested).unwrap().set_len(40 * MIB).unwrap();
    let outer_table = "label: gpt\nstart=2048,size=81920\n";
    let Some(outer) = disk(directory.path(), "outer.img", outer_table, &[(MIB, &nested)]) else {
        return;
    };
    let stack = Stack::examine(&[named("sda", &outer)], &[]);
    let id = stack.find("sda", "1.1").expect("the nested partition");
    assert_eq!(stack.origin(id), Some(&Origin::Nested { on: "sda:1".to_owned() }));
    let fs = stack.open(id, View::Recovered).unwrap();
    assert_eq!(content(&*fs, "/file").as_deref(), Some("two tables deep"));
}

#[test]
fn every_byte_of_a_disk_is_something() {
    let directory = tempfile::tempdir().unwrap();
    let Some(stack) = two_disks(directory.path()) else { return };
    let (runs, problems) = map::layer(&stack, 0, Detail::Volumes);
    assert_eq!(problems, []);
    let mut at = 0;
    for run in &runs {
        assert_eq!(run.start_bytes, at, "{runs:#?}");
        at += run.length_bytes;
    }
    assert_eq!(at, 96 * MIB);
    assert_eq!(runs.iter().filter(|run| run.used_as == Use::Table).count(), 5);
    let (runs, _) = map::layer(&stack, 0, Detail::Allocation);
    let inside: u64 = runs
        .iter()
        .filter(|run| matches!(run.used_as, Use::Free | Use::Allocated))
        .map(|run| run.length_bytes)
        .sum();
    // Two of the three partitions hold a file system.
    assert_eq!(inside, 32 * MIB);
}

#[test]
fn a_byte_leads_to_its_file_as_debugfs_says() {
    let directory = tempfile::tempdir().unwrap();
    let (Some(stack), Some(debugfs)) = (two_disks(directory.path()), tool("debugfs")) else {
        return;
    };
    let image = directory.path().join("var");
    let said = run(&debugfs, &["-R", "blocks /log/syslog", text(&image)], "");
    let block: u64 = said.trim().parse().expect("one block");
    let sizes = run(&debugfs, &["-R", "stats -h", text(&image)], "");
    let block_bytes: u64 = sizes
        .lines()
        .find_map(|line| line.strip_prefix("Block size:"))
        .and_then(|size| size.trim().parse().ok())
        .expect("a block size");
    let offset = 33 * MIB + block * block_bytes + 3;
    let owner = map::owner(&stack, 0, offset).expect("a volume");
    assert_eq!(owner.address, "sda:3");
    assert_eq!(owner.files.len(), 1, "{owner:?}");
    assert_eq!(owner.files[0].0, RawPath::from("/log/syslog"));
    assert_eq!((owner.file_offset_bytes, owner.is_free), (Some(3), Some(false)));
    assert_eq!(map::owner(&stack, 0, 512), None);
}

/// Only us, by systemd.mount(5): no tool says what a system that is not running would mount.
#[test]
fn mount_units_put_volumes_into_the_tree() {
    let directory = tempfile::tempdir().unwrap();
    let unit = |what: &str, point: &str, more: &str| {
        format!("[Unit]\nDescription=x\n[Mount]\nWhat={what}\nWhere={point}\n{more}\n")
    };
    let (home, var) = (format!("/dev/disk/by-uuid/{HOME}"), format!("UUID={VAR}"));
    let etc = |name: &str| format!("etc/systemd/system/{name}");
    let files = [
        ("etc/os-release".to_owned(), "PRETTY_NAME=\"Units\"\n".to_owned()),
        ("etc/fstab".to_owned(), format!("UUID={ROOT} / ext4 defaults 0 1\n")),
        ("home".to_owned(), String::new()),
        ("srv/a-b".to_owned(), String::new()),
        ("idle".to_owned(), String::new()),
        // Asked for by local-fs.target; the unit itself is the package's.
        (etc("local-fs.target.wants/home.mount"), "x".to_owned()),
        ("usr/lib/systemd/system/home.mount".to_owned(), unit(&home, "/home", "Type=ext4")),
        // Asked for by its automount.
        (etc("multi-user.target.requires/srv-a\\x2db.automount"), "x".to_owned()),
        (etc("srv-a\\x2db.mount"), unit(&var, "/srv/a-b", "Options=ro,\\\nnoatime")),
        // There, but nothing asks for it.
        (etc("idle.mount"), unit(&var, "/idle", "")),
        // Asked for, and of no use.
        (etc("sysinit.target.wants/dev-mqueue.mount"), "x".to_owned()),
        (etc("dev-mqueue.mount"), unit("mqueue", "/dev/mqueue", "Type=mqueue")),
        (etc("sysinit.target.wants/wrong.mount"), "x".to_owned()),
        (etc("wrong.mount"), unit(&var, "/other", "")),
        (etc("sysinit.target.wants/gone.mount"), "x".to_owned()),
        (etc("gone.mount"), unit("LABEL=nowhere", "/gone", "")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let Some(root) = volume(directory.path(), "root", ROOT, &files) else { return };
    let home = volume(directory.path(), "home", HOME, &[("user/note", "at home")]).unwrap();
    let var = volume(directory.path(), "var", VAR, &[("log", "in var")]).unwrap();
    let disks = [named("sda", &root), named("sdb", &home), named("sdc", &var)];
    let stack = Stack::examine(&disks, &[]);
    let systems = system::find(&stack, View::Recovered);
    assert_eq!(systems.len(), 1, "{:?}", stack.problems().collect::<Vec<_>>());
    let tree = &*systems[0].tree;
    assert_eq!(content(tree, "/home/user/note").as_deref(), Some("at home"));
    assert_eq!(content(tree, "/srv/a-b/log").as_deref(), Some("in var"));
    assert_eq!(content(tree, "/idle/log"), None);
    assert_eq!(systems[0].mounts.len(), 2, "{:?}", systems[0].mounts);
    let unreached: Vec<String> =
        systems[0].unreached.iter().map(|one| one.path.to_string()).collect();
    assert_eq!(unreached, ["/gone"]);
    let told: Vec<&str> = systems[0].problems.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("it mounts /other, its name says otherwise"), "{told:?}");
}

#[test]
fn subvolumes_of_btrfs_stand_where_fstab_puts_them() {
    // Independent tool: the kernel's Btrfs made the subvolumes.
    let (Some(mkfs), Some(btrfs)) = (tool("mkfs.btrfs"), tool("btrfs")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let image = blank(directory.path(), "image", 128 * MIB);
    run(&mkfs, &["-q", "-U", ROOT, text(&image)], "");
    let Some(mounted) = support::kernel::mount(&image, "btrfs", "rw") else { return };
    let at = |name: &str| mounted.root().join(name);
    for name in ["@", "@home", "@srv"] {
        run(&btrfs, &["subvolume", "create", text(&at(name))], "");
    }
    std::fs::create_dir_all(at("@/etc")).unwrap();
    std::fs::create_dir_all(at("@/home")).unwrap();
    std::fs::write(at("@/etc/os-release"), "PRETTY_NAME=\"Sub\"\n").unwrap();
    // The third is named by its number alone, and one of the numbers is none.
    let told = run(&btrfs, &["subvolume", "show", text(&at("@srv"))], "");
    let id = told.lines().find_map(|line| line.trim().strip_prefix("Subvolume ID:")).unwrap();
    std::fs::create_dir_all(at("@/srv")).unwrap();
    std::fs::create_dir_all(at("@/opt")).unwrap();
    std::fs::write(at("@srv/file"), "by number").unwrap();
    let fstab = format!(
        "UUID={ROOT} / btrfs subvol=@\nUUID={ROOT} /home btrfs subvol=/@home\n\
         UUID={ROOT} /srv btrfs ro,subvolid={}\nUUID={ROOT} /opt btrfs subvolid=9999\n",
        id.trim()
    );
    std::fs::write(at("@/etc/fstab"), fstab).unwrap();
    std::fs::write(at("@home/file"), "in the other subvolume").unwrap();
    mounted.unmount();
    let stack = Stack::examine(&[named("sda", &image)], &[]);
    let systems = system::find(&stack, View::Recovered);
    assert_eq!(systems.len(), 1, "{:?}", stack.problems().collect::<Vec<_>>());
    assert_eq!(systems[0].root_path, Some(RawPath::from("/@")));
    let tree = &*systems[0].tree;
    assert_eq!(content(tree, "/home/file").as_deref(), Some("in the other subvolume"));
    assert_eq!(content(tree, "/srv/file").as_deref(), Some("by number"));
    let unreached = &systems[0].unreached;
    assert_eq!(unreached.len(), 1, "{unreached:?}");
    assert_eq!(unreached[0].why, "there is no subvolume 9999");
}

#[test]
fn an_empty_or_hostile_stack_is_only_small() {
    let noise = support::Random(77).bytes(1 << 20);
    let disks: Vec<Disk> = [Vec::new(), vec![0; 512], noise]
        .into_iter()
        .enumerate()
        .map(|(number, bytes)| Disk {
            name: format!("disk{number}"),
            source: Arc::new(MemSource::new(bytes)),
        })
        .collect();
    let stack = Stack::examine(&disks, &[]);
    assert_eq!(stack.layers.len(), 3);
    assert!(system::find(&stack, View::Recovered).is_empty());
    for layer in 0..3 {
        let _ = map::layer(&stack, layer, Detail::Allocation);
        let _ = map::owner(&stack, layer, 0);
    }
}

#[test]
fn a_btrfs_of_two_devices_is_whole_only_with_both() {
    // Independent tool: mkfs.btrfs lays out both devices.
    let Some(mkfs) = tool("mkfs.btrfs") else { return };
    let directory = tempfile::tempdir().unwrap();
    let devices = ["a", "b"].map(|name| blank(directory.path(), &format!("{name}.img"), 128 * MIB));
    run(&mkfs, &["-q", "-d", "raid1", "-m", "raid1", text(&devices[0]), text(&devices[1])], "");
    let both = Stack::examine(&[named("sda", &devices[0]), named("sdb", &devices[1])], &[]);
    assert_eq!(both.problems().collect::<Vec<_>>(), []);
    let id = both.find("sdb", "0").unwrap();
    assert!(both.open(id, View::Recovered).unwrap().read_dir(256).is_ok());
    let one = Stack::examine(&[named("sdb", &devices[1])], &[]);
    let problems: Vec<String> = one.problems().map(|(_, problem)| problem.text.clone()).collect();
    assert!(problems.iter().any(|text| text.contains("device")), "{problems:?}");
}
