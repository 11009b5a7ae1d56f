//! The execution canary: planted on evidence, it must never run; if it does, the host hears it.
//!
//! The marker is put together only at run time, so that a tool printing parts of this file, or of
//! a script like it, does not look like a run.

use std::io::Write;

fn main() {
    let marker = format!("GBX-CANARY-{}\n", 40 + std::env::args().count() + 1);
    for path in [
        "/dev/virtio-ports/org.glovebox.canary",
        "/dev/ttyS0",
        "/dev/console",
        "/dev/tty",
        "/dev/kmsg",
    ] {
        if let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(path) {
            let _ = file.write_all(marker.as_bytes());
        }
    }
    print!("{marker}");
}
