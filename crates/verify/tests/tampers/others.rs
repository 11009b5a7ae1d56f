//! What programs of others tell of the same changes, for the table of the benchmark.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::Tamper;

/// What AIDE compares: as much as it can of what stands still when a system is copied.
const AIDE_RULES: &str = "/ p+u+g+n+s+ftype+l+acl+xattrs+caps+e2fsattrs+sha256\n";

/// Prints a row for each change. AIDE gets a database it made of the `pristine` system before: what the others need no
/// counterpart of.
pub(crate) fn others(pristine: &Path, changed: &Path, done: &[Tamper]) {
    let run = |program: &str, arguments: &[&str]| -> Option<String> {
        let out = Command::new(program).args(arguments).output().ok()?;
        let text = [out.stdout, out.stderr].concat();
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    let root = format!("--root={}", changed.to_str().unwrap());
    let debsums = run("debsums", &["-a", "-s", &root]);
    let dpkg = run("dpkg", &["--verify", &root]);
    let aide = aide(pristine, changed);
    for one in done {
        let named = |text: &Option<String>| match text {
            Some(text) if text.contains(one.named) => "found",
            Some(_) => "-",
            None => "not run",
        };
        // AIDE names paths and nothing else: any of those the change is at counts.
        let told = |paths: &BTreeSet<String>| {
            one.expect.iter().any(|(_, pattern)| {
                let fits = |path: &String| {
                    evidence::fs::glob::matches(pattern.as_bytes(), path.as_bytes())
                };
                paths.iter().any(fits)
            })
        };
        let by_aide = match &aide {
            Some(paths) if told(paths) => "found",
            Some(_) => "-",
            None => "not run",
        };
        let (debsums, dpkg) = (named(&debsums), named(&dpkg));
        eprintln!("| {} | found | {debsums} | {dpkg} | {by_aide} |", one.name);
    }
    if let Some(paths) = aide {
        eprintln!("AIDE names {} paths", paths.len());
    }
}

/// The paths AIDE names as added, removed or changed; `None` where it is not there.
fn aide(pristine: &Path, changed: &Path) -> Option<BTreeSet<String>> {
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str, root: &Path| {
        let (database, path) = (folder.path().join("aide.db"), folder.path().join(name));
        let text = format!(
            "database_in=file:{0}\ndatabase_out=file:{0}\nroot_prefix={1}\n{AIDE_RULES}",
            database.display(),
            root.display()
        );
        fs::write(&path, text).unwrap();
        path
    };
    let run = |what: &str, config: &Path| {
        Command::new("aide").args([what, "-c"]).arg(config).output().ok()
    };
    let made = run("--init", &config("init.conf", pristine))?;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let out = run("--check", &config("check.conf", changed))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    // One line an object in the summary: marks, a colon, the path.
    let paths = text.lines().filter_map(|line| line.split_once(": /").map(|(_, path)| path));
    Some(paths.map(|path| format!("/{path}")).collect())
}
