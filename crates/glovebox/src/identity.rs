//! Which stick this is: the identity its build put into the sealed root.

use std::fs;

use serde_json::Value;

const FILE: &str = "/etc/glovebox/identity.json";

/// The identity of the running stick, `None` on a desk or live host.
pub(crate) fn stick() -> Option<Value> {
    serde_json::from_slice(&fs::read(FILE).ok()?).ok()
}

/// One text field of the identity.
pub(crate) fn field(identity: &Value, name: &str) -> Option<String> {
    identity.get(name)?.as_str().map(str::to_owned)
}

/// Words of the kernel line that the build did not put there, and words it did that are missing:
/// somebody edited the line at the boot menu.
pub(crate) fn kernel_line_changes(identity: &Value, running: &str) -> Vec<String> {
    let Some(built) = field(identity, "kernel_line") else { return Vec::new() };
    let words = |line: &str| -> Vec<String> {
        line.split_ascii_whitespace()
            // The boot loader adds these two itself.
            .filter(|word| !word.starts_with("BOOT_IMAGE=") && !word.starts_with("initrd="))
            .map(str::to_owned)
            .collect()
    };
    let (built, running) = (words(&built), words(running));
    let added = running.iter().filter(|word| !built.contains(word));
    let gone = built.iter().filter(|word| !running.contains(word));
    added
        .map(|word| format!("added: {word}"))
        .chain(gone.map(|word| format!("missing: {word}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edited_line_shows() {
        let identity = serde_json::json!({"kernel_line": "quiet nohibernate"});
        assert!(kernel_line_changes(&identity, "BOOT_IMAGE=/vmlinuz quiet nohibernate").is_empty());
        assert_eq!(
            kernel_line_changes(&identity, "quiet init=/bin/sh"),
            ["added: init=/bin/sh", "missing: nohibernate"]
        );
    }
}
