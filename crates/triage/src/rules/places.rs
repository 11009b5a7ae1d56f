//! Places where a file that no package owns is a finding by itself; the catalogue lists them.
//!
//! A link counts by what it finally names: one to an owned file is how units are enabled, one to nothing is inert.

use crate::activation::{self, Run};
use crate::catalogue::WatchedPlace;
use crate::context::{Context, Spot};
use crate::finding::{Activation, Severity};
use crate::parse::meaningful;
use crate::payload;
use crate::root::Item;

pub(crate) fn apply(context: &mut Context<'_>) {
    if context.ownership.is_none() {
        return;
    }
    let (root, catalogue) = (context.root, context.catalogue);
    for place in &catalogue.places {
        for pattern in &place.at {
            for item in root.matching(pattern) {
                if item.is_file() && is_worth_telling(item) && context.is_foreign(item) {
                    tell(context, place, item);
                } else if item.is_link()
                    && let Some(end) = leads_to_foreign(context, item)
                {
                    let text = [b"-> ", end.path].concat();
                    // A link acts if what it names could.
                    let run = activation::of_place(root, place, item).what(end.path);
                    let is_dead =
                        !end.is_executable() && place.needs != crate::catalogue::Needs::Nothing;
                    let run = run.but(is_dead.then_some("inactive: it is not executable"));
                    let spot = Spot { excerpt: text, ..Spot::file(item.path) }
                        .detail(run.hindrance.unwrap_or_default());
                    context.report(&place.rule, spot.run(run));
                }
            }
        }
    }
}

/// Left aside: empty files, placeholders, and what cannot act because of its name.
fn is_worth_telling(item: Item<'_>) -> bool {
    item.metadata.size_bytes > 0 && !matches!(item.name(), b".placeholder" | b"README")
}

fn tell(context: &mut Context<'_>, place: &WatchedPlace, item: Item<'_>) {
    let raw = context.root.text(item.path).unwrap_or_default();
    // A configuration of comments only does nothing.
    let is_binary = raw.contains(&0);
    let first = meaningful(&raw).next();
    if first.is_none() && !is_binary {
        return;
    }
    let mut run = activation::of_place(context.root, place, item);
    if !is_binary {
        run = with_entry(run, &raw);
    }
    let sign = if is_binary { None } else { payload::signs(&raw).into_iter().next() };
    let spot = match (&sign, first) {
        (Some(sign), _) => {
            let spot =
                Spot::line(item.path, sign.line, sign.offset_bytes, &sign.text).detail(sign.what);
            let severity = match (run.activation, place.rule.as_str()) {
                (Activation::Inactive, _) => Severity::Medium,
                (_, "GBX-0122") => Severity::High,
                _ => Severity::Critical,
            };
            spot.severity(severity)
        }
        (None, Some((line, offset, text))) if !is_binary => {
            Spot::line(item.path, line, offset, text)
        }
        _ => Spot::file(item.path),
    };
    let spot = match run.hindrance {
        Some(hindrance) if sign.is_none() => spot.detail(hindrance).severity(Severity::Low),
        _ => spot,
    };
    context.report(&place.rule, spot.run(run));
}

/// What desktop entries and bus services say of themselves.
fn with_entry(mut run: Run, raw: &[u8]) -> Run {
    for (_, _, text) in meaningful(raw) {
        if let Some(command) = text.strip_prefix(b"Exec=") {
            run = run.what(command.trim_ascii());
        } else if let Some(user) = text.strip_prefix(b"User=") {
            run.who = Some(activation::shown(user.trim_ascii()));
        } else if text.to_ascii_lowercase().starts_with(b"hidden=true") {
            run = run.but(Some("inactive: Hidden=true"));
        }
    }
    run
}

/// The foreign file a link finally names; up to forty links, and nothing for a target that is missing or a directory.
fn leads_to_foreign<'a>(context: &mut Context<'a>, item: Item<'a>) -> Option<Item<'a>> {
    let root = context.root;
    let mut path = item.path.to_vec();
    for _ in 0..40 {
        if context.is_owned(&path) {
            return None;
        }
        let target = root.link_target(&path)?;
        match root.item(&target) {
            Some(next) if next.is_link() => path = next.path.to_vec(),
            // A unit's own file is told where it lies; here only what the place lists do not reach.
            Some(next) if next.is_file() => {
                return (context.is_foreign(next) && !next.path.starts_with(b"/etc/systemd/"))
                    .then_some(next);
            }
            _ => return None,
        }
    }
    None
}
