//! Containers on the disk that have the rights of their host: Docker's records, those of podman (the OCI runtime's, and its
//! databases of both kinds) and containerd's.

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::parse::bolt;
use crate::parse::bytes::Bytes;
use crate::parse::rpm::sqlite;
use crate::root::Item;
use evidence::{Place, Problem, ProblemKind};
use serde_json::Value;

/// Directories of the host that give a container the host.
const HOST_PLACES: &[&str] =
    &["/", "/etc", "/root", "/proc", "/sys", "/boot", "/usr", "/var", "/dev", "/home"];
const SOCKETS: &[&str] =
    &["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"];
/// Capabilities that amount to root of the host.
const CAPABILITIES: &[&str] =
    &["ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "DAC_READ_SEARCH"];
/// Reasons told of one container.
const MAX_REASONS: usize = 8;
/// Where podman keeps its containers: of root, and of an account.
const STORAGE: &[&str] = &["/var/lib/containers/storage", "~/.local/share/containers/storage"];
/// Where containerd keeps its own, also the one inside k3s.
const CONTAINERD: &[&str] = &[
    "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db",
    "/var/lib/rancher/*/agent/containerd/io.containerd.metadata.v1.bolt/meta.db",
    "/var/lib/docker/containerd/daemon/io.containerd.metadata.v1.bolt/meta.db",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for item in root.matching("/var/lib/docker/containers/*/hostconfig.json") {
        docker(context, item);
    }
    for storage in STORAGE {
        for item in root.matching(&format!("{storage}/overlay-containers/*/userdata/config.json")) {
            let Some(value) = read(context, item) else { continue };
            oci(context, item, "", &value, "podman");
        }
        for item in root.matching(&format!("{storage}/db.sql")) {
            podman_rows(context, item);
        }
        for item in root.matching(&format!("{storage}/libpod/bolt_state.db")) {
            let is_config = |path: &[Vec<u8>], key: &[u8]| {
                key == b"config" && path.first().is_some_and(|first| first == b"ctr")
            };
            bolt_records(context, item, "podman", &is_config);
        }
    }
    for item in CONTAINERD.iter().flat_map(|pattern| root.matching(pattern)) {
        let is_spec = |path: &[Vec<u8>], key: &[u8]| {
            key == b"spec" && path.get(2).is_some_and(|third| third == b"containers")
        };
        bolt_records(context, item, "containerd", &is_spec);
    }
}

/// podman's database since version 4.8.
fn podman_rows(context: &mut Context<'_>, item: Item<'_>) {
    let root = context.root;
    let log_path = [item.path, b"-wal"].concat();
    let log = root.item(&log_path).filter(|log| log.is_file()).map(|log| root.open(log));
    let file = root.open(item);
    let mut found = Vec::new();
    let mut odd = 0_usize;
    let mut take = |row: &[sqlite::Value]| match row {
        [_, sqlite::Value::Bytes(name), _, sqlite::Value::Bytes(text), ..] => {
            match serde_json::from_slice::<Value>(text) {
                Ok(value) => found.push((name.clone(), value)),
                Err(_) => odd = odd.saturating_add(1),
            }
        }
        _ => odd = odd.saturating_add(1),
    };
    let log = log.as_ref().map(|log| -> &dyn Bytes { log });
    let result = sqlite::Database::open(&file, log)
        .and_then(|database| database.rows("ContainerConfig", &mut take));
    let odd = match result {
        Ok(more) => odd.saturating_add(more),
        // Without containers the table is made at once too, so a file without it is another's.
        Err(text) => return problem(context, item, text),
    };
    if odd > 0 {
        problem(context, item, &format!("{odd} records of containers make no sense"));
    }
    for (name, value) in found {
        podman(context, item, &evidence::escape_bytes(&name), &value);
    }
}

/// Whether a pair is a container, by its buckets and its key.
type Wanted<'a> = dyn Fn(&[Vec<u8>], &[u8]) -> bool + 'a;

/// Records of a bbolt file whose bucket and key are those wanted.
fn bolt_records(context: &mut Context<'_>, item: Item<'_>, engine: &str, is_wanted: &Wanted<'_>) {
    let root = context.root;
    let file = root.open(item);
    let mut found = Vec::new();
    let mut odd = 0_usize;
    let result = bolt::Database::open(&file).map(|database| {
        database.for_each(&mut |path, key, value| {
            if !is_wanted(path, key) {
                return;
            }
            let name = path.last().cloned().unwrap_or_default();
            let text = if value.first() == Some(&b'{') { Some(value) } else { any_value(value) };
            match text.and_then(|text| serde_json::from_slice::<Value>(text).ok()) {
                Some(value) => found.push((name, value)),
                None => odd = odd.saturating_add(1),
            }
        })
    });
    match result {
        Ok(more) => odd = odd.saturating_add(more),
        Err(text) => problem(context, item, text),
    }
    if odd > 0 {
        problem(context, item, &format!("{odd} records of containers make no sense"));
    }
    for (name, value) in found {
        let name = evidence::escape_bytes(&name);
        if engine == "podman" {
            podman(context, item, &name, &value);
        } else {
            oci(context, item, &name, &value, engine);
        }
    }
}

fn problem(context: &Context<'_>, item: Item<'_>, text: &str) {
    let place = Place::Path(item.path.into());
    context.root.problems.borrow_mut().push(Problem::new(ProblemKind::Corrupt, place, text));
}

/// The second field of a protobuf `Any`: its value.
fn any_value(raw: &[u8]) -> Option<&[u8]> {
    let mut rest = raw;
    while let Some((tag, after)) = rest.split_first() {
        let (length, after) = varint(after)?;
        let (value, behind) = (after.get(..length)?, after.get(length..)?);
        match tag {
            0x0a => rest = behind,
            0x12 => return Some(value),
            _ => return None,
        }
    }
    None
}

fn varint(raw: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (at, byte) in raw.iter().enumerate().take(5) {
        let part = usize::from(byte & 0x7f);
        value |= part.checked_shl(u32::try_from(at).ok()?.checked_mul(7)?)?;
        if byte & 0x80 == 0 {
            return Some((value, raw.get(at.checked_add(1)?..)?));
        }
    }
    None
}

/// podman's own record of a container: what it was asked for, with the runtime's description inside.
fn podman(context: &mut Context<'_>, item: Item<'_>, name: &str, value: &Value) {
    let spec = at(value, "spec");
    let mut reasons = oci_reasons(spec);
    if at(value, "privileged").as_bool() == Some(true) {
        reasons.insert(0, "privileged".to_owned());
    }
    let named = at(value, "name").as_str().unwrap_or(name);
    let always =
        matches!(at(value, "restart_policy").as_str().unwrap_or(""), "always" | "unless-stopped");
    let when =
        if always { "at boot, if podman's restart service is on" } else { "when it is started" };
    let run = Run::active("podman", when).what(&command(at(at(spec, "process"), "args")));
    report(context, item, named, &reasons, run);
}

/// A runtime's description of a container (OCI runtime specification, `config.json`).
fn oci(context: &mut Context<'_>, item: Item<'_>, name: &str, spec: &Value, engine: &str) {
    let run = Run::active(engine, "when it is started");
    let run = run.what(&command(at(at(spec, "process"), "args")));
    report(context, item, name, &oci_reasons(spec), run);
}

fn oci_reasons(spec: &Value) -> Vec<String> {
    let sources = strings(spec, "/mounts", "source");
    let mut reasons: Vec<String> = sources.iter().filter_map(|one| host_place(one)).collect();
    let namespaces = strings(spec, "/linux/namespaces", "type");
    // A description without any is of a virtual machine or another system.
    if !namespaces.is_empty() && !namespaces.iter().any(|kind| kind == "pid") {
        reasons.push("no process namespace of its own".to_owned());
    }
    let bounding = spec.pointer("/process/capabilities/bounding").and_then(Value::as_array);
    for held in bounding.into_iter().flatten().filter_map(Value::as_str) {
        let name = held.strip_prefix("CAP_").unwrap_or(held);
        if CAPABILITIES.contains(&name) {
            reasons.push(format!("capability {name}"));
        }
    }
    reasons
}

fn read(context: &Context<'_>, item: Item<'_>) -> Option<Value> {
    serde_json::from_slice(&context.root.text(item.path)?).ok()
}

fn docker(context: &mut Context<'_>, item: Item<'_>) {
    let Some(host) = read(context, item) else { return };
    let mut reasons = Vec::new();
    if at(&host, "Privileged").as_bool() == Some(true) {
        reasons.push("privileged".to_owned());
    }
    for key in ["PidMode", "IpcMode"] {
        if at(&host, key).as_str() == Some("host") {
            reasons.push(format!("{key} is the host's"));
        }
    }
    for added in at(&host, "CapAdd").as_array().into_iter().flatten().filter_map(Value::as_str) {
        let name = added.strip_prefix("CAP_").unwrap_or(added);
        if CAPABILITIES.contains(&name) {
            reasons.push(format!("capability {name}"));
        }
    }
    let binds = at(&host, "Binds").as_array().into_iter().flatten().filter_map(Value::as_str);
    reasons.extend(binds.filter_map(|bind| host_place(bind.split(':').next().unwrap_or(""))));
    reasons.extend(strings(&host, "/Mounts", "Source").iter().filter_map(|one| host_place(one)));
    let restarts = at(at(&host, "RestartPolicy"), "Name").as_str().unwrap_or("");
    let always = matches!(restarts, "always" | "unless-stopped");
    let beside = item.path.strip_suffix(b"hostconfig.json").unwrap_or(item.path);
    let config = context
        .root
        .text(&[beside, b"config.v2.json"].concat())
        .and_then(|raw| serde_json::from_slice::<Value>(&raw).ok())
        .unwrap_or_default();
    let mut words = vec![at(&config, "Path").clone()];
    words.extend(at(&config, "Args").as_array().cloned().unwrap_or_default());
    let when =
        if always { "when the container engine starts" } else { "when it is started by hand" };
    let run = Run::active("root of the host", when).what(&command(&Value::Array(words)));
    report(context, item, "", &reasons, run);
}

fn report(context: &mut Context<'_>, item: Item<'_>, name: &str, reasons: &[String], run: Run) {
    if reasons.is_empty() {
        return;
    }
    let told: Vec<String> = reasons
        .iter()
        .take(MAX_REASONS)
        .map(|one| evidence::escape_bytes(one.as_bytes()))
        .collect();
    let told = told.join(", ");
    // Databases hold many; a file of its own is named by its path.
    let detail = if name.is_empty() { told } else { format!("{name}: {told}") };
    let mut spot = Spot::file(item.path).detail(detail).run(run);
    spot.subject = name.to_owned();
    context.report("GBX-1401", spot);
}

fn host_place(source: &str) -> Option<String> {
    let trimmed = if source.len() > 1 { source.trim_end_matches('/') } else { source };
    let is_host = HOST_PLACES.contains(&trimmed) || SOCKETS.contains(&trimmed);
    is_host.then(|| format!("{trimmed} of the host inside"))
}

/// A field of an object, null where there is none.
fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// One field of every object of an array.
fn strings(value: &Value, pointer: &str, field: &str) -> Vec<String> {
    let all = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|one| at(one, field).as_str().map(str::to_owned)).collect()
}

fn command(words: &Value) -> Vec<u8> {
    let all = words.as_array().into_iter().flatten().filter_map(Value::as_str);
    all.collect::<Vec<_>>().join(" ").into_bytes()
}
