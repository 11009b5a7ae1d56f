//! Definitions of artifacts over a real Debian root.
//!
//! Vouched for by an independent path: the definitions of the ForensicArtifacts project are read by its own Python package,
//! and a script of a few lines with Python's `re` and `hashlib` selects by them on the same root. The package lies in
//! `GLOVEBOX_PUBLISHED` (set by `cargo xtask test`); says "skipped" without it, PyYAML or the root.

#[path = "../../../tests/support/debian_root.rs"]
mod roots;
#[expect(dead_code, reason = "other tests use more of it")]
mod support;

use evidence::collection::{Directory, Mounts};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use triage::{Artifact, Definitions, Digests, Options, Selection};

const JUDGE: &str = r#"
import hashlib, os, re, stat, sys
from artifacts import reader, registry
root, data = sys.argv[1:3]
found = registry.ArtifactDefinitionsRegistry()
found.ReadFromDirectory(reader.YamlArtifactsReader(), data)
passwd = [line.split(":") for line in open(root + "/etc/passwd").read().splitlines()]
homes = {"/root"} | {one[5].rstrip("/") for one in passwd} - {""}
homes |= {"/home/" + name for name in os.listdir(root + "/home")}
merged = [name for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32") if os.path.islink(root + name)]
def word(part):
    return re.sub(r"\\\*", "[^/]*", re.sub(r"\\\?", "[^/]", re.escape(part)))
def regex(path):
    for name in merged:
        if path.startswith(name + "/"):
            path = "/usr" + path
    parts = []
    for part in path.strip("/").split("/"):
        many = re.fullmatch(r"\*\*(\d*)", part)
        if many:
            parts.append("[^/]+(?:/[^/]+){0,%d}" % (int(many.group(1) or 10) - 1))
        else:
            if "[" in part:
                head, _, rest = part.partition("[")
                cls, _, tail = rest.partition("]")
                parts.append(word(head) + "[" + cls + "]" + word(tail))
            else:
                parts.append(word(part))
    return re.split(r"[*?\[]", path)[0], re.compile("/" + "/".join(parts), re.S)
entries = []
for folder, dirs, files in os.walk(os.fsencode(root)):
    for name in dirs + files:
        full = os.path.join(folder, name)
        entries.append((full[len(os.fsencode(root)):].decode("utf-8", "surrogateescape"), os.lstat(full)))
def of(path):
    if "%%" not in path:
        return [path]
    head, name, rest = path.split("%%", 2)
    values = {"users.homedir": sorted(homes), "users.userprofile": sorted(homes), "users.username": [one[0] for one in passwd]}.get(name)
    return [] if values is None else [head + value + end for value in values for end in of(rest)]
for definition in found.GetDefinitions():
    if definition.supported_os and "Linux" not in definition.supported_os:
        continue
    lines = set()
    for source in definition.sources:
        if source.supported_os and "Linux" not in source.supported_os:
            continue
        if source.type_indicator not in ("FILE", "PATH"):
            continue
        for path in source.paths:
            for one in of(path.replace(source.separator, "/")):
                start, pattern = regex(one)
                for name, found_stat in entries:
                    if not name.startswith(start):
                        continue
                    if source.type_indicator == "FILE" and stat.S_ISDIR(found_stat.st_mode):
                        continue
                    if pattern.fullmatch(name):
                        digest = "-"
                        if stat.S_ISREG(found_stat.st_mode):
                            digest = hashlib.sha256(open(root + name, "rb").read()).hexdigest()
                        lines.add((name, digest))
    for name, digest in sorted(lines):
        print(definition.name, digest, name, sep="\t")
"#;

/// The unpacked source distribution of the definitions.
fn published() -> Option<PathBuf> {
    let folder = std::env::var_os("GLOVEBOX_PUBLISHED").map(PathBuf::from);
    let found = folder.and_then(|folder| {
        let mut entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        entries.find(|path| path.join("artifacts/data/linux.yaml").exists())
    });
    if found.is_none() {
        eprintln!("skipped: no published definitions");
    }
    found
}

/// The files of definitions, as the program reads them.
fn texts(data: &Path) -> Vec<(String, String)> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    names.sort();
    let text = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    names.iter().map(|path| (path.display().to_string(), text(path))).collect()
}

fn parsed(texts: &[(String, String)]) -> Definitions {
    Definitions::parse(texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))).unwrap()
}

fn selected(fs: &dyn evidence::FileSystem, definitions: Definitions) -> Selection {
    let options =
        Options { artifacts: Some(definitions), digests: Digests::Skip, ..Options::default() };
    triage::run(fs, &options).artifacts.unwrap()
}

