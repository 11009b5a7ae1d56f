//! Btrfs: our reader against the running kernel on images made by the real mkfs, and against the `btrfs` tools.
//!
//! Each test says who vouches for it. The kernel knows a file system by its UUID, so no test mounts a copy beside its
//! original.

mod support;

use evidence::btrfs::Btrfs;
use evidence::fs::{FileSystem, View};
use evidence::{ProblemKind, Time};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::facts::{self, Tree};
use support::kernel::{mount, snapshot};
use support::population::{self, Abilities};
use support::{Random, blank, open, run, text, tool};

/// Times a Btrfs of Linux takes: the kernel cuts none of 64 bits.
const ABILITIES: Abilities = Abilities { many: 1500, ..Abilities::LINUX };

fn mkfs(directory: &Path, name: &str, mebibytes: u64, options: &[&str]) -> Option<PathBuf> {
    let mkfs = tool("mkfs.btrfs")?;
    let image = blank(directory, name, mebibytes << 20);
    let mut all = vec!["-q"];
    all.extend(options);
    all.push(text(&image));
    run(&mkfs, &all, "");
    Some(image)
}

/// Our tree with nodes as the kernel numbers inodes. The directory a snapshot shows where a subvolume stood has made-up
/// times in the kernel and none in our reader: those are taken from the kernel.
fn ours(fs: &dyn FileSystem, theirs: &Tree) -> Tree {
    let (mut out, problems) = facts::ours(fs);
    assert!(problems.is_empty(), "{} problems, the first: {:?}", problems.len(), problems[0]);
    for (path, our) in &mut out {
        let name = fs.node_name(our.node);
        our.node = name.rsplit('/').next().unwrap().parse().unwrap();
        if let Some(their) = theirs.get(path).filter(|their| our.node == 2 && their.node == 2) {
            (our.accessed, our.modified) = (their.accessed, their.modified);
            (our.changed, our.born) = (their.changed, their.born);
        }
    }
    out
}

fn view(images: &[&Path], view: View) -> Btrfs {
    Btrfs::open(images.iter().map(|image| open(image)).collect(), view).unwrap()
}

/// Subvolumes, snapshots with a subvolume in them, and content shared by cloning.
fn subvolumes(root: &Path) {
    let Some(btrfs) = tool("btrfs") else { return };
    let make = |arguments: &[&str]| {
        run(&btrfs, arguments, "");
    };
    let path = |name: &str| root.join(name).to_str().unwrap().to_owned();
    make(&["subvolume", "create", &path("sub")]);
    std::fs::write(root.join("sub/file"), Random(11).bytes(200_000)).unwrap();
    std::fs::create_dir(root.join("sub/below")).unwrap();
    make(&["subvolume", "create", &path("sub/below/nested")]);
    std::fs::write(root.join("sub/below/nested/inside"), "nested").unwrap();
    make(&["subvolume", "snapshot", &path("sub"), &path("snapshot")]);
    make(&["subvolume", "snapshot", "-r", &path("sub"), &path("sub/read-only")]);
    std::fs::write(root.join("sub/file"), Random(12).bytes(100_000)).unwrap();
    run(Path::new("/bin/cp"), &["--reflink=always", &path("large"), &path("clone")], "");
    run(Path::new("/bin/cp"), &["--reflink=always", &path("text"), &path("sub/clone")], "");
    // A clone changed in its middle refers to both ends of the old extent.
    use std::os::unix::fs::FileExt;
    let clone = std::fs::OpenOptions::new().write(true).open(root.join("clone")).unwrap();
    clone.write_at(&Random(13).bytes(300_000), 1_000_001).unwrap();
}

/// Vouched for by an independent tool: the kernel that wrote the image shows it mounted read-only.
fn agrees_with_the_kernel(options: &[&str], mount_options: &str) {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = mkfs(directory.path(), "image", 300, options) else { return };
    let Some(mounted) = mount(&image, "btrfs", mount_options) else { return };
    population::plant(mounted.root(), ABILITIES);
    subvolumes(mounted.root());
    mounted.unmount();
    let Some(mounted) = mount(&image, "btrfs", "ro,noatime") else { return };
    let theirs = facts::kernels(mounted.root());
    mounted.unmount();
    let fs = view(&[&image], View::Recovered);
    assert_eq!(fs.problems(), []);
    facts::compare(&ours(&fs, &theirs), &theirs, &format!("{options:?} {mount_options}"));
    for (start, counted, recorded) in fs.block_groups().unwrap() {
        assert_eq!(counted, recorded, "block group {start}");
    }
}

