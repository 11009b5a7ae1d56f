//! Triage of every Linux root in a raw image, for trying rules at a desk: `triage_image IMAGE [json]`.
//!
//! The verb people use is `glovebox triage`; this needs no broker and no case.

use evidence::stack::{Disk, Stack};
use evidence::{FileSource, Source, View, system};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: triage_image IMAGE [json]")?;
    let source: Arc<dyn Source> = Arc::new(FileSource::new(std::fs::File::open(path)?, 512)?);
    let stack = Stack::examine(&[Disk { name: "image".to_owned(), source }], &[]);
    for system in system::find(&stack, View::Recovered) {
        let report = triage::run(&*system.tree, &triage::Options::default());
        if arguments.next().is_some() {
            println!("{}", serde_json::to_string_pretty(&report)?);
            continue;
        }
        for finding in &report.findings {
            println!(
                "{:?} {} {} {} {}",
                finding.severity, finding.rule, finding.path, finding.excerpt, finding.detail
            );
        }
        report.problems.iter().for_each(|problem| println!("problem: {problem}"));
        println!("{:?}", report.coverage);
    }
    Ok(())
}
