//! The units of systemd as they take effect: which file counts, what drop-ins add, and what starts each.
//!
//! systemd.unit(5): the first directory of the search path wins; drop-ins of every directory are added, also those of the
//! type (`service.d`) and of prefixes (`a-.service.d`). What `default.target`, `sysinit.target` and `basic.target` pull
//! in is started at boot; timers, sockets, paths and bus names start the rest. Generators are not run, so what only they
//! would make is unknown here.

use super::shown;
use crate::parse::unit::{self, Setting};
use crate::root::{Item, Root};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Search path of the system manager, the strongest first.
const DIRECTORIES: &[&str] = &[
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/generator.late",
];
/// Units followed; a system has some hundreds.
const MAX_UNITS: usize = 20_000;

/// The units of one system.
#[derive(Default)]
pub(crate) struct Units {
    /// Name to the path of the file that counts; `None` when it is masked.
    files: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Name or type to settings of its drop-ins.
    drop_ins: BTreeMap<Vec<u8>, Vec<Setting>>,
    /// Unit to what its `.wants` and `.requires` directories name.
    wants: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    settings: BTreeMap<Vec<u8>, Vec<Setting>>,
    /// Unit to when it is started, in words.
    starts: BTreeMap<Vec<u8>, String>,
}

impl Units {
    pub(crate) fn read(root: &Root<'_>) -> Self {
        let mut units = Self::default();
        for directory in DIRECTORIES {
            for item in root.matching(&format!("{directory}/*")) {
                units.add(root, item);
            }
            for item in root.matching(&format!("{directory}/*.d/*.conf")) {
                if let Some(owner) = parent(item.path).strip_suffix(b".d") {
                    let settings = unit::parse(&root.text(item.path).unwrap_or_default());
                    units.drop_ins.entry(owner.to_vec()).or_default().extend(settings);
                }
            }
            for ending in [".wants", ".requires", ".upholds"] {
                for item in root.matching(&format!("{directory}/*{ending}/*")) {
                    if let Some(owner) = parent(item.path).strip_suffix(ending.as_bytes()) {
                        units.wants.entry(owner.to_vec()).or_default().push(item.name().to_vec());
                    }
                }
            }
        }
        units.follow(root);
        units
    }

    fn add(&mut self, root: &Root<'_>, item: Item<'_>) {
        if is_unit_name(item.name()) && !self.files.contains_key(item.name()) {
            let is_masked = item.is_file() && item.metadata.size_bytes == 0
                || item.is_link() && root.link_target(item.path).as_deref() == Some(b"/dev/null");
            let path = (!is_masked).then(|| item.path.to_vec());
            self.files.insert(item.name().to_vec(), path);
        }
    }

    /// Whether the unit is there but switched off for good.
    pub(crate) fn is_masked(&self, name: &[u8]) -> bool {
        self.files.get(name).is_some_and(Option::is_none)
    }

    /// The settings that take effect, drop-ins last.
    pub(crate) fn settings(&self, name: &[u8]) -> &[Setting] {
        self.settings.get(name).map_or(&[], Vec::as_slice)
    }

    /// When the unit is started; `None` when nothing does that can be seen.
    pub(crate) fn starts(&self, name: &[u8]) -> Option<&str> {
        if let Some(found) = self.starts.get(name) {
            return Some(found);
        }
        // A template is started through its instances.
        let (stem, end) = split_template(name)?;
        let is_instance = |other: &[u8]| other.starts_with(stem) && other.ends_with(end);
        self.starts.iter().find(|(other, _)| is_instance(other)).map(|(_, when)| when.as_str())
    }

    fn load(&mut self, root: &Root<'_>, name: &[u8]) {
        if self.settings.contains_key(name) {
            return;
        }
        let template = template_of(name);
        let file = self.files.get(name).or_else(|| self.files.get(template.as_deref()?));
        let mut out = match file {
            Some(Some(path)) => unit::parse(&root.text(path).unwrap_or_default()),
            _ => Vec::new(),
        };
        let kind = name.rsplit(|byte| *byte == b'.').next().unwrap_or(&[]);
        let mut keys = vec![kind.to_vec()];
        let stem = name.get(..name.len().saturating_sub(kind.len()).saturating_sub(1));
        for (at, _) in stem.unwrap_or(&[]).iter().enumerate().filter(|(_, byte)| **byte == b'-') {
            let prefix = name.get(..=at).unwrap_or(&[]);
            keys.push([prefix, b".", kind].concat());
        }
        keys.extend(template);
        keys.push(name.to_vec());
        for key in keys {
            out.extend(self.drop_ins.get(&key).into_iter().flatten().cloned());
        }
        self.settings.insert(name.to_vec(), out);
    }

    fn values(&self, name: &[u8], keys: &[&str]) -> Vec<Vec<u8>> {
        let wanted = |setting: &&Setting| keys.iter().any(|key| key.as_bytes() == setting.key);
        self.settings(name).iter().filter(wanted).map(|setting| setting.value.clone()).collect()
    }

    fn names(&self, name: &[u8], keys: &[&str]) -> Vec<Vec<u8>> {
        let values = self.values(name, keys);
        values.iter().flat_map(|value| crate::parse::words(value)).map(<[u8]>::to_vec).collect()
    }

