//! Units of systemd that no package owns: what they run, and whether anything starts them.

use crate::activation::units::{Units, is_unit_name};
use crate::activation::{Run, person};
use crate::context::{Context, Spot};
use crate::finding::{Activation, Severity};
use crate::parse::unit::{self, Setting};
use crate::payload;
use crate::root::Item;

const RULE: &str = "GBX-0401";
const SYSTEM: &[&str] = &[
    "/etc/systemd/system/**",
    "/etc/systemd/system.control/**",
    "/etc/systemd/system.attached/**",
    "/usr/lib/systemd/system/**",
    "/usr/local/lib/systemd/system/**",
    "/run/systemd/system/**",
    "/run/systemd/transient/**",
];
const USER: &[&str] = &[
    "/etc/systemd/user/**",
    "/usr/lib/systemd/user/**",
    "/usr/local/lib/systemd/user/**",
    "~/.config/systemd/user/**",
    "~/.local/share/systemd/user/**",
];

pub(crate) fn apply(context: &mut Context<'_>) {
    if context.ownership.is_none() {
        return;
    }
    let root = context.root;
    let units = Units::read(root);
    for (patterns, is_user) in [(SYSTEM, false), (USER, true)] {
        for item in patterns.iter().flat_map(|pattern| root.matching(pattern)) {
            if item.is_link() {
                link(context, &units, item, is_user.then_some(item.path));
            } else if item.is_file() && item.metadata.size_bytes > 0 && context.is_foreign(item) {
                file(context, &units, item, is_user.then_some(item.path));
            }
        }
    }
}

/// A link into the search path whose unit file lies elsewhere.
fn link(context: &mut Context<'_>, units: &Units, item: Item<'_>, home: Option<&[u8]>) {
    let root = context.root;
    let Some(target) = root.link_target(item.path) else { return };
    let is_inside = [SYSTEM, USER]
        .concat()
        .iter()
        .any(|pattern| evidence::fs::glob::matches(pattern.as_bytes(), &target));
    let Some(end) = root.item(&target).filter(|end| end.is_file()) else { return };
    if is_inside || !context.is_foreign(end) {
        return;
    }
    let settings = unit::parse(&root.text(end.path).unwrap_or_default());
    let text = [b"-> ", end.path].concat();
    let run = run_of(context, units, item, &settings, home);
    let detail = run.hindrance.unwrap_or_default();
    context.report(RULE, Spot { excerpt: text, ..Spot::file(item.path) }.detail(detail).run(run));
}

fn file(context: &mut Context<'_>, units: &Units, item: Item<'_>, home: Option<&[u8]>) {
    let settings = unit::parse(&context.root.text(item.path).unwrap_or_default());
    let run = run_of(context, units, item, &settings, home);
    for setting in &settings {
        if setting.key == b"Environment" && payload::sign_of(&setting.value).is_some() {
            context.report("GBX-0503", spot(item, setting).run(run.clone()));
        }
    }
    let commands: Vec<&Setting> =
        settings.iter().filter(|setting| unit::is_command(&setting.key)).collect();
    let bad =
        commands.iter().find_map(|setting| Some((*setting, payload::sign_of(&setting.value)?)));
    let shared = commands.iter().find(|setting| payload::runs_from_shared(&setting.value));
    let told = if let Some((setting, what)) = bad {
        spot(item, setting).detail(what).severity(Severity::Critical)
    } else if let Some(setting) = shared {
        let detail = "the program lies where everybody can write";
        spot(item, setting).detail(detail).severity(Severity::High)
    } else {
        match commands.first().copied().or_else(|| settings.first()) {
            Some(setting) => spot(item, setting),
            // A file of comments only does nothing.
            None => return,
        }
    };
    let told = match (run.hindrance, bad.is_some() || shared.is_some()) {
        (Some(_), true) => told.severity(Severity::Medium),
        (Some(hindrance), false) => told.detail(hindrance).severity(Severity::Low),
        (None, _) => told,
    };
    context.report(RULE, told.run(run));
}

fn spot<'a>(item: Item<'a>, setting: &Setting) -> Spot<'a> {
    let text = [setting.key.as_slice(), b"=", &setting.value].concat();
    Spot::line(item.path, setting.line, setting.offset_bytes, &text)
}

/// Who runs the unit or drop-in of this file, when, and what.
fn run_of(
    context: &Context<'_>,
    units: &Units,
    item: Item<'_>,
    own: &[Setting],
    home: Option<&[u8]>,
) -> Run {
    let folder = item.path.rsplit(|byte| *byte == b'/').nth(1).unwrap_or(&[]);
    let name = match folder.strip_suffix(b".d") {
        Some(owner) if !is_unit_name(item.name()) => owner.to_vec(),
        _ => item.name().to_vec(),
    };
    let effective = units.settings(&name);
    let value = |key: &[u8]| {
        let all = effective.iter().chain(own).filter(|setting| setting.key == key);
        all.map(|setting| setting.value.as_slice()).rfind(|value| !value.is_empty())
    };
    let command = own.iter().find(|setting| unit::is_command(&setting.key));
    let what = command.map(|setting| setting.value.as_slice()).or_else(|| value(b"ExecStart"));
    if let Some(path) = home {
        let who = match context.root.homes().iter().any(|home| path.starts_with(home)) {
            true => person(context.root, "~", path),
            false => "each account with a session".to_owned(),
        };
        let run = Run { who: Some(who), activation: Activation::Unknown, ..Run::default() };
        let name = String::from_utf8_lossy(&name).into_owned();
        let base = path.split(|byte| *byte == b'/').collect::<Vec<_>>();
        let at = base.iter().position(|part| *part == b"user").unwrap_or(0);
        let directory = base.get(..=at).unwrap_or(&[]).join(&b'/');
        let pattern = format!("{}/*.wants/{name}", String::from_utf8_lossy(&directory));
        let is_wanted = !context.root.matching(&pattern).is_empty();
        let run = Run { when: is_wanted.then(|| "when the user manager starts".to_owned()), ..run };
        let activation = if is_wanted { Activation::Active } else { Activation::Unknown };
        return Run { activation, ..run }.what(what.unwrap_or(&[]));
    }
    let who = value(b"User").map_or_else(|| "root".to_owned(), crate::activation::shown);
    // A drop-in for a whole type or a prefix acts with each of its units.
    let is_wide = !is_unit_name(&name)
        || name.split(|b| *b == b'.').next().is_some_and(|stem| stem.ends_with(b"-"));
    let when = if is_wide {
        Some(format!("with each unit of {}", crate::activation::shown(&name)))
    } else {
        units.starts(&name).map(str::to_owned)
    };
    let hindrance = if units.is_masked(&name) {
        Some("inactive: the unit is masked")
    } else if when.is_none() {
        Some("inactive: nothing on the disk starts it")
    } else {
        None
    };
    let run = Run { who: Some(who), when, activation: Activation::Active, ..Run::default() };
    run.what(what.unwrap_or(&[])).but(hindrance)
}
