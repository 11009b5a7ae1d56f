//! The case on the examiner's medium: hash-chained, signed acts and numbered exhibits.
