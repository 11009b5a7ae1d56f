//! `cargo xtask tidy`: the house rules that no compiler checks.
//!
//! Layers (ARCHITECTURE.md): a crate depends on lower layers only, so that what a layer must not be
//! able to do cannot be called from there. Files stay small and say what they are for. `image/`
//! holds data. Nothing of the machine at hand gets into the tree.

use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::{apt_sources, files};

/// Layer of every workspace package. Tools stand above all and nothing depends on them.
const LAYERS: [(&str, u8); 20] = [
    ("sys", 0),
    ("guard", 1),
    ("hashing", 1),
    ("sandbox", 1),
    ("archive", 2),
    ("bucket", 2),
    ("casebook", 2),
    ("evidence", 2),
    ("wire", 2),
    ("imaging", 3),
    ("live", 3),
    ("patching", 3),
    ("reinstall", 3),
    ("report", 3),
    ("timeline", 3),
    ("triage", 3),
    ("verify", 3),
    ("glovebox", 4),
    ("init", 4),
    ("machine", 5),
];
/// Packages that may use anything.
const TOOLS: [&str; 3] = ["assault", "scenarios", "xtask"];
/// The only package with `unsafe` code.
const UNSAFE_PACKAGE: &str = "sys";
const LINES_AT_MOST: usize = 600;
const LINES_QUESTIONABLE: usize = 400;
/// Lines of code that PID 1 may have (`docs/decisions/0003-size-of-init.md`).
const INIT_CODE_LINES_AT_MOST: usize = 1800;
/// Kinds of files `image/` may hold; those below `image/files` are literal.
const DATA_SUFFIXES: [&str; 3] = ["toml", "lock", "cfg"];

/// Runs all checks; every problem is one line.
pub(crate) fn run() -> Result<()> {
    let root = files::project_root()?;
    let sh = Shell::new()?;
    sh.change_dir(&root);
    let metadata = cmd!(sh, "cargo metadata --no-deps --format-version 1").quiet().read()?;
    let metadata: Value = serde_json::from_str(&metadata).context("understanding metadata")?;
    let mut problems = layers(&edges(&metadata)?);
    let tracked = cmd!(sh, "git ls-files --cached --others --exclude-standard").quiet().read()?;
    let foreign = foreign_words(&root);
    let mut init_code_lines = 0;
    for name in tracked.lines() {
        let Ok(bytes) = std::fs::read(root.join(name)) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        problems.extend(source(name, &text));
        if name.starts_with("crates/init/src/") {
            init_code_lines += code_lines(&text);
        }
        problems.extend(data(&root, name, &text)?);
        for word in &foreign {
            if text.contains(word.as_str()) {
                problems.push(format!("{name}: mentions {word:?}, which belongs to this machine"));
            }
        }
    }
    if init_code_lines > INIT_CODE_LINES_AT_MOST {
        problems.push(format!(
            "crates/init has {init_code_lines} lines of code, {INIT_CODE_LINES_AT_MOST} at most"
        ));
    }
    for problem in &problems {
        eprintln!("tidy: {problem}");
    }
    match problems.len() {
        0 => Ok(()),
        count => bail!("{count} house rules are broken"),
    }
}

/// Workspace packages and the workspace packages each depends on (development aside).
fn edges(metadata: &Value) -> Result<Vec<(String, Vec<String>)>> {
    let packages = metadata["packages"].as_array().context("looking for packages")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            let own = dependencies
                .filter(|one| one["path"].is_string() && one["kind"] != "dev")
                .map(|one| text(&one["name"]))
                .collect();
            (text(&package["name"]), own)
        })
        .collect())
}

fn layers(edges: &[(String, Vec<String>)]) -> Vec<String> {
    let layer = |name: &str| LAYERS.iter().find(|(n, _)| *n == name).map(|(_, layer)| *layer);
    let mut problems = Vec::new();
    for (package, needs) in edges {
        if TOOLS.contains(&package.as_str()) {
            continue;
        }
        let Some(own) = layer(package) else {
            problems.push(format!("package {package} has no layer: give it one in tidy.rs"));
            continue;
        };
        for need in needs {
            if layer(need).is_none_or(|below| below >= own) {
                problems.push(format!("{package} must not depend on {need}: not a lower layer"));
            }
        }
    }
    problems
}

