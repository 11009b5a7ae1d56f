//! The case as CASE/UCO JSON-LD (CASE 1.x on UCO 1.x): investigation, actions, provenance, exhibits, tools, identities.
//!
//! Identifiers are name-based UUIDs (RFC 9562, version 5) over the case's public key and the place of the thing in the
//! case, so the same case gives the same graph and two cases never share a node by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::mpsc::sync_channel;

use casebook::{SignedAct, SignedActs};
use serde_json::{Value, json};

use crate::act::{ActReader, ActView, shown};
use crate::blocks::{Blocks, write_beside};
use crate::inert::JsonGate;
use crate::{Error, Exhibit, ExhibitFile, Moment, Report, Text};

/// The namespace of URLs (RFC 9562, 6.6).
const NAMESPACE: [u8; 16] = [
    0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
];
/// What is told of an act.
const FIELDS: [&str; 8] =
    ["verb", "outcome", "arguments", "started", "ended", "who", "tool", "inputs"];
/// How many acts are handed on at once, and how many such batches wait.
const ACTS_AT_ONCE: usize = 64;
const WAITING_AT_MOST: usize = 4;
/// Sources, people and programs given nodes of their own.
const NODES_AT_MOST: usize = 10_000;

/// Writes the case as CASE/UCO JSON-LD.
///
/// # Errors
/// When `out` fails or the case can no longer be read.
pub fn case_uco(report: &Report, out: &mut dyn Write) -> Result<(), Error> {
    write_beside(&mut JsonGate::new(out), |blocks| whole(report, blocks))
}

fn whole(report: &Report, out: Blocks) -> Result<(), Error> {
    let mut graph = Graph { out, key: &report.case.public_key, is_first: true };
    graph.begin()?;
    investigation(&mut graph, report)?;
    let mut seen = Seen::default();
    let mut exhibits_of: BTreeMap<u64, Vec<&Exhibit>> = BTreeMap::new();
    for exhibit in &report.exhibits {
        let acts: BTreeSet<u64> = exhibit.files.iter().map(|file| file.act).collect();
        for act in acts {
            exhibits_of.entry(act).or_default().push(exhibit);
        }
    }
    let mut reader = ActReader::only(&FIELDS);
    let mut line = 0_u64;
    in_batches(casebook::acts(&report.folder)?, |signed| {
        line = line.saturating_add(1);
        let act = reader.view(line, &signed);
        let exhibits = exhibits_of.get(&line).map_or(&[][..], Vec::as_slice);
        Ok(action(&mut graph, &act, exhibits, &mut seen)?)
    })?;
    for exhibit in &report.exhibits {
        provenance(&mut graph, exhibit)?;
    }
    seen.write(&mut graph)?;
    graph.end()?;
    Ok(())
}

/// Acts read and checked on another thread, some at a time.
fn in_batches(
    acts: SignedActs,
    mut each: impl FnMut(SignedAct) -> Result<(), Error>,
) -> Result<(), Error> {
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel::<Result<Vec<SignedAct>, Error>>(WAITING_AT_MOST);
        scope.spawn(move || {
            let mut acts = acts.peekable();
            while acts.peek().is_some() {
                let batch = acts.by_ref().take(ACTS_AT_ONCE).collect::<Result<Vec<_>, _>>();
                // Nobody is there any more when writing failed.
                if send.send(batch.map_err(Error::from)).is_err() {
                    return;
                }
            }
        });
        receive.iter().try_for_each(|batch| batch?.into_iter().try_for_each(&mut each))
    })
}

struct Graph<'a, W> {
    out: W,
    key: &'a str,
    is_first: bool,
}

