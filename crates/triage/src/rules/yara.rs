//! The examiner's own YARA rules over the content of every regular file.

use crate::context::{Context, Spot};
use crate::root::Item;
use crate::{YaraMatch, YaraRules};
use evidence::{Place, Problem, ProblemKind};
use std::sync::Mutex;

pub(crate) fn apply(context: &mut Context<'_>) {
    let (root, options) = (context.root, context.options);
    let Some(rules) = &options.yara else { return };
    context.coverage.yara_rules = rules.count();
    for item in root.items().filter(|item| item.is_file() && item.metadata.size_bytes > 0) {
        let problem = |kind, text: String| {
            let place = Place::Path(item.path.into());
            root.problems.borrow_mut().push(Problem::new(kind, place, text));
        };
        let size_bytes = item.metadata.size_bytes;
        let whole = usize::try_from(size_bytes).ok();
        let whole = whole.filter(|_| size_bytes <= options.largest_scanned_bytes);
        let (found, cut) = if let Some(length) = whole {
            match root.fs.read_head(item.metadata.node, length) {
                Ok((content, _)) => rules.matches(&content),
                Err(error) => {
                    let place = Place::Path(item.path.into());
                    root.problems.borrow_mut().push(error.to_problem(place));
                    continue;
                }
            }
        } else {
            in_pieces(context, rules, item)
        };
        context.coverage.yara_files = context.coverage.yara_files.saturating_add(1);
        if let Some(cut) = cut {
            problem(ProblemKind::Refused, format!("YARA rules did not come to their end: {cut}"));
        }
        for one in found {
            let mut spot = Spot::file(item.path).detail(format!("{}: {}", one.rule, one.told));
            spot.subject = one.rule;
            spot.severity = one.severity;
            if let Some((offset, bytes)) = one.first {
                (spot.offset_bytes, spot.excerpt) = (Some(offset), bytes);
            }
            context.report("GBX-1501", spot);
        }
    }
}

/// A file too large to be held.
fn in_pieces(
    context: &mut Context<'_>,
    rules: &YaraRules,
    item: Item<'_>,
) -> (Vec<YaraMatch>, Option<String>) {
    let root = context.root;
    context.coverage.yara_in_pieces = context.coverage.yara_in_pieces.saturating_add(1);
    let failed = Mutex::new(None);
    let (fs, node) = (root.fs, item.metadata.node);
    let result = rules.matches_in_pieces(item.metadata.size_bytes, &|at, buf| {
        fs.read_at(node, at, buf).unwrap_or_else(|error| {
            // The first tells enough; the engine goes on with the next piece.
            if let Ok(mut failed) = failed.lock() {
                failed.get_or_insert(error);
            }
            0
        })
    });
    let place = || Place::Path(item.path.into());
    if let Some(error) = failed.into_inner().ok().flatten() {
        root.problems.borrow_mut().push(error.to_problem(place()));
    }
    if rules.ask_size() {
        let text = "too large to be scanned at once; in pieces, YARA rules that ask for filesize cannot be decided";
        root.problems.borrow_mut().push(Problem::new(ProblemKind::Refused, place(), text));
    }
    result
}