#[test]
fn the_usual_file_system_reads_as_the_kernel_shows_it() {
    agrees_with_the_kernel(&["-L", "label"], "rw");
}

#[test]
fn mixed_groups_small_nodes_and_lzo() {
    let options = ["-M", "-n", "4096", "--csum", "sha256", "-O", "^no-holes,^skinny-metadata"];
    agrees_with_the_kernel(&options, "rw,compress-force=lzo");
}

#[test]
fn large_nodes_and_zlib() {
    let options = ["-n", "65536", "--csum", "blake2", "-m", "single", "-O", "^extref"];
    agrees_with_the_kernel(&options, "rw,compress=zlib");
}

#[test]
fn xxhash_and_zstandard() {
    agrees_with_the_kernel(&["--csum", "xxhash", "-d", "dup"], "rw,compress-force=zstd:15");
}

#[test]
fn block_groups_in_a_tree_of_their_own() {
    let Some(mkfs) = tool("mkfs.btrfs") else { return };
    // The list goes to stderr, and btrfs-progs before 6.3 do not have it.
    let listed = Command::new(mkfs).args(["-O", "list-all"]).output().unwrap();
    if !String::from_utf8_lossy(&listed.stderr).contains("block-group-tree") {
        eprintln!("skipped: no block-group-tree in mkfs.btrfs");
        return;
    }
    agrees_with_the_kernel(&["-O", "block-group-tree"], "rw");
}

#[test]
fn no_checksums_of_content() {
    agrees_with_the_kernel(&["-R", "^free-space-tree"], "rw,nodatasum,nodatacow");
}

/// Loop devices over images, given back when dropped.
struct Loops(Vec<String>);

impl Loops {
    fn over(images: &[PathBuf]) -> Option<Self> {
        let losetup = tool("losetup")?;
        let mut out = Self(Vec::new());
        for image in images {
            let made =
                Command::new(&losetup).args(["--find", "--show"]).arg(image).output().unwrap();
            if !made.status.success() {
                eprintln!("skipped: no loop device");
                return None;
            }
            out.0.push(String::from_utf8(made.stdout).unwrap().trim().to_owned());
        }
        Some(out)
    }

    /// Mounts the file system whose devices they are.
    fn mount(&self, options: &str) -> Option<Mount> {
        let devices: Vec<String> = self.0.iter().map(|name| format!("device={name}")).collect();
        let directory = tempfile::tempdir().unwrap();
        let options = format!("{options},{}", devices.join(","));
        let done = Command::new("mount")
            .args(["-t", "btrfs", "-o", &options, &self.0[0]])
            .arg(directory.path())
            .output()
            .unwrap();
        if !done.status.success() {
            eprintln!("skipped: mount: {}", String::from_utf8_lossy(&done.stderr));
            return None;
        }
        Some(Mount(directory))
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Command::new("losetup").args(["--detach", name]).status();
        }
    }
}

struct Mount(tempfile::TempDir);

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// A small tree on several devices, and what the kernel shows of it.
fn pool(directory: &Path, devices: usize, profile: &str) -> Option<(Vec<PathBuf>, Tree)> {
    let mkfs = tool("mkfs.btrfs")?;
    let images: Vec<PathBuf> =
        (0..devices).map(|index| blank(directory, &format!("device-{index}"), 200 << 20)).collect();
    let mut all = vec!["-q", "-m", profile, "-d", profile];
    all.extend(images.iter().map(|image| text(image)));
    run(&mkfs, &all, "");
    let loops = Loops::over(&images)?;
    let mounted = loops.mount("rw")?;
    population::plant(mounted.0.path(), Abilities { many: 300, ..ABILITIES });
    drop(mounted);
    let mounted = loops.mount("ro,noatime")?;
    let theirs = facts::kernels(mounted.0.path());
    Some((images, theirs))
}

