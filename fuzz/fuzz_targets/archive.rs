//! Listings and package databases. The first byte chooses.
#![no_main]

use archive::debian::database;
use archive::store::Listing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 3 {
        0 => {
            if let Ok(listing) = Listing::parse("fuzz", rest) {
                // What was understood can be written and is then the same.
                let packed = listing.to_packed().expect("a listing can be written");
                let back = Listing::parse("fuzz", packed.as_slice()).expect("and read");
                assert_eq!(back, listing);
            }
        }
        1 => drop(database::parse_status(rest)),
        _ => drop(database::parse_diversions(rest)),
    }
});
