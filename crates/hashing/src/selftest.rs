//! Known-answer tests of every algorithm, run before digests are relied on.
//!
//! The digest code chooses processor instructions at run time. A faulty core, a broken emulator or
//! a miscompiled path would give wrong digests that agree with themselves; published answers show it.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Algorithm, Algorithms, Digest, Error, MultiHasher};

type Answer = (Algorithm, &'static str);

const ABC: [Answer; 5] = [
    // RFC 1321, appendix A.5.
    (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
    // FIPS 180-4 examples published by NIST.
    (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
    (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        Algorithm::Sha512,
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ),
    // The reference implementation's own `b3sum` program.
    (Algorithm::Blake3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
];

// A million times the letter a: long enough that every bulk code path runs.
const MILLION: [Answer; 4] = [
    (Algorithm::Md5, "7707d6ae4e027c70eea2a935c2296f21"),
    (Algorithm::Sha1, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
    (Algorithm::Sha256, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    (
        Algorithm::Sha512,
        "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb\
         de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
    ),
];

/// Computes digests with published answers and compares them.
///
/// # Errors
/// The first algorithm whose answer differs; no digest made in this run may then be used.
pub fn self_test() -> Result<(), Error> {
    let all: Algorithms = Algorithm::ALL.into_iter().collect();
    check("\"abc\"", &[b"abc"], &all, &ABC)?;
    let letters = vec![b'a'; 1_000_000];
    // Uneven pieces, so that the buffering between blocks is tested too.
    let pieces: Vec<&[u8]> = letters.chunks(77_777).collect();
    // All together takes MD5 and SHA-256 through one loop; alone, SHA-256 takes another way.
    check("a million letters a", &pieces, &all, &MILLION)?;
    let alone = MILLION.iter().filter(|(algorithm, _)| *algorithm == Algorithm::Sha256);
    let alone: Vec<Answer> = alone.copied().collect();
    check("a million letters a", &pieces, &Algorithms::sha256(), &alone)
}

/// Runs [`self_test`] once for each run of the program; later calls cost nothing.
///
/// # Errors
/// As [`self_test`], again on every call until it passes.
pub fn ensure_tested() -> Result<(), Error> {
    static PASSED: AtomicBool = AtomicBool::new(false);
    if !PASSED.load(Ordering::Acquire) {
        self_test()?;
        PASSED.store(true, Ordering::Release);
    }
    Ok(())
}

fn check(
    input: &'static str,
    pieces: &[&[u8]],
    algorithms: &Algorithms,
    answers: &[Answer],
) -> Result<(), Error> {
    let mut hasher = MultiHasher::new(algorithms);
    pieces.iter().for_each(|piece| hasher.update(piece));
    let digests = hasher.finish();
    for (algorithm, expected) in answers {
        let found = digests.of(*algorithm).map(Digest::to_hex).unwrap_or_default();
        if found != *expected {
            return Err(Error::SelfTest { algorithm: *algorithm, input, found, expected });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vouched for by NIST (SHA) and RFC 1321 (MD5): published answers.
    #[test]
    fn published_answers_hold() {
        self_test().unwrap();
    }

    #[test]
    fn a_wrong_answer_is_named() {
        let wrong = [(Algorithm::Sha1, "00")];
        let error = check("x", &[b"x"], &Algorithm::ALL.into_iter().collect(), &wrong).unwrap_err();
        assert!(error.to_string().starts_with("sha1 of x is "), "{error}");
    }
}
