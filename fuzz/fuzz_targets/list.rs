//! Lists of digests in every form, sets of known digests, and saved states. The first byte chooses.
#![no_main]

use hashing::{Algorithm, Algorithms, Form, KnownSet, Manifest, MultiHasher, compare};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 3 {
        0 => {
            let listed = Manifest::from_any_form(rest, Algorithm::Sha256).manifest.below(b"/root");
            // What was understood can be written in our form and is then the same.
            let written = listed.to_form(Form::Manifest, &Algorithms::sha256());
            let (back, problems) = Manifest::from_json_lines(&written.text);
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(back, listed);
            let _ = compare(&listed, &Manifest::new()).with_moves();
        }
        1 => drop(KnownSet::read(&mut &*rest)),
        _ => {
            if let Ok(mut hasher) = MultiHasher::from_state(rest) {
                hasher.update(&[0; 70_000]);
                let _ = hasher.finish();
            }
        }
    }
});
