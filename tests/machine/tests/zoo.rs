//! Makes the zoo and lets the host's tools check it; needs QEMU and a Debian mirror.

use std::time::Instant;

/// Vouched for by independent tools: each recipe names the one that sees its dirty state.
#[test]
fn the_zoo_is_as_dirty_as_it_says() {
    if std::env::var("GLOVEBOX_VM").is_err() {
        eprintln!("skipped: GLOVEBOX_VM is not set");
        return;
    }
    let start = Instant::now();
    let folder = machine::zoo::folder().unwrap_or_else(|e| panic!("{}", e.chain()));
    eprintln!("zoo in {} after {:?}", folder.display(), start.elapsed());
    for name in machine::zoo::disk_names() {
        assert!(folder.join(format!("{name}.img")).is_file(), "no {name}");
    }
}
