//! Runs the trials; at most two machines at once unless told otherwise.
//!
//! Ends with 0 when all passed, 1 when the guest did not keep a promise, 69 when a machine failed.

use libtest_mimic::Arguments;
use machine::error::EXIT_MACHINE;
use scenarios::{Stage, Wanted, trials};
use std::process::exit;

fn main() {
    let (stage, wanted) = Stage::from_environment().unwrap_or_else(|error| {
        eprintln!("{}", error.chain());
        exit(EXIT_MACHINE);
    });
    if wanted == Wanted::Nothing {
        println!("skipped: GLOVEBOX_OUT (folder with the built image) is not set");
        return;
    }
    let stage: &'static Stage = Box::leak(Box::new(stage));
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let conclusion = libtest_mimic::run(&arguments, trials(stage));
    println!("{} passed, {} failed", conclusion.num_passed, conclusion.num_failed);
    if stage.machine_failed() {
        exit(EXIT_MACHINE);
    }
    exit(i32::from(conclusion.has_failed()));
}
