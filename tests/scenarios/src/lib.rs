//! What the booted stick promises, tried in virtual machines: one named trial per promise.
//!
//! Every promise has a negative control: the same oracle, looking at a guest that does what an
//! ordinary system does, must see it. A control that passes quietly would mean a blind oracle.

#![forbid(unsafe_code)]

mod assault;
mod bad_input;
mod boots;
mod canary;
mod cftt;
mod clock;
mod clones;
mod controls;
mod health;
mod job;
mod live;
mod network;
mod plug;
mod power_cut;
mod reading;
mod stage;
mod steering;
mod zoo;

pub use stage::{Stage, Wanted};

use libtest_mimic::Trial;

/// All trials that `stage` has the means for.
#[must_use]
pub fn trials(stage: &'static Stage) -> Vec<Trial> {
    let quick = std::env::var_os("GLOVEBOX_QUICK").is_some();
    every(stage).into_iter().filter(|t| !quick || QUICK.contains(&t.name())).collect()
}

/// What shows most in the least time.
const QUICK: [&str; 7] = [
    "assault/every-layer",
    "boot/bios-usb",
    "boot/uefi-sb-cd",
    "control/assault-without-any-layer",
    "control/ordinary-system-touches-the-zoo",
    "job/image-and-triage-the-sample",
    "zoo/ahci",
];

fn every(stage: &'static Stage) -> Vec<Trial> {
    let mut all = controls::trials(stage);
    // A running host needs no image: only the program.
    all.extend(live::trials(stage));
    if stage.outputs().is_some() {
        for group in [
            boots::trials,
            zoo::trials,
            reading::trials,
            assault::trials,
            steering::trials,
            canary::trials,
            plug::trials,
            bad_input::trials,
            power_cut::trials,
            clock::trials,
            cftt::trials,
            clones::trials,
            health::trials,
            network::trials,
            job::trials,
        ] {
            all.extend(group(stage));
        }
    }
    all
}