/// Vouched for by an independent tool: the kernel shows the whole; what is rebuilt must be the same.
#[test]
fn every_profile_reads_whole_and_with_devices_missing() {
    for (profile, devices, missing) in [
        ("raid0", 3, 0),
        ("raid1", 2, 1),
        ("raid10", 4, 1),
        ("raid1c3", 3, 2),
        ("raid1c4", 4, 3),
        ("raid5", 3, 1),
        ("raid6", 4, 2),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let Some((images, theirs)) = pool(directory.path(), devices, profile) else { return };
        let mut order: Vec<&Path> = images.iter().map(PathBuf::as_path).collect();
        let fs = view(&order, View::Recovered);
        assert_eq!(fs.problems(), [], "{profile}");
        facts::compare(&ours(&fs, &theirs), &theirs, profile);
        order.reverse();
        for first in 0..devices {
            // Leave out `missing` devices, beginning with another one each time.
            if missing == 0 {
                break;
            }
            let left: Vec<&Path> = (0..devices - missing)
                .map(|index| order[(first + missing + index) % devices])
                .collect();
            let fs = view(&left, View::Recovered);
            let named: Vec<_> = fs.problems().iter().map(|problem| problem.kind).collect();
            assert_eq!(named, vec![ProblemKind::Io; missing], "{:?}", fs.problems());
            facts::compare(&ours(&fs, &theirs), &theirs, &format!("{profile} without {first}"));
        }
    }
}

/// What one step of the log test changes below the root.
type Step = fn(&Path);

fn sync(path: PathBuf) {
    std::fs::File::open(path).unwrap().sync_all().unwrap();
}

/// Changes that end in an fsync, each on top of the ones before.
const STEPS: [(&str, Step); 12] = [
    ("a new file", |root| {
        std::fs::write(root.join("dir/new"), Random(21).bytes(30_000)).unwrap();
        sync(root.join("dir/new"));
    }),
    ("content appended, overwritten and cut", |root| {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(root.join("old-1")).unwrap();
        file.write_at(&Random(22).bytes(5000), 100_000).unwrap();
        file.write_at(&Random(23).bytes(9000), 8192).unwrap();
        file.sync_all().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(root.join("old-2")).unwrap();
        file.set_len(12_345).unwrap();
        file.sync_all().unwrap();
    }),
    ("a hole punched", |root| {
        use rustix::fs::FallocateFlags;
        let file = std::fs::OpenOptions::new().write(true).open(root.join("old-3")).unwrap();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, flags, 4096, 40_960).unwrap();
        file.sync_all().unwrap();
    }),
    ("attributes set and removed", |root| {
        use rustix::fs::{XattrFlags, removexattr, setxattr};
        setxattr(root.join("old-4"), "user.new", b"value", XattrFlags::empty()).unwrap();
        removexattr(root.join("old-4"), "user.old").unwrap();
        sync(root.join("old-4"));
    }),
    ("a file renamed", |root| {
        std::fs::rename(root.join("old-5"), root.join("dir/renamed")).unwrap();
        sync(root.join("dir/renamed"));
    }),
    ("a second name", |root| {
        std::fs::hard_link(root.join("old-6"), root.join("dir/linked")).unwrap();
        sync(root.join("dir/linked"));
    }),
    ("names removed from a directory", |root| {
        std::fs::remove_file(root.join("many/name-3")).unwrap();
        std::fs::remove_file(root.join("many/name-77")).unwrap();
        std::fs::write(root.join("many/added"), "added").unwrap();
        sync(root.join("many"));
    }),
    ("a new directory with a file", |root| {
        std::fs::create_dir_all(root.join("fresh/deep")).unwrap();
        std::fs::write(root.join("fresh/deep/file"), "fresh").unwrap();
        std::os::unix::fs::symlink("file", root.join("fresh/deep/link")).unwrap();
        sync(root.join("fresh/deep/file"));
        sync(root.join("fresh/deep"));
    }),
    ("a file put in the place of another", |root| {
        std::fs::write(root.join("dir/temporary"), "the new content").unwrap();
        sync(root.join("dir/temporary"));
        std::fs::rename(root.join("dir/temporary"), root.join("dir/target")).unwrap();
        sync(root.join("dir"));
    }),
    ("two files that change names", |root| {
        std::fs::rename(root.join("old-7"), root.join("swap")).unwrap();
        std::fs::rename(root.join("old-8"), root.join("old-7")).unwrap();
        std::fs::rename(root.join("swap"), root.join("old-8")).unwrap();
        sync(root.join("old-7"));
        sync(root.join("old-8"));
    }),
    ("a file in a subvolume", |root| {
        std::fs::write(root.join("sub/new"), "in a subvolume").unwrap();
        sync(root.join("sub/new"));
    }),
    ("many new files", |root| {
        for index in 0..400 {
            std::fs::write(root.join(format!("many/more-{index}")), format!("{index}")).unwrap();
        }
        sync(root.join("many"));
        std::fs::set_permissions(
            root.join("dir"),
            std::os::unix::fs::PermissionsExt::from_mode(0o2750),
        )
        .unwrap();
        sync(root.join("dir"));
    }),
];

