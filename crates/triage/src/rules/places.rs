//! Places where a file that no package owns is a finding by itself; the catalogue lists them.
//!
//! A link counts by what it finally names: one to an owned file is how units are enabled, one to nothing is inert.

use crate::context::{Context, Spot};
use crate::finding::{Activation, Severity};
use crate::parse::meaningful;
use crate::payload;
use crate::root::Item;

pub(crate) fn apply(context: &mut Context<'_>) {
    if context.ownership.is_none() {
        return;
    }
    let root = context.root;
    let rules: Vec<(String, Vec<String>)> =
        context.catalogue.rules().map(|rule| (rule.id.clone(), rule.places.clone())).collect();
    for (rule, places) in rules {
        for pattern in &places {
            for item in root.matching(pattern) {
                if item.is_file() && is_worth_telling(item) && context.is_foreign(item) {
                    tell(context, &rule, item);
                } else if item.is_link() && leads_to_foreign(context, item) {
                    let target = root.link_target(item.path).unwrap_or_default();
                    let text = [b"-> ", target.as_slice()].concat();
                    context.report(
                        &rule,
                        Spot { excerpt: text, ..Spot::file(item.path) }
                            .activation(Activation::Active),
                    );
                }
            }
        }
    }
}

/// Left aside: empty files, placeholders, and what cannot act because of its name.
fn is_worth_telling(item: Item<'_>) -> bool {
    item.metadata.size_bytes > 0 && !matches!(item.name(), b".placeholder" | b"README")
}

fn tell(context: &mut Context<'_>, rule: &str, item: Item<'_>) {
    let raw = context.root.text(item.path).unwrap_or_default();
    // A configuration of comments only does nothing.
    let is_binary = raw.contains(&0);
    let first = meaningful(&raw).next();
    if first.is_none() && !is_binary {
        return;
    }
    let sign = if is_binary { None } else { payload::signs(&raw).into_iter().next() };
    let spot = match (&sign, first) {
        (Some(sign), _) => {
            let spot =
                Spot::line(item.path, sign.line, sign.offset_bytes, &sign.text).detail(sign.what);
            spot.severity(if rule == "GBX-0122" { Severity::High } else { Severity::Critical })
        }
        (None, Some((line, offset, text))) if !is_binary => {
            Spot::line(item.path, line, offset, text)
        }
        _ => Spot::file(item.path),
    };
    context.report(rule, spot);
}

/// Follows links by name up to forty times; a target that is missing or a directory leads nowhere.
fn leads_to_foreign(context: &mut Context<'_>, item: Item<'_>) -> bool {
    let root = context.root;
    let mut path = item.path.to_vec();
    for _ in 0..40 {
        if context.is_owned(&path) {
            return false;
        }
        let Some(target) = root.link_target(&path) else { return false };
        match root.item(&target) {
            Some(next) if next.is_link() => path = next.path.to_vec(),
            // A unit's own file is told where it lies; here only what the place lists do not reach.
            Some(next) if next.is_file() => {
                return context.is_foreign(next) && !next.path.starts_with(b"/etc/systemd/");
            }
            _ => return false,
        }
    }
    true
}
