//! Mounts of every mount namespace, and what is mounted over parts of `/proc`.

use std::collections::BTreeSet;

use serde_json::json;

use crate::collection::{Collection, Seen};
use crate::host::{number, shown};
use crate::processes::Known;
use crate::tables::{self, Mount};
use crate::{Error, process, views};

/// Collects and judges.
pub(crate) fn collect(all: &mut Collection<'_>, known: &Known) -> Result<(), Error> {
    let namespaces = known.namespaces("mnt");
    all.coverage.mount_namespaces = namespaces.len();
    // The host's own, and the one that whoever examines it sees.
    let own: BTreeSet<String> = [1, known.own]
        .iter()
        .filter_map(|pid| known.processes.get(pid)?.namespaces.get("mnt").cloned())
        .collect();
    let mut covered = BTreeSet::new();
    all.begin("mounts.jsonl")?;
    for (name, pid) in namespaces {
        let path = process::place(all.host, pid, "mountinfo");
        let text = match all.host.pseudo(&path) {
            Ok(text) => text,
            Err(error) => {
                all.missed(format!("mounts of {name}"), error);
                continue;
            }
        };
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Some(mount) = tables::mount(line) else {
                all.missed(
                    format!("mounts of {name}"),
                    format!("line not understood: {}", shown(line)),
                );
                continue;
            };
            all.line(&json!({
                "namespace": name, "device": mount.device, "root": shown(&mount.root),
                "point": shown(&mount.point), "options": mount.options, "type": mount.kind,
                "source": shown(&mount.source),
            }))?;
            let is_own = own.is_empty() || own.contains(&name);
            over_proc(all, &name, is_own.then_some(&mut covered), &mount);
        }
    }
    all.end().map(drop)
}

/// What lies over `/proc`. `covered` is there for the namespace of the host itself.
fn over_proc(
    all: &mut Collection<'_>,
    namespace: &str,
    covered: Option<&mut BTreeSet<u32>>,
    mount: &Mount,
) {
    let Some(below) = mount.point.strip_prefix(b"/proc/") else { return };
    let first = below.split(|byte| *byte == b'/').next().unwrap_or_default();
    let by = format!("{} of {} ({})", shown(&mount.root), shown(&mount.source), mount.kind);
    if let Some(pid) = number(first).and_then(|pid| u32::try_from(pid).ok()) {
        // Numbers in other namespaces are of other processes.
        if let Some(covered) = covered
            && covered.insert(pid)
        {
            views::covered(all, pid, &shown(&mount.point), &by);
        }
        return;
    }
    // Containers have parts of /proc masked; on the host itself only binfmt_misc belongs there.
    if covered.is_none() || mount.kind == "binfmt_misc" || mount.kind == "autofs" {
        return;
    }
    all.finding(
        "GBX-LIVE-0601",
        Seen {
            path: shown(&mount.point),
            excerpt: format!("{by} is mounted over it"),
            detail: format!("in {namespace}"),
            ..Seen::default()
        },
    );
}
