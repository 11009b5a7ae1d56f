//! Whom to call: people and teams, in order, with their keys; and who was told what.
//!
//! Contacts are acts like everything else, so the list is what the acts add up to. A template is a
//! plain TOML file a team keeps with its stick.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Act, Error, Timestamp};

/// The verb of the act that adds contacts or replaces those of the same name.
pub const ADD: &str = "case contact add";
/// The verb of the act that records a contact made.
pub const LOG: &str = "case contact log";

/// Somebody to call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// Name of the person or team; a later contact of the same name replaces this one.
    pub name: String,
    /// Organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// Team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// What for: lead, counsel, network, upstream provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Place in the order of calls, the lowest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u32>,
    /// Name of the contact who calls this one; nobody for those called first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called_by: Option<String>,
    /// Telephone numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// Mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// Keys: `age1…`, OpenPGP fingerprints, SSH keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Anything else: hours, languages, second way to reach them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A contact made: the arguments of its act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactMade {
    /// With whom.
    pub with: String,
    /// When.
    pub when: Timestamp,
    /// By what means.
    pub means: String,
    /// What was said.
    pub said: String,
    /// How what was said or sent was secured.
    #[serde(default)]
    pub secured: Option<String>,
    /// What is to be done next.
    #[serde(default)]
    pub next: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Template {
    #[serde(default, rename = "contact")]
    contacts: Vec<Contact>,
}

/// The contacts of a template: `[[contact]]` tables of TOML.
///
/// # Errors
/// When the text is no such file, a contact has no name, or two have the same.
pub fn parse_template(text: &str) -> Result<Vec<Contact>, Error> {
    let refused = |reason: String| Error::Refused {
        reason: format!("reading contacts: {}", hashing::escape_name(reason.as_bytes())),
    };
    let template: Template = toml::from_str(text).map_err(|e| refused(e.to_string()))?;
    let mut names = BTreeSet::new();
    for contact in &template.contacts {
        if contact.name.is_empty() {
            return Err(refused("a contact has no name".to_owned()));
        }
        if !names.insert(&contact.name) {
            return Err(refused(format!("{} is named twice", contact.name)));
        }
    }
    Ok(template.contacts)
}

/// The text of a template with these contacts.
///
/// # Errors
/// Never for contacts that TOML can express.
pub fn to_template(contacts: &[Contact]) -> Result<String, Error> {
    let template = Template { contacts: contacts.to_vec() };
    toml::to_string(&template).map_err(|error| Error::Refused { reason: error.to_string() })
}

/// The contacts the acts add up to, in the order of calls, then of names.
#[must_use]
pub fn book(acts: &[Act]) -> Vec<Contact> {
    let mut book = BTreeMap::new();
    for act in acts.iter().filter(|act| act.draft.verb == ADD) {
        let Some(added) = act.draft.arguments.get("contacts") else { continue };
        let added: Vec<Contact> = serde_json::from_value(added.clone()).unwrap_or_default();
        book.extend(added.into_iter().map(|contact| (contact.name.clone(), contact)));
    }
    let mut contacts: Vec<Contact> = book.into_values().collect();
    contacts.sort_by_key(|contact| contact.order.unwrap_or(u32::MAX));
    contacts
}

/// The contacts that were made, each with the number of its act.
#[must_use]
pub fn log(acts: &[Act]) -> Vec<(u64, ContactMade)> {
    let made = acts.iter().filter(|act| act.draft.verb == LOG);
    made.filter_map(|act| {
        Some((act.number, serde_json::from_value(act.draft.arguments.clone()).ok()?))
    })
    .collect()
}

/// The call tree: each contact with how deep below the first callers it stands, callers before
/// those they call. Everyone comes once, also where the tree names a circle or nobody.
#[must_use]
pub fn tree(contacts: &[Contact]) -> Vec<(usize, &Contact)> {
    let names: BTreeSet<&str> = contacts.iter().map(|contact| contact.name.as_str()).collect();
    let caller = |contact: &Contact| {
        contact.called_by.clone().filter(|caller| names.contains(caller.as_str()))
    };
    let mut below: BTreeMap<Option<String>, Vec<&Contact>> = BTreeMap::new();
    for contact in contacts {
        below.entry(caller(contact)).or_default().push(contact);
    }
    let (mut tree, mut done) = (Vec::new(), BTreeSet::new());
    let first = below.get(&None).cloned().unwrap_or_default();
    // Those in a circle are reached from no first caller: they follow, each as its own root.
    for root in first.into_iter().chain(contacts) {
        let mut waiting = vec![(0usize, root)];
        while let Some((depth, contact)) = waiting.pop() {
            if !done.insert(contact.name.as_str()) {
                continue;
            }
            tree.push((depth, contact));
            let called = below.get(&Some(contact.name.clone())).cloned().unwrap_or_default();
            let deeper = depth.saturating_add(1);
            waiting.extend(called.into_iter().rev().map(|contact| (deeper, contact)));
        }
    }
    tree
}
