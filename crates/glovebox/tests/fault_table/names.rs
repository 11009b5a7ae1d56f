//! The table of NIST's assertions names what proves each row: all of it has to exist.

use std::fs;
use std::path::Path;

/// The text of every Rust file below `folder`.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn what_the_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = fs::read_to_string(root.join("docs/cftt.md")).expect("docs/cftt.md");
    let (mut scenarios, mut tests) = (String::new(), String::new());
    sources(&root.join("tests/scenarios/src"), &mut scenarios);
    for name in ["imaging", "glovebox"] {
        sources(&root.join("crates").join(name).join("tests"), &mut tests);
    }
    let mut count = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        let proof = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
        for name in proof.split('`').skip(1).step_by(2) {
            count += 1;
            match name.rsplit_once("::") {
                Some((_, test)) => assert!(tests.contains(&format!("fn {test}()")), "{name}"),
                None if name.contains('/') => {
                    assert!(scenarios.contains(&format!("\"{name}\"")), "{name}");
                }
                None => assert_eq!(name, "ewfexport"),
            }
        }
    }
    assert!(count > 30, "only {count} names were found");
}
