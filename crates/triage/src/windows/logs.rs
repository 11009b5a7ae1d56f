//! Event logs: records that say a log was cleared, numbers that are missing, records inside others, and services that were
//! installed by the hand of somebody.

use super::Windows;
use super::command;
use crate::Severity;
use crate::context::{Context, Spot};
use crate::parse::evtx::{self, Record, binxml::Fields};
use crate::parse::windows::filetime;
use crate::root::Item;
use evidence::{Place, Problem, ProblemKind};

/// Records of one event told.
const MAX_TOLD: usize = 64;

/// What is kept of a record that is told.
struct Kept {
    rule: &'static str,
    severity: Option<Severity>,
    number: u64,
    offset_bytes: u64,
    detail: String,
    excerpt: String,
}

pub(super) fn apply(context: &mut Context<'_>, windows: &Windows<'_>) {
    let folder = String::from_utf8_lossy(&windows.folder).into_owned();
    for item in windows.tree.files(&format!("{folder}/system32/winevt/logs/*.evtx")) {
        log(context, item);
    }
    for item in windows.tree.files(&format!("{folder}/system32/config/*.evt")) {
        let text = "event logs of Windows before Vista are not judged";
        problem(context, item, ProblemKind::Unsupported, text.to_owned());
    }
}

fn problem(context: &Context<'_>, item: Item<'_>, kind: ProblemKind, text: String) {
    let place = Place::Path(item.path.into());
    context.root.problems.borrow_mut().push(Problem::new(kind, place, text));
}

fn log(context: &mut Context<'_>, item: Item<'_>) {
    if item.metadata.size_bytes == 0 {
        return;
    }
    let mut numbers: Vec<(u64, u64)> = Vec::new();
    let mut told: Vec<Kept> = Vec::new();
    let file = context.root.open(item);
    let name = String::from_utf8_lossy(item.name()).to_lowercase();
    let is_judged = matches!(name.as_str(), "security.evtx" | "system.evtx");
    let summary = evtx::read(&file, &mut |record, fields| {
        numbers.push((record.number, record.filetime));
        if let Some(at) = record.hidden_at.filter(|_| told.len() < MAX_TOLD) {
            told.push(Kept {
                rule: "GBX-WIN-0704",
                severity: None,
                number: record.number,
                offset_bytes: at,
                detail: format!("inside record {}", record.number),
                excerpt: String::new(),
            });
        }
        if is_judged && told.len() < MAX_TOLD {
            told.extend(event(record, fields));
        }
    });
    let Some(summary) = summary else {
        let text = "it is no event log, or its header is broken".to_owned();
        problem(context, item, ProblemKind::Corrupt, text);
        return;
    };
    for (at, text) in &summary.broken {
        problem(context, item, ProblemKind::Corrupt, format!("at byte {at}: {text}"));
    }
    if told.len() >= MAX_TOLD {
        let text =
            format!("more than {MAX_TOLD} records of it are worth telling; the first are told");
        problem(context, item, ProblemKind::Refused, text);
    }
    for kept in told {
        let mut spot = Spot::file(item.path).detail(kept.detail);
        spot.excerpt = kept.excerpt.into_bytes();
        spot.severity = kept.severity;
        spot.offset_bytes = usize::try_from(kept.offset_bytes).ok();
        spot.subject = format!("record {}", kept.number);
        context.report(kept.rule, spot);
    }
    // Where chunks are broken, what is missing is not known to be gone.
    if summary.broken.is_empty() {
        holes(context, item, numbers);
    }
}

fn event(record: &Record, fields: &Fields) -> Option<Kept> {
    let provider = fields.text("System/Provider@Name").unwrap_or("");
    let time = filetime(record.filetime).map_or_else(String::new, |time| time.to_string());
    let field = |name: &str| fields.text(&format!("/{name}")).unwrap_or("").to_owned();
    let kept = |rule, severity, detail: String, excerpt: String| {
        let (number, offset_bytes) = (record.number, record.offset_bytes);
        Some(Kept { rule, severity, number, offset_bytes, detail, excerpt })
    };
    match (provider, fields.event()?) {
        ("Microsoft-Windows-Eventlog", 1102) => {
            let who = format!("{}\\{}", field("SubjectDomainName"), field("SubjectUserName"));
            kept(
                "GBX-WIN-0701",
                None,
                format!("at {time}, by {who}"),
                "event 1102: the audit log was cleared".to_owned(),
            )
        }
        ("Microsoft-Windows-Eventlog", 104) => {
            let who = format!("{}\\{}", field("SubjectDomainName"), field("SubjectUserName"));
            let text = format!("event 104: the log {} was cleared", field("Channel"));
            kept("GBX-WIN-0701", None, format!("at {time}, by {who}"), text)
        }
        ("Service Control Manager", 7045) => {
            let image = field("ImagePath");
            let sign = command::sign(&image).or_else(|| shell(&image))?;
            let detail = format!("at {time}, the service {}: {}", field("ServiceName"), sign.what);
            kept("GBX-WIN-0705", Some(sign.severity), detail, image)
        }
        ("Microsoft-Windows-Security-Auditing", 4697) => {
            let image = field("ServiceFileName");
            let sign = command::sign(&image).or_else(|| shell(&image))?;
            let detail = format!("at {time}, the service {}: {}", field("ServiceName"), sign.what);
            kept("GBX-WIN-0705", Some(sign.severity), detail, image)
        }
        _ => None,
    }
}

/// A service that is a shell, as tools that run commands from afar make it.
fn shell(image: &str) -> Option<command::Sign> {
    let line = command::expanded(image);
    let (program, _) = command::program(&line);
    let is_shell =
        matches!(command::name(&program), "cmd.exe" | "cmd" | "powershell.exe" | "powershell");
    is_shell.then_some(command::Sign {
        what: "the service is a shell with a command",
        severity: Severity::High,
    })
}

/// Numbers inside a log that no record has.
fn holes(context: &mut Context<'_>, item: Item<'_>, mut numbers: Vec<(u64, u64)>) {
    numbers.sort_unstable();
    let (mut holes, mut missing) = (0_usize, 0_u64);
    let mut first = None;
    for pair in numbers.windows(2) {
        let [(before, from), (after, until)] = pair else { continue };
        let gap = after.saturating_sub(*before).saturating_sub(1);
        if gap > 0 {
            holes = holes.saturating_add(1);
            missing = missing.saturating_add(gap);
            first.get_or_insert((*before, *from, *after, *until));
        }
    }
    let Some((before, from, after, until)) = first else { return };
    let shown = |time: u64| {
        filetime(time).map_or_else(|| "an unknown time".to_owned(), |time| time.to_string())
    };
    let detail = format!(
        "{missing} records in {holes} holes; the first hole lies between record {before} of {} and record {after} of {}",
        shown(from),
        shown(until)
    );
    context.report("GBX-WIN-0702", Spot::file(item.path).detail(detail));
}
