//! The hives of an installed Windows, each with its path, and short ways to what stands in them.

use super::tree::Tree;
use crate::context::{Context, Spot};
use evidence::escape_bytes;
use evidence::registry::{self, Hive, Key, Value, ValueKind};
use evidence::{Place, Problem, ProblemKind};

/// Longest value taken as text, in bytes.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// A hive and the file it lies in.
pub(crate) struct Loaded<'a> {
    pub(crate) path: Vec<u8>,
    pub(crate) hive: Hive<'a>,
    /// The account a hive of a person belongs to: the name of the folder it lies in.
    pub(crate) owner: String,
}

/// Those that are there and can be read.
pub(crate) struct Hives<'a> {
    pub(crate) sam: Option<Loaded<'a>>,
    pub(crate) software: Option<Loaded<'a>>,
    pub(crate) system: Option<Loaded<'a>>,
    /// `NTUSER.DAT` of each person, and those of the services.
    pub(crate) people: Vec<Loaded<'a>>,
    /// `UsrClass.dat` of each person.
    pub(crate) classes: Vec<Loaded<'a>>,
    /// The control set in use, such as `ControlSet001`.
    pub(crate) control: String,
}

impl<'a> Hives<'a> {
    pub(crate) fn open(context: &Context<'a>, tree: &Tree<'a>, folder: &[u8]) -> Self {
        let config = [folder, b"/system32/config"].concat();
        let one = |name: &str| load(context, tree, &config, name);
        let (sam, software, system) = (one("sam"), one("software"), one("system"));
        let mut people: Vec<Loaded<'a>> = one("default").into_iter().collect();
        let mut classes = Vec::new();
        let mut homes: Vec<Vec<u8>> = Vec::new();
        for (name, wanted) in [
            ("ntuser.dat", "/*/*/ntuser.dat"),
            ("ntuser.dat", "/windows/serviceprofiles/*/ntuser.dat"),
        ] {
            for item in tree.files(wanted) {
                let path = super::tree::folded(item.path);
                let home = path.strip_suffix(format!("/{name}").as_bytes()).unwrap_or(&path);
                let is_home = home.starts_with(b"/users/")
                    || home.starts_with(b"/documents and settings/")
                    || home.starts_with(b"/windows/serviceprofiles/");
                if is_home && !homes.iter().any(|one| one == home) {
                    homes.push(home.to_vec());
                }
            }
        }
        for home in homes {
            people.extend(load(context, tree, &home, "ntuser.dat"));
            for place in [
                "/appdata/local/microsoft/windows",
                "/local settings/application data/microsoft/windows",
            ] {
                let folder = [home.as_slice(), place.as_bytes()].concat();
                classes.extend(load(context, tree, &folder, "usrclass.dat"));
            }
        }
        let current = system.as_ref().and_then(|loaded| number(&loaded.hive, "Select", "Current"));
        let control = format!("ControlSet{:03}", current.unwrap_or(1));
        for (name, found) in [("SAM", &sam), ("SOFTWARE", &software), ("SYSTEM", &system)] {
            if found.is_none() {
                let text =
                    format!("there is no hive {name} that can be read; what it says is not judged");
                let shown = tree.item(&config).map_or(config.as_slice(), |item| item.path);
                let place = Place::Path(shown.into());
                let problem = Problem::new(ProblemKind::Unsupported, place, text);
                context.root.problems.borrow_mut().push(problem);
            }
        }
        Self { sam, software, system, people, classes, control }
    }

    /// The hives of the machine and of people in which programs keep their settings, with the path in front of
    /// `Microsoft`.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&Loaded<'a>, &'static str)> {
        let machine = self.software.iter().map(|loaded| (loaded, ""));
        machine.chain(self.people.iter().map(|loaded| (loaded, "Software\\")))
    }
}

