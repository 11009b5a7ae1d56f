//! A draft message to another site whose addresses were found in the evidence.
//!
//! It leaves the team, so it is built from little: the addresses chosen, when they were seen, and what kind of trace it
//! was by the title of the rule. Nothing of the evidence itself goes in, and what goes in is searched once more for
//! names of the machines examined, for addresses that were not chosen and for paths.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Write};

use serde_json::Value;

use crate::act::ActReader;
use crate::examinations::LONG_ARRAYS;
use crate::inert::plain;
use crate::scan::{Passed, scan};
use crate::words::{number, size_of};
use crate::{Error, Moment, Report, source};

/// Sightings written out for one address.
const LISTED: usize = 20;
const SIGHTINGS_AT_MOST: usize = 10_000;
const ADDRESSES_AT_MOST: usize = 1000;

/// What the notice is to hold.
#[derive(Debug, Clone, Default)]
pub struct NoticeRequest {
    /// Whom it goes to.
    pub to: String,
    /// Who sends it, and how to answer; a blank to fill in when empty.
    pub from: String,
    /// The team's own reference; left out when empty.
    pub reference: String,
    /// Addresses, names or other indicators of the site written to.
    pub addresses: Vec<String>,
}

/// When and as what one address was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    sightings: BTreeSet<(Option<Moment>, String)>,
    left_out: u64,
}

/// A notice ready to be read by a person and sent.
#[derive(Debug, Clone)]
pub struct Notice {
    request: NoticeRequest,
    seen: Vec<Seen>,
    clocks: Vec<String>,
    hidden: Hidden,
}

impl Notice {
    /// Gathers what the case says of the addresses.
    ///
    /// # Errors
    /// When no address was given, or none of them stands anywhere in the case.
    pub fn new(report: &Report, request: NoticeRequest) -> Result<Self, Error> {
        let refused = |reason: &str| Err(Error::Refused { reason: reason.to_owned() });
        if request.addresses.is_empty() || request.addresses.len() > ADDRESSES_AT_MOST {
            return refused("a notice is about one address at least, and about a thousand at most");
        }
        if request.addresses.iter().any(|address| address.len() < 3) {
            return refused("an address has three characters at least");
        }
        if !report.verdict.holds {
            return refused(
                "the case does not hold: find out why (glovebox case verify) before others are told of it",
            );
        }
        let hidden = Hidden {
            hosts: report.host_names.iter().map(|name| name.to_lowercase()).collect(),
            chosen: request.addresses.clone(),
        };
        let mut notice = Self {
            seen: vec![Seen::default(); request.addresses.len()],
            clocks: report.clocks.list.iter().map(crate::html::clock_sentence).collect(),
            request,
            hidden,
        };
        notice.search(report)?;
        if notice.seen.iter().all(|seen| seen.sightings.is_empty()) {
            return refused("none of these addresses stands in a finding or a note of this case");
        }
        Ok(notice)
    }

    fn search(&mut self, report: &Report) -> Result<(), Error> {
        for (_, name) in &report.finding_files {
            let Ok(file) = source::exhibit_file(&report.folder, name) else { continue };
            scan(BufReader::with_capacity(1 << 18, file), &LONG_ARRAYS, &mut |passed| {
                if let Passed::Element(0, json) = passed {
                    self.finding(json);
                }
                io::Result::Ok(())
            })?;
        }
        let mut reader = ActReader::default();
        for (line, signed) in (1_u64..).zip(casebook::acts(&report.folder)?) {
            let act = reader.view(line, &signed?);
            if act.str("verb").starts_with("case note") {
                let when = act
                    .get("arguments")
                    .get("when")
                    .and_then(Value::as_str)
                    .and_then(Moment::parse);
                let text = act.get("arguments").to_string();
                self.sighting(
                    &text,
                    when.or(act.moment("started")),
                    "noted by the team that examines the incident",
                );
            }
        }
        Ok(())
    }

