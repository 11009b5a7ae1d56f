//! Path patterns: `*` stays within one path component, `**` crosses them.

/// Whether `path` as a whole matches `pattern`.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    match_bytes(pattern.as_bytes(), path.as_bytes())
}

/// Whether any of `patterns` matches.
pub(crate) fn any(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, path))
}

fn match_bytes(pattern: &[u8], path: &[u8]) -> bool {
    match pattern {
        [] => path.is_empty(),
        // `**/x` also names `x` itself.
        [b'*', b'*', b'/', rest @ ..] => {
            match_bytes(rest, path)
                || (0..path.len()).any(|i| path[i] == b'/' && match_bytes(rest, &path[i + 1..]))
        }
        [b'*', b'*', rest @ ..] => (0..=path.len()).any(|i| match_bytes(rest, &path[i..])),
        [b'*', rest @ ..] => {
            let end = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
            (0..=end).any(|i| match_bytes(rest, &path[i..]))
        }
        [first, rest @ ..] => path.first() == Some(first) && match_bytes(rest, &path[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn star_stays_in_its_component() {
        assert!(matches("drivers/net/usb/cdc_*", "drivers/net/usb/cdc_ether"));
        assert!(!matches("drivers/net/*", "drivers/net/usb/cdc_ether"));
        assert!(matches("fs/nfs*/**", "fs/nfs_common/grace"));
        assert!(!matches("drivers/block/loop", "drivers/block/loop2"));
    }

    #[test]
    fn double_star_crosses_components() {
        assert!(matches("drivers/ata/**", "drivers/ata/ahci"));
        assert!(matches("**/dm-*", "drivers/md/dm-mod"));
        assert!(matches("**/dm-*", "drivers/md/persistent-data/dm-persistent-data"));
        assert!(matches("**/dm-*", "dm-mod"));
        assert!(!matches("**/dm-*", "drivers/net/adm-mod"));
        assert!(matches("lib/**/test_*", "lib/a/b/test_x"));
    }
}
