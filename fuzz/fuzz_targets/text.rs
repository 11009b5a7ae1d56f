//! The parsers of a Linux system's text files. The first byte chooses, so that one corpus serves all.
#![no_main]

use triage::parse::{accounts, cron, dpkg, unit};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 7 {
        0 => drop(accounts::parse(rest)),
        1 => drop(accounts::parse_shadow(rest)),
        2 => drop(accounts::parse_groups(rest)),
        3 => drop(cron::parse(rest, cron::Layout::System)),
        4 => drop(unit::parse(rest)),
        5 => drop(dpkg::parse_status(rest)),
        _ => drop(dpkg::parse_md5sums(rest)),
    }
});
