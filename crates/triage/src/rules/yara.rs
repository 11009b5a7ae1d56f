//! The examiner's own YARA rules over the content of every regular file.

use crate::context::{Context, Spot};
use evidence::{Place, Problem, ProblemKind};

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
        let Some(length) = usize::try_from(size_bytes)
            .ok()
            .filter(|_| size_bytes <= options.largest_scanned_bytes)
        else {
            let limit = options.largest_scanned_bytes;
            let text = format!("{size_bytes} bytes, YARA rules get files up to {limit} bytes");
            problem(ProblemKind::Refused, text);
            continue;
        };
        let content = match root.fs.read_head(item.metadata.node, length) {
            Ok((content, _)) => content,
            Err(error) => {
                root.problems.borrow_mut().push(error.to_problem(Place::Path(item.path.into())));
                continue;
            }
        };
        context.coverage.yara_files = context.coverage.yara_files.saturating_add(1);
        let (found, cut) = rules.matches(&content);
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
