//! Any bytes as one of the binary files triage reads on a system: they must be read to an end, whatever they are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use triage::parse::{bolt, elf, journal, ld_cache, module, pe, utmp};

fuzz_target!(|raw: &[u8]| {
    if let Some(found) = elf::Elf::read(&raw) {
        let _ = (found.dynamic(), found.section(b".modinfo"));
    }
    let _ = ld_cache::parse(raw);
    let _ = module::parse(raw);
    let _ = pe::sections(&raw);
    let _ = utmp::parse(&raw);
    let _ = utmp::last_login(&raw, 0);
    let _ = journal::read(&raw);
    if let Ok(database) = bolt::Database::open(&raw) {
        database.for_each(&mut |_, _, _| {});
    }
});
