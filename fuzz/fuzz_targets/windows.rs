//! What triage reads of Windows beside the registry, made of arbitrary bytes: event logs, links, tasks, accounts.
#![no_main]

use triage::parse::{evtx, windows};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A log of one chunk, so that the fuzzer need not find the magic numbers.
    let mut log = vec![0; 4096];
    log[..8].copy_from_slice(b"ElfFile\0");
    log.extend(b"ElfChnk\0");
    log.resize(4096 + 512, 0);
    log.extend(data.iter().take(60_000));
    let _ = evtx::read(&log.as_slice(), &mut |_, fields| {
        let _ = fields.event();
    });
    let _ = evtx::binxml::read(data, 0, data.len());
    let _ = windows::link::parse(data);
    let _ = windows::task::actions(data);
    let _ = windows::task::parse(&windows::file_text(data));
    let _ = (windows::sam::fixed(data), windows::sam::name(data), windows::sam::group(data));
});
