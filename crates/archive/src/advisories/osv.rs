//! OSV: advisories with the packages they are about and the events by which versions got and lost the weakness.

use serde::Deserialize;

use super::{Installed, Known, Open, Release, State, about, is_below};
use crate::debian::Version;
use crate::{Error, Result};

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Many(Vec<Advisory>),
    One(Box<Advisory>),
}

#[derive(Deserialize)]
struct Advisory {
    id: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    details: String,
    #[serde(default)]
    withdrawn: Option<String>,
    #[serde(default)]
    affected: Vec<Affected>,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(default)]
    package: Option<Package>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

pub(super) fn read(
    name: &str,
    text: &[u8],
    release: &Release,
    installed: &Installed,
) -> Result<Known> {
    let odd = |error: serde_json::Error| Error::malformed(name, "its content", error.to_string());
    let all = match serde_json::from_slice(text).map_err(odd)? {
        File::Many(all) => all,
        File::One(one) => vec![*one],
    };
    let mut known = Known::default();
    for advisory in all.iter().filter(|one| one.withdrawn.is_none()) {
        for affected in &advisory.affected {
            let Some(package) = &affected.package else { continue };
            if !is_of(&package.ecosystem, release) {
                continue;
            }
            known.of_release = known.of_release.saturating_add(1);
            for version in installed.get(&package.name).into_iter().flatten() {
                let Some(fixed) = affected.has(version) else { continue };
                let state = if fixed.is_some() { State::Fixed } else { State::Unfixed };
                let text = match advisory.summary.is_empty() {
                    true => &advisory.details,
                    false => &advisory.summary,
                };
                known.add(Open {
                    source: package.name.clone(),
                    installed: version.clone(),
                    id: advisory.id.clone(),
                    state,
                    fixed,
                    urgency: String::new(),
                    about: about(text),
                })?;
            }
        }
    }
    Ok(known)
}

/// Whether an ecosystem is this release: `Debian`, `Debian:12`, `Ubuntu:24.04:LTS`.
fn is_of(ecosystem: &str, release: &Release) -> bool {
    let mut parts = ecosystem.split(':');
    let is_family = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(&release.id));
    is_family && parts.next().is_none_or(|number| number == release.number)
}

impl Affected {
    /// Whether a version has the weakness: then the first one above it that has not, if there is any.
    fn has(&self, version: &str) -> Option<Option<String>> {
        let mut is_affected = self.versions.iter().any(|one| one == version);
        let mut fixed: Option<&str> = None;
        for range in self.ranges.iter().filter(|range| range.kind == "ECOSYSTEM") {
            is_affected |= range.holds(version);
            for own in range.events.iter().filter_map(|event| event.fixed.as_deref()) {
                let is_first = fixed.is_none_or(|first| is_below(own, first));
                if is_below(version, own) && is_first {
                    fixed = Some(own);
                }
            }
        }
        is_affected.then(|| fixed.map(str::to_owned))
    }
}

impl Range {
    /// The events in the order of their versions decide (OSV schema, "affected[].ranges[].events").
    fn holds(&self, version: &str) -> bool {
        let own = Version::new(version);
        let mut events: Vec<(Version, &Event)> = self
            .events
            .iter()
            .filter_map(|event| {
                let at = event.introduced.as_ref().or(event.fixed.as_ref());
                Some((Version::new(at.or(event.last_affected.as_ref())?), event))
            })
            .collect();
        events.sort_by(|a, b| a.0.cmp(&b.0));
        let mut is_affected = false;
        for (at, event) in events {
            if event.introduced.as_deref() == Some("0") || (event.introduced.is_some() && own >= at)
            {
                is_affected = true;
            } else if (event.fixed.is_some() && own >= at)
                || (event.last_affected.is_some() && own > at)
            {
                is_affected = false;
            }
        }
        is_affected
    }
}
