//! Patterns of paths: `*` and `?` within a name, `**` across names.
//!
//! Matching backtracks only to the last star of each sort, so no pattern or name makes it slow.

/// Whether `path` matches `pattern`.
#[must_use]
pub fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let (mut p, mut s) = (0_usize, 0_usize);
    // Where to go on after giving one more byte to the last `*`, and to the last `**`.
    let mut single: Option<(usize, usize)> = None;
    let mut double: Option<(usize, usize)> = None;
    loop {
        let here = path.get(s);
        match pattern.get(p) {
            Some(b'*') if pattern.get(p.saturating_add(1)) == Some(&b'*') => {
                p = p.saturating_add(2);
                double = Some((p, s));
                single = None;
                continue;
            }
            Some(b'*') => {
                p = p.saturating_add(1);
                single = Some((p, s));
                continue;
            }
            None if here.is_none() => return true,
            Some(want)
                if here.is_some_and(|byte| byte == want || (*want == b'?' && *byte != b'/')) =>
            {
                p = p.saturating_add(1);
                s = s.saturating_add(1);
                continue;
            }
            _ => {}
        }
        if let Some((after, at)) = single
            && path.get(at).is_some_and(|byte| *byte != b'/')
        {
            (p, s) = (after, at.saturating_add(1));
            single = Some((p, s));
        } else if let Some((after, at)) = double
            && at < path.len()
        {
            (p, s) = (after, at.saturating_add(1));
            double = Some((p, s));
            single = None;
        } else {
            return false;
        }
    }
}

/// The part of a pattern before its first special character.
#[must_use]
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?')).unwrap_or(pattern.len());
    pattern.get(..end).unwrap_or(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_know_their_borders() {
        for (pattern, path, expected) in [
            ("/etc/cron.d/*", "/etc/cron.d/job", true),
            ("/etc/cron.d/*", "/etc/cron.d/sub/job", false),
            ("/etc/cron.d/*", "/etc/cron.daily/job", false),
            ("/etc/systemd/system/**", "/etc/systemd/system/a.wants/b.service", true),
            ("/etc/rc?.d/*", "/etc/rc2.d/S01x", true),
            ("/usr/lib/*-linux-gnu/*.so*", "/usr/lib/x86_64-linux-gnu/libc.so.6", true),
            ("/usr/lib/*-linux-gnu/*.so*", "/usr/lib/x86_64-linux-gnu/sub/libc.so.6", false),
            ("/**/*.pth", "/usr/lib/python3/dist-packages/x.pth", true),
            ("/a*b*c", "/axxbyyc", true),
            ("/a*b*c", "/axxbyy", false),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_of_stars_is_not_slow() {
        let pattern = "*a".repeat(50);
        assert!(!matches(pattern.as_bytes(), &[b'a'; 40]));
        assert!(!matches("**a**a**a**b".as_bytes(), &vec![b'a'; 100_000]));
    }
}
