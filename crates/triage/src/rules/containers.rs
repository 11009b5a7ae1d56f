//! Containers on the disk that have the rights of their host: Docker's records and those of podman (OCI runtime).

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::root::Item;
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

pub(crate) fn apply(context: &mut Context<'_>) {
    let root = context.root;
    for item in root.matching("/var/lib/docker/containers/*/hostconfig.json") {
        docker(context, item);
    }
    for item in
        root.matching("/var/lib/containers/storage/overlay-containers/*/userdata/config.json")
    {
        let Some(value) = read(context, item) else { continue };
        let sources = strings(&value, "/mounts", "source");
        let reasons: Vec<String> = sources.iter().filter_map(|one| host_place(one)).collect();
        report(
            context,
            item,
            &reasons,
            Run::active("podman", "when it is started")
                .what(&command(at(at(&value, "process"), "args"))),
        );
    }
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
    report(context, item, &reasons, run);
}

fn report(context: &mut Context<'_>, item: Item<'_>, reasons: &[String], run: Run) {
    if reasons.is_empty() {
        return;
    }
    let told: Vec<String> = reasons
        .iter()
        .take(MAX_REASONS)
        .map(|one| evidence::escape_bytes(one.as_bytes()))
        .collect();
    context.report("GBX-1401", Spot::file(item.path).detail(told.join(", ")).run(run));
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
