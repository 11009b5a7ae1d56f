//! The page as a browser and a reader of accessibility rules see it.

use crate::common::{honest, hostile, written};

/// Left for a person to look at: `GLOVEBOX_KEEP_REPORT` names a folder.
#[test]
fn kept() {
    let Some(folder) = std::env::var_os("GLOVEBOX_KEEP_REPORT") else { return };
    for (name, bench) in [("honest", honest()), ("hostile", hostile())] {
        let report = bench.read();
        for (ending, write) in crate::common::WRITERS {
            std::fs::write(
                std::path::Path::new(&folder).join(format!("{name}.{ending}")),
                written(&report, write),
            )
            .unwrap();
        }
    }
}
