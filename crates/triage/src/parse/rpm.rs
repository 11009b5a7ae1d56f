//! The package database of the RPM family: its containers and its headers, which are also read where an installed system is
//! verified, so that they stand below.

pub use archive::rpm::{File, Package, parse_header};
pub use evidence::rpmdb::{bdb, ndb, sqlite};
