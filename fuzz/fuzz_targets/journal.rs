//! The journal of an imaging, as a medium after a power cut may hold it. Sums are made right for half of the inputs, since
//! guessing them would keep everything behind them untried.
#![no_main]

use std::num::NonZeroUsize;

use imaging::{Journal, Plan, Session};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let mut text = rest.to_vec();
    if choice % 2 == 0 {
        text.clear();
        for line in rest.split(|byte| *byte == b'\n') {
            let digest = hashing::digest_bytes(line, &hashing::Algorithms::sha256());
            text.extend(digest.sha256_hex().bytes().take(16));
            text.push(b' ');
            text.extend(line);
            text.push(b'\n');
        }
    }
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join("image.journal");
    if std::fs::write(&path, &text).is_err() {
        return;
    }
    if let Ok((_journal, reached)) = Journal::reopen(&path) {
        let _ = reached.start(&Plan::default());
        // Cut back to what is whole, it says the same again.
        let again = Journal::reopen(&path).expect("what was just read");
        assert_eq!(again.1, reached);
    }
    // Folders of copies come from the journal: only ones that cannot be are resumed here.
    if Session::look(&path).is_ok_and(|work| work.requests.is_empty()) {
        let _ = Session::resume(&path, NonZeroUsize::MIN);
    }
});