#[test]
fn the_projects_own_reader_selects_the_same() {
    let (Some(package), Some(root)) = (published(), roots::debian("bookworm")) else { return };
    let data = package.join("artifacts/data");
    let out = Command::new("/usr/bin/python3")
        .args(["-c", JUDGE])
        .args([&root.root, &data])
        .env("PYTHONPATH", &package)
        .output()
        .unwrap();
    if !out.status.success() {
        eprintln!("skipped: the judge did not run: {}", String::from_utf8_lossy(&out.stderr));
        return;
    }
    let mut theirs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut digests: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let [name, digest, path] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        theirs.entry(path.to_owned()).or_default().push(name.to_owned());
        digests.insert(path.to_owned(), digest.to_owned());
    }
    theirs.values_mut().for_each(|names| names.sort());
    let definitions = parsed(&texts(&data));
    assert_eq!(definitions.count(), 731);
    let fs = Directory::new(std::fs::File::open(&root.root).unwrap().into(), Mounts::Stay).unwrap();
    let selection = selected(&fs, definitions);
    let ours: BTreeMap<String, Vec<String>> = selection
        .artifacts
        .iter()
        .map(|one| (String::from_utf8_lossy(&one.path.0).into_owned(), one.definitions.clone()))
        .collect();
    let differ: Vec<_> = ours
        .iter()
        .filter(|(path, names)| theirs.get(*path) != Some(*names))
        .chain(theirs.iter().filter(|(path, names)| ours.get(*path) != Some(*names)))
        .take(20)
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
    let digest = |one: &Artifact| one.sha256.clone().unwrap_or_else(|| "-".to_owned());
    for one in &selection.artifacts {
        let path = String::from_utf8_lossy(&one.path.0).into_owned();
        assert_eq!(Some(&digest(one)), digests.get(&path), "{path}");
    }
    assert!(ours.len() > 300, "{}", ours.len());
    eprintln!(
        "{} objects by {} definitions, not applied {:?}, unknown {:?}",
        ours.len(),
        selection.applied.len(),
        selection.not_applied,
        selection.unknown_variables
    );
}

const OWN: &str = r#"
name: Both
doc: x
sources:
- type: FILE
  attributes: {paths: ['%%users.homedir%%/.bash_history', '/etc/shadow']}
- type: COMMAND
  attributes: {cmd: /bin/ls, args: []}
supported_os: [Linux]
---
name: Foreign
sources:
- type: FILE
  attributes: {paths: ['%%environ_systemroot%%\System32\config\SAM'], separator: '\'}
supported_os: [Windows]
---
name: Mixed
sources:
- type: PATH
  attributes: {paths: ['/etc/systemd/**1', '%%environ_unheard%%/x']}
- type: ARTIFACT_GROUP
  attributes: {names: [Both, Elsewhere]}
"#;

#[test]
fn what_is_not_applied_is_told_and_groups_are_followed() {
    let mut fs = support::clean_root();
    fs.file("/home/anna/.bash_history", "id\n");
    let all = Definitions::parse([("own.yaml", OWN)]).unwrap();
    let found = selected(&fs, all.clone());
    let told: Vec<(String, &[String])> =
        found.artifacts.iter().map(|one| (one.path.to_string(), &one.definitions[..])).collect();
    let (both, mixed) = (["Both".to_owned()], ["Mixed".to_owned()]);
    let expected = [
        ("/etc/shadow".to_owned(), &both[..]),
        ("/etc/systemd/system".to_owned(), &mixed[..]),
        ("/home/anna/.bash_history".to_owned(), &both[..]),
    ];
    assert_eq!(told, expected);
    assert_eq!(found.not_applied, BTreeMap::from([("COMMAND".to_owned(), 1)]));
    assert_eq!(found.unknown_variables, BTreeMap::from([("environ_unheard".to_owned(), 1)]));
    assert_eq!(found.definitions, 3);
    let only = all.clone().only(&["Mixed".to_owned()]).unwrap();
    assert_eq!(only.count(), 2, "the group brings what it names, and what is elsewhere is left");
    assert!(all.only(&["Elsewhere".to_owned()]).is_err());
}

#[test]
fn wrong_definitions_are_refused_with_their_place() {
    let refused = |text: &str| Definitions::parse([("own.yaml", text)]).unwrap_err().to_string();
    assert!(refused("name: A\n").contains("document 1: A has no list of sources"));
    assert!(refused("sources: []\n").contains("it has no name"));
    assert!(refused("name: A\nsources:\n- {type: FILE}\n").contains("no paths"));
    assert!(refused("name: [A\n").starts_with("definitions of artifacts in own.yaml: "));
}

#[test]
fn damaged_definitions_are_refused_or_read() {
    let mut state = 0x5eed_0008_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    let letters = b"'\"[]{}:-,&*!|>#%@`~ \n\t\\0a";
    for _ in 0..2000 {
        let mut raw = OWN.as_bytes().to_vec();
        for _ in 0..=random(6) {
            let at = random(raw.len());
            match random(3) {
                0 => raw[at] = letters[random(letters.len())],
                1 => raw.insert(at, letters[random(letters.len())]),
                _ => drop(raw.remove(at)),
            }
        }
        let _ = Definitions::parse([("own.yaml", String::from_utf8_lossy(&raw).as_ref())]);
    }
}
