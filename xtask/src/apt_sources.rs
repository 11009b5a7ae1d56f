//! Finds the Debian mirror this machine already uses, in both notations of apt's source lists.
//!
//! No mirror is written into the project. Which mirror is found matters for speed only: whatever it
//! serves is checked by apt against the Debian archive key.

use std::path::Path;

use anyhow::{Result, bail};

use crate::files;

/// Release names under which an entry is Debian's own and not a third party's.
const RELEASES: [&str; 11] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "sid",
    "oldoldstable",
];

/// One source of binary packages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

/// The URI of the machine's Debian mirror.
pub(crate) fn machine_mirror(etc_apt: &Path) -> Result<String> {
    let mut sources = Vec::new();
    let mut files = vec![etc_apt.join("sources.list")];
    let parts = etc_apt.join("sources.list.d");
    if parts.is_dir() {
        files.extend(files::walk(&parts)?);
    }
    for path in files.iter().filter(|path| path.is_file()) {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(parse_one_line(&files::read_text(path)?)),
            Some("sources") => sources.extend(parse_deb822(&files::read_text(path)?)),
            _ => {}
        }
    }
    match choose(&sources) {
        Some(uri) => Ok(uri),
        None => bail!("no Debian mirror in {}; name one with --mirror URI", etc_apt.display()),
    }
}

fn choose(sources: &[Source]) -> Option<String> {
    let debian = |source: &&Source| {
        source.suites.iter().any(|suite| RELEASES.contains(&suite.as_str()))
            && source.components.iter().any(|component| component == "main")
    };
    let by_key = |source: &&Source| match &source.signed_by {
        Some(key) => key.contains("debian-archive"),
        None => false,
    };
    let unsigned = |source: &&Source| source.signed_by.is_none();
    let mut candidates = sources.iter().filter(debian);
    let found = candidates.clone().find(by_key).or_else(|| candidates.find(unsigned))?;
    found.uris.first().map(|uri| uri.trim_end_matches('/').to_owned())
}

/// `deb [options] URI SUITE COMPONENT...`, one source a line.
fn parse_one_line(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|r| r.starts_with([' ', '\t'])) else {
            continue;
        };
        let rest = rest.trim_start();
        let (options, rest) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut words = rest.split_whitespace().map(str::to_owned);
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else { continue };
        sources.push(Source {
            uris: vec![uri],
            suites: vec![suite],
            components: words.collect(),
            signed_by: options
                .split_whitespace()
                .find_map(|option| option.strip_prefix("signed-by="))
                .map(str::to_owned),
        });
    }
    sources
}

/// Stanzas of `Key: value` fields, parted by empty lines.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            fields.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    let words = |name: &str| -> Vec<String> {
        field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let disabled = field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if disabled || !words("types").iter().any(|kind| kind == "deb") {
        return None;
    }
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        signed_by: field("signed-by").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deb822_with_comments_continuations_and_disabled_stanzas() {
        let text = "\
Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://other.example/debian
Suites: trixie
Components: main
";
        let sources = parse_deb822(text);
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(choose(&sources).unwrap(), "http://mirror.example/debian");
    }

    #[test]
    fn one_line_form_with_options() {
        let text = "# deb http://no.example/debian trixie main
deb-src http://no.example/debian trixie main
deb [arch=amd64 signed-by=/k/debian-archive.gpg] http://a.example/debian trixie main contrib # x
deb http://b.example/debian trixie main
";
        let sources = parse_one_line(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].signed_by.as_deref(), Some("/k/debian-archive.gpg"));
        assert_eq!(choose(&sources[1..]).unwrap(), "http://b.example/debian");
    }

    #[test]
    fn third_parties_are_not_taken_for_debian() {
        let text = "deb [signed-by=/k/vendor.gpg] http://v.example/debian trixie main
deb http://v.example/apt vendor-suite main
deb http://v.example/debian trixie stable
deb http://security.example/debian-security trixie-security main
";
        assert_eq!(choose(&parse_one_line(text)), None);
    }
}
