//! A sealed case takes no more acts until it is opened again, which is an act itself.

use crate::Error;

/// The verb of the act that seals a case.
pub const SEAL: &str = "case seal";
/// The verb of the act that opens a sealed case again.
pub const REOPEN: &str = "case open";

/// Which act sealed the case after this one, given which sealed it before.
#[must_use]
pub fn after(sealed_by: Option<u64>, number: u64, verb: &str, done: bool) -> Option<u64> {
    match verb {
        SEAL if done => Some(number),
        REOPEN => None,
        _ => sealed_by,
    }
}

/// Refuses an act that a sealed case does not take.
pub(crate) fn permit(sealed_by: Option<u64>, verb: &str) -> Result<(), Error> {
    match sealed_by {
        Some(act) if verb != REOPEN => {
            Err(Error::Refused { reason: format!("act {act} sealed the case") })
        }
        _ => Ok(()),
    }
}