/// Lines that are neither blank, comment nor test; tests stand last in a file.
fn code_lines(text: &str) -> usize {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let code = text.get(..tests).unwrap_or(text);
    code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

/// Rules for Rust files.
fn source(name: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !name.ends_with(".rs") {
        return problems;
    }
    if !text.starts_with("//!") {
        problems.push(format!("{name}: does not begin with `//!` and its purpose"));
    }
    let lines = text.lines().count();
    if lines > LINES_AT_MOST {
        problems.push(format!("{name}: {lines} lines, at most {LINES_AT_MOST} are allowed"));
    } else if lines > LINES_QUESTIONABLE {
        eprintln!("tidy: note: {name} has {lines} lines; is it two things?");
    }
    let mut parts = name.split('/');
    if let (Some("crates"), Some(package), Some("src"), Some("lib.rs" | "main.rs"), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        && package != UNSAFE_PACKAGE
        && !text.contains("#![forbid(unsafe_code)]")
    {
        problems.push(format!("{name}: lacks #![forbid(unsafe_code)]"));
    }
    problems
}

/// `image/` holds data only.
fn data(root: &Path, name: &str, text: &str) -> Result<Option<String>> {
    use std::os::unix::fs::PermissionsExt;
    let Some(below) = name.strip_prefix("image/") else { return Ok(None) };
    let mode = root.join(name).metadata()?.permissions().mode();
    let suffix = name.rsplit('.').next().unwrap_or_default();
    let literal = below.starts_with("files/");
    if mode & 0o111 != 0 || text.starts_with("#!") {
        return Ok(Some(format!("{name}: a program; image/ holds data only")));
    }
    if !literal && !DATA_SUFFIXES.contains(&suffix) {
        return Ok(Some(format!("{name}: not one of the kinds of data that image/ holds")));
    }
    Ok(None)
}

/// Paths and host names that a careless commit would carry along.
fn foreign_words(root: &Path) -> Vec<String> {
    let mut words = vec![root.display().to_string()];
    if let Some(home) = env::var_os("HOME") {
        words.push(format!("{}/.cargo", home.display()));
        words.push(format!("{}/.cache", home.display()));
    }
    let mirror = apt_sources::machine_mirror(Path::new("/etc/apt")).unwrap_or_default();
    if let Some((_, rest)) = mirror.split_once("://") {
        // Only as an address: evidence and its fixtures may name any host.
        words.extend(rest.split('/').next().map(|host| format!("://{host}")));
    }
    // The registry's hosts; put together here so that this file does not mention them.
    words.extend(["index", "static"].map(|part| format!("{part}.crates{}", ".io")));
    words.retain(|word| word.len() > 6);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(package: &str, needs: &[&str]) -> (String, Vec<String>) {
        (package.to_owned(), needs.iter().map(|need| (*need).to_owned()).collect())
    }

    #[test]
    fn comments_blank_lines_and_tests_are_no_code() {
        let text = "//! x\n\nfn a() {\n    // why\n}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(super::code_lines(text), 2);
    }

    #[test]
    fn only_lower_layers_may_be_used() {
        assert!(
            layers(&[edge("triage", &["evidence", "sys"]), edge("init", &["guard"])]).is_empty()
        );
        assert_eq!(layers(&[edge("triage", &["imaging"])]).len(), 1);
        assert_eq!(layers(&[edge("evidence", &["casebook"])]).len(), 1);
        assert_eq!(layers(&[edge("sys", &["guard"])]).len(), 1);
        assert_eq!(layers(&[edge("hashing", &["xtask"])]).len(), 1);
        assert_eq!(layers(&[edge("unknown", &[])]).len(), 1);
    }

    #[test]
    fn sources_need_a_purpose_and_a_bound() {
        assert!(source("xtask/src/a.rs", "//! A.\n").is_empty());
        assert_eq!(source("xtask/src/a.rs", "fn main() {}\n").len(), 1);
        assert_eq!(source("a.rs", &format!("//! A.\n{}", "\n".repeat(600))).len(), 1);
        assert!(source("notes.md", "x").is_empty());
        assert_eq!(source("crates/evidence/src/lib.rs", "//! A.\n").len(), 1);
        assert!(source("crates/sys/src/lib.rs", "//! A.\n").is_empty());
    }

    #[test]
    fn programs_have_no_place_in_image() {
        let root = tempfile::tempdir().unwrap();
        for (name, mode) in [("image/a.toml", 0o644), ("image/b.sh", 0o644), ("image/c.cfg", 0o755)]
        {
            files::write(&root.path().join(name), b"x", mode).unwrap();
        }
        let check = |name| data(root.path(), name, "x").unwrap().is_some();
        assert_eq!(
            [check("image/a.toml"), check("image/b.sh"), check("image/c.cfg")],
            [false, true, true]
        );
    }
}