impl<W: Write> Graph<'_, W> {
    fn begin(&mut self) -> io::Result<()> {
        let context = json!({
            "case-investigation": "https://ontology.caseontology.org/case/investigation/",
            "uco-action": "https://ontology.unifiedcyberontology.org/uco/action/",
            "uco-core": "https://ontology.unifiedcyberontology.org/uco/core/",
            "uco-identity": "https://ontology.unifiedcyberontology.org/uco/identity/",
            "uco-observable": "https://ontology.unifiedcyberontology.org/uco/observable/",
            "uco-tool": "https://ontology.unifiedcyberontology.org/uco/tool/",
            "uco-types": "https://ontology.unifiedcyberontology.org/uco/types/",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
        });
        write!(self.out, "{{\"@context\":{context},\n\"@graph\":[")
    }

    fn node(&mut self, node: &Value) -> io::Result<()> {
        self.out.write_all(if self.is_first { b"\n" } else { b",\n" })?;
        self.is_first = false;
        serde_json::to_writer(&mut self.out, node)?;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.out.write_all(b"]}\n")?;
        self.out.flush()
    }

    /// The identifier of the thing of this kind with this name.
    fn id(&self, kind: &str, name: &str) -> String {
        id(self.key, kind, name)
    }
}

fn id(key: &str, kind: &str, name: &str) -> String {
    let mut bytes = NAMESPACE.to_vec();
    for part in ["glovebox-case", key, kind, name] {
        bytes.extend_from_slice(part.as_bytes());
        // A separator no part can hold keeps different parts from running together.
        bytes.push(0);
    }
    let algorithm = hashing::Algorithm::Sha1;
    let digests = hashing::Algorithms::exactly([algorithm])
        .map(|only| hashing::digest_bytes(&bytes, &only))
        .unwrap_or_default();
    let hex = digests.of(algorithm).map(hashing::Digest::to_hex).unwrap_or_default();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    // Version 5 and the variant of RFC 9562 take the place of six bits.
    let variant = u8::from_str_radix(part(16, 17), 16).unwrap_or(0) & 3 | 8;
    format!(
        "urn:uuid:{}-{}-5{}-{variant:x}{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

fn reference(id: &str) -> Value {
    json!({ "@id": id })
}

fn time(text: &str) -> Option<Value> {
    Moment::parse(text).map(|_| json!({ "@type": "xsd:dateTime", "@value": text }))
}

fn investigation<W: Write>(graph: &mut Graph<'_, W>, report: &Report) -> io::Result<()> {
    let case = &report.case;
    let mut objects: Vec<Value> = report
        .exhibits
        .iter()
        .map(|exhibit| reference(&graph.id("exhibit", exhibit.name.raw())))
        .collect();
    objects
        .extend((1..=report.acts.total).map(|line| reference(&graph.id("act", &line.to_string()))));
    let verdict = if report.verdict.holds {
        "Every act and exhibit held when this was written.".to_owned()
    } else {
        let first = report.verdict.problems.first().map(Text::plain).unwrap_or_default();
        format!(
            "THIS CASE DOES NOT HOLD ({} faults); the first: {first}",
            report.verdict.problems_in_all
        )
    };
    let mut node = json!({
        "@id": graph.id("case", ""),
        "@type": "case-investigation:Investigation",
        "uco-core:name": case.name,
        "uco-core:description": format!(
            "{verdict} Public key (minisign) {}, SHA-256 of the last act {}.", case.public_key, case.head
        ),
        "uco-core:tag": [case.id],
        "uco-core:object": objects,
    });
    if let (Some(created), Some(node)) = (time(case.created.raw()), node.as_object_mut()) {
        node.insert("uco-core:objectCreatedTime".to_owned(), created);
    }
    graph.node(&node)
}

/// What acts refer to, written once.
#[derive(Default)]
struct Seen {
    nodes: BTreeMap<String, Value>,
    /// By kind and name.
    ids: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// Of the act that came last.
    previous: Option<String>,
}

impl Seen {
    /// The identifier of what many acts name.
    fn id<W>(&mut self, graph: &Graph<'_, W>, kind: &'static str, name: &str) -> String {
        if let Some(id) = self.ids.get(kind).and_then(|ids| ids.get(name)) {
            return id.clone();
        }
        let id = id(graph.key, kind, name);
        let ids = self.ids.entry(kind).or_default();
        if ids.len() < NODES_AT_MOST {
            ids.insert(name.to_owned(), id.clone());
        }
        id
    }

    /// Remembers a node; `None` when there are too many, so that nothing refers to a node that is not there.
    fn add(&mut self, id: &str, node: impl FnOnce(&str) -> Value) -> Option<Value> {
        if !self.nodes.contains_key(id) {
            if self.nodes.len() >= NODES_AT_MOST {
                return None;
            }
            self.nodes.insert(id.to_owned(), node(id));
        }
        Some(reference(id))
    }

    fn write<W: Write>(self, graph: &mut Graph<'_, W>) -> io::Result<()> {
        self.nodes.values().try_for_each(|node| graph.node(node))
    }
}

fn action<W: Write>(
    graph: &mut Graph<'_, W>,
    act: &ActView,
    exhibits: &[&Exhibit],
    seen: &mut Seen,
) -> io::Result<()> {
    let mut node = serde_json::Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            node.insert(name.to_owned(), value);
        }
    };
    let id = graph.id("act", &act.line.to_string());
    let previous = seen.previous.replace(id.clone());
    put("@id", Some(id.into()));
    put("@type", Some("case-investigation:InvestigativeAction".into()));
    let verb = act.text("verb");
    put("uco-core:name", Some(if verb.is_empty() { "(no verb)".into() } else { json!(verb) }));
    let outcome = shown(act.get("outcome").get("result").unwrap_or(&Value::Null));
    let sentence = shown(act.get("outcome").get("text").unwrap_or(&Value::Null));
    let arguments = shown(act.get("arguments"));
    let description = format!(
        "act {}: {} {}; arguments {}; SHA-256 of the act {}",
        act.line,
        outcome.raw(),
        sentence.raw(),
        arguments.raw(),
        act.hash
    );
    put("uco-core:description", Some(json!(Text::new(&description))));
    put("uco-action:startTime", time(act.str("started")));
    put("uco-action:endTime", time(act.str("ended")));
    put("case-investigation:wasInformedBy", previous.map(|previous| reference(&previous)));
    let who = act.text("who");
    let id = seen.id(graph, "person", who.raw());
    put("uco-action:performer", seen.add(&id, |id| person(id, &who)));
    let tool = act.get("tool");
    let id = seen.id(graph, "tool", shown(tool).raw());
    put("uco-action:instrument", seen.add(&id, |id| program(id, tool)));
    let mut objects: Vec<Value> = Vec::new();
    for item in act.list("inputs").iter().take(100) {
        let name = shown(item.get("name").unwrap_or(item));
        let serial = item.pointer("/facts/serial").and_then(Value::as_str).unwrap_or_default();
        let id = seen.id(graph, "input", &format!("{}\0{serial}", name.raw()));
        let node = seen.add(&id, |id| input(id, &name, item, graph.key));
        // An act may state an input twice: as it was named, and with the digest it turned out to have.
        objects.extend(node.filter(|node| !objects.contains(node)));
    }
    put("uco-action:object", (!objects.is_empty()).then_some(Value::Array(objects)));
    let results: Vec<Value> = exhibits
        .iter()
        .map(|exhibit| reference(&graph.id("exhibit", exhibit.name.raw())))
        .collect();
    put("uco-action:result", (!results.is_empty()).then_some(Value::Array(results)));
    graph.node(&Value::Object(node))
}

