//! Any text as definitions of artifacts: read or refused, in bounded time and memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use triage::Definitions;

fuzz_target!(|raw: &[u8]| {
    if let Ok(text) = std::str::from_utf8(raw)
        && let Ok(found) = Definitions::parse([("fuzzed.yaml", text)])
    {
        let _ = found.only(&["A".to_owned()]);
    }
});
