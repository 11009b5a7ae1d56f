//! `glovebox ls`: what is on a disk, or in a directory of it.

use evidence::fs::FileKind;
use evidence::fs::RawPath;
use evidence::map::origin_text;
use guard::Guard;
use serde::Serialize;
use serde_json::json;

use crate::entry::{Entry, Trouble, problem_at};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::{Found, Opened, Reading};
use crate::output::{Colour, Format, paint, size, table};
use crate::recording::{Recording, recorded};
use crate::session::Chosen;
use crate::target;

/// List the volumes of a disk, or a directory on evidence
///
/// An address is DISK, DISK:VOLUME or DISK:VOLUME:/PATH. DISK is a name such as
/// sda, serial=NUMBER, or an image file; VOLUME is a partition number, vg/lv,
/// md/NAME, 0 for a disk without partitions, or os1 for an installed system.
/// DISK:/PATH looks in the only installed system.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What to list, such as sda, sda:2:/etc or disk.img:1:/
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
struct VolumeLine<'a> {
    address: String,
    origin: &'a evidence::stack::Origin,
    #[serde(flatten)]
    volume: &'a evidence::disk::Volume,
    readable: bool,
}

impl Args {
    /// Lists.
    ///
    /// # Errors
    /// If there is no such source or directory.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({ "address": self.address, "view": self.reading.view() });
        recorded(&self.chosen, "ls", &arguments, |guard, act| self.list(guard, act))
    }

    fn list(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        let address = target::address(&self.address);
        let opened = self.reading.open(&address, guard)?;
        if address.label.is_none() && address.object.is_none() && opened.collection.is_none() {
            act.inputs(opened.inputs(guard, &[]));
            return self.volumes(&opened, act);
        }
        let tree = opened.tree(&address)?;
        act.inputs(opened.inputs(guard, &[&tree.address]));
        self.directory(&tree.find(address.object.as_ref())?, act)
    }

    fn volumes(&self, opened: &Opened, act: &Recording) -> Result<Exit, Failure> {
        let stack = &opened.stack;
        let mut rows = Vec::new();
        for id in stack.volumes() {
            let (Some(volume), Some(origin)) = (stack.volume(id), stack.origin(id)) else {
                continue;
            };
            let address = stack.address(id);
            let readable = stack.is_readable(id);
            let line = VolumeLine { address: address.clone(), origin, volume, readable };
            self.format.record("volume", &line, String::new)?;
            let kinds: Vec<String> =
                volume.contents.iter().map(|content| format!("{:?}", content.kind)).collect();
            let label = volume.contents.iter().find_map(|content| content.label.clone());
            rows.push(vec![
                address,
                size(volume.length_bytes),
                if kinds.is_empty() { "unrecognised".to_owned() } else { kinds.join(", ") },
                label.map_or_else(String::new, |label| format!("\"{label}\"")),
                if readable { String::new() } else { "not readable as files".to_owned() },
                match origin {
                    evidence::stack::Origin::Disk => String::new(),
                    other => origin_text(other),
                },
            ]);
        }
        if !self.format.is_json() {
            println!("{}", table(&rows));
        }
        for closed in &stack.closed {
            self.format.record("closed", closed, || {
                let why: Vec<&str> =
                    closed.problems.iter().map(|problem| problem.text.as_str()).collect();
                let text =
                    format!("{}  {}: {}", closed.address, closed.description, why.join("; "));
                paint(&text, Colour::Yellow)
            })?;
        }
        for system in opened.systems() {
            self.format.record("system", &system, || system_text(&opened.name, &system))?;
        }
        let mut exit = if stack.closed.is_empty() { Exit::Clean } else { Exit::Partial };
        for (address, problem) in stack.problems() {
            exit = Exit::Partial;
            act.problem(format!("{address}: {problem}"));
            self.format.record("problem", &Trouble { volume: &address, problem }, || {
                paint(&format!("problem on {address}: {problem}"), Colour::Yellow)
            })?;
        }
        Ok(exit)
    }

    fn directory(&self, found: &Found, act: &Recording) -> Result<Exit, Failure> {
        let (fs, volume) = (&*found.tree.fs, found.tree.address.as_str());
        let owners = fs.conventions().owners;
        let itself = fs.metadata(found.node)?;
        if itself.kind != FileKind::Directory {
            let entry = Entry::new(volume, fs, &found.path, &itself);
            self.format.record("entry", &entry, || entry.line(&found.path.to_string(), owners))?;
            return Ok(Exit::Clean);
        }
        let mut listing = fs.read_dir(found.node)?;
        listing.entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut problems = listing.problems;
        for below in &listing.entries {
            let path: RawPath = found.path.join(&below.name.0);
            match fs.metadata(below.node) {
                Ok(metadata) => {
                    let entry = Entry::new(volume, fs, &path, &metadata);
                    self.format
                        .record("entry", &entry, || entry.line(&below.name.to_string(), owners))?;
                }
                Err(error) => problems.push(problem_at(&path, &error)),
            }
        }
        for problem in &problems {
            act.problem(problem);
            self.format.record("problem", &Trouble { volume, problem }, || {
                paint(&format!("problem: {problem}"), Colour::Yellow)
            })?;
        }
        Ok(if problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }
}

fn system_text(source: &str, system: &evidence::system::System) -> String {
    let below = system.root_path.as_ref().map_or_else(String::new, |path| format!(":{path}"));
    let mut text = format!(
        "\n{source}:{}  {} (host {}), root on {}{below}",
        system.name,
        system.identity.name,
        system.identity.hostname.as_deref().unwrap_or("unknown"),
        system.root
    );
    for mount in &system.mounts {
        text.push_str(&format!("\n  {:<16} {}", mount.path.to_string(), mount.from));
        if let Some(assumption) = &mount.assumption {
            text.push_str(&format!("  ({assumption})"));
        }
    }
    for missing in &system.unreached {
        let line = format!(
            "\n  {:<16} not reached: {} ({})",
            missing.path.to_string(),
            missing.why,
            missing.what
        );
        text.push_str(&paint(&line, Colour::Yellow));
    }
    for problem in &system.problems {
        text.push_str(&paint(&format!("\n  problem: {problem}"), Colour::Yellow));
    }
    text
}
