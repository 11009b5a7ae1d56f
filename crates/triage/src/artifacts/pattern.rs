//! Patterns of paths as definitions write them: `*`, `?` and `[a-z]` within a name, `**` for up to ten names and `**N` for up
//! to N, variables between `%%`.
//!
//! `**` stands for at least one name, as plaso has it: `/etc/**` is what lies below `/etc`.

/// Names that a `**` without a number stands for at most.
const MANY: usize = 10;

/// One part of a pattern, between separators.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// A name with wildcards.
    Name(Vec<u8>),
    /// One to so many names.
    Many(usize),
}

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Reads a pattern whose parts are separated by slashes, its variables already replaced.
    pub(super) fn new(text: &[u8]) -> Self {
        let names = text.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let part = |name: &[u8]| match name.strip_prefix(b"**") {
            Some(b"") => Part::Many(MANY),
            Some(rest) => std::str::from_utf8(rest)
                .ok()
                .and_then(|digits| digits.parse().ok())
                .map_or_else(|| Part::Name(name.to_vec()), Part::Many),
            None => Part::Name(name.to_vec()),
        };
        Self { parts: names.map(part).collect() }
    }

    /// The beginning of every path that can match, up to the first part with a wildcard.
    pub(super) fn prefix(&self) -> Vec<u8> {
        let is_plain = |byte: &u8| !matches!(byte, b'*' | b'?' | b'[');
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Name(name) if name.iter().all(is_plain) => {
                    out.push(b'/');
                    out.extend_from_slice(name);
                }
                _ => return [out.as_slice(), b"/"].concat(),
            }
        }
        out
    }

    /// Whether a path matches; both are in the same case already.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> =
            path.split(|b| *b == b'/').filter(|name| !name.is_empty()).collect();
        // Which numbers of names the parts so far can have used up.
        let mut used = vec![0_usize];
        for part in &self.parts {
            let mut next: Vec<usize> = Vec::new();
            for at in used {
                match part {
                    Part::Name(pattern) => {
                        if names.get(at).is_some_and(|name| name_matches(pattern, name)) {
                            next.push(at.saturating_add(1));
                        }
                    }
                    Part::Many(most) => {
                        let left = names.len().saturating_sub(at).min(*most);
                        next.extend((1..=left).map(|count| at.saturating_add(count)));
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            used = next;
        }
        used.contains(&names.len())
    }
}

/// Whether a name matches, giving back at most the last star, so that no name makes it slow.
fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0_usize, 0_usize);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let here = name.get(n).copied();
        match (pattern.get(p), here) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                p = p.saturating_add(1);
                star = Some((p, n));
                continue;
            }
            (Some(_), Some(byte)) => {
                if let Some(length) = one(pattern.get(p..).unwrap_or(&[]), byte) {
                    (p, n) = (p.saturating_add(length), n.saturating_add(1));
                    continue;
                }
            }
            _ => {}
        }
        match star {
            Some((after, at)) if at < name.len() => {
                (p, n) = (after, at.saturating_add(1));
                star = Some((p, n));
            }
            _ => return false,
        }
    }
}

/// The length of the pattern's first letter or set, if the byte fits it.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => {
            // The first bracket behind the first member ends the set; without one it is a letter like any other.
            let Some(end) = rest.iter().skip(1).position(|one| *one == b']') else {
                return (byte == b'[').then_some(1);
            };
            let set = rest.get(..end.saturating_add(1)).unwrap_or(&[]);
            let (is_not, set) = match set {
                [b'!' | b'^', set @ ..] if !set.is_empty() => (true, set),
                set => (false, set),
            };
            (is_in(set, byte) != is_not).then(|| end.saturating_add(3))
        }
        [letter, ..] => (*letter == byte).then_some(1),
        [] => None,
    }
}

fn is_in(set: &[u8], byte: u8) -> bool {
    let mut rest = set;
    loop {
        match rest {
            [from, b'-', to, after @ ..] => {
                if (*from..=*to).contains(&byte) {
                    return true;
                }
                rest = after;
            }
            [letter, after @ ..] => {
                if *letter == byte {
                    return true;
                }
                rest = after;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_definitions_mean_them() {
        let cases = [
            ("/etc/passwd", "/etc/passwd", true),
            ("/etc/passwd", "/etc/passwd-", false),
            ("/var/log/*.log", "/var/log/a.log", true),
            ("/var/log/*.log", "/var/log/a/b.log", false),
            ("/etc/**", "/etc/a/b/c", true),
            ("/etc/**", "/etc", false),
            ("/etc/**2", "/etc/a/b", true),
            ("/etc/**2", "/etc/a/b/c", false),
            ("/etc/**/x", "/etc/a/b/x", true),
            ("/etc/**/x", "/etc/x", false),
            ("/gc.log.[0-9]", "/gc.log.7", true),
            ("/gc.log.[0-9]", "/gc.log.x", false),
            ("/a[!0-9]b", "/axb", true),
            ("/a[!0-9]b", "/a1b", false),
            ("/x[", "/x[", true),
            ("/?", "/a", true),
            ("/*/*a*b", "/d/xxayyb", true),
        ];
        for (pattern, path, expected) in cases {
            let read = Pattern::new(pattern.as_bytes());
            assert_eq!(read.matches(path.as_bytes()), expected, "{pattern} {path}");
            let prefix = read.prefix();
            assert!(!expected || path.as_bytes().starts_with(&prefix), "{pattern} {path}");
        }
        let long = Pattern::new(b"/**/*a*a*a*a*a*a*a*a*b/**/**/**");
        assert!(!long.matches(format!("/{}", "a/".repeat(2000)).as_bytes()));
    }
}