fn person(id: &str, name: &Text) -> Value {
    json!({ "@id": id, "@type": "uco-identity:Person", "uco-core:name": name })
}

fn program(id: &str, tool: &Value) -> Value {
    let text = |name: &str| shown(tool.get(name).unwrap_or(&Value::Null));
    json!({
        "@id": id,
        "@type": "uco-tool:Tool",
        "uco-core:name": text("name"),
        "uco-tool:version": text("version"),
        "uco-core:description": format!("SHA-256 of the program file: {}", text("sha256").plain()),
    })
}

fn input(id_of_node: &str, name: &Text, item: &Value, key: &str) -> Value {
    let fact =
        |field: &str| item.get("facts").and_then(|facts| facts.get(field)).and_then(Value::as_str);
    let mut node = json!({
        "@id": id_of_node,
        "@type": "uco-observable:ObservableObject",
        "uco-core:name": name,
    });
    if let (Some(serial), Some(node)) = (fact("serial"), node.as_object_mut()) {
        node.insert(
            "uco-core:hasFacet".to_owned(),
            json!([{
                "@id": id(key, "device-facet", id_of_node),
                "@type": "uco-observable:DeviceFacet",
                "uco-observable:model": Text::new(fact("model").unwrap_or_default()),
                "uco-observable:serialNumber": Text::new(serial),
            }]),
        );
    }
    node
}

