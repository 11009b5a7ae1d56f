//! Interfaces, addresses, neighbours and routes of every network namespace, by rtnetlink (`linux/rtnetlink.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use crate::collection::{Collection, Seen};
use crate::host::shown;
use crate::netlink::{Asking, Part, attributes, u16_at, u32_at};
use crate::processes::Known;
use crate::record::set;
use crate::sockets::inside;
use crate::{Error, Severity};

const LINKS: u16 = 18;
const ADDRESSES: u16 = 22;
const ROUTES: u16 = 26;
const NEIGHBOURS: u16 = 30;
/// Makes a line of an answer.
type Reader = fn(&[u8]) -> Option<Value>;
/// `IFF_PROMISC`.
const PROMISCUOUS: u32 = 0x100;

/// Collects.
pub(crate) fn collect(all: &mut Collection<'_>, known: &Known) -> Result<(), Error> {
    all.begin("network.jsonl")?;
    for (name, pid) in known.namespaces("net") {
        if all.host.is_running() {
            let answered = inside(all.host, pid, asked);
            match answered {
                Ok((lines, problems)) => {
                    for mut line in lines {
                        promiscuous(all, &name, &line);
                        set(&mut line, "namespace", Value::String(name.clone()));
                        all.line(&line)?;
                    }
                    for problem in problems {
                        all.missed(format!("netlink in {name}"), problem);
                    }
                }
                Err(error) => all.missed(format!("network namespace {name}"), error),
            }
        }
        // As the tables have it: another view, and all that a folder has.
        for table in ["arp", "route", "ipv6_route", "dev", "if_inet6", "snmp", "netstat"] {
            let path = crate::process::place(all.host, pid, &format!("net/{table}"));
            if let Ok(text) = all.host.pseudo(&path) {
                let lines: Vec<String> = text
                    .split(|byte| *byte == b'\n')
                    .filter(|one| !one.is_empty())
                    .map(shown)
                    .collect();
                all.line(
                    &json!({ "namespace": name, "kind": "table", "table": table, "lines": lines }),
                )?;
            }
        }
    }
    all.end().map(drop)
}

fn asked() -> (Vec<Value>, Vec<String>) {
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    let asking = match Asking::open(Part::Route) {
        Ok(asking) => asking,
        Err(error) => return (lines, vec![error.to_string()]),
    };
    let questions: [(u16, usize, Reader); 4] = [
        (LINKS, 16, link),
        (ADDRESSES, 8, address),
        (NEIGHBOURS, 12, neighbour),
        (ROUTES, 12, route),
    ];
    for (kind, length, reader) in questions {
        let result = asking.dump(kind, &vec![0; length], &mut |_, body| lines.extend(reader(body)));
        if let Err(error) = result {
            problems.push(format!("request {kind}: {error}"));
        }
    }
    (lines, problems)
}

fn link(body: &[u8]) -> Option<Value> {
    let flags = u32_at(body, 8)?;
    let all = attributes(body.get(16..)?);
    let get = |kind: u16| all.iter().find(|one| one.0 == kind).map(|one| one.1);
    let inner = get(18).map(attributes).unwrap_or_default();
    let kind = inner.iter().find(|one| one.0 == 1).map(|one| text(one.1));
    Some(json!({
        "kind": "interface",
        "index": u32_at(body, 4)?,
        "name": get(3).map(text),
        "hardware_address": get(1).map(hex),
        "flags": flags,
        "up": flags & 1 != 0,
        "promiscuous_flag": flags & PROMISCUOUS != 0,
        "promiscuous_users": get(30).and_then(|value| u32_at(value, 0)),
        "mtu": get(4).and_then(|value| u32_at(value, 0)),
        "master": get(10).and_then(|value| u32_at(value, 0)),
        "type": kind,
    }))
}

fn address(body: &[u8]) -> Option<Value> {
    let all = attributes(body.get(8..)?);
    let get = |kind: u16| all.iter().find(|one| one.0 == kind).and_then(|one| ip(one.1));
    Some(json!({
        "kind": "address", "index": u32_at(body, 4)?, "prefix_bits": body.get(1)?,
        "address": get(2).or_else(|| get(1)), "peer": get(1),
    }))
}

fn neighbour(body: &[u8]) -> Option<Value> {
    let all = attributes(body.get(12..)?);
    let get = |kind: u16| all.iter().find(|one| one.0 == kind).map(|one| one.1);
    Some(json!({
        "kind": "neighbour", "index": u32_at(body, 4)?, "state": u16_at(body, 8)?,
        "address": get(1).and_then(ip), "hardware_address": get(2).map(hex),
    }))
}

fn route(body: &[u8]) -> Option<Value> {
    let all = attributes(body.get(12..)?);
    let get = |kind: u16| all.iter().find(|one| one.0 == kind).map(|one| one.1);
    Some(json!({
        "kind": "route", "family": body.first()?, "prefix_bits": body.get(1)?,
        "table": get(15).and_then(|value| u32_at(value, 0)), "protocol": body.get(5)?,
        "type": body.get(7)?, "to": get(1).and_then(ip), "gateway": get(5).and_then(ip),
        "from": get(7).and_then(ip), "index": get(4).and_then(|value| u32_at(value, 0)),
        "metric": get(6).and_then(|value| u32_at(value, 0)),
    }))
}

fn text(bytes: &[u8]) -> String {
    shown(bytes.strip_suffix(b"\0").unwrap_or(bytes))
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn ip(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::V4(Ipv4Addr::from(four)).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(sixteen)).to_string())
}

/// GBX-LIVE-0305. The count is what packet sockets raise; the flag alone is what ifconfig sets and shows.
fn promiscuous(all: &mut Collection<'_>, namespace: &str, line: &Value) {
    let users = line["promiscuous_users"].as_u64().unwrap_or(0);
    if line["kind"] != "interface" || users == 0 && line["promiscuous_flag"] != true {
        return;
    }
    let in_a_bridge = !line["master"].is_null();
    let severity = in_a_bridge.then_some(Severity::Info);
    let path = line["name"].as_str().unwrap_or_default().to_owned();
    let excerpt = format!("promiscuity {users}, flag {}", line["promiscuous_flag"]);
    let detail = if in_a_bridge { "a port of a bridge or bond" } else { "" };
    let detail = format!("in {namespace} {detail}").trim_end().to_owned();
    all.finding("GBX-LIVE-0305", Seen { path, excerpt, detail, severity, ..Seen::default() });
}
