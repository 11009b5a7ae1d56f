//! OpenPGP certificates, secret keys and messages, as a hostile correspondent would send them.
#![no_main]

use std::io::Read;

use casebook::openpgp::{self, Certificate, SecretKeys};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Certificate::parse(data, 1 << 31);
    let mut keys = SecretKeys::default();
    let _ = keys.add(data);
    if let Ok(content) = openpgp::decrypt(data, &keys, "") {
        let mut plain = Vec::new();
        let _ = content.take(1 << 24).read_to_end(&mut plain);
    }
});
