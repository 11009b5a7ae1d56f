//! A file system in memory with a small Debian-like root, so that one planted file at a time can be tried.

use evidence::fs::{Attribute, Entry, FileKind, Listing, Metadata, Node, Xattr};
use evidence::{EvidenceError, FileSystem, Problem, RawPath, Time};
use std::collections::BTreeMap;

/// One object.
#[derive(Clone)]
pub(crate) struct Object {
    kind: FileKind,
    mode: u32,
    content: Vec<u8>,
    xattrs: Vec<Xattr>,
    is_sealed: bool,
}

/// Objects by path; parents are made as needed.
#[derive(Clone, Default)]
pub(crate) struct MemFs {
    objects: BTreeMap<Vec<u8>, Object>,
}

impl MemFs {
    pub(crate) fn put(
        &mut self,
        path: &str,
        kind: FileKind,
        mode: u32,
        content: &[u8],
    ) -> &mut Self {
        self.put_raw(path.as_bytes(), kind, mode, content)
    }

    pub(crate) fn put_raw(
        &mut self,
        path: &[u8],
        kind: FileKind,
        mode: u32,
        content: &[u8],
    ) -> &mut Self {
        for (at, _) in path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0) {
            self.objects.entry(path[..at].to_vec()).or_insert(Object {
                kind: FileKind::Directory,
                mode: 0o755,
                content: Vec::new(),
                xattrs: Vec::new(),
                is_sealed: false,
            });
        }
        let object =
            Object { kind, mode, content: content.to_vec(), xattrs: Vec::new(), is_sealed: false };
        self.objects.insert(path.to_vec(), object);
        self
    }

    pub(crate) fn file(&mut self, path: &str, content: &str) -> &mut Self {
        self.put(path, FileKind::File, 0o644, content.as_bytes())
    }

    pub(crate) fn program(&mut self, path: &str, content: &str) -> &mut Self {
        self.put(path, FileKind::File, 0o755, content.as_bytes())
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.put(path, FileKind::Symlink, 0o777, target.as_bytes())
    }

    pub(crate) fn append(&mut self, path: &str, content: &str) -> &mut Self {
        self.objects
            .get_mut(path.as_bytes())
            .expect("path exists")
            .content
            .extend(content.as_bytes());
        self
    }

    pub(crate) fn xattr(&mut self, path: &str, name: &str, value: &[u8]) -> &mut Self {
        let attribute = Xattr { name: RawPath::from(name), value: value.to_vec() };
        self.objects.get_mut(path.as_bytes()).expect("path exists").xattrs.push(attribute);
        self
    }

    pub(crate) fn seal(&mut self, path: &str) -> &mut Self {
        self.objects.get_mut(path.as_bytes()).expect("path exists").is_sealed = true;
        self
    }

    fn object(&self, node: Node) -> Result<(&Vec<u8>, &Object), EvidenceError> {
        let index = (node as usize).checked_sub(3);
        index
            .and_then(|index| self.objects.iter().nth(index))
            .ok_or(EvidenceError::Corrupt { what: "no such node".into() })
    }
}

impl FileSystem for MemFs {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn label(&self) -> Option<String> {
        None
    }

    fn uuid(&self) -> Option<String> {
        None
    }

    fn problems(&self) -> &[Problem] {
        &[]
    }

    fn root(&self) -> Node {
        2
    }

    fn metadata(&self, node: Node) -> Result<Metadata, EvidenceError> {
        let time = Time { seconds: 1_700_000_000, nanoseconds: 0 };
        let root = Object {
            kind: FileKind::Directory,
            mode: 0o755,
            content: vec![],
            xattrs: vec![],
            is_sealed: false,
        };
        let object = if node == 2 { &root } else { self.object(node)?.1 };
        let is_device = matches!(object.kind, FileKind::BlockDevice | FileKind::CharDevice);
        Ok(Metadata {
            node,
            kind: object.kind,
            mode: object.mode,
            uid: 0,
            gid: 0,
            links: 1,
            size_bytes: object.content.len() as u64,
            accessed: Some(time),
            modified: Some(time),
            changed: Some(time),
            born: Some(time),
            generation: None,
            attributes: object.is_sealed.then_some(Attribute::Immutable).into_iter().collect(),
            device: is_device.then_some((8, 1)),
        })
    }

    fn read_dir(&self, node: Node) -> Result<Listing, EvidenceError> {
        let base = if node == 2 { Vec::new() } else { self.object(node)?.0.clone() };
        let inside = self.objects.keys().enumerate().filter_map(|(index, path)| {
            let name = path.strip_prefix(base.as_slice())?.strip_prefix(b"/")?;
            let is_direct = !name.is_empty() && !name.contains(&b'/');
            is_direct.then(|| Entry { name: RawPath(name.to_vec()), node: index as u64 + 3 })
        });
        Ok(Listing { entries: inside.collect(), problems: Vec::new() })
    }

    fn read_link(&self, node: Node) -> Result<RawPath, EvidenceError> {
        Ok(RawPath(self.object(node)?.1.content.clone()))
    }

