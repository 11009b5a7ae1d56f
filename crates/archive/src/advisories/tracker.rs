//! The JSON of Debian's security tracker: source package, weakness, state in each release.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use super::{Installed, Known, Open, Release, State, about, is_below};
use crate::{Error, Result};

#[derive(Deserialize)]
struct Weakness {
    #[serde(default)]
    description: String,
    releases: BTreeMap<String, InRelease>,
}

#[derive(Deserialize)]
struct InRelease {
    status: String,
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    urgency: String,
}

/// Takes one source package after the other: the whole file has a quarter of a million weaknesses.
struct Sources<'a> {
    release: &'a Release,
    installed: &'a Installed,
    known: &'a mut Known,
}

pub(super) fn read(
    name: &str,
    text: &[u8],
    release: &Release,
    installed: &Installed,
) -> Result<Known> {
    let mut known = Known::default();
    let mut input = serde_json::Deserializer::from_slice(text);
    let sources = Sources { release, installed, known: &mut known };
    let read = sources.deserialize(&mut input).and_then(|()| input.end());
    read.map_err(|error| Error::malformed(name, "its content", error.to_string()))?;
    Ok(known)
}

impl<'de> DeserializeSeed<'de> for Sources<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> std::result::Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Sources<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of source packages")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<(), M::Error> {
        while let Some((source, all)) = map.next_entry::<String, BTreeMap<String, Weakness>>()? {
            for (id, weakness) in all {
                let Some(state) = weakness.releases.get(&self.release.codename) else { continue };
                self.known.of_release = self.known.of_release.saturating_add(1);
                for version in self.installed.get(&source).into_iter().flatten() {
                    let Some((how, fixed)) = state.of(version) else { continue };
                    let open = Open {
                        source: source.clone(),
                        installed: version.clone(),
                        id: id.clone(),
                        state: how,
                        fixed,
                        urgency: about(&state.urgency),
                        about: about(&weakness.description),
                    };
                    self.known.add(open).map_err(M::Error::custom)?;
                }
            }
        }
        Ok(())
    }
}

impl InRelease {
    /// Whether this version has the weakness, and which would not. The version "0" stands for a release that never had it.
    fn of(&self, version: &str) -> Option<(State, Option<String>)> {
        match (self.status.as_str(), &self.fixed_version) {
            ("resolved", Some(fixed)) => {
                is_below(version, fixed).then(|| (State::Fixed, Some(fixed.clone())))
            }
            ("resolved", None) => None,
            ("open", _) => Some((State::Unfixed, None)),
            // Also a word that is not known here: nothing follows from it.
            _ => Some((State::Undetermined, None)),
        }
    }
}
