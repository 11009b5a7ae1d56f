//! Words in lines of files that are not as delivered; the catalogue lists them.

use crate::activation::{Run, person};
use crate::context::{Context, Spot};
use crate::parse::{contains, meaningful};
use std::collections::BTreeSet;

/// Findings of one test in one file.
const MAX_IN_FILE: usize = 8;

pub(crate) fn apply(context: &mut Context<'_>) {
    let (root, catalogue) = (context.root, context.catalogue);
    for test in &catalogue.lines {
        let mut seen = BTreeSet::new();
        for item in test.at.iter().flat_map(|pattern| root.matching(pattern)) {
            if !item.is_file()
                || !seen.insert(item.path)
                || !(context.is_foreign(item) || context.is_changed_conffile(item))
            {
                continue;
            }
            let raw = root.text(item.path).unwrap_or_default();
            let found = meaningful(&raw).filter(|(_, _, text)| {
                let lower = text.to_ascii_lowercase();
                let start = lower.trim_ascii_start();
                !test.comment.iter().any(|mark| start.starts_with(mark.as_bytes()))
                    && test.any.iter().any(|words| {
                        words
                            .iter()
                            .all(|word| word.is_empty() || contains(&lower, word.as_bytes()))
                    })
            });
            for (line, offset, text) in found.take(MAX_IN_FILE) {
                let mut spot = Spot::line(item.path, line, offset, text).detail(test.what.as_str());
                spot.severity = test.severity;
                if let (Some(who), Some(when)) = (&test.who, &test.when) {
                    let who = person(root, who, item.path);
                    spot = spot.run(Run::active(who, when.as_str()).what(text.trim_ascii()));
                }
                context.report(&test.rule, spot);
            }
        }
    }
}