/// Vouched for by an independent tool: a copy taken while mounted holds the log; the kernel replays it on that copy.
#[test]
fn the_log_tree_reads_as_the_kernel_replays_it() {
    let directory = tempfile::tempdir().unwrap();
    let Some(image) = mkfs(directory.path(), "image", 160, &[]) else { return };
    let Some(mounted) = mount(&image, "btrfs", "rw,noatime,commit=3600") else { return };
    let root = mounted.root();
    for name in ["dir", "many"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    for index in 1..9 {
        std::fs::write(root.join(format!("old-{index}")), Random(index).bytes(70_000)).unwrap();
    }
    rustix::fs::setxattr(root.join("old-4"), "user.old", b"1", rustix::fs::XattrFlags::empty())
        .unwrap();
    std::fs::write(root.join("dir/target"), "the old content").unwrap();
    for index in 0..120 {
        std::fs::write(root.join(format!("many/name-{index}")), "").unwrap();
    }
    let Some(btrfs) = tool("btrfs") else { return };
    run(&btrfs, &["subvolume", "create", root.join("sub").to_str().unwrap()], "");
    rustix::fs::syncfs(std::fs::File::open(root).unwrap()).unwrap();
    let copies: Vec<_> = STEPS
        .iter()
        .enumerate()
        .map(|(number, (name, step))| {
            step(root);
            (name, snapshot(&image, &format!("copy-{number}")))
        })
        .collect();
    mounted.unmount();
    let now = next_second();
    let logs = copies.iter().filter(|(name, copy)| replays_alike(copy, name, now)).count();
    assert!(logs > 6, "only {logs} steps left a log");
}

/// Waits for a second to begin, and gives it.
fn next_second() -> i64 {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};
    std::thread::sleep(Duration::from_millis(1010));
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Compares our view of a copy with the kernel's replay of it; tells whether there was a log. All of the copy was made
/// before the second `made_before`.
fn replays_alike(copy: &Path, name: &str, made_before: i64) -> bool {
    use std::os::unix::fs::FileExt;
    let mut log_root = [0; 8];
    std::fs::File::open(copy).unwrap().read_exact_at(&mut log_root, 65_536 + 0x60).unwrap();
    let has_log = log_root != [0; 8];
    let fs = view(&[copy], View::Recovered);
    assert_eq!(fs.problems(), [], "{name}");
    if !has_log {
        eprintln!("{name}: the kernel made a whole transaction of it");
    }
    let shown = facts::ours(&fs).0;
    let unchanged = facts::ours(&view(&[copy], View::Raw)).0;
    assert!(!has_log || shown != unchanged, "{name}: the log changes nothing");
    let before = ours(&fs, &Tree::new());
    let Some(mounted) = mount(copy, "btrfs", "rw,noatime") else { return has_log };
    let theirs = facts::kernels(mounted.root());
    mounted.unmount();
    let mut expected = theirs.clone();
    for (path, their) in &mut expected {
        // The kernel marks what it unlinks while replaying with the time of the replay; we keep what was recorded.
        let Some(our) = before.get(path) else { continue };
        let is_replay = |time: Option<Time>| time.is_some_and(|time| time.seconds >= made_before);
        if is_replay(their.changed) {
            their.changed = our.changed;
        }
        if is_replay(their.modified) {
            their.modified = our.modified;
        }
    }
    facts::compare(&before, &expected, name);
    // The trees the kernel wrote must say the same to us as the log did.
    facts::compare(&ours(&view(&[copy], View::Raw), &theirs), &theirs, name);
    has_log
}

/// One random change below `root`; a change that cannot be made (no such name) is none.
fn change(root: &Path, random: &mut Random) {
    use rustix::fs::{FallocateFlags, XattrFlags};
    use std::os::unix::fs::FileExt;
    let folder = |random: &mut Random| root.join(["", "a", "b", "a/c"][random.below(4)]);
    let name = |random: &mut Random| format!("name-{}", random.below(12));
    let path = folder(random).join(name(random));
    let other = folder(random).join(name(random));
    let offset = random.below(200_000) as u64;
    let file = || std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    match random.below(12) {
        0..3 => {
            let length = random.below(30_000);
            let bytes = random.bytes(length);
            let _ = file().and_then(|file| file.write_all_at(&bytes, offset));
        }
        3 => {
            let _ = file().and_then(|file| file.set_len(offset));
        }
        4 => drop(std::fs::rename(&path, &other)),
        5 => drop(std::fs::hard_link(&path, &other)),
        6 => drop(std::fs::remove_file(&path)),
        7 => drop(std::fs::remove_dir(&path).or_else(|_| std::fs::create_dir(&path))),
        8 => {
            let name = format!("user.{}", random.below(3));
            let length = random.below(200);
            let value = random.bytes(length);
            let _ = rustix::fs::lsetxattr(&path, name.as_str(), &value, XattrFlags::empty());
        }
        9 => drop(rustix::fs::lremovexattr(&path, format!("user.{}", random.below(3)).as_str())),
        10 => {
            let kinds =
                [FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, FallocateFlags::empty()];
            let length = 1 + random.below(60_000) as u64;
            if let Ok(file) = file() {
                let _ = rustix::fs::fallocate(&file, kinds[random.below(2)], offset, length);
            }
        }
        _ => drop(std::os::unix::fs::symlink("somewhere", &path)),
    }
    if random.below(3) == 0 {
        let chosen = [path, other, root.join("a"), root.to_owned()];
        let _ = std::fs::File::open(&chosen[random.below(4)]).and_then(|file| file.sync_all());
    }
}

/// Vouched for as [`the_log_tree_reads_as_the_kernel_replays_it`]; what no step above thought of.
#[test]
fn logs_of_random_changes_read_as_the_kernel_replays_them() {
    let directory = tempfile::tempdir().unwrap();
    let rounds = std::env::var("BTRFS_LOG_ROUNDS").map_or(6, |rounds| rounds.parse().unwrap());
    let Some(image) = mkfs(directory.path(), "image", 160, &[]) else { return };
    let Some(mounted) = mount(&image, "btrfs", "rw,noatime,commit=3600") else { return };
    std::fs::create_dir_all(mounted.root().join("a/c")).unwrap();
    std::fs::create_dir_all(mounted.root().join("b")).unwrap();
    let mut copies = Vec::new();
    for round in 0..rounds {
        let mut random = Random(0xb7_1f5 + round);
        for _ in 0..30 {
            change(mounted.root(), &mut random);
        }
        rustix::fs::syncfs(std::fs::File::open(mounted.root()).unwrap()).unwrap();
        for _ in 0..5 + random.below(60) {
            change(mounted.root(), &mut random);
        }
        copies.push((round, snapshot(&image, &format!("copy-{round}"))));
    }
    mounted.unmount();
    let now = next_second();
    for (round, copy) in copies {
        replays_alike(&copy, &format!("round {round}"), now);
        std::fs::remove_file(copy).unwrap();
    }
}