fn provenance<W: Write>(graph: &mut Graph<'_, W>, exhibit: &Exhibit) -> io::Result<()> {
    let files: BTreeMap<String, &ExhibitFile> =
        exhibit.files.iter().map(|file| (graph.id("file", file.name.raw()), file)).collect();
    let name = exhibit.name.raw();
    let (number, label) = name.split_once('-').unwrap_or((name, name));
    let mut node = json!({
        "@id": graph.id("exhibit", name),
        "@type": "case-investigation:ProvenanceRecord",
        "uco-core:name": Text::new(label),
        "case-investigation:exhibitNumber": Text::new(number),
    });
    let objects: Vec<Value> = files.keys().map(|id| reference(id)).collect();
    if let (false, Some(node)) = (objects.is_empty(), node.as_object_mut()) {
        node.insert("uco-core:object".to_owned(), objects.into());
    }
    graph.node(&node)?;
    for (id, one) in files {
        let node = file(graph.key, &id, one);
        graph.node(&node)?;
    }
    Ok(())
}

fn file(key: &str, id_of_node: &str, file: &ExhibitFile) -> Value {
    let name = file.name.raw();
    let short = name.rsplit('/').next().unwrap_or(name);
    let hashes: Vec<Value> = file
        .digests
        .iter()
        .filter_map(|(algorithm, value)| {
            let method = match algorithm.raw() {
                "md5" => "MD5",
                "sha1" => "SHA1",
                "sha256" => "SHA256",
                "sha512" => "SHA512",
                _ => return None,
            };
            let hex = value.raw();
            let is_hex = !hex.is_empty() && hex.len().is_multiple_of(2) && hex.bytes().all(|one| one.is_ascii_hexdigit());
            is_hex.then(|| {
                json!({
                    "@id": id(key, "hash", &format!("{name}\0{method}")),
                    "@type": "uco-types:Hash",
                    "uco-types:hashMethod": method,
                    "uco-types:hashValue": { "@type": "xsd:hexBinary", "@value": hex.to_uppercase() },
                })
            })
        })
        .collect();
    let mut named = json!({
        "@id": id(key, "file-facet", name),
        "@type": "uco-observable:FileFacet",
        "uco-observable:fileName": Text::new(short),
        "uco-observable:filePath": file.name,
    });
    let mut content = json!({ "@id": id(key, "content-facet", name), "@type": "uco-observable:ContentDataFacet" });
    if let (Some(named), Some(content)) = (named.as_object_mut(), content.as_object_mut()) {
        if let Some(size) = file.size_bytes {
            let size = json!({ "@type": "xsd:integer", "@value": size.to_string() });
            named.insert("uco-observable:sizeInBytes".to_owned(), size.clone());
            content.insert("uco-observable:sizeInBytes".to_owned(), size);
        }
        if !hashes.is_empty() {
            content.insert("uco-observable:hash".to_owned(), hashes.into());
        }
    }
    json!({
        "@id": id_of_node,
        "@type": "uco-observable:File",
        "uco-core:hasFacet": [named, content],
    })
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn identifiers_are_of_version_5_and_differ() {
        let one = id("key", "act", "1");
        assert_eq!(one, id("key", "act", "1"));
        assert_ne!(one, id("key", "act", "2"));
        assert_ne!(id("a", "bc", ""), id("ab", "c", ""));
        let bytes: Vec<char> = one.strip_prefix("urn:uuid:").unwrap().chars().collect();
        assert_eq!((bytes.len(), bytes[14]), (36, '5'));
        assert!("89ab".contains(bytes[19]));
    }
}
