//! `glovebox stat`: everything that is recorded about one object.

use evidence::fs::{Detail, Extent, Stored, Stream, Xattr};
use evidence::{Time, escape_bytes};
use guard::Guard;
use serde::Serialize;
use serde_json::json;

use crate::entry::{Entry, word};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::Reading;
use crate::output::{Colour, Format, paint, table};
use crate::recording::{Recording, recorded};
use crate::session::Chosen;

/// Show everything recorded about a file on evidence
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The object, such as sda:2:/etc/passwd or sda:2:#128
    #[arg(value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    entry: &'a Entry<'a>,
    file_system: &'a str,
    conventions: evidence::fs::Conventions,
    xattrs: Vec<Attribute>,
    streams: Vec<Stream>,
    extents: Vec<Extent>,
    details: Vec<Detail>,
    /// What could not be told.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Attribute {
    name: String,
    /// The value, escaped.
    value: String,
    value_hex: String,
}

impl From<Xattr> for Attribute {
    fn from(attribute: Xattr) -> Self {
        Self {
            name: attribute.name.to_string(),
            value: escape_bytes(&attribute.value),
            value_hex: attribute.value.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl Args {
    /// Shows it.
    ///
    /// # Errors
    /// If there is no such object.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({ "address": self.address, "view": self.reading.view() });
        recorded(&self.chosen, "stat", &arguments, |guard, act| self.show(guard, act))
    }

    fn show(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        let mut found = self.reading.find(&self.address, guard)?;
        act.inputs(std::mem::take(&mut found.inputs));
        let fs = &*found.tree.fs;
        let metadata = fs.metadata(found.node)?;
        let entry = Entry::new(&found.tree.address, fs, &found.path, &metadata);
        let mut problems = Vec::new();
        // A format that does not tell one thing still tells the others.
        let mut note = |error: evidence::EvidenceError| {
            problems.push(error.to_problem(evidence::Place::Path(found.path.clone())).text);
        };
        let xattrs = fs.xattrs(found.node).unwrap_or_else(|error| {
            note(error);
            Vec::new()
        });
        let streams = fs.streams(found.node).unwrap_or_else(|error| {
            note(error);
            Vec::new()
        });
        let extents = fs.extents(found.node).unwrap_or_else(|error| {
            note(error);
            Vec::new()
        });
        let details = fs.details(found.node).unwrap_or_else(|error| {
            note(error);
            Vec::new()
        });
        let whole = Whole {
            entry: &entry,
            file_system: fs.kind(),
            conventions: fs.conventions(),
            xattrs: xattrs.into_iter().map(Attribute::from).collect(),
            streams,
            extents,
            details,
            problems,
        };
        for problem in &whole.problems {
            act.problem(problem);
        }
        self.format.record("stat", &whole, || text(&whole))?;
        Ok(if whole.problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }
}

fn text(whole: &Whole<'_>) -> String {
    let m = whole.entry.metadata;
    let local = whole.conventions.clock == evidence::fs::Clock::LocalUnknown;
    let time = |time: Option<Time>| {
        let zone = if local { " (local time of the machine, zone not recorded)" } else { "" };
        time.map_or("not recorded".to_owned(), |time| format!("{time}{zone}"))
    };
    let mut rows = vec![
        vec!["path".to_owned(), format!("{}:{}", whole.entry.volume, whole.entry.path)],
        vec!["file system".to_owned(), whole.file_system.to_owned()],
        vec!["type".to_owned(), word(&m.kind).unwrap_or_default()],
        vec!["inode".to_owned(), format!("{} (node #{})", whole.entry.number, m.node)],
        vec!["rights".to_owned(), format!("{:04o}, owner {}, group {}", m.mode, m.uid, m.gid)],
        vec!["size".to_owned(), format!("{} bytes, {} links", m.size_bytes, m.links)],
        vec!["accessed".to_owned(), time(m.accessed)],
        vec!["modified".to_owned(), time(m.modified)],
        vec!["changed".to_owned(), time(m.changed)],
        vec!["born".to_owned(), time(m.born)],
    ];
    if let Some(target) = &whole.entry.target {
        rows.push(vec!["points to".to_owned(), target.to_string()]);
    }
    if let Some((major, minor)) = m.device {
        rows.push(vec!["device".to_owned(), format!("{major}, {minor}")]);
    }
    if let Some(generation) = m.generation {
        rows.push(vec!["generation".to_owned(), generation.to_string()]);
    }
    let marks: Vec<String> = m.attributes.iter().filter_map(|mark| word(&mark)).collect();
    if !marks.is_empty() {
        rows.push(vec!["marks".to_owned(), marks.join(", ")]);
    }
    for detail in &whole.details {
        rows.push(vec![detail.name.to_owned(), detail.value.clone()]);
    }
    for attribute in &whole.xattrs {
        rows.push(vec![attribute.name.clone(), attribute.value.clone()]);
    }
    for stream in &whole.streams {
        rows.push(vec![format!("stream {}", stream.name), format!("{} bytes", stream.size_bytes)]);
    }
    for extent in &whole.extents {
        let end = extent.logical_bytes.saturating_add(extent.length_bytes);
        rows.push(vec![format!("{}..{end}", extent.logical_bytes), stored(extent.stored)]);
    }
    for problem in &whole.problems {
        rows.push(vec!["problem".to_owned(), paint(problem, Colour::Yellow)]);
    }
    table(&rows)
}

fn stored(stored: Stored) -> String {
    match stored {
        Stored::At(at) => format!("at byte {at}"),
        Stored::Hole => "hole".to_owned(),
        Stored::Unwritten(at) => format!("allocated at byte {at}, never written"),
        Stored::Inline => "inside the inode".to_owned(),
        Stored::Packed { at, length_bytes } => {
            format!("packed in {length_bytes} bytes at byte {at}")
        }
        Stored::OnDevice { device, at } => format!("at byte {at} of device {device}"),
    }
}
