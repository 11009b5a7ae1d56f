//! `glovebox map`: what every sector range of a disk is, and which file a byte belongs to.

use evidence::map::{self, Detail, Owner, Run, origin_text};
use guard::Guard;
use serde::Serialize;
use serde_json::json;

use crate::entry::Trouble;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::opened::{Opened, Reading};
use crate::output::{Colour, Format, paint, size, table};
use crate::recording::{Recording, recorded};
use crate::session::Chosen;
use crate::target;

/// Show what every sector range of a disk is
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The disk, such as sda, or an image file
    #[arg(value_name = "DISK|IMAGE")]
    source: String,
    /// Split volumes into what their file systems count as free and used
    #[arg(long)]
    allocation: bool,
    /// Tell which volume and file this byte of the disk belongs to
    #[arg(long, value_name = "OFFSET", conflicts_with = "sector")]
    byte: Option<u64>,
    /// The same for a sector
    #[arg(long, value_name = "NUMBER")]
    sector: Option<u64>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Line<'a> {
    layer: &'a str,
    first_sector: u64,
    last_sector: u64,
    #[serde(flatten)]
    run: &'a Run,
}

#[derive(Serialize)]
struct OwnerLine<'a> {
    offset_bytes: u64,
    owner: Option<&'a Owner>,
}

impl Args {
    /// Shows it.
    ///
    /// # Errors
    /// If the source cannot be opened.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let arguments = json!({
            "source": self.source,
            "allocation": self.allocation,
            "byte": self.byte,
            "sector": self.sector,
        });
        recorded(&self.chosen, "map", &arguments, |guard, act| self.show(guard, act))
    }

    fn show(&self, guard: &Guard, act: &Recording) -> Result<Exit, Failure> {
        let address = target::address(&self.source);
        if address.label.is_some() || address.object.is_some() {
            return Err(Failure::new("a map is of a whole disk")
                .hint(format!("glovebox map {}", String::from_utf8_lossy(&address.source))));
        }
        let opened = self.reading.open(&address, guard)?;
        act.inputs(opened.inputs(guard, &[]));
        if opened.collection.is_some() {
            return Err(Failure::new(format!("{} is a collection of files, no disk", opened.name)));
        }
        let sector_bytes = opened
            .stack
            .layers
            .first()
            .map_or(512, |layer| u64::from(layer.view.table.sector_bytes));
        let at = self.byte.or_else(|| Some(self.sector?.saturating_mul(sector_bytes)));
        match at {
            Some(offset) => self.owner(&opened, offset),
            None => self.ranges(&opened, act),
        }
    }

    fn ranges(&self, opened: &Opened, act: &Recording) -> Result<Exit, Failure> {
        let detail = if self.allocation { Detail::Allocation } else { Detail::Volumes };
        let mut exit = Exit::Clean;
        for (number, layer) in opened.stack.layers.iter().enumerate() {
            let name = if layer.label.is_empty() {
                layer.disk.clone()
            } else {
                format!("{}:{}", layer.disk, layer.label)
            };
            let (runs, problems) = map::layer(&opened.stack, number, detail);
            let sector_bytes = u64::from(layer.view.table.sector_bytes).max(1);
            if !self.format.is_json() {
                let origin = origin_text(&layer.origin);
                println!("{name}  {}  {origin}", size(layer.view.size_bytes));
            }
            let mut rows = Vec::new();
            for run in &runs {
                let end = run.start_bytes.saturating_add(run.length_bytes);
                let line = Line {
                    layer: &name,
                    first_sector: run.start_bytes / sector_bytes,
                    last_sector: end.saturating_sub(1) / sector_bytes,
                    run,
                };
                self.format.record("range", &line, String::new)?;
                rows.push(vec![
                    format!("{:>12}", line.first_sector),
                    format!("{:>12}", line.last_sector),
                    format!("{:>10}", size(run.length_bytes)),
                    run.address.clone().unwrap_or_default(),
                    run.what.clone(),
                ]);
            }
            if !self.format.is_json() {
                println!("{}", table(&rows));
            }
            for problem in layer.view.problems().chain(&layer.problems).chain(&problems) {
                exit = Exit::Partial;
                act.problem(format!("{name}: {problem}"));
                self.format.record("problem", &Trouble { volume: &name, problem }, || {
                    paint(&format!("problem: {problem}"), Colour::Yellow)
                })?;
            }
        }
        Ok(exit)
    }

    fn owner(&self, opened: &Opened, offset_bytes: u64) -> Result<Exit, Failure> {
        let owner = map::owner(&opened.stack, 0, offset_bytes);
        let line = OwnerLine { offset_bytes, owner: owner.as_ref() };
        self.format.record("owner", &line, || owner_text(offset_bytes, owner.as_ref()))?;
        let partial = owner.is_some_and(|owner| !owner.problems.is_empty());
        Ok(if partial { Exit::Partial } else { Exit::Clean })
    }
}

fn owner_text(offset_bytes: u64, owner: Option<&Owner>) -> String {
    let Some(owner) = owner else {
        return format!("byte {offset_bytes} belongs to no volume");
    };
    let mut text =
        format!("byte {offset_bytes} is byte {} of {}", owner.volume_offset_bytes, owner.address);
    for (path, node) in &owner.files {
        text.push_str(&format!("\n  {}:{path}  (node #{node})", owner.address));
        if let Some(at) = owner.file_offset_bytes {
            text.push_str(&format!(", byte {at} of the file"));
        }
    }
    if owner.files.is_empty() {
        text.push_str(match owner.is_free {
            Some(true) => "\n  free space of the file system",
            Some(false) => "\n  in use by the file system itself",
            None => "\n  no file has it",
        });
    }
    for problem in &owner.problems {
        text.push_str(&paint(&format!("\nproblem: {problem}"), Colour::Yellow));
    }
    text
}