    fn follow(&mut self, root: &Root<'_>) {
        let mut queue: VecDeque<(Vec<u8>, String)> = VecDeque::new();
        let boot = |name: &str| (name.as_bytes().to_vec(), "at boot".to_owned());
        queue.extend(["default.target", "sysinit.target", "basic.target"].map(boot));
        if !self.files.contains_key(&b"default.target"[..]) {
            queue.extend(["graphical.target", "multi-user.target"].map(boot));
        }
        for item in root.matching("/usr/share/dbus-1/system-services/*.service") {
            for setting in unit::parse(&root.text(item.path).unwrap_or_default()) {
                if setting.key == b"SystemdService" {
                    let when = format!("when {} is called on the system bus", shown(item.name()));
                    queue.push_back((setting.value, when));
                }
            }
        }
        let mut seen = BTreeSet::new();
        while let Some((name, when)) = queue.pop_front() {
            if seen.len() >= MAX_UNITS || self.is_masked(&name) || !seen.insert(name.clone()) {
                continue;
            }
            // An alias stands for what it links to.
            if let Some(Some(path)) = self.files.get(&name)
                && let Some(target) = root.link_target(path)
                && let Some(real) = target.rsplit(|byte| *byte == b'/').next()
                && real != name
            {
                queue.push_back((real.to_vec(), when.clone()));
            }
            self.load(root, &name);
            self.starts.insert(name.clone(), when.clone());
            let mut next = self.wants.get(&name).cloned().unwrap_or_default();
            next.extend(self.names(&name, &["Wants", "Requires", "BindsTo", "Upholds"]));
            queue.extend(next.into_iter().map(|other| (other, when.clone())));
            let text = shown(&name);
            for other in self.names(&name, &["OnFailure", "OnSuccess"]) {
                queue.push_back((other, format!("when {text} ends or fails")));
            }
            self.follow_trigger(&name, &text, &mut queue);
        }
    }

    /// What a timer, path or socket starts.
    fn follow_trigger(&self, name: &[u8], text: &str, queue: &mut VecDeque<(Vec<u8>, String)>) {
        let Some(at) = name.iter().rposition(|byte| *byte == b'.') else { return };
        let (stem, kind) = name.split_at_checked(at).unwrap_or((name, &[]));
        let keys: &[&str] = match kind {
            b".timer" | b".path" => &["Unit"],
            b".socket" => &["Service"],
            _ => return,
        };
        let moments = self.settings(name).iter().filter(|setting| is_moment(&setting.key));
        let moments: Vec<String> = moments
            .map(|setting| shown(&[setting.key.as_slice(), b"=", &setting.value].concat()))
            .take(4)
            .collect();
        let when = format!("by {text} ({})", moments.join(", "));
        let mut started = self.names(name, keys);
        if started.is_empty() {
            started.push([stem, b".service"].concat());
            if kind == b".socket" {
                started.push([stem, b"@.service"].concat());
            }
        }
        queue.extend(started.into_iter().map(|other| (other, when.clone())));
    }
}

/// Keys that say when a timer, path or socket acts.
fn is_moment(key: &[u8]) -> bool {
    (key.starts_with(b"On") && !matches!(key, b"OnFailure" | b"OnSuccess" | b"OnFailureJobMode"))
        || key.starts_with(b"Listen")
        || key.starts_with(b"Path")
        || matches!(key, b"DirectoryNotEmpty" | b"Unit" | b"Service")
}

/// Whether the name is one of a unit.
pub(crate) fn is_unit_name(name: &[u8]) -> bool {
    let kinds: [&[u8]; 11] = [
        b".service",
        b".socket",
        b".timer",
        b".path",
        b".target",
        b".mount",
        b".automount",
        b".swap",
        b".slice",
        b".scope",
        b".device",
    ];
    kinds.iter().any(|kind| name.ends_with(kind))
}

fn parent(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').nth(1).unwrap_or(&[])
}

/// `a@.service` for `a@b.service`.
fn template_of(name: &[u8]) -> Option<Vec<u8>> {
    let at = name.iter().position(|byte| *byte == b'@')?;
    let dot = name.iter().rposition(|byte| *byte == b'.')?;
    (dot > at.saturating_add(1))
        .then(|| [name.get(..=at).unwrap_or(&[]), name.get(dot..).unwrap_or(&[])].concat())
}

/// `a@` and `.service` for `a@.service`.
fn split_template(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = name.iter().position(|byte| *byte == b'@')?;
    let rest = name.get(at.saturating_add(1)..)?;
    (rest.first() == Some(&b'.')).then(|| (name.get(..=at).unwrap_or(&[]), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_templates() {
        assert_eq!(template_of(b"getty@tty1.service").unwrap(), b"getty@.service");
        assert_eq!(template_of(b"getty@.service"), None);
        assert_eq!(template_of(b"ssh.service"), None);
        assert_eq!(split_template(b"ssh@.service"), Some((&b"ssh@"[..], &b".service"[..])));
        assert!(is_unit_name(b"a.timer") && !is_unit_name(b"a.conf"));
    }
}
