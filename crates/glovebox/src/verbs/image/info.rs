//! `glovebox image info`: what an image says about itself, without reading its content.

use serde::Serialize;

use super::store::Keys;
use super::stored;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, size};

/// Show what an image says about itself
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image, or its first file; s3://BUCKET/KEY too
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    answer: Format,
}

#[derive(Serialize)]
struct Info<'a> {
    file: &'a str,
    format: String,
    size_bytes: u64,
    sector_bytes: u32,
    files: &'a [String],
    digests: &'a [evidence::container::Recorded],
    facts: &'a [(String, String)],
    problems: Vec<String>,
}

impl Args {
    /// Shows it.
    ///
    /// # Errors
    /// If the image cannot be opened.
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let opened = stored::open(&self.file, &self.keys)?;
        let info = Info {
            file: &self.file,
            format: stored::format_name(&opened),
            size_bytes: opened.source.size_bytes(),
            sector_bytes: opened.source.sector_bytes(),
            files: &opened.files,
            digests: &opened.digests,
            facts: &opened.facts,
            problems: opened.problems.iter().map(ToString::to_string).collect(),
        };
        self.answer.record("image_info", &info, || text(&info))?;
        Ok(if info.problems.is_empty() { Exit::Clean } else { Exit::Partial })
    }
}

fn text(info: &Info<'_>) -> String {
    let mut lines = vec![
        format!("format: {}", info.format),
        format!("size: {} ({} bytes)", size(info.size_bytes), info.size_bytes),
        format!("sector: {} bytes", info.sector_bytes),
    ];
    match info.files {
        [_] | [] => {}
        files => lines.push(format!("files: {}", files.join(", "))),
    }
    let facts = info.facts.iter().map(|(name, value)| format!("{name}: {value}"));
    lines.extend(facts);
    lines.extend(info.problems.iter().map(|problem| format!("problem: {problem}")));
    lines.join("\n")
}