fn load<'a>(
    context: &Context<'a>,
    tree: &Tree<'a>,
    folder: &[u8],
    name: &str,
) -> Option<Loaded<'a>> {
    let directory = tree.item(folder)?;
    let item = tree.item(&[folder, b"/", name.as_bytes()].concat())?;
    let path = item.path.to_vec();
    let place = || Place::Path(path.as_slice().into());
    let tell = |problem: Problem| context.root.problems.borrow_mut().push(problem);
    let count = &context.root.files_parsed;
    match registry::open_in(context.root.fs, directory.metadata.node, name) {
        Ok(Some(hive)) => {
            count.set(count.get().saturating_add(1));
            for problem in hive.problems() {
                tell(Problem::new(problem.kind, place(), problem.text.clone()));
            }
            let home = item.path.rsplit(|byte| *byte == b'/').nth(if name == "usrclass.dat" {
                5
            } else {
                1
            });
            let owner = escape_bytes(home.unwrap_or(b""));
            Some(Loaded { path, hive, owner })
        }
        Ok(None) => None,
        Err(error) => {
            tell(error.to_problem(place()));
            None
        }
    }
}

impl<'a> Loaded<'a> {
    /// The key at a path; what cannot be read counts as missing, since a walk elsewhere tells it.
    pub(crate) fn key(&self, path: &str) -> Option<Key<'_>> {
        self.hive.key(path).ok().flatten()
    }

    /// Reports what a value of a key says.
    pub(crate) fn report(&self, context: &mut Context<'_>, rule: &str, told: Told<'_>) {
        let shown = match told.name {
            "" => format!("{} = {}", told.key, told.text),
            name => format!("{}\\{name} = {}", told.key, told.text),
        };
        let mut detail = told.detail;
        if let Some(time) = told.time {
            let gap = if detail.is_empty() { "" } else { "; " };
            detail.push_str(&format!("{gap}the key was last written {time}"));
        }
        let mut spot = Spot::file(&self.path).detail(detail);
        spot.excerpt = shown.into_bytes();
        spot.severity = told.severity;
        spot.run = told.run;
        context.report(rule, spot);
    }
}

/// What of a hive a finding rests on.
pub(crate) struct Told<'t> {
    pub(crate) key: &'t str,
    pub(crate) name: &'t str,
    pub(crate) text: &'t str,
    pub(crate) detail: String,
    pub(crate) time: Option<evidence::Time>,
    pub(crate) severity: Option<crate::Severity>,
    pub(crate) run: crate::activation::Run,
}

impl<'t> Told<'t> {
    pub(crate) fn new(key: &'t str, name: &'t str, text: &'t str) -> Self {
        Self {
            key,
            name,
            text,
            detail: String::new(),
            time: None,
            severity: None,
            run: crate::activation::Run::default(),
        }
    }
}

/// A value as text: lists joined by blanks, numbers in decimal; `None` for what is neither.
pub(crate) fn value_text(value: &Value<'_>) -> Option<String> {
    if usize::try_from(value.length_bytes()).is_ok_and(|length| length > MAX_TEXT_BYTES) {
        return None;
    }
    let text = match value.kind() {
        ValueKind::Number | ValueKind::LongNumber | ValueKind::NumberBigEndian => {
            value.number().ok()??.to_string()
        }
        _ => {
            let texts = value.texts().ok()??;
            let texts = texts.iter().map(|text| String::from_utf8_lossy(&text.0).into_owned());
            texts.collect::<Vec<_>>().join(" ")
        }
    };
    Some(text.trim().to_owned())
}

/// The text of a value of a key.
pub(crate) fn text_of(key: &Key<'_>, name: &str) -> Option<String> {
    value_text(&key.value(name).ok()??)
}

/// The number of a value of a key.
pub(crate) fn number_of(key: &Key<'_>, name: &str) -> Option<u64> {
    key.value(name).ok()??.number().ok()?
}

/// The number of a value at a path.
pub(crate) fn number(hive: &Hive<'_>, path: &str, name: &str) -> Option<u64> {
    number_of(&hive.key(path).ok()??, name)
}

/// All values of a key that are text, with their names.
pub(crate) fn texts(key: &Key<'_>) -> Vec<(String, String)> {
    let values = key.values().map(|found| found.values).unwrap_or_default();
    let named = values.iter().filter_map(|value| {
        Some((String::from_utf8_lossy(&value.name().0).into_owned(), value_text(value)?))
    });
    named.collect()
}

/// The subkeys of a key with their names.
pub(crate) fn below<'h>(key: &Key<'h>) -> Vec<(String, Key<'h>)> {
    let keys = key.subkeys().map(|found| found.keys).unwrap_or_default();
    keys.into_iter().map(|key| (String::from_utf8_lossy(&key.name().0).into_owned(), key)).collect()
}
