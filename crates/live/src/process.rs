//! One process as the kernel shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use hashing::Algorithms;
use serde_json::{Value, json};

use crate::host::{Host, path_of, shown};
use crate::maps::DELETED;
use crate::tables::{self, Stat};

/// Longest text taken from one pseudo file of a process, in bytes.
const TEXT_BYTES: usize = 256 << 10;
/// Namespaces a process has, by the names of their links.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// What is remembered of a process while the others are read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Process {
    pub(crate) stat: Stat,
    pub(crate) uid: Option<u32>,
    pub(crate) exe: Option<Vec<u8>>,
    /// Words of the command line, shown.
    pub(crate) command: String,
    pub(crate) first_word: Vec<u8>,
    pub(crate) cgroup: String,
    /// Kind of namespace, and its link, such as `net:[4026531840]`.
    pub(crate) namespaces: BTreeMap<&'static str, String>,
    pub(crate) tracer: u32,
    pub(crate) capabilities: u64,
    pub(crate) threads: Vec<u32>,
    pub(crate) children: Vec<u32>,
    pub(crate) sha256: Option<String>,
    /// Foreign libraries it has mapped.
    pub(crate) libraries: BTreeSet<Vec<u8>>,
}

impl Process {
    pub(crate) fn name(&self) -> String {
        shown(&self.stat.name)
    }

    pub(crate) fn who(&self) -> Option<String> {
        self.uid.map(|uid| format!("uid {uid}"))
    }

    pub(crate) fn what(&self) -> Option<String> {
        (!self.command.is_empty()).then(|| self.command.clone())
    }

    pub(crate) fn program(&self) -> String {
        self.exe.as_deref().map_or_else(|| format!("[{}]", self.name()), shown)
    }

    /// The program's file, if its name leads to it no more.
    pub(crate) fn deleted_program(&self) -> Option<&[u8]> {
        self.exe.as_deref()?.strip_suffix(DELETED)
    }
}

/// Where the files of a process are.
pub(crate) fn place(host: &Host, pid: u32, name: &str) -> PathBuf {
    host.proc(&format!("{pid}/{name}"))
}

/// Reads a process; its record, and what is remembered. `None` if it has ended.
pub(crate) fn read(host: &Host, pid: u32) -> Option<(Process, Value)> {
    let text = |name: &str| host.pseudo_up_to(&place(host, pid, name), TEXT_BYTES);
    let stat = tables::stat(&text("stat").ok()?)?;
    let mut denied: Vec<&str> = Vec::new();
    let mut taken = |name: &'static str| -> Option<Vec<u8>> {
        match text(name) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                denied.push(name);
                None
            }
            // Not every kernel has every file, and kernel threads lack some.
            Err(_) => None,
        }
    };
    let command = taken("cmdline").unwrap_or_default();
    let environment = taken("environ").unwrap_or_default();
    let status = String::from_utf8_lossy(&taken("status").unwrap_or_default()).into_owned();
    let cgroup = taken("cgroup").unwrap_or_default();
    let rest: BTreeMap<&str, String> = [
        "loginuid",
        "sessionid",
        "attr/current",
        "wchan",
        "stack",
        "limits",
        "io",
        "oom_score_adj",
    ]
    .into_iter()
    .filter_map(|name| Some((name, shown_text(&taken(name)?))))
    .collect();
    let link = |name: &str| host.link(&place(host, pid, name));
    let exe = match link("exe") {
        Ok(exe) => Some(exe),
        Err(error) => {
            if error.kind() == io::ErrorKind::PermissionDenied {
                denied.push("exe");
            }
            None
        }
    };
    let namespaces: BTreeMap<&'static str, String> = NAMESPACES
        .into_iter()
        .filter_map(|kind| Some((kind, shown(&link(&format!("ns/{kind}")).ok()?))))
        .collect();
    let threads = host.numbers(&place(host, pid, "task")).unwrap_or_default();
    let children = threads
        .iter()
        .filter_map(|thread| text(&format!("task/{thread}/children")).ok())
        .flat_map(|text| {
            let text = String::from_utf8_lossy(&text).into_owned();
            text.split_whitespace().filter_map(|one| one.parse().ok()).collect::<Vec<u32>>()
        })
        .collect();
    let status_value = |name: &str| tables::value(&status, name).unwrap_or_default().to_owned();
    let uid = status_value("Uid").split_whitespace().next().and_then(|uid| uid.parse().ok());
    let process = Process {
        uid,
        exe,
        command: words(&command),
        first_word: command.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
        cgroup: shown(cgroup.trim_ascii()),
        namespaces,
        tracer: status_value("TracerPid").parse().unwrap_or(0),
        capabilities: u64::from_str_radix(&status_value("CapEff"), 16).unwrap_or(0),
        threads,
        children,
        stat,
        ..Process::default()
    };
    let stat = &process.stat;
    let record = json!({
        "pid": pid,
        "parent": stat.parent,
        "name": process.name(),
        "state": stat.state,
        "group": stat.group,
        "session": stat.session,
        "terminal": stat.terminal,
        "kernel_thread": stat.is_kernel_thread,
        "started_ticks": stat.started_ticks,
        "uids": status_value("Uid"),
        "gids": status_value("Gid"),
        "groups": status_value("Groups"),
        "capabilities": {
            "effective": status_value("CapEff"), "permitted": status_value("CapPrm"),
            "inheritable": status_value("CapInh"), "bounding": status_value("CapBnd"),
            "ambient": status_value("CapAmb"),
        },
        "no_new_privileges": status_value("NoNewPrivs"),
        "seccomp": status_value("Seccomp"),
        "tracer": process.tracer,
        "memory": { "size": status_value("VmSize"), "resident": status_value("VmRSS") },
        "inner_pids": status_value("NSpid"),
        "threads": process.threads,
        "children": process.children,
        "command": list(&command),
        "environment": list(&environment),
        "exe": process.exe.as_deref().map(shown),
        "cwd": link("cwd").ok().map(|path| shown(&path)),
        "root": link("root").ok().map(|path| shown(&path)),
        "cgroup": process.cgroup,
        "namespaces": process.namespaces,
        "more": rest,
        "denied": denied,
    });
    Some((process, record))
}

