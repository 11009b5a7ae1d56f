//! CASE/UCO is judged by `case_validate` of the CASE community's own package.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::common::{Bench, honest, hostile, written};

/// `GLOVEBOX_CASE_VALIDATE` names the program; the test command installs it.
fn validator() -> Option<PathBuf> {
    let found =
        std::env::var_os("GLOVEBOX_CASE_VALIDATE").map(PathBuf::from).filter(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: no case_validate");
    }
    found
}

/// Vouched for by an independent tool: CASE's own shapes, of the version named here.
#[test]
fn case_validate_accepts_the_graph() {
    let Some(program) = validator() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (name, bench) in
        [("honest", honest()), ("hostile", hostile()), ("empty", Bench::new("empty"))]
    {
        let file = folder.path().join(format!("{name}.jsonld"));
        std::fs::write(&file, written(&bench.read(), report::case_uco)).unwrap();
        files.push(file);
    }
    let validate = |files: &[PathBuf]| {
        let out = Command::new(&program)
            .args(["--built-version", "case-1.4.0"])
            .args(files)
            .output()
            .unwrap();
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr),
        )
    };
    let (conforms, said) = validate(&files);
    assert!(conforms, "{said}");
    assert!(said.contains("Conforms: True") && !said.contains("UserWarning"), "{said}");
    // Negative control: the same graph with a digest that is no digest does not pass.
    let bad =
        std::fs::read_to_string(&files[0]).unwrap().replacen("xsd:hexBinary", "xsd:string", 1);
    let file = folder.path().join("bad.jsonld");
    std::fs::write(&file, bad).unwrap();
    assert!(!validate(&[file]).0);
}

/// Every node that is referred to stands in the graph, and none stands in it twice.
#[test]
fn no_reference_hangs() {
    for bench in [honest(), hostile()] {
        let graph: Value = serde_json::from_str(&written(&bench.read(), report::case_uco)).unwrap();
        let nodes = graph["@graph"].as_array().unwrap();
        let mut ids: Vec<&str> = nodes.iter().map(|node| node["@id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
        for node in nodes {
            for value in node.as_object().unwrap().values().flat_map(|value| match value {
                Value::Array(list) => list.iter().collect(),
                other => vec![other],
            }) {
                if let (Some(id), Some(1)) =
                    (value["@id"].as_str(), value.as_object().map(serde_json::Map::len))
                {
                    assert!(ids.binary_search(&id).is_ok(), "{id} is not there");
                }
            }
        }
    }
}
