//! Files encrypted with age: the header, then the content behind it. A fixed identity, so that seeds get past the header.
#![no_main]

use std::io::Read;
use std::sync::OnceLock;

use casebook::age::{self, Identity};

/// The key the seeds are encrypted to; it guards nothing.
const KEY: &str = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static IDENTITIES: OnceLock<Vec<Identity>> = OnceLock::new();
    let identities = IDENTITIES.get_or_init(|| Identity::parse_file(KEY).unwrap_or_default());
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Identity::parse_file(text);
        let _ = text.parse::<age::Recipient>();
    }
    if let Ok(content) = age::decrypt(data, identities) {
        // What comes out is never longer than what went in.
        let mut plain = Vec::new();
        let _ = content.take(1 << 24).read_to_end(&mut plain);
        assert!(plain.len() <= data.len());
    }
});
