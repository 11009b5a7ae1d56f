//! What a peer says after its handshake, and what a person types as a pairing code. The first byte chooses.
#![no_main]

use wire::{Message, PairingCode};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    if choice % 4 == 0 {
        if let Ok(code) = std::str::from_utf8(rest).map_err(drop).and_then(|text| PairingCode::parse(text).map_err(drop)) {
            assert_eq!(PairingCode::parse(&code.text()).map_err(drop), Ok(code));
        }
    } else if let Ok(message) = Message::parse(rest) {
        // What was understood can be said, and is then the same.
        let mut again = Vec::new();
        message.put(&mut again);
        assert_eq!(Message::parse(&again).map_err(drop), Ok(message));
    }
});
