//! Templates of contacts, and the call tree of what stands in them.
#![no_main]

use casebook::contact;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(contacts) = contact::parse_template(text) else { return };
    // Everybody stands in the tree once, whatever circles it names.
    let tree = contact::tree(&contacts);
    assert_eq!(tree.len(), contacts.len());
    // What was read can be written and is then the same.
    if let Ok(written) = contact::to_template(&contacts) {
        assert_eq!(contact::parse_template(&written).ok().as_ref(), Some(&contacts));
    }
});
