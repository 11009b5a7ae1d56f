//! Files below mount points: on the running system nobody sees them, and whoever unmounts does.

use crate::activation::Run;
use crate::context::{Context, Spot};
use crate::finding::Severity;
use evidence::fs::FileKind;
use evidence::fs::tree;
use evidence::system::Hidden;
use evidence::{FileSystem, RawPath, escape_bytes};

/// Names told of one place.
const NAMES_TOLD: usize = 8;
/// Objects looked at below one mount point.
const LIMITS: tree::Limits = tree::Limits { depth: 64, entries: 200_000 };
const SET_ID: u32 = 0o6000;

/// What lies below a mount point.
#[derive(Default)]
struct Below {
    files: usize,
    programs: usize,
    set_ids: usize,
    names: Vec<String>,
}

pub(crate) fn apply(context: &mut Context<'_>) {
    let options = context.options;
    for hidden in &options.hidden {
        let below = look(context, hidden);
        if below.files == 0 {
            continue;
        }
        let severity = match (below.set_ids, below.programs) {
            (0, 0) => Severity::Low,
            (0, _) => Severity::Medium,
            _ => Severity::High,
        };
        let more = below.files.saturating_sub(below.names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let detail = format!(
            "{} files, {} of them programs, {} set-user-ID or set-group-ID; the file system itself shows them by its own address",
            below.files, below.programs, below.set_ids
        );
        let mut spot =
            Spot::file(&hidden.path.0).detail(detail).severity(severity).run(Run::default());
        spot.excerpt = format!("{}{more}", below.names.join(", ")).into_bytes();
        context.report("GBX-1009", spot);
    }
}

fn look(context: &Context<'_>, hidden: &Hidden) -> Below {
    let mut below = Below::default();
    let fs: &dyn FileSystem = &*hidden.fs;
    let mut programs = Vec::new();
    let start = RawPath(Vec::new());
    let problems = tree::walk(fs, hidden.node, &start, LIMITS, &mut |visit| {
        let metadata = &visit.metadata;
        if metadata.kind != FileKind::File || visit.path.0.is_empty() {
            return;
        }
        below.files = below.files.saturating_add(1);
        if metadata.mode & SET_ID != 0 && metadata.mode & 0o111 != 0 {
            below.set_ids = below.set_ids.saturating_add(1);
        }
        if metadata.mode & 0o111 != 0 {
            programs.push(metadata.node);
        }
        if below.names.len() < NAMES_TOLD {
            below.names.push(escape_bytes(&visit.path.0));
        }
    });
    context.root.problems.borrow_mut().extend(problems);
    // File systems without modes call everything executable; its beginning decides.
    let is_program = |node: &u64| {
        let head = fs.read_head(*node, 4).map(|(raw, _)| raw).unwrap_or_default();
        head.starts_with(b"\x7fELF") || head.starts_with(b"#!")
    };
    below.programs = programs.iter().filter(|node| is_program(node)).count();
    below
}
