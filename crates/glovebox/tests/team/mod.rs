//! A team's desk for tests: a vendor, a system installed from its packages by `dpkg`, and a signed archive of them.
#![allow(dead_code, reason = "every test binary uses its own part of this")]

#[path = "../../../../tests/support/debian_vendor.rs"]
mod debian_vendor;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use debian_vendor::Vendor;
use serde_json::Value;

pub(crate) struct Team {
    folder: tempfile::TempDir,
    vendor: Vendor,
    /// The archive's folder.
    pub(crate) archive: String,
    /// The public key it is signed with.
    pub(crate) public: String,
    /// The secret one.
    pub(crate) key: String,
    /// The installed system.
    pub(crate) root: PathBuf,
}

/// The tool's path, or a message that the test is skipped.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: no {name}");
    }
    found
}

/// Runs a tool to success, fed with `input`.
pub(crate) fn run(program: &Path, arguments: &[&str], input: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let out = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{} {arguments:?}: {errors}", program.display());
    String::from_utf8_lossy(&out.stdout).into_owned()
}

pub(crate) fn glovebox(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_glovebox"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What the program says, data and talk, when it ends with this code.
pub(crate) fn done(arguments: &[&str], code: i32) -> String {
    let out = glovebox(arguments);
    let text = String::from_utf8(out.stdout).unwrap();
    let talk = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(code), "{arguments:?}\n{text}\n{talk}");
    text + &talk
}

/// The JSON lines among what the program says.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

impl Team {
    /// `None` and a message where a tool is missing.
    pub(crate) fn new() -> Option<Self> {
        let vendor = Vendor::new()?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let team = Self {
            archive: path("archive"),
            public: path("team.key.pub"),
            key: path("team.key"),
            root: folder.path().join("root"),
            vendor,
            folder,
        };
        team.install()?;
        done(&["keys", "new", &team.key, "--dangerously-no-passphrase"], 0);
        done(&["archive", "init", &team.archive, "--name", "team"], 0);
        let (mirror, ring) = (team.vendor.path("mirror"), team.vendor.path("ring"));
        let status = team.root.join("var/lib/dpkg/status");
        let add = [
            "archive",
            "add-mirror",
            &team.archive,
            "--name",
            "test",
            "--suite",
            "stable",
            "--captured",
            "2024-01-02T00:00:00Z",
            "--mirror",
            mirror.to_str().unwrap(),
            "--keyring",
            ring.to_str().unwrap(),
            "--packages-of",
            status.to_str().unwrap(),
        ];
        done(&add, 0);
        done(&["archive", "catalogue", &team.archive], 0);
        team.sign();
        Some(team)
    }

    /// Signs the archive as it stands.
    pub(crate) fn sign(&self) {
        done(&["archive", "sign", &self.archive, "--key", &self.key], 0);
    }

    /// Has the vendor sign a file: `FILE.sig` beside it. Gives the vendor's certificates.
    pub(crate) fn vendor_signs(&self, file: &Path) -> String {
        self.vendor.sign("vendor", file);
        self.vendor.path("ring").to_str().unwrap().to_owned()
    }

    /// A path in the team's folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A case to act in.
    pub(crate) fn case(&self, name: &str) -> String {
        let on = self.folder.path().to_str().unwrap();
        let create = ["case", "create", name, "--on", on, "--examiner", "E"];
        done(&[&create[..], &["--dangerously-no-passphrase"]].concat(), 0);
        self.path(name)
    }

    /// `glovebox verify` of this address with these options.
    pub(crate) fn verify(&self, address: &str, options: &[&str], code: i32) -> String {
        let own = ["verify", address, "--archive", &self.archive, "--trust", &self.public];
        done(&[&own[..], options].concat(), code)
    }

    /// Installs the vendor's packages with dpkg.
    fn install(&self) -> Option<()> {
        let root = &self.root;
        for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "etc"]
        {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["status", "available"] {
            std::fs::write(root.join("var/lib/dpkg").join(file), "").unwrap();
        }
        std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        let pool = self.vendor.path("mirror/pool");
        let debs = ["tool", "lib"].map(|name| pool.join(format!("{name}.deb")));
        let force = ["--force-script-chrootless", "--force-depends", "--force-not-root"];
        let out = Command::new("dpkg")
            .arg(format!("--root={}", root.display()))
            .args(force)
            .args(["--log=/dev/null", "-i"])
            .args(debs)
            .output();
        match out {
            Ok(out) if out.status.success() => Some(()),
            Ok(out) => panic!("{}", String::from_utf8_lossy(&out.stderr)),
            Err(_) => {
                eprintln!("skipped: no dpkg");
                None
            }
        }
    }

    /// An ext4 image made by mke2fs from a folder.
    pub(crate) fn ext4(&self, name: &str, from: &Path, size_mib: u64) -> Option<Vec<u8>> {
        let mke2fs = tool("mke2fs")?;
        let image = self.path(name);
        let (from, size) = (from.to_str().unwrap(), format!("{size_mib}M"));
        run(&mke2fs, &["-q", "-F", "-t", "ext4", "-d", from, &image, &size], b"");
        let bytes = std::fs::read(&image).unwrap();
        std::fs::remove_file(&image).unwrap();
        Some(bytes)
    }

    /// A LUKS volume made by cryptsetup, with a small file system in it that nobody here can see without the phrase.
    pub(crate) fn luks(&self, name: &str, phrase: &str, size_mib: u64) -> Option<Vec<u8>> {
        let cryptsetup = tool("cryptsetup")?;
        let image = self.path(name);
        std::fs::File::create(&image).unwrap().set_len(size_mib << 20).unwrap();
        let options = ["luksFormat", "-q", "--type", "luks1", "--key-file", "-"];
        let cheap = ["--pbkdf-force-iterations", "1000", "--uuid"];
        let uuid = "11111111-2222-4333-8444-000000000002";
        let all = [&options[..], &cheap[..], &[uuid, &image]].concat();
        run(&cryptsetup, &all, phrase.as_bytes());
        let bytes = std::fs::read(&image).unwrap();
        std::fs::remove_file(&image).unwrap();
        Some(bytes)
    }

    /// A disk image with a partition table made by sfdisk, holding these volumes one after the other.
    pub(crate) fn disk(&self, name: &str, volumes: &[&[u8]]) -> Option<String> {
        use std::os::unix::fs::FileExt as _;
        const SECTOR_BYTES: u64 = 512;
        let sfdisk = tool("sfdisk")?;
        let image = self.path(name);
        let (mut script, mut start) = ("label: gpt\n".to_owned(), 2048);
        let mut starts = Vec::new();
        for volume in volumes {
            let sectors = (volume.len() as u64).div_ceil(SECTOR_BYTES);
            script.push_str(&format!("start={start},size={sectors}\n"));
            starts.push(start);
            start += sectors.next_multiple_of(2048);
        }
        let file = std::fs::File::create(&image).unwrap();
        file.set_len((start + 2048) * SECTOR_BYTES).unwrap();
        run(&sfdisk, &["-q", &image], script.as_bytes());
        for (volume, start) in volumes.iter().zip(starts) {
            file.write_all_at(volume, start * SECTOR_BYTES).unwrap();
        }
        Some(image)
    }
}
