//! Tries every way to change a guarded disk, from the place where tools run, and prints one line each.
//!
//! Usage: `assault DISK [resume]`; `resume` tries only to wake a hibernated system. What counts is what the host finds on the disk afterwards; the table is
//! the guest's side of it, in the categories of the write-blocker test plans: reading must work,
//! writing, configuring and miscellaneous commands must not. Ends with 1 when any attempt was not
//! refused or any allowed read was.

mod attempt;
mod blocks;
mod kernel;
mod passthrough;
mod reads;

use attempt::Report;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("usage: assault DISK");
        return ExitCode::from(2);
    };
    let opened = guard::Guard::connect().map_err(|e| e.to_string()).and_then(|guard| {
        let name = name.parse::<guard::DiskName>().map_err(|e| e.to_string())?;
        guard.open(&name).map_err(|e| e.to_string())
    });
    let opened = match opened {
        Ok(opened) => opened,
        Err(text) => {
            eprintln!("assault: no descriptor of {name}: {text}");
            return ExitCode::from(2);
        }
    };
    let descriptor = opened.file.as_raw_fd();
    let mut report = Report::default();
    if std::env::args().nth(2).as_deref() == Some("resume") {
        kernel::resume(&mut report, &opened.disk.number);
        return report.end(&name);
    }
    reads::run(&mut report, descriptor, &name);
    blocks::run(&mut report, descriptor, &name, &opened.disk.number);
    passthrough::run(&mut report, descriptor);
    kernel::run(&mut report, descriptor, &name, &opened.disk);
    reads::again(&mut report, descriptor);
    report.end(&name)
}