    fn finding(&mut self, json: &[u8]) {
        // Most findings name no address that was chosen; those are not taken apart.
        let text = String::from_utf8_lossy(json);
        if !self.request.addresses.iter().any(|address| mentions(&text, address)) {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(json) else { return };
        let field = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let time = |name: &str| value.get("times")?.get(name)?.as_str().and_then(Moment::parse);
        let at = time("changed").or_else(|| time("modified")).or_else(|| time("born"));
        let evidence = format!("{}\n{}\n{}", field("excerpt"), field("detail"), field("path"));
        let title = self.hidden.clear(field("title"));
        self.sighting(&evidence, at, &title);
    }

    fn sighting(&mut self, text: &str, at: Option<Moment>, what: &str) {
        for (address, seen) in self.request.addresses.iter().zip(&mut self.seen) {
            if !mentions(text, address) {
                continue;
            }
            if seen.sightings.len() < SIGHTINGS_AT_MOST {
                seen.sightings.insert((at, what.to_owned()));
            } else {
                seen.left_out = seen.left_out.saturating_add(1);
            }
        }
    }

    /// Writes the draft.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        let request = &self.request;
        let blank =
            |text: &str, or: &str| if text.is_empty() { or.to_owned() } else { plain(text) };
        writeln!(
            out,
            "DRAFT: to be read by a person before it is sent, and then signed and encrypted.\n"
        )?;
        writeln!(out, "To:      {}", plain(&request.to))?;
        writeln!(
            out,
            "From:    {}",
            blank(&request.from, "[name, team, telephone with country code, key fingerprint]")
        )?;
        writeln!(out, "Subject: Possible compromise involving your addresses")?;
        if !request.reference.is_empty() {
            writeln!(out, "Our reference: {}", plain(&request.reference))?;
        }
        writeln!(
            out,
            "\nWe are examining an intrusion. The addresses below, which we believe to be yours or in your care,"
        )?;
        writeln!(
            out,
            "stand in the evidence. They may belong to further victims rather than to whoever did it."
        )?;
        for (address, seen) in request.addresses.iter().zip(&self.seen) {
            writeln!(out, "\n{}", plain(address))?;
            if seen.sightings.is_empty() {
                writeln!(out, "  not seen in our evidence")?;
                continue;
            }
            for (at, what) in seen.sightings.iter().take(LISTED) {
                let at = at.map_or("time not known      ".to_owned(), |at| at.to_string());
                writeln!(out, "  {at}  {}", plain(what))?;
            }
            let listed = size_of(seen.sightings.len().min(LISTED));
            let more =
                size_of(seen.sightings.len()).saturating_sub(listed).saturating_add(seen.left_out);
            if more > 0 {
                writeln!(out, "  and {} more", number(more))?;
            }
        }
        writeln!(
            out,
            "\nAll times are UTC (offset +00:00), as the affected system recorded them with its own clock;"
        )?;
        writeln!(out, "they are not corrected. What we know of clocks, by act of our record:")?;
        for clock in &self.clocks {
            writeln!(out, "  {}", self.hidden.clear(&plain(clock)))?;
        }
        if self.clocks.is_empty() {
            writeln!(out, "  nothing")?;
        }
        writeln!(out, "\nWe ask you to")?;
        for wish in [
            "look at the systems behind these addresses for signs of compromise, before anything on them is changed;",
            "keep logs of the times above, and some days before and after them;",
            "tell us what you find, and whether we may pass it on;",
            "treat this message as confidential, and answer by a way that does not run through these systems.",
        ] {
            writeln!(out, "  - {wish}")?;
        }
        Ok(())
    }
}

