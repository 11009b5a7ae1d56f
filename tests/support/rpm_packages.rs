//! Packages of the RPM family for tests: built by `rpmbuild`, signed by `rpmsign` with a key of `gpg`.

use std::path::{Path, PathBuf};
use std::process::Command;

const SPEC: &str = r"
Name: tool
Version: 1.0
Release: 2
Epoch: 3
Summary: x
License: x
BuildArch: noarch
%description
x
%package -n many
Summary: x
%description -n many
x
%package -n loose
Summary: x
%description -n loose
x
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc/tool %{buildroot}/usr/share/many %{buildroot}/var/lib/tool %{buildroot}/opt
printf 'tool' > %{buildroot}/usr/bin/tool
printf 'ping' > %{buildroot}/usr/bin/pinger
printf 'sender' > %{buildroot}/usr/bin/sender
printf 'a=1\n' > %{buildroot}/etc/tool/tool.conf
printf 'made here\n' > %{buildroot}/etc/tool/accounts
printf 'one\n' > %{buildroot}/usr/share/many/one
ln %{buildroot}/usr/share/many/one %{buildroot}/usr/share/many/two
ln -s tool %{buildroot}/usr/bin/alias
for i in $(seq 1 300); do printf $i > %{buildroot}/usr/share/many/file-$i; done
printf x > %{buildroot}/opt/loose
%files
%attr(4755,root,root) /usr/bin/tool
%caps(cap_net_raw=p) %attr(755,root,root) /usr/bin/pinger
%attr(2755,root,mail) /usr/bin/sender
%dir /etc/tool
%config(noreplace) /etc/tool/tool.conf
%config(noreplace) %verify(not md5 size mtime) /etc/tool/accounts
%dir %attr(1770,root,mail) /var/lib/tool
/usr/bin/alias
%ghost /var/log/tool
%files -n many
%dir /usr/share/many
/usr/share/many/*
%files -n loose
/opt/loose
%post
echo hello
";

/// Packages and the keys around them.
pub(crate) struct Made {
    folder: tempfile::TempDir,
    /// `tool`, `many` and `loose`, signed by the vendor.
    pub(crate) signed: Vec<PathBuf>,
    /// The same, signed by nobody.
    #[allow(dead_code, reason = "each test uses its part")]
    pub(crate) unsigned: Vec<PathBuf>,
}

/// Runs a program that must succeed; `None`, with a line that says so, when it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output();
    let Ok(out) = out else {
        eprintln!("skipped: no {program}");
        return None;
    };
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {arguments:?}: {errors}");
    Some(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Made {
    /// Builds and signs; `None` where a program is not there.
    pub(crate) fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        run("gpg", &["--version"])?;
        run("rpmsign", &["--version"])?;
        let spec = folder.path().join("tool.spec");
        std::fs::write(&spec, SPEC).unwrap();
        let top = format!("_topdir {}/top", text(folder.path()));
        let define =
            ["--define", &top, "--define", "_build_id_links none", "--define", "_buildhost x"];
        run("rpmbuild", &[&["-bb", "--quiet"], &define[..], &[text(&spec)]].concat())?;
        let built = folder.path().join("top/RPMS/noarch");
        let files = |folder: &Path| {
            let names = ["tool", "many", "loose"];
            names.map(|name| folder.join(format!("{name}-1.0-2.noarch.rpm"))).to_vec()
        };
        let signed = folder.path().join("signed");
        std::fs::create_dir(&signed).unwrap();
        for path in files(&built) {
            std::fs::copy(&path, signed.join(path.file_name().unwrap())).unwrap();
        }
        let made = Self { signed: files(&signed), unsigned: files(&built), folder };
        made.key("vendor", "rsa2048");
        made.sign("vendor", &made.signed.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        Some(made)
    }

    /// Where everything lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a key; its certificate is then in [`Self::keyring`].
    pub(crate) fn key(&self, name: &str, kind: &str) {
        use std::os::unix::fs::PermissionsExt;
        let home = self.path(name);
        std::fs::create_dir(&home).unwrap();
        std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
        let home = text(&home);
        let quick = ["--quick-gen-key", name, kind, "sign", "never"];
        let common = ["--homedir", home, "--batch", "--quiet", "--passphrase", ""];
        run("gpg", &[&common[..], &quick[..]].concat()).unwrap();
        for (armour, ending) in [("--no-armor", "pgp"), ("--armor", "asc")] {
            let out = format!("{home}.{ending}");
            run("gpg", &["--homedir", home, "--batch", armour, "-o", &out, "--export"]).unwrap();
        }
        // The agent would outlive the folder.
        let _ = Command::new("gpgconf").args(["--homedir", home, "--kill", "all"]).status();
    }

    /// The certificate of a key, binary.
    pub(crate) fn keyring(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(&format!("{name}.pgp"))).unwrap()
    }

    /// Signs package files in their place.
    pub(crate) fn sign(&self, name: &str, files: &[&Path]) {
        assert!(self.signs(name, files));
    }

    /// Signs package files in their place; false where rpm finds one of them corrupt.
    pub(crate) fn signs(&self, name: &str, files: &[&Path]) -> bool {
        let (home, who) =
            (format!("_gpg_path {}", text(&self.path(name))), format!("_gpg_name {name}"));
        let files: Vec<&str> = files.iter().map(|path| text(path)).collect();
        // Debian's rpm does not know where gpg is.
        let program = ["--define", "__gpg /usr/bin/gpg"];
        let define = ["--define", &home, "--define", &who, program[0], program[1], "--addsign"];
        let out = Command::new("rpmsign").args(define).args(files).output().unwrap();
        let home = self.path(name);
        let _ = Command::new("gpgconf").args(["--homedir", text(&home), "--kill", "all"]).status();
        out.status.success()
    }

    /// Installs into a root as `rpm` does it, the mail group made first.
    #[allow(dead_code, reason = "each test uses its part")]
    pub(crate) fn install(&self, name: &str, packages: &[&Path]) -> Option<PathBuf> {
        if run("id", &["-u"])? != "0\n" {
            eprintln!("skipped: not root");
            return None;
        }
        let root = self.path(name);
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
        std::fs::write(root.join("etc/group"), "root:x:0:\nmail:x:8:\n").unwrap();
        let packages: Vec<&str> = packages.iter().map(|path| text(path)).collect();
        let options = ["--root", text(&root), "--dbpath", "/var/lib/rpm", "-i"];
        let lax = ["--nodeps", "--noscripts", "--nosignature"];
        run("rpm", &[&options[..], &lax, &packages].concat())?;
        Some(root)
    }
}