fn shown_text(bytes: &[u8]) -> String {
    let lines = bytes.trim_ascii_end().split(|byte| *byte == b'\n').map(shown);
    lines.collect::<Vec<_>>().join("\n")
}

/// Words that end with a zero byte each, as one line.
fn words(bytes: &[u8]) -> String {
    list(bytes).join(" ")
}

pub(crate) fn list(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(shown).collect()
}

/// A program's file: what it is, and its digest, computed once for each file.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    /// By device, inode, size and time of change.
    known: BTreeMap<(u64, u64, u64, i64), String>,
}

impl Programs {
    /// The file behind `/proc/PID/exe`.
    pub(crate) fn look(&mut self, host: &Host, pid: u32, most_bytes: u64) -> io::Result<Value> {
        let path = place(host, pid, "exe");
        let file: File = host.open(&path)?;
        let found = file.metadata()?;
        let key = (found.dev(), found.ino(), found.size(), found.ctime());
        let sha256 = match self.known.get(&key) {
            Some(known) => Some(known.clone()),
            None if found.size() > most_bytes => None,
            None => {
                let mut file = file;
                let (digests, _) = hashing::digest_reader(&mut file, &Algorithms::sha256())
                    .map_err(io::Error::other)?;
                let digest = digests.sha256_hex();
                self.known.insert(key, digest.clone());
                Some(digest)
            }
        };
        Ok(json!({
            "device": found.dev(), "inode": found.ino(), "size_bytes": found.size(),
            "mode": format!("{:o}", found.mode()), "uid": found.uid(), "gid": found.gid(),
            "links": found.nlink(), "modified": found.mtime(), "changed": found.ctime(),
            "sha256": sha256,
        }))
    }
}

/// Whether a name leads to the very file that a link of the process leads to.
pub(crate) fn leads_to_it(host: &Host, pid: u32, link: &str, name: &[u8]) -> bool {
    let name = path_of(name.strip_prefix(b"/").unwrap_or(name));
    let below = place(host, pid, "root").join(name);
    match (std::fs::metadata(place(host, pid, link)), std::fs::metadata(below)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Whether any file bears this name where the process looks.
pub(crate) fn name_exists(host: &Host, pid: u32, name: &[u8]) -> bool {
    let name = path_of(name.strip_prefix(b"/").unwrap_or(name));
    std::fs::symlink_metadata(place(host, pid, "root").join(name)).is_ok()
}