/// Whether `text` names `indicator` as a whole, not as a part of a longer address or name.
fn mentions(text: &str, indicator: &str) -> bool {
    let (text, indicator) = (text.to_lowercase(), indicator.to_lowercase());
    let is_v6 = indicator.contains(':');
    let part = |letter: char| {
        letter.is_alphanumeric() || matches!(letter, '-' | '_') || is_v6 && letter == ':'
    };
    text.match_indices(&indicator).any(|(at, found)| {
        let before = text.get(..at).unwrap_or_default().chars().next_back();
        let mut after = text.get(at.saturating_add(found.len())..).unwrap_or_default().chars();
        let (next, then) = (after.next(), after.next());
        let continues =
            next.is_some_and(part) || next == Some('.') && then.is_some_and(char::is_alphanumeric);
        !before.is_some_and(|letter| part(letter) || letter == '.') && !continues
    })
}

/// What must not leave the team.
#[derive(Debug, Clone)]
struct Hidden {
    hosts: BTreeSet<String>,
    chosen: Vec<String>,
}

impl Hidden {
    /// The text with paths, host names and addresses that were not chosen replaced.
    fn clear(&self, text: &str) -> String {
        text.split(' ').map(|word| self.clear_word(word)).collect::<Vec<_>>().join(" ")
    }

    fn clear_word(&self, word: &str) -> String {
        let bare = word.trim_matches(|letter: char| {
            !letter.is_alphanumeric() && !matches!(letter, '/' | '~' | '\\' | ':')
        });
        if self.chosen.iter().any(|address| mentions(word, address)) {
            return word.to_owned();
        }
        let replaced = if bare.len() > 1 && (bare.contains('/') || bare.contains('\\'))
            || bare.starts_with('~')
        {
            "[path]"
        } else if is_address(bare) {
            "[address]"
        } else if self.is_host(bare) {
            "[host]"
        } else {
            return word.to_owned();
        };
        word.replace(bare, replaced)
    }

    fn is_host(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        self.hosts.iter().any(|host| {
            word == *host
                || word
                    .strip_prefix(host.as_str())
                    .is_some_and(|rest| rest.starts_with(['.', ':', '@']))
                || {
                    let short = host.split('.').next().unwrap_or(host);
                    word == short
                        || word.ends_with(&format!("@{host}"))
                        || word.ends_with(&format!("@{short}"))
                }
        })
    }
}

fn is_address(word: &str) -> bool {
    let host = word.rsplit_once(':').map_or(word, |(host, _)| host);
    [word, host].iter().any(|one| one.parse::<std::net::IpAddr>().is_ok())
        || word.split_once('/').is_some_and(|(one, _)| one.parse::<std::net::IpAddr>().is_ok())
        || word.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_as_a_whole() {
        for text in [
            "nc 203.0.113.9 443",
            "203.0.113.9:443",
            "(203.0.113.9)",
            "from 203.0.113.9.",
            "http://203.0.113.9/x",
        ] {
            assert!(mentions(text, "203.0.113.9"), "{text}");
        }
        for text in [
            "1203.0.113.9",
            "203.0.113.99",
            "203.0.113.9.example.org",
            "5.203.0.113.9",
            "203.0.113",
        ] {
            assert!(!mentions(text, "203.0.113.9"), "{text}");
        }
        assert!(mentions("to EVIL.example.net", "evil.example.net"));
        assert!(mentions("[2001:db8::1]:22", "2001:db8::1"));
        assert!(!mentions("2001:db8::1:5", "2001:db8::1"));
    }

    #[test]
    fn internal_words_are_cleared() {
        let hidden = Hidden {
            hosts: ["web01.corp.example".to_owned(), "db02".to_owned()].into(),
            chosen: vec!["203.0.113.9".to_owned()],
        };
        let text = hidden.clear(
            "A hash in /etc/shadow on web01 (WEB01.corp.example), db02: 10.1.2.3 and 10.1.2.3:22 fe80::1 to 203.0.113.9 \
             root@db02 C:\\Users\\x ~/.ssh",
        );
        for word in ["/etc", "web01", "WEB01", "db02", "10.1", "fe80", "Users", ".ssh"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        assert!(text.contains("203.0.113.9"), "{text}");
    }
}
