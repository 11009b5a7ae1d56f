//! `glovebox triage live` on the machine the test runs on, with inert plants of our own: the kernel vouches. Each plant must
//! give its rule for its very process, and an ordinary process none. Needs root and a few Debian tools; else it says so.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const GLOVEBOX: &str = env!("CARGO_BIN_EXE_glovebox");

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n")
}

fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        eprintln!("skipped: no {tool}");
    }
    found
}

/// A child that is ended with the test.
struct Planted(Child);

impl Drop for Planted {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

impl Planted {
    /// Waits until the child says that it is ready.
    fn start(command: &mut Command) -> Self {
        // The variable that cargo sets for tests may name a folder in /tmp, which is a finding.
        command.env_remove("LD_LIBRARY_PATH");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn python(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("python3");
        Self::start(command.arg("-c").arg(script).args(arguments))
    }

    fn pid(&self) -> u64 {
        u64::from(self.0.id())
    }
}

const WAIT: &str = "print('ready', flush=True); time.sleep(600)";

/// All plants by the rule each must give.
fn plants(folder: &Path) -> BTreeMap<&'static str, Planted> {
    let mut all = BTreeMap::new();
    let copy = folder.join("gone");
    std::fs::copy("/usr/bin/sleep", &copy).unwrap();
    let mut gone = Command::new("sh");
    let script = format!("echo ready; exec {} 600", copy.display());
    all.insert("GBX-LIVE-0201", Planted::start(gone.arg("-c").arg(script)));
    let memfd = "import os,time\nf=os.memfd_create('x')\nos.write(f,open('/usr/bin/sleep','rb').read())\n\
                 print('ready',flush=True)\nos.execve(f,['sleep','600'],{})";
    all.insert("GBX-LIVE-0202", Planted::python(memfd, &[]));
    let mut poses = Command::new("bash");
    let script = "echo ready; exec -a '[kworker/7:7]' sleep 600";
    all.insert("GBX-LIVE-0203", Planted::start(poses.arg("-c").arg(script)));
    let unbacked =
        format!("import mmap,time\nm=mmap.mmap(-1,8192,prot=7)\nm.write(b'\\x7fELF')\n{WAIT}");
    all.insert("GBX-LIVE-0205", Planted::python(&unbacked, &[]));
    let mut preloaded = Command::new("sh");
    preloaded.args(["-c", "echo ready; exec env LD_PRELOAD=/nowhere/x.so sleep 600"]);
    all.insert("GBX-LIVE-0207", Planted::start(preloaded.stderr(Stdio::null())));
    let packet = format!(
        "import socket,time,struct\ns=socket.socket(17,3,socket.htons(3))\n\
         s.setsockopt(263,1,struct.pack('iHH8s',1,1,0,b''))\n{WAIT}"
    );
    let mut apart = Command::new("unshare");
    apart.args(["-n", "python3", "-c", &packet]);
    all.insert("GBX-LIVE-0303", Planted::start(&mut apart));
    let raw = format!("import socket,time\ns=socket.socket(2,3,6)\n{WAIT}");
    all.insert("GBX-LIVE-0304", Planted::python(&raw, &[]));
    let shell = "import os,socket\nl=socket.socket()\nl.bind(('127.0.0.1',0))\nl.listen()\n\
                 s=socket.create_connection(l.getsockname())\nc,_=l.accept()\n\
                 print('ready',flush=True)\nos.set_inheritable(c.fileno(),True)\n\
                 os.dup2(s.fileno(),0)\nos.execv('/bin/sh',['sh','-c','sleep 600; :'])";
    all.insert("GBX-LIVE-0211", Planted::python(shell, &[]));
    let open = format!(
        "import os,sys,time\nf=open(sys.argv[1],'w+')\nf.write('the deleted words')\nf.flush()\nos.unlink(sys.argv[1])\n{WAIT}"
    );
    let path = folder.join("deleted.txt");
    all.insert("GBX-LIVE-0501", Planted::python(&open, &[&path.to_string_lossy()]));
    // The deleted program is deleted once it runs.
    for _ in 0..200 {
        let exe = format!("/proc/{}/exe", all["GBX-LIVE-0201"].pid());
        if std::fs::read_link(exe).is_ok_and(|exe| exe == copy) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::fs::remove_file(copy).unwrap();
    all
}

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn new_case(folder: &Path) -> PathBuf {
    let on = folder.to_string_lossy().into_owned();
    let made = Command::new(GLOVEBOX)
        .args(["case", "create", "c", "--on", &on, "--examiner", "E", "--no-passphrase"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder.join("c")
}

#[test]
fn every_plant_is_found_for_its_process_and_the_case_holds() {
    if !is_root() || !["unshare", "python3", "mount"].into_iter().all(has) {
        eprintln!("skipped: not root, or a tool is missing");
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ordinary = Planted::start(Command::new("sh").args(["-c", "echo ready; exec sleep 600"]));
    let covered = Planted::start(Command::new("sh").args(["-c", "echo ready; exec sleep 600"]));
    let planted = plants(folder.path());
    let case = new_case(folder.path());
    // In a mount namespace of its own one process is covered, as a rootkit does on the host.
    let script = format!(
        "mount --make-rprivate / && mount --bind /proc/{} /proc/{} && exec {GLOVEBOX} triage live \
         --json --least info --layout uac --dangerously-write-on-host --case {}",
        ordinary.pid(),
        covered.pid(),
        case.display()
    );
    let out = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{errors}");
    let told = records(&String::from_utf8_lossy(&out.stdout));
    let of = |rule: &str, pid: u64| {
        told.iter().find(|one| one["rule"] == rule && one["pid"] == pid).cloned()
    };
    for (rule, one) in &planted {
        assert!(of(rule, one.pid()).is_some(), "{rule} for {}: {errors}", one.pid());
    }
    let below = of("GBX-LIVE-0102", covered.pid()).expect("the covered process");
    assert!(below["detail"].as_str().unwrap().contains("(sleep)"), "{below}");
    let promiscuous = told.iter().find(|one| one["rule"] == "GBX-LIVE-0305");
    assert!(promiscuous.is_some_and(|one| one["path"] == "lo"), "{promiscuous:?}");
    let wrong: Vec<&Value> = told.iter().filter(|one| one["pid"] == ordinary.pid()).collect();
    assert!(wrong.is_empty(), "an ordinary process: {wrong:#?}");
    // Neither views of processes nor of sockets contradict each other on a machine without a rootkit.
    for rule in ["GBX-LIVE-0101", "GBX-LIVE-0301"] {
        let wrong: Vec<&Value> = told.iter().filter(|one| one["rule"] == rule).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    let exhibit = case.join("exhibits/001-live");
    let recovered = std::fs::read_to_string(exhibit.join("recovered.jsonl")).unwrap();
    let copy = records(&recovered)
        .into_iter()
        .find(|one| one["pid"] == planted["GBX-LIVE-0501"].pid())
        .expect("a copy of the deleted file");
    let content = std::fs::read_to_string(exhibit.join(copy["file"].as_str().unwrap())).unwrap();
    assert_eq!(content, "the deleted words");
    dissect(&exhibit.join("uac.tar"), &planted);
    let verified =
        Command::new(GLOVEBOX).args(["case", "verify", "--case"]).arg(&case).output().unwrap();
    let verified_text = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        verified.status.success(),
        "{verified_text}{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    let acts = std::fs::read_to_string(case.join("acts.jsonl")).unwrap();
    assert!(acts.contains("\"mode\":\"live\"") && acts.contains("ON THE HOST"), "{acts}");
}

/// Dissect, which reads UAC's collections, vouches for the tar: it finds the planted process with its command line.
fn dissect(tar: &Path, planted: &BTreeMap<&'static str, Planted>) {
    let Some(python) = std::env::var_os("GLOVEBOX_JUDGE_PYTHON") else {
        eprintln!("skipped: no Dissect (GLOVEBOX_JUDGE_PYTHON)");
        return;
    };
    let script = "import sys\nfrom dissect.target import Target\nt=Target.open(sys.argv[1])\n\
                  print('host',t.hostname,t.os)\nfor p in list(t.processes()) + list(t.cmdline()): \
                  print(p.pid,getattr(p,'name',''),getattr(p,'cmdline',''))";
    let out = Command::new(python).args(["-c", script]).arg(tar).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("linux"), "{text}");
    let pid = planted["GBX-LIVE-0203"].pid();
    let own = text.lines().filter(|line| line.starts_with(&format!("{pid} ")));
    let own: String = own.collect::<Vec<_>>().join("; ");
    assert!(own.contains("sleep") && own.contains("[kworker/7:7]"), "{pid}: {own}");
}

#[test]
fn a_case_on_the_host_is_refused_unless_accepted() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let case = new_case(folder.path());
    let out =
        Command::new(GLOVEBOX).args(["triage", "live", "--case"]).arg(&case).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("--dangerously-write-on-host"), "{text}");
    let acts = std::fs::read_to_string(case.join("acts.jsonl")).unwrap();
    assert!(!acts.contains("triage live"));
}

/// Sent to a receiver: what its case holds is what was collected, and nothing was written here.
#[test]
fn a_collection_is_sent_to_a_receiver() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let case = new_case(folder.path());
    let mut receiver = Command::new(GLOVEBOX)
        .args(["receive", "--listen", "127.0.0.1:0", "--json", "--case"])
        .arg(&case)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(receiver.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    let code = folder.path().join("code");
    std::fs::write(&code, told["code"].as_str().unwrap()).unwrap();
    let out = Command::new(GLOVEBOX)
        .args(["triage", "live", "--json", "--gentle", "--to"])
        .arg(format!("receiver:{}", told["address"].as_str().unwrap()))
        .arg("--code-file")
        .arg(&code)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(matches!(out.status.code(), Some(0 | 1 | 3)), "{errors}");
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(receiver.wait().unwrap().success(), "{rest}");
    let own = records(&String::from_utf8_lossy(&out.stdout));
    let files = own.last().unwrap()["files"].as_array().unwrap().clone();
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let there = case.join("exhibits/001-triage-live").join(file["name"].as_str().unwrap());
        assert_eq!(std::fs::metadata(&there).unwrap().len(), file["size_bytes"].as_u64().unwrap());
    }
}