    fn read_at(
        &self,
        node: Node,
        offset_bytes: u64,
        buf: &mut [u8],
    ) -> Result<usize, EvidenceError> {
        let content = &self.object(node)?.1.content;
        let rest = content.get(offset_bytes as usize..).unwrap_or(&[]);
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn xattrs(&self, node: Node) -> Result<Vec<Xattr>, EvidenceError> {
        Ok(self.object(node)?.1.xattrs.clone())
    }
}

/// Files the small root's packages own, with their content.
const OWNED: &[(&str, u32, &str)] = &[
    ("/usr/bin/bash", 0o755, "\x7fELF bash"),
    ("/usr/bin/cat", 0o755, "\x7fELF cat"),
    ("/usr/bin/su", 0o4755, "\x7fELF su"),
    ("/usr/bin/ping", 0o755, "\x7fELF ping"),
    ("/usr/lib/x86_64-linux-gnu/libc.so.6", 0o644, "\x7fELF libc"),
    ("/usr/lib/x86_64-linux-gnu/security/pam_unix.so", 0o644, "\x7fELF pam"),
    ("/usr/lib/modules/6.1.0/kernel/ext4.ko", 0o644, "\x7fELF ko"),
    ("/usr/lib/systemd/system/cron.service", 0o644, "[Service]\nExecStart=/usr/sbin/cron -f\n"),
    ("/usr/share/doc/bash/README", 0o644, "read me\n"),
    (
        "/etc/cron.d/e2scrub_all",
        0o644,
        "30 3 * * 0 root test -e /run/systemd/system || /sbin/e2scrub_all\n",
    ),
    ("/etc/init.d/cron", 0o755, "#!/bin/sh\n# start cron\nexit 0\n"),
    ("/etc/modprobe.d/own.conf", 0o644, "install usb-storage /bin/true\n"),
];
/// Configuration files with their delivered content.
const CONFFILES: &[(&str, &str)] = &[
    (
        "/etc/crontab",
        "SHELL=/bin/sh\n17 * * * * root cd / && run-parts --report /etc/cron.hourly\n",
    ),
    ("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n"),
    ("/etc/pam.d/login", "auth required pam_unix.so\nsession optional pam_motd.so\n"),
    ("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n"),
    ("/etc/skel/.bashrc", "# ~/.bashrc\ncase $- in\n    *i*) ;;\n      *) return;;\nesac\n"),
];

fn md5(content: &[u8]) -> String {
    let wanted = hashing::Algorithms::sha256().with(hashing::Algorithm::Md5);
    hashing::digest_bytes(content, &wanted).of(hashing::Algorithm::Md5).unwrap().to_hex()
}

/// The clean root: merged `/usr`, a package database that agrees, and what installation itself leaves unowned.
pub(crate) fn clean_root() -> MemFs {
    let mut fs = MemFs::default();
    let (mut list, mut sums, mut conffiles) =
        (String::from("/.\n/etc\n/usr\n"), String::new(), String::new());
    for (path, mode, content) in OWNED {
        fs.put(path, FileKind::File, *mode, content.as_bytes());
        // Half of the database still uses the names from before the merge of /usr, as on real systems.
        let listed = path.replacen("/usr/bin/su", "/bin/su", 1).replacen(
            "/usr/lib/systemd",
            "/lib/systemd",
            1,
        );
        list.push_str(&format!("{listed}\n"));
        sums.push_str(&format!("{}  {}\n", md5(content.as_bytes()), &listed[1..]));
    }
    for (path, content) in CONFFILES {
        fs.file(path, content);
        list.push_str(&format!("{path}\n"));
        conffiles.push_str(&format!(" {path} {}\n", md5(content.as_bytes())));
    }
    fs.file(
        "/var/lib/dpkg/status",
        &format!(
            "Package: base\nStatus: install ok installed\nConffiles:\n{conffiles}Version: 1.0\n\n"
        ),
    );
    fs.file("/var/lib/dpkg/info/base.list", &list);
    fs.file("/var/lib/dpkg/info/base.md5sums", &sums);
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs.link(&format!("/{name}"), &format!("usr/{name}"));
    }
    fs.file(
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nsync:x:4:65534:sync:/bin:/bin/sync\n\
         games:x:5:60:games:/usr/games:/usr/sbin/nologin\nanna:x:1000:1000:Anna:/home/anna:/bin/bash\n",
    );
    fs.file("/etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:*:19000::::::\ngames:!:19000::::::\nanna:$y$j9T$abc$defghijkl:19000::::::\n");
    fs.file("/etc/group", "root:x:0:\nsudo:x:27:\nusers:x:100:anna\n");
    fs.file("/etc/os-release", "PRETTY_NAME=\"Test GNU/Linux\"\nID=debian\n");
    fs.file("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 zoo\n");
    fs.file("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n#PermitRootLogin yes\nX11Forwarding yes\n");
    fs.file("/home/anna/.bashrc", CONFFILES[4].1);
    fs.file("/root/.profile", "mesg n 2> /dev/null || true\n");
    fs.file("/etc/fstab", "UUID=1 / ext4 errors=remount-ro 0 1\n");
    fs.link(
        "/etc/systemd/system/multi-user.target.wants/cron.service",
        "/lib/systemd/system/cron.service",
    );
    fs.link("/etc/rc2.d/S01cron", "../init.d/cron");
    fs.link("/etc/systemd/system/masked.service", "/dev/null");
    fs
}
