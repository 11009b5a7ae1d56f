//! Packages of the RPM family: a signed header, which has the digest of every file.
//!
//! Follows rpm's own documentation ("Package format", "Header Format", "Signatures and digests"). The chain is shorter than
//! Debian's: the vendor signs each package's header, not a list of packages. So nothing here shows that a package is old; only
//! the version of the archive does.

mod capabilities;
mod header;
mod package;

pub use capabilities::to_attribute;
pub use header::{File, Package, parse_header};
pub use package::PackageFile;
